use gantry_contract::*;

/// Ports and parameters of `camera`.
pub const CONTRACT: Contract = Contract {
    name: text("camera"),
    summary: text("Opens one source, demuxes it and sends encoded packets under the credit window of `decode`; it never decodes."),
    inputs: list(
        const {
            &[input(
                "credit",
                "credit/v1",
                Arity::One,
                "from `decode`: the next packet that it expects and how many may be under way; asks for packets again where some were lost",
            )]
        },
    ),
    outputs: list(
        const {
            &[output(
                "packets",
                "packets/v1",
                "access units in decode order, up to `group_packets` in one message; codec and size with the first one and where they change; an end row at the end of a file",
            )]
        },
    ),
    params: list(
        const {
            &[
                required_text_param(
                    "source",
                    "path of a video file or address of a stream (`rtsp://user:password@host/path`); only this node knows it",
                ),
                text_param("name", None, "name of the camera in all messages; without it the id of this node"),
                f64_param(
                    "start_s",
                    "s",
                    0.0,
                    1e9,
                    0.0,
                    "media time to start at; frames before it are decoded where needed but not sent on",
                ),
                f64_param("seconds", "s", 0.0, 1e9, 1e9, "length of media time to read from there"),
                choice_param(
                    "pace",
                    const { &[text("max"), text("realtime")] },
                    "max",
                    "files: as fast as the graph goes, or as a camera would send them",
                ),
                int_param("window_packets", "packets", 2, 1024, 64, "packets that may be unacknowledged at once"),
                int_param("window_mb", "MB", 1, 1024, 32, "size of the packets that may be unacknowledged at once"),
                int_param("group_packets", "packets", 1, 64, 8, "packets in one message at most"),
            ]
        },
    ),
};
