use gantry_contract::*;

/// Ports and parameters of `visits`.
pub const CONTRACT: Contract = Contract {
    name: text("visits"),
    summary: text("Makes visits of readings: who came, who left, allow and deny lists, zones and lines."),
    inputs: list(
        const {
            &[
                input("readings", "readings/v1", Arity::Many, "one row per pass of a vehicle, any cameras mixed"),
                input(
                    "tracks",
                    "tracks/v1",
                    Arity::Optional,
                    "one row per frame; wanted for lines, and to know that a parked vehicle is still there",
                ),
            ]
        },
    ),
    outputs: list(const { &[output("visits", "visits/v1", "a row when a vehicle enters, leaves, or is seen by a further camera")] }),
    params: list(
        const {
            &[
                file_param("rules", None, false, "lists, and roles, zones and lines of cameras (YAML); absent: every camera only sees"),
                f64_param(
                    "absent_s",
                    "s",
                    1.0,
                    604_800.0,
                    600.0,
                    "a vehicle that was not seen for so long has left; what is seen of it within that time is the same visit",
                )
                .live(),
                f64_param("expire_h", "h", 0.01, 87_600.0, 72.0, "a vehicle that came in through an entry and was never seen to leave").live(),
                f64_param(
                    "max_distance",
                    "",
                    0.0,
                    3.0,
                    0.5,
                    "how much two plates may differ and still be one: 0.25 for each pair of O/0, I/1, S/5, B/8, Z/2, G/6, 1 for any other change",
                )
                .live(),
                out_path_param("state", None, "file that keeps open visits over a restart of the node; absent: a restart forgets them"),
            ]
        },
    ),
};
