use crate::pictures::MOST_LEASES;
use gantry_contract::*;

/// Ports and parameters of `preview`.
pub const CONTRACT: Contract = Contract {
    name: text("preview"),
    summary: text("A web page: live annotated cameras, readings with their evidence, rates and latency, search."),
    inputs: list(
        const {
            &[
                input(
                    "frames",
                    "frames/v1",
                    Arity::Any,
                    "handles of I420 or NV12 pictures in host memory (`frames` of `decode`); they are read only while somebody looks",
                )
                .holding(MOST_LEASES),
                input(
                    "views",
                    "frames/v1",
                    Arity::Any,
                    "the same, of `views` of `crop`: frames that this node asks for with `wanted`, so that nothing comes while nobody looks; for live sites with \
                     `GANTRY_RUN_DIR`, whose statistics say how the cameras are",
                )
                .holding(MOST_LEASES),
                input("tracks", "tracks/v1", Arity::Any, "drawn into the frames, of `view_tracks` of `crop` or of `track`; without them pictures are shown as they are"),
                input("readings", "readings/v1", Arity::Any, "shown as they come"),
            ]
        },
    ),
    outputs: list(
        const { &[output("wanted", "wanted/v1", "to `crop`: cameras that somebody looks at, twice a second while somebody does").feedback()] },
    ),
    params: list(
        const {
            &[
                text_param(
                    "listen",
                    Some("127.0.0.1:8100"),
                    "address and port of the page; beyond this machine (`0.0.0.0:8100`) it wants a token",
                ),
                file_param(
                    "credentials_file",
                    None,
                    false,
                    "file with the token that opens the page, one line, readable by nobody else (mode 0600)",
                ),
                text_param("credentials_env", None, "name of an environment variable of dora's daemon that holds the token"),
                text_param("title", None, "heading of the page; without it the name of the run folder"),
                out_path_param(
                    "sqlite",
                    None,
                    "database of `store`, searched for past readings; without it those that came since the start are searched",
                ),
                f64_param("max_fps", "frames/s", 0.5, 60.0, 12.0, "pictures of each camera at most"),
                int_param("jpeg_quality", "", 20, 95, 72, "of the pictures").live(),
            ]
        },
    ),
};
