//! The `kafka_sink` node, see the library.

fn main() -> std::process::ExitCode {
    gantry_node::run::<gantry_sink::Sink<gantry_node_kafka_sink::Kafka>>()
}
