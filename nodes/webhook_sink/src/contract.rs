use gantry_contract::{Contract, choice_param, list, required_text_param, text};
use gantry_sink::*;

/// Ports and parameters of `webhook_sink`.
pub const CONTRACT: Contract = Contract {
    name: text("webhook_sink"),
    summary: text("Posts readings as JSON to a web server, at least once, from a spool on disk."),
    inputs: list(const { &[readings_port(), visits_port()] }),
    outputs: list(&[]),
    params: list(
        const {
            &[
                required_text_param("url", "where readings are posted to: `https://host/path` or `http://host/path`"),
                choice_param(
                    "auth",
                    const { &[text("none"), text("basic"), text("bearer")] },
                    "none",
                    "what is sent of the credentials: user name and password, or a token",
                ),
                credentials_file_param(
                    "file with `user:password` (`AUTH: basic`) or the token (`bearer`), readable by nobody else (mode 0600)",
                ),
                credentials_env_param(),
                ca_file_param("certificates (PEM) that the server's is checked against; absent: those of Mozilla's list"),
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
