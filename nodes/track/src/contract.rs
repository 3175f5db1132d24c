use gantry_contract::{Arity, Contract, choice_param, f64_param, input, int_param, list, output, text};

/// Ports and parameters of `track`.
pub const CONTRACT: Contract = Contract {
    name: text("track"),
    summary: text("Follows vehicles and their plates from frame to frame, one tracker per camera."),
    inputs: list(
        const {
            &[input(
                "detections",
                "detections/v1",
                Arity::Many,
                "boxes of vehicles and plates in source pixels, one row per frame, any cameras mixed",
            )]
        },
    ),
    outputs: list(
        const { &[output("tracks", "tracks/v1", "one row per frame: living tracks by id, and the ids that ended; boxes in source pixels")] },
    ),
    params: list(
        const {
            &[
                choice_param(
                    "tracker",
                    const { &[text("bytetrack"), text("iou")] },
                    "bytetrack",
                    "the method: with motion, or by the last box alone",
                ),
                f64_param("high_confidence", "", 0.0, 1.0, 0.5, "detections from this score on are matched first and may start a track")
                    .live(),
                f64_param("low_confidence", "", 0.0, 1.0, 0.1, "detections from this score on may continue a track").live(),
                f64_param("match_iou", "", 0.0, 0.9, 0.2, "smallest IoU of a vehicle's predicted and detected box").live(),
                f64_param(
                    "match_distance",
                    "plate lengths",
                    0.1,
                    4.0,
                    1.0,
                    "largest distance between a plate's predicted and detected centre; twice that in its first three frames",
                )
                .live(),
                int_param("max_lost_frames", "frames", 0, 3000, 30, "frames without a match after which a track ends").live(),
                int_param("min_hits", "frames", 1, 100, 2, "matches before a track is shown").live(),
            ]
        },
    ),
};
