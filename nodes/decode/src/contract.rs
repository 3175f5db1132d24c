use gantry_contract::*;

/// Ports and parameters of `decode`.
pub const CONTRACT: Contract = Contract {
    name: text("decode"),
    summary: text("Decodes packets of one or many cameras straight into pool slots and gives `camera` credit for them."),
    inputs: list(const { &[input("packets", "packets/v1", Arity::Many, "access units in decode order, one edge per camera")] }),
    outputs: list(
        const {
            &[
                output(
                    "frames",
                    "frames/v1",
                    "handles of u8 I420 pictures, of NVDEC NV12, upright and progressive, in display order from frame 0; up to `group_frames` of a camera in one message, fewer when nothing else is waiting; an end row with the number of frames",
                ),
                output("credit", "credit/v1", "to `camera`: when packets were decoded or are missing"),
            ]
        },
    ),
    params: list(
        const {
            &[
                choice_param(
                    "decoder",
                    const { &[text("auto"), text("software"), text("nvdec")] },
                    "auto",
                    "`nvdec` needs `memory` `cuda`; `auto` takes it for every camera that the card decodes there, and says why where it does not; a named one is taken or it is an error",
                ),
                choice_param(
                    "memory",
                    const { &[text("host"), text("cuda")] },
                    "host",
                    "where frames lie; `cuda`: on the card, where NVDEC decodes them; a camera that `auto` decodes in software stays on the host",
                ),
                int_param("threads", "threads", 1, 16, 1, "threads of each camera's decoder; each above 1 delays pictures by one frame"),
                bool_param("deinterlace", true, "make interlaced pictures progressive (one per frame, of its first field)"),
                int_param("window_packets", "packets", 2, 1024, 64, "packets that a camera may have under way"),
                int_param("group_frames", "frames", 1, 32, 8, "frames in one message at most; in live mode it is always 1"),
                int_param(
                    "frozen_after_ms",
                    "ms",
                    1000,
                    86_400_000,
                    20_000,
                    "live: a picture that stands still for that long is reported (`freezes`); longer than the distance of key frames",
                ),
                int_param(
                    "pool_slots",
                    "slots",
                    0,
                    512,
                    0,
                    "slots of the pool; 0: reference pictures of every camera and four messages, as far as `pool_mb` reaches",
                ),
                int_param("pool_mb", "MB", 16, 65536, 512, "memory that the computed number of slots may take"),
            ]
        },
    ),
};
