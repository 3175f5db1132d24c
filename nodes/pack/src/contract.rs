//! Ports and parameters.

use gantry_contract::*;

const INPUTS: &[Port] = &[
    input("frames", "frames/v1", Arity::One, "handles of pictures of one camera, in host memory").holding(1),
    input(
        "credit",
        "credit/v1",
        Arity::Optional,
        "from `unpack`: frames that it has; needed in lossless mode, without meaning in live mode",
    ),
];

const OUTPUTS: &[Port] = &[output("pixels", "pixels/v1", "the pictures, one in a message; an end row with the number of frames")];

const PARAMS: &[Param] = &[int_param(
    "window_frames",
    "frames",
    1,
    64,
    4,
    "lossless mode: frames under way at once, each of 3.1 MB for 1080p; live mode has no window",
)];

/// Ports and parameters of `pack`.
pub const CONTRACT: Contract = Contract {
    name: text("pack"),
    summary: text("Puts the pixels of frames into messages, for edges that leave the machine and for readers that know no handles."),
    inputs: list(INPUTS),
    outputs: list(OUTPUTS),
    params: list(PARAMS),
};
