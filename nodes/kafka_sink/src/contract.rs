use gantry_contract::{Contract, choice_param, list, required_text_param, text, text_param};
use gantry_sink::*;

/// Ports and parameters of `kafka_sink`.
pub const CONTRACT: Contract = Contract {
    name: text("kafka_sink"),
    summary: text("Produces readings to a Kafka topic, at least once, keyed by camera, from a spool on disk."),
    inputs: list(const { &[readings_port(), visits_port()] }),
    outputs: list(&[]),
    params: list(
        const {
            &[
                required_text_param("brokers", "`host:port`, several separated by commas: those that are asked for the others"),
                text_param("topic", Some("gantry.readings"), "topic; it is not made, unless the brokers make topics of their own"),
                choice_param(
                    "security",
                    const { &[text("plaintext"), text("ssl"), text("sasl_plaintext"), text("sasl_ssl")] },
                    "plaintext",
                    "how brokers are reached; `sasl_*` needs credentials",
                ),
                choice_param(
                    "mechanism",
                    const { &[text("PLAIN"), text("SCRAM-SHA-256"), text("SCRAM-SHA-512")] },
                    "SCRAM-SHA-512",
                    "how user name and password are checked (SASL)",
                ),
                credentials_file_param("file with `user:password`, readable by nobody else (mode 0600)"),
                credentials_env_param(),
                ca_file_param("certificates (PEM) that those of the brokers are checked against; absent: the system's"),
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
