//! Ports and parameters.

use gantry_contract::*;

const OPERATORS: &[Text] = &[text("clahe"), text("equalize"), text("adaptive_threshold"), text("morphology"), text("sharpen")];

const MEMORY: &[Text] = &[text("host"), text("cuda")];

const INPUTS: &[Port] = &[input("crops", "crops/v1", Arity::Many, "handles of RGB8 crops").holding(1)];

const OUTPUTS: &[Port] = &[output(
    "crops",
    "crops/v1",
    "the same rows; each crop's handle is a u8 tensor `[V, H, W]`, grey, full range: `original`, then the pictures of the operators that ran, in the order of `operators`; `variants` names them",
)];

const PARAMS: &[Param] = &[
    list_param("operators", OPERATORS, "operators to run; an empty list passes the grey original only"),
    text_param(
        "operator_path",
        None,
        "folders of the operator libraries, separated by colons; absent: the folder of this program and `deps` in it",
    ),
    text_param("options", None, "options of operators: `clahe.clip_limit=3;sharpen.amount=0.8`"),
    int_param("full_crops", "crops", 0, 100_000, 4, "first crops of a track that get every operator"),
    int_param("operators_per_crop", "operators", 0, 64, 2, "operators on each later crop, in turn; 0: all of them"),
    choice_param(
        "memory",
        MEMORY,
        "host",
        "where crops and variants lie; `cuda`: on the card, where the shipped operators are kernels that give the same bytes",
    ),
    int_param("max_crop_pixels", "px", 1024, 4_194_304, 153_600, "largest crop, width times height: the size of a slot follows from it"),
    int_param("pool_slots", "slots", 4, 4096, 96, "slots of the output's pool"),
];

/// Ports and parameters of `enhance`.
pub const CONTRACT: Contract = Contract {
    name: text("enhance"),
    summary: text("Runs preprocessing operators on each crop and adds their pictures beside the original."),
    inputs: list(INPUTS),
    outputs: list(OUTPUTS),
    params: list(PARAMS),
};
