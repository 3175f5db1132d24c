//! Ports and parameters.

use gantry_contract::*;

const INPUTS: &[Port] = &[input("pixels", "pixels/v1", Arity::One, "pictures of one camera from `pack`")];

const OUTPUTS: &[Port] = &[
    output("frames", "frames/v1", "handles of the pictures, as `decode` would send them; an end row with the number of frames"),
    output("credit", "credit/v1", "to `pack`: the frames that are here; the ones to send again"),
];

const PARAMS: &[Param] = &[
    int_param(
        "max_bytes",
        "bytes",
        1_000,
        200_000_000,
        12_600_000,
        "largest picture; 3840x2160 I420 has 12,441,600. Memory is taken for what comes, not for this",
    ),
    int_param("pool_slots", "slots", 2, 512, 40, "slots of the output's pool"),
];

/// Ports and parameters of `unpack`.
pub const CONTRACT: Contract = Contract {
    name: text("unpack"),
    summary: text("Writes pictures that came in messages into buffers of this machine and passes them on by handle."),
    inputs: list(INPUTS),
    outputs: list(OUTPUTS),
    params: list(PARAMS),
};
