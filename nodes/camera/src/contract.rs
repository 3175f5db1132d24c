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
                "access units in decode order, up to `group_packets` in one message; codec and size with every key frame; an end row at the end of a file",
            )]
        },
    ),
    params: list(
        const {
            &[
                required_text_param(
                    "source",
                    "path of a video file or of a recording (`.mcap`), address of a stream (`rtsp://host/path`, `rtsps`, `http`, `https`), or a camera at this machine (`v4l2:/dev/video0`); only this node knows it",
                ),
                text_param(
                    "name",
                    None,
                    "name of the camera in all messages, and which camera of a recording; without it the id of this node, or the only camera",
                ),
                file_param("credentials_file", None, false, "file with `user:password` of the stream, readable by nobody else (mode 0600)"),
                text_param(
                    "credentials_env",
                    None,
                    "name of an environment variable of dora's daemon that holds `user:password` of the stream",
                ),
                file_param(
                    "ca_file",
                    None,
                    false,
                    "`rtsps`, `https`: certificates (PEM) that the camera's is checked against, those of who signed it or its own; without it every certificate is taken",
                ),
                choice_param(
                    "transport",
                    const { &[text("tcp"), text("udp")] },
                    "tcp",
                    "what RTSP sends its packets over; UDP loses some on a busy network, and is not for `rtsps`",
                ),
                choice_param(
                    "device_format",
                    const { &[text("mjpeg"), text("h264")] },
                    "mjpeg",
                    "cameras at this machine: what they are asked to send; bare pixels would be 120 MB a second",
                ),
                text_param(
                    "device_size",
                    None,
                    "cameras at this machine: size of the picture, `1920x1080`; without it the camera's own choice",
                ),
                f64_param(
                    "start_s",
                    "s",
                    0.0,
                    1e9,
                    0.0,
                    "media time to start at, in recordings from the first picture; frames before it are decoded where needed but not sent on",
                ),
                f64_param("seconds", "s", 0.0, 1e9, 1e9, "length of media time to read from there"),
                choice_param(
                    "pace",
                    const { &[text("max"), text("realtime")] },
                    "max",
                    "files: as fast as the graph goes, or as a camera would send them",
                ),
                f64_param("speed", "", 0.01, 100.0, 1.0, "recordings with `PACE: realtime`: times the speed at which they were made"),
                bool_param("repeat", false, "live, files with `PACE: realtime`: start again at the end, without end"),
                int_param("open_timeout_ms", "ms", 100, 600_000, 5000, "streams: how long opening may take"),
                int_param(
                    "stall_timeout_ms",
                    "ms",
                    100,
                    600_000,
                    5000,
                    "streams: how long nothing may come before the stream is taken for lost",
                ),
                int_param(
                    "retry_ms",
                    "ms",
                    20,
                    600_000,
                    1000,
                    "live: longest wait before a lost stream is called again, give or take a quarter",
                ),
                int_param(
                    "refused_retry_ms",
                    "ms",
                    20,
                    86_400_000,
                    30_000,
                    "live: wait after a refused password; cameras lock out who tries too often",
                ),
                text_param(
                    "view",
                    None,
                    "for `gantry plan` alone, where plates are read: `width_m=6`, or `focal_mm=8 sensor_mm=5.4 distance_m=14 height_m=4`, or `plate_px=120`; also `size=1920x1080 fps=25`",
                ),
                int_param(
                    "window_packets",
                    "packets",
                    4,
                    1024,
                    64,
                    "packets that may be unacknowledged at once; `decode` acknowledges four live ones at a time",
                ),
                int_param("window_mb", "MB", 1, 1024, 32, "size of the packets that may be unacknowledged at once"),
                int_param("group_packets", "packets", 1, 64, 8, "packets in one message at most"),
            ]
        },
    ),
};
