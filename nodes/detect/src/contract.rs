use gantry_contract::{
    Arity, Contract, bool_param, choice_param, f64_param, file_param, input, int_param, list, list_param, output, text, text_param,
};

/// Ports and parameters of `detect`.
pub const CONTRACT: Contract = Contract {
    name: text("detect"),
    summary: text("Finds vehicles and plates in the frames of many cameras."),
    inputs: list(
        const {
            &[input(
        "frames",
        "frames/v1",
        Arity::Many,
        "tensor of the model's input: u8, f16 or f32, [1, 3, H, W] planar or [1, H, W, 3] interleaved, RGB full range, the model's own H and W; or an I420 or NV12 picture of any size in host memory, which is scaled as `resize` does, where the model looks",
    )
    .holding(8)]
        },
    ),
    outputs: list(
        const {
            &[output(
                "detections",
                "detections/v1",
                "one row per frame, in frame order per camera, without boxes when nothing is found; boxes in source pixels, cut at the picture's edge",
            )]
        },
    ),
    params: list(
        const {
            &[
                file_param(
                    "model",
                    Some("../models/detector.onnx"),
                    false,
                    "ONNX detector: a YOLO11/v8 export or an end-to-end export; class names and input size come from its metadata",
                ),
                f64_param("min_plate_confidence", "", 0.0, 1.0, 0.4, "drop plates below this score").live(),
                f64_param("min_vehicle_confidence", "", 0.0, 1.0, 0.25, "drop vehicles below this score").live(),
                f64_param("nms_iou", "", 0.0, 1.0, 0.5, "boxes of plates, or of vehicles, that overlap by more than this are one").live(),
                int_param("max_detections", "", 1, 1000, 64, "most boxes per frame, best first").live(),
                int_param(
                    "max_batch",
                    "frames",
                    1,
                    64,
                    8,
                    "most frames in one message, and on a GPU in one run; on the CPU each frame is a run of its own",
                ),
                int_param("max_wait_ms", "ms", 0, 1000, 5, "live mode on a GPU: longest wait for a batch to fill").live(),
                int_param("max_waiting", "frames", 1, 16, 3, "live mode: most frames of a camera that wait; the oldest beyond them is left out").live(),
                int_param(
                    "look_every_ms",
                    "ms",
                    0,
                    10_000,
                    200,
                    "live mode on the CPU, where frames are left out: time between two looks at a camera's whole picture, longer where there is none for it; in between only the plates that move are looked for near where they were; 0: never",
                )
                .live(),
                int_param(
                    "still_frames",
                    "frames",
                    0,
                    10_000,
                    15,
                    "most frames in a row on which nothing moved and that repeat the last boxes without the model; 0: it runs on every frame",
                )
                .live(),
                f64_param("motion_level", "levels", 0.1, 255.0, 4.0, "change of the mean of a block of 16x16 px from which on something moved").live(),
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
                    "where the frames lie; `cuda`: in the card's memory, as tensors, with `device` `cuda` or `tensorrt`",
                ),
                bool_param("fp16", true, "TensorRT: half precision where it is faster; scores differ in the third digit"),
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
                list_param(
                    "plate_classes",
                    const { &[text("plate"), text("license_plate"), text("licence_plate"), text("number_plate")] },
                    "classes of the model that are plates; case does not matter, space and - count as _",
                ),
                list_param(
                    "vehicle_classes",
                    const { &[text("vehicle"), text("car"), text("truck"), text("bus"), text("motorcycle"), text("motorbike"), text("van")] },
                    "classes of the model that are vehicles",
                ),
            ]
        },
    ),
};
