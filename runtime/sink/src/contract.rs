//! Ports and parameters that every sink has.

use gantry_contract::*;

/// `readings/v1` of any cameras.
#[must_use]
pub const fn readings_port() -> Port {
    input("readings", "readings/v1", Arity::Any, "one row per pass of a vehicle, any cameras mixed")
}

/// `visits/v1` of any cameras.
#[must_use]
pub const fn visits_port() -> Port {
    input("visits", "visits/v1", Arity::Any, "events of visits, sent beside the readings or instead of them")
}

/// `SPOOL_DIR`.
#[must_use]
pub const fn spool_dir_param() -> Param {
    Param {
        name: text("spool_dir"),
        kind: ParamKind::Path { default: None, required: true, must_exist: false },
        about: text("folder for what the far end does not have yet, on a disk that lasts; every sink has one of its own"),
        live: false,
    }
}

/// `SPOOL_MB`.
#[must_use]
pub const fn spool_mb_param() -> Param {
    int_param("spool_mb", "MB", 1, 1_000_000, 256, "size of the spool at most; a reading takes 1 to 10 kB, with its picture 10 to 50")
}

/// `WHEN_FULL`.
#[must_use]
pub const fn when_full_param() -> Param {
    choice_param(
        "when_full",
        const { &[text("drop_oldest"), text("refuse_newest")] },
        "drop_oldest",
        "what happens to readings beyond `SPOOL_MB`; either is counted (`spool_dropped`, `spool_refused`) and logged as an error",
    )
}

/// `RETRY_MS`.
#[must_use]
pub const fn retry_ms_param() -> Param {
    int_param("retry_ms", "ms", 20, 3_600_000, 30_000, "longest wait before the far end is tried again, give or take a quarter")
}

/// `TIMEOUT_MS`.
#[must_use]
pub const fn timeout_ms_param() -> Param {
    int_param("timeout_ms", "ms", 50, 600_000, 10_000, "how long the far end may take for an answer")
}

/// `FINISH_MS`.
#[must_use]
pub const fn finish_ms_param() -> Param {
    int_param(
        "finish_ms",
        "ms",
        0,
        600_000,
        3000,
        "how long the node goes on sending when the graph ends; what is left is sent at the next start",
    )
}

/// `EVIDENCE`.
#[must_use]
pub const fn evidence_param() -> Param {
    bool_param("evidence", false, "send the picture of the plate along, as Base64 in `evidence_jpeg_base64`")
}

/// `CREDENTIALS_FILE`; `holds`: what stands in it.
#[must_use]
pub const fn credentials_file_param(about: &'static str) -> Param {
    file_param("credentials_file", None, false, about)
}

/// `CREDENTIALS_ENV`.
#[must_use]
pub const fn credentials_env_param() -> Param {
    text_param("credentials_env", None, "name of an environment variable of dora's daemon that holds the same")
}

/// `CA_FILE`.
#[must_use]
pub const fn ca_file_param(about: &'static str) -> Param {
    file_param("ca_file", None, false, about)
}
