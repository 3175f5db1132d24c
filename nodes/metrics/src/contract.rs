use gantry_contract::{Contract, list, text, text_param};

/// Ports and parameters of `metrics`.
pub const CONTRACT: Contract = Contract {
    name: text("metrics"),
    summary: text("Serves the statistics of a site's nodes to Prometheus."),
    inputs: list(&[]),
    outputs: list(&[]),
    params: list(
        const {
            &[text_param(
                "listen",
                Some("127.0.0.1:9464"),
                "address and port; `0.0.0.0:9464` for everybody who reaches this machine. There are no plates in it",
            )]
        },
    ),
};
