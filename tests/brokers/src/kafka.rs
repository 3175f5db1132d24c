use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Headers;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The only broker of the cluster.
const BROKER: i32 = 1;

/// The cluster of librdkafka's own tests with one broker and one topic: it speaks Kafka's protocol over TCP and keeps its log in memory, also while its
/// broker is away.
pub struct Kafka {
    cluster: MockCluster<'static, DefaultProducerContext>,
    topic: String,
    partitions: i32,
}

/// One message.
#[derive(Clone, Debug)]
pub struct Got {
    /// Where it was.
    pub partition: i32,
    /// Its key.
    pub camera: String,
    /// Header `idempotency-key`.
    pub key: String,
    /// Its value.
    pub body: serde_json::Value,
}

impl Kafka {
    /// A cluster whose broker is there.
    ///
    /// # Panics
    /// If librdkafka makes none.
    #[must_use]
    pub fn start(topic: &str, partitions: i32) -> Self {
        let cluster = MockCluster::new(1).expect("a cluster");
        cluster.create_topic(topic, partitions, 1).expect("a topic");
        Self { cluster, topic: topic.to_owned(), partitions }
    }

    /// `host:port` of its broker.
    #[must_use]
    pub fn address(&self) -> String {
        self.cluster.bootstrap_servers()
    }

    /// Cuts all connections in the middle of whatever goes over them, and takes no new ones.
    ///
    /// # Panics
    /// If librdkafka does not do it.
    pub fn kill(&self) {
        self.cluster.broker_down(BROKER).expect("the broker goes away");
    }

    /// Brings the broker back, with the log that it had.
    ///
    /// # Panics
    /// If librdkafka does not do it.
    pub fn bring_back(&self) {
        self.cluster.broker_up(BROKER).expect("the broker comes back");
    }

    /// Reads the topic from its beginning.
    ///
    /// # Panics
    /// If librdkafka makes no consumer.
    #[must_use]
    pub fn consumer(&self) -> Consumer {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.address()).set("group.id", "test").set("enable.auto.commit", "false");
        config.set("reconnect.backoff.max.ms", "300");
        let consumer: BaseConsumer = config.create().expect("a consumer");
        let mut from = TopicPartitionList::new();
        (0..self.partitions).for_each(|p| from.add_partition_offset(&self.topic, p, Offset::Beginning).expect("a partition"));
        consumer.assign(&from).expect("partitions are assigned");
        Consumer::start(consumer)
    }
}

/// Reads on a thread of its own, over outages.
pub struct Consumer {
    got: Arc<Mutex<Vec<Got>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Consumer {
    fn start(consumer: BaseConsumer) -> Self {
        let (got, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let thread = std::thread::Builder::new().name("consumer".into()).spawn({
            let (got, stop) = (got.clone(), stop.clone());
            move || {
                while !stop.load(Ordering::Relaxed) {
                    // Errors are those of brokers that are away; it tries again by itself.
                    if let Some(Ok(message)) = consumer.poll(Duration::from_millis(50)) {
                        got.lock().unwrap_or_else(PoisonError::into_inner).push(Got::of(&message));
                    }
                }
            }
        });
        Self { got, stop, thread: Some(thread.expect("a thread starts")) }
    }

    /// Everything that came, what came twice included.
    #[must_use]
    pub fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for so many messages, and for whatever comes beside them within two seconds.
    ///
    /// # Panics
    /// If one does not come for 20 s.
    #[must_use]
    pub fn all(&self, wanted: usize) -> Vec<Got> {
        let (mut n, mut quiet) = (0, Instant::now());
        loop {
            let now = self.got().len();
            if now > n {
                (n, quiet) = (now, Instant::now());
            }
            if n >= wanted && quiet.elapsed() >= Duration::from_secs(2) {
                return self.got();
            }
            assert!(quiet.elapsed() < crate::PATIENCE, "{n} messages of {wanted} came");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the consumer has no fault of its own");
        }
    }
}

impl Got {
    fn of(message: &impl Message) -> Self {
        let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
        let key = message.headers().and_then(|h| h.iter().find(|h| h.key == "idempotency-key").map(|h| text(h.value)));
        Self {
            partition: message.partition(),
            camera: text(message.key()),
            key: key.unwrap_or_default(),
            body: serde_json::from_slice(message.payload().unwrap_or_default()).expect("what sinks send is JSON"),
        }
    }

    /// Key and camera of each message are those of its body, and a camera is in one partition.
    ///
    /// # Panics
    /// If not.
    pub fn assert_sound(all: &[Self]) {
        let mut cameras: BTreeMap<&str, BTreeSet<i32>> = BTreeMap::new();
        for got in all {
            assert_eq!((got.body["key"].as_str(), got.body["camera"].as_str()), (Some(got.key.as_str()), Some(got.camera.as_str())));
            cameras.entry(&got.camera).or_default().insert(got.partition);
        }
        assert!(cameras.values().all(|partitions| partitions.len() == 1), "a camera is in several partitions: {cameras:?}");
    }
}
