use gantry_contract::{Arity, Contract, bool_param, input, list, list_param, out_path_param, text};

/// Ports and parameters of `store`.
pub const CONTRACT: Contract = Contract {
    name: text("store"),
    summary: text("Writes readings to JSON Lines and SQLite, with their evidence pictures."),
    inputs: list(
        const {
            &[
                input("readings", "readings/v1", Arity::Many, "one row per pass of a vehicle, any cameras mixed"),
                input("tracks", "tracks/v1", Arity::Optional, "one row per frame; written where `TRACKS` says"),
            ]
        },
    ),
    outputs: list(&[]),
    params: list(
        const {
            &[
                list_param("format", const { &[text("jsonl")] }, "what to write: `jsonl`, `sqlite` or both"),
                out_path_param("jsonl", Some("readings.jsonl"), "the JSON Lines file"),
                out_path_param("sqlite", Some("readings.sqlite"), "the database"),
                out_path_param("evidence_dir", None, "folder for one JPEG per reading; absent: none are written"),
                out_path_param("tracks", None, "JSON Lines file of the boxes of every frame; absent: none is written"),
                bool_param("fsync", false, "wait for the disk after each message of readings: a power cut then loses none"),
            ]
        },
    ),
};
