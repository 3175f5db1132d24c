use gantry_contract::{Contract, list, required_text_param, text, text_param};
use gantry_sink::*;

/// Ports and parameters of `mqtt_sink`.
pub const CONTRACT: Contract = Contract {
    name: text("mqtt_sink"),
    summary: text("Publishes readings to an MQTT broker, at least once, from a spool on disk."),
    inputs: list(const { &[readings_port(), visits_port()] }),
    outputs: list(&[]),
    params: list(
        const {
            &[
                required_text_param("broker", "`mqtt://host[:1883]`, or `mqtts://host[:8883]` over TLS"),
                text_param("topic", Some("gantry"), "topics are `TOPIC/<camera>/reading` and `TOPIC/<camera>/visit`"),
                text_param("client_id", None, "name of this client at the broker, unique there; absent: `gantry-<node>-<run>`"),
                credentials_file_param("file with `user:password` of the broker, readable by nobody else (mode 0600)"),
                credentials_env_param(),
                ca_file_param("certificates (PEM) that the broker's is checked against; absent: those of Mozilla's list"),
                timeout_ms_param(),
                retry_ms_param(),
                spool_dir_param(),
                spool_mb_param(),
                when_full_param(),
                evidence_param(),
                finish_ms_param(),
            ]
        },
    ),
};
