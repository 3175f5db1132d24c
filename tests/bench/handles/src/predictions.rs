//! What we expected of each row, written down on 2026-11-25 before anything here was measured. They are not to be corrected
//! afterwards: a row whose measured value is far from its prediction is something that we did not understand.
//!
//! Basis: `handle_cost` of runtime/frames (acquire + release about 0.2 us) and earlier measurements of bare dora on 2 cores: 82 to
//! 98 us one way and 127 us of CPU per message on a `backpressure` edge, 5 ms to send a 1080p frame over one, 0.3 to 0.5 ms to fill
//! a frame of dora's shared memory.

/// Row id to predicted values, in the order and unit of the row.
const PREDICTED: &[(&str, &[f64])] = &[
    // us: p50, p99
    ("acquire", &[0.20, 0.40]),
    ("encode_check", &[0.30, 0.60]),
    ("whole_round", &[0.70, 1.50]),
    ("arrow_round", &[30.0, 80.0]),
    // ms: median, most
    ("join", &[0.6, 5.0]),
    ("kill", &[0.3, 20.0]),
    // us: p50, p99
    ("latency_handle", &[230.0, 700.0]),
    ("latency_bare", &[190.0, 600.0]),
    ("latency_small", &[180.0, 600.0]),
    ("latency_iceoryx2_small", &[40.0, 150.0]),
    ("latency_iceoryx2_frame", &[40.0, 150.0]),
    ("cold_acquire", &[2.0, 10.0]),
    // p50 of the one to p50 of the other
    ("latency_ratio", &[1.2]),
    ("latency_iceoryx2_ratio", &[5.0]),
    // us: p50, p99
    ("iceoryx2_small", &[0.60, 1.50]),
    ("iceoryx2_frame", &[0.60, 1.50]),
    ("iceoryx2_ratio", &[1.2]),
    // ms of CPU per frame, all processes
    ("copy_handle", &[0.25]),
    ("copy_shm", &[0.9]),
    ("copy_daemon", &[12.0]),
    ("copy_ratio_shm", &[3.6]),
    ("copy_ratio_daemon", &[48.0]),
    // % of one core per 30 fps stream: handle layer with its Arrow messages, all processes with dora
    ("streams_1_1", &[0.3, 0.8]),
    ("streams_1_2", &[0.45, 1.2]),
    ("streams_1_4", &[0.75, 2.0]),
    ("streams_1_8", &[1.3, 3.6]),
    ("streams_4_1", &[0.3, 0.7]),
    ("streams_16_1", &[0.25, 0.6]),
];

/// The prediction of row `id`; empty if there is none.
pub fn of(id: &str) -> &'static [f64] {
    PREDICTED.iter().find(|(known, _)| *known == id).map_or(&[], |(_, values)| values)
}
