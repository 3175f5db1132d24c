//! The places at which processes are killed or stopped.

pub const CONSUMER_POINTS: &[&str] = &[
    "consumer.after_lease",
    "consumer.after_acquire",
    "consumer.before_output",
    "consumer.after_output",
    "consumer.before_ack",
    "consumer.after_release",
    "consumer.after_ack",
];
/// Passed in lossless mode only.
pub const CURSOR_POINT: &str = "consumer.after_cursor";
pub const JOIN_POINTS: &[&str] = &["join.after_hello", "join.after_welcome"];
pub const PRODUCER_POINTS: &[&str] = &[
    "producer.after_begin_write",
    "producer.half_filled",
    "producer.before_word",
    "producer.before_ring",
    "producer.in_ring",
    "producer.after_ring",
    "producer.before_message",
    "producer.after_message",
];
pub const START_POINTS: &[&str] = &["producer.before_socket", "producer.before_link"];
/// Passed when a consumer leaves by itself.
pub const LEAVE_POINTS: &[&str] = &["consumer.before_goodbye", "consumer.after_goodbye"];
/// Passed when a producer closes its pool.
pub const CLOSE_POINTS: &[&str] = &["producer.in_close", "producer.before_unlink", "producer.in_unlink"];
