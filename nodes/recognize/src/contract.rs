use gantry_contract::{Arity, Contract, bool_param, choice_param, f64_param, file_param, input, int_param, list, output, text, text_param};

/// Ports and parameters of `recognize`.
pub const CONTRACT: Contract = Contract {
    name: text("recognize"),
    summary: text("Reads the text of plate crops, every variant by itself."),
    inputs: list(
        const {
            &[input(
                "crops",
                "crops/v1",
                Arity::Many,
                "per crop one buffer: u8 tensor [V, H, W] grey, one picture per name in `variants`, or a single RGB8 or GRAY picture",
            )
            .holding(1)]
        },
    ),
    outputs: list(
        const {
            &[output(
                "texts",
                "texts/v1",
                "one row per row of crops, in the same order: per crop one read per variant, with candidates per character",
            )]
        },
    ),
    params: list(
        const {
            &[
                file_param(
                    "model",
                    Some("../models/reader.onnx"),
                    false,
                    "ONNX reader with a CTC head or fixed slots; alphabet and layout come from its metadata or a sidecar file beside it",
                ),
                int_param("top_k", "", 1, 10, 3, "candidates per character").live(),
                f64_param("min_confidence", "", 0.0, 1.0, 0.0, "drop reads of a variant below this confidence").live(),
                f64_param(
                    "sure_character",
                    "",
                    0.0,
                    1.01,
                    0.9,
                    "live mode on the CPU: variants of a crop are not read where each character of its original was read with this probability; above 1: they always are",
                )
                .live(),
                int_param("threads", "", 1, 64, 1, "threads of one run; results are the same bits with any number"),
                choice_param(
                    "device",
                    const { &[text("auto"), text("cpu"), text("cuda"), text("tensorrt")] },
                    "auto",
                    "where the model runs; `cuda` and `tensorrt` fail where they are missing, `auto` takes the CPU then",
                ),
                choice_param(
                    "memory",
                    const { &[text("host"), text("cuda")] },
                    "host",
                    "where the crops lie; `cuda`: in the card's memory; with `device` `cpu` they are fetched from there",
                ),
                int_param(
                    "max_batch",
                    "pictures",
                    1,
                    256,
                    24,
                    "`memory` `cuda`: pictures in one run, of all crops and cameras of a message; a crop has one per variant",
                ),
                bool_param("fp16", true, "TensorRT: half precision where it is faster; probabilities differ in the third digit"),
                bool_param(
                    "cuda_graph",
                    true,
                    "`memory` `cuda`: the work of a run is recorded once as a CUDA graph and replayed; a model that cannot be recorded runs without, and the log says so",
                ),
                text_param(
                    "engine_cache",
                    None,
                    "TensorRT: folder where engines and timings are kept for the next start; `gantry/engines` in the user's cache folder where it is left out",
                ),
            ]
        },
    ),
};
