use gantry_contract::{Arity, Contract, bool_param, choice_param, f64_param, file_param, input, int_param, list, output, text};

/// Ports and parameters of `vote`.
pub const CONTRACT: Contract = Contract {
    name: text("vote"),
    summary: text("Votes over all reads of a pass and sends one reading for it."),
    inputs: list(
        const {
            &[
                input(
                    "texts",
                    "texts/v1",
                    Arity::Many,
                    "reads of the crops of a frame with candidates per character, one row per frame, any cameras mixed; of each camera from as many nodes as `readers` says",
                ),
                input("tracks", "tracks/v1", Arity::Many, "living and ended tracks, one row per frame, any cameras mixed"),
            ]
        },
    ),
    outputs: list(
        const {
            &[
                output(
                    "readings",
                    "readings/v1",
                    "one row per pass of a vehicle with a plate that was read, when its text is settled or its track is over",
                ),
                output(
                    "decided",
                    "decided/v1",
                    "to `crop`, in live sites: one row per track whose text is so sure that it need hardly be read any more, or no longer",
                )
                .feedback(),
            ]
        },
    ),
    params: list(
        const {
            &[
                choice_param(
                    "rule",
                    const { &[text("characters"), text("whole_string"), text("best_frame")] },
                    "characters",
                    "what is voted on: every character, whole texts, or nothing (the text of the heaviest read)",
                )
                .live(),
                int_param(
                    "readers",
                    "",
                    1,
                    8,
                    1,
                    "nodes that read each camera, each with an edge to `texts`: 2 for an ensemble of two readers",
                ),
                f64_param("min_confidence", "", 0.0, 1.0, 0.5, "a pass whose text is less certain has no reading").live(),
                int_param("min_reads", "frames", 1, 1000, 2, "a pass that was read in fewer frames has no reading").live(),
                bool_param("settle", true, "send a reading as soon as its text no longer changes; else only at the end of the track")
                    .live(),
                int_param("settle_frames", "frames", 2, 10_000, 30, "frames in a row that must say the text before it is settled").live(),
                f64_param("settle_confidence", "", 0.0, 1.0, 0.9, "confidence from which a text can settle").live(),
                int_param(
                    "decide_frames",
                    "frames",
                    2,
                    10_000,
                    5,
                    "with an edge from `decided`: frames in a row that must say the text with a confidence of 0.7 before its track is decided",
                )
                .live(),
                int_param("merge_ms", "ms", 0, 60_000, 3000, "media time within which a new track with the same plate is the same pass")
                    .live(),
                bool_param(
                    "boards",
                    false,
                    "also read texts that stand still and that no sure vehicle carries (signs, a clock in the picture)",
                )
                .live(),
                f64_param(
                    "parked_vehicle_confidence",
                    "",
                    0.0,
                    1.0,
                    0.75,
                    "how sure the detector must be of a vehicle for a text that never moves to be its plate",
                )
                .live(),
                bool_param("variants", true, "let the variants that operators made take part, else only the original").live(),
                f64_param("variant_weight", "", 0.0, 1.0, 0.5, "weight of a variant against the original").live(),
                bool_param("syntax", true, "decide look-alikes (O/0 I/1 S/5 B/8 Z/2 G/6) by plate layouts").live(),
                file_param("syntaxes", None, false, "YAML table of plate layouts, as nodes/vote/syntaxes.yml; absent: that table"),
                int_param("min_length", "characters", 1, 16, 4, "shortest text that is a plate").live(),
                int_param("max_length", "characters", 1, 16, 10, "longest text that is a plate").live(),
            ]
        },
    ),
};
