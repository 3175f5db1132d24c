//! Ports and parameters.

use gantry_contract::*;

const MEMORY: &[Text] = &[text("host"), text("cuda")];

const INPUTS: &[Port] = &[
    input("frames", "frames/v1", Arity::Many, "handles of full-size I420 or NV12 pictures, one edge per `decode`").holding(1).uploading(),
    input("tracks", "tracks/v1", Arity::Many, "tracks of the same frames; may come later than the frame"),
    input("decided", "decided/v1", Arity::Optional, "live, of `vote`: tracks whose text is sure").feedback(),
    input("wanted", "wanted/v1", Arity::Any, "live, of `preview`: cameras that somebody looks at").feedback(),
];

const OUTPUTS: &[Port] = &[
    output(
        "crops",
        "crops/v1",
        "one row per frame, empty when the gate lets nothing through; each crop is a handle of an RGB8 picture `[H, W, 3]`, full range, by `track_id`; several frames in one message",
    ),
    output(
        PASSED_ON,
        "frames/v1",
        "frames of `frames` as they came, with their tracks or long without, only while they are asked for (`wanted`) and as often as that",
    )
    .passing_on(),
    output("view_tracks", "tracks/v1", "the tracks of the frames on `views`").passing_on(),
];

const PARAMS: &[Param] = &[
    int_param("min_track_frames", "frames", 1, 1000, 5, "the gate: frames in which a track was matched before its plate is read; frames between two matches that `detect` had no time for count, too").live(),
    f64_param("min_plate_confidence", "", 0.0, 1.0, 0.75, "the gate: score of the plate in this frame").live(),
    int_param("read_every_frames", "frames", 1, 1000, 2, "of each track at most every n-th frame is read; where `detect` has no time for every frame, each that it looked at").live(),
    int_param(
        "max_crops_per_track",
        "crops",
        1,
        100_000,
        40,
        "after that many a track's plate is read only when it is 10 % taller than ever before",
    )
    .live(),
    int_param(
        "decided_every_frames",
        "frames",
        1,
        1000,
        8,
        "with an edge to `decided`: of a track whose text is sure at most every n-th frame is read, but for a plate that is 10 % taller than ever before",
    )
    .live(),
    f64_param("margin", "", 0.0, 1.0, 0.10, "part of the plate's width and height that is added on each side").live(),
    int_param("min_height_px", "px", 1, 1024, 64, "a crop lower than this, margin included, is scaled up to `target_height_px`").live(),
    int_param("target_height_px", "px", 8, 1024, 80, "height that low crops are scaled up to").live(),
    int_param("max_height_px", "px", 8, 1024, 160, "a higher crop is scaled down to this"),
    bool_param("rectify", true, "level the lines of a slanted plate where the slope is clear").live(),
    int_param("jpeg_quality", "", 1, 100, 85, "quality of the evidence picture").live(),
    int_param("overview_px", "px", 0, 3840, 0, "width of a picture of the whole frame beside the evidence, from the second crop of a track on; 0: none is made").live(),
    choice_param(
        "memory",
        MEMORY,
        "host",
        "where crops lie; `cuda`: on the card, cut there from frames of the card; plates of frames of the host are cut first and uploaded small",
    ),
    int_param("pool_slots", "slots", 4, 4096, 96, "slots of the output's pool; one frame gives at most half as many crops"),
];

/// Ports and parameters of `crop`.
pub const CONTRACT: Contract = Contract {
    name: text("crop"),
    summary: text("Cuts plates from full-size frames: the gate, upscaling, levelling, legibility, evidence."),
    inputs: list(INPUTS),
    outputs: list(OUTPUTS),
    params: list(PARAMS),
};
