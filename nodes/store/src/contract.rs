use gantry_contract::{Arity, Contract, bool_param, f64_param, input, list, list_param, out_path_param, text};

/// Ports and parameters of `store`.
pub const CONTRACT: Contract = Contract {
    name: text("store"),
    summary: text("Writes readings to JSON Lines, SQLite and Parquet, with their evidence pictures, and deletes them in time."),
    inputs: list(
        const {
            &[
                input("readings", "readings/v1", Arity::Many, "one row per pass of a vehicle, any cameras mixed"),
                input("visits", "visits/v1", Arity::Any, "events of visits; written where `VISITS` says"),
                input("tracks", "tracks/v1", Arity::Optional, "one row per frame; written where `TRACKS` says"),
            ]
        },
    ),
    outputs: list(&[]),
    params: list(
        const {
            &[
                list_param("format", const { &[text("jsonl")] }, "what to write: `jsonl`, `sqlite`, `parquet`, or several"),
                out_path_param("jsonl", Some("readings.jsonl"), "the JSON Lines file"),
                out_path_param("sqlite", Some("readings.sqlite"), "the database"),
                out_path_param("evidence_dir", None, "folder for one JPEG per reading; absent: none are written"),
                out_path_param("parquet_dir", Some("parquet"), "folder for Parquet files"),
                f64_param("parquet_s", "s", 1.0, 86_400.0, 300.0, "time between two Parquet files"),
                f64_param(
                    "retention_days",
                    "d",
                    0.000_001,
                    36_500.0,
                    36_500.0,
                    "how long readings and their pictures are kept; the default keeps them for good",
                )
                .live(),
                out_path_param("visits", None, "JSON Lines file of the events of visits; absent: none is written"),
                out_path_param("tracks", None, "JSON Lines file of the boxes of every frame; absent: none is written"),
                bool_param("fsync", false, "wait for the disk after each message of readings: a power cut then loses none"),
            ]
        },
    ),
};
