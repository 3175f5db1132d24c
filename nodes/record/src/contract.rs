use gantry_contract::*;

/// Ports and parameters of `record`.
pub const CONTRACT: Contract = Contract {
    name: text("record"),
    summary: text("Writes encoded packets and results into an MCAP recording, which `camera` replays."),
    inputs: list(
        const {
            &[
                input("packets", "packets/v1", Arity::Any, "access units of cameras; sent again by `camera`, they are recorded once"),
                input("detections", "detections/v1", Arity::Any, "recorded as they come"),
                input("tracks", "tracks/v1", Arity::Any, "recorded as they come"),
                input("texts", "texts/v1", Arity::Any, "recorded as they come"),
                input("readings", "readings/v1", Arity::Any, "recorded as they come"),
            ]
        },
    ),
    outputs: list(&[]),
    params: list(
        const {
            &[
                out_path_param("out", Some("run.mcap"), "the recording; further parts are called `run.0001.mcap`, .."),
                int_param("part_mb", "MB", 1, 1_000_000, 4000, "size at which a new part begins, at the next key frame"),
                int_param("part_minutes", "min", 1, 100_000, 60, "length at which a new part begins"),
                bool_param("video", true, "packets once more in the form that Foxglove plays"),
                choice_param(
                    "keep",
                    const { &[text("all"), text("events")] },
                    "all",
                    "`all` that comes, or with `events` a clip around each reading",
                ),
                f64_param("before_s", "s", 0.0, 600.0, 5.0, "`events`: seconds before the vehicle was first seen"),
                f64_param("after_s", "s", 0.0, 600.0, 5.0, "`events`: seconds after it was last seen"),
                int_param("ring_mb", "MB", 1, 10_000, 64, "`events`: memory for the packets before an event, per camera"),
                bool_param("fsync", false, "wait for the disk twice a second: a power cut then costs no more than a crash"),
            ]
        },
    ),
};
