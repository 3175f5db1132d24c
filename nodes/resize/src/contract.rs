//! Ports and parameters.

use gantry_contract::*;

const SAMPLES: &[Text] = &[text("u8"), text("f32")];
const MEMORY: &[Text] = &[text("host"), text("cuda")];
const AXES: &[Text] = &[text("nchw"), text("nhwc")];

const INPUTS: &[Port] = &[input("frames", "frames/v1", Arity::Many, "handles of I420 or NV12 pictures of any size").holding(1).uploading()];

const OUTPUTS: &[Port] = &[output(
    "images",
    "frames/v1",
    "handles of tensors `[1, 3, H, W]` or `[1, H, W, 3]`, R G B, full range (f32: 0 to 1), the picture centred, the rest grey 114; one row per input row with `source_from_image` in scale and offset",
)];

const PARAMS: &[Param] = &[
    int_param("width", "px", 16, 4096, 960, "width of the detector's input"),
    int_param("height", "px", 16, 4096, 544, "height of the detector's input"),
    choice_param("dtype", SAMPLES, "u8", "type of the samples; u8 is a quarter of the memory, the detector divides by 255 itself"),
    choice_param("layout", AXES, "nchw", "order of the axes"),
    choice_param(
        "memory",
        MEMORY,
        "host",
        "where the tensors lie; `cuda`: on the card, where frames of the card are scaled and frames of the host are scaled first and uploaded small",
    ),
    int_param("pool_slots", "slots", 2, 512, 40, "slots of the output's pool"),
];

/// Ports and parameters of `resize`.
pub const CONTRACT: Contract = Contract {
    name: text("resize"),
    summary: text("Scales full-size frames to the detector's input: colour, scale and letterbox in one pass."),
    inputs: list(INPUTS),
    outputs: list(OUTPUTS),
    params: list(PARAMS),
};
