use crate::memory::Place;
use crate::stats::{MadeStats, ReadStats};
use crate::topology::Topology;
use crate::{Consumer, Edge, Fault, MODE_ENV, RUN_DIR_ENV, Waker};
use gantry_contract::{Contract, ParamError, ParamSet};
use gantry_frames::{Client, ClientConfig, ConsumerSpec, Memory, Mode, NODE_MAX_HELD, Pool, PoolConfig, PoolWatch, StopFlag};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// How long a consumer that the graph declares may be away before a lossless run fails.
const GRACE: Duration = Duration::from_secs(20);

/// Where a node stands: its name, its edges, the mode of the run and the folders it may use.
#[derive(Clone, Debug)]
pub struct Context {
    /// Id of the node in the graph.
    pub node_id: String,
    /// Live or lossless, for the whole graph.
    pub mode: Mode,
    /// Set when the node is to end; pass it to everything that waits.
    pub stop: StopFlag,
    /// Has the node's stage called from threads of its own.
    pub waker: Waker,
    /// Folder for statistics and faults of this run, if the graph was started by `gantry`.
    pub run_dir: Option<PathBuf>,
    /// Id of the run, the same for all its nodes and after a restart of one.
    pub run_id: String,
    /// The graph as dora has it, addresses with their passwords and all.
    pub graph: Arc<serde_json::Value>,
    runtime_dir: PathBuf,
    topology: Topology,
    client: Arc<OnceLock<Client>>,
    pools: Arc<Mutex<Vec<PoolWatch>>>,
    place: Arc<Place>,
}

impl Context {
    pub(crate) fn new(node_id: &str, dataflow_id: &str, graph: serde_json::Value, stop: StopFlag, waker: Waker) -> Result<Self, Fault> {
        let mode = match std::env::var(MODE_ENV).as_deref() {
            Ok("live") => Mode::Live,
            Ok("lossless") | Err(_) => Mode::Lossless,
            Ok(other) => {
                return Err(Fault::new(format!("`{MODE_ENV}` is `{other}`")).hint("set it to `live` or `lossless` in the graph's `env`"));
            }
        };
        let topology = Topology::read(&graph, node_id, mode)?;
        Ok(Self {
            node_id: node_id.to_owned(),
            mode,
            stop,
            waker,
            run_dir: std::env::var_os(RUN_DIR_ENV).map(PathBuf::from),
            run_id: dataflow_id.to_owned(),
            graph: Arc::new(graph),
            runtime_dir: gantry_frames::runtime_base().join(dataflow_id),
            topology,
            client: Arc::default(),
            pools: Arc::default(),
            place: Arc::new(Place::from_env()?),
        })
    }

    /// A context for tests: no edges, sockets below `dir`.
    pub fn for_test(node_id: &str, mode: Mode, dir: &Path) -> Self {
        Self {
            node_id: node_id.to_owned(),
            mode,
            stop: StopFlag::new(),
            waker: Waker::default(),
            run_dir: None,
            run_id: "test".to_owned(),
            graph: Arc::default(),
            runtime_dir: dir.to_owned(),
            topology: Topology::default(),
            client: Arc::default(),
            pools: Arc::default(),
            place: Arc::default(),
        }
    }

    /// For tests: a place in this graph.
    ///
    /// # Errors
    /// If `graph` is no dataflow.
    pub fn in_graph(self, graph: serde_json::Value) -> Result<Self, Fault> {
        let topology = Topology::read(&graph, &self.node_id, self.mode)?;
        Ok(Self { graph: Arc::new(graph), topology, ..self })
    }

    /// For tests: adds a node that reads `output`.
    #[must_use]
    pub fn with_consumer(mut self, output: &str, node_id: &str) -> Self {
        let consumer = Consumer { node_id: node_id.to_owned(), queue_size: 10 };
        self.topology.consumers.entry(output.to_owned()).or_default().push(consumer);
        self
    }

    /// For tests: what [`Context::memory`] answers.
    #[must_use]
    pub fn with_memory(mut self, memory: Memory) -> Self {
        self.place = Arc::new(Place::of(memory));
        self
    }

    /// The edges that end in this node, timers left out.
    pub fn inputs(&self) -> &[Edge] {
        &self.topology.inputs
    }

    /// The nodes that read `output`.
    pub fn consumers(&self, output: &str) -> &[Consumer] {
        self.topology.consumers.get(output).map_or(&[], Vec::as_slice)
    }

    /// Makes a pool for `output` of this node, for the consumers that the graph declares.
    ///
    /// # Errors
    /// [`gantry_frames::PoolError`]: too few slots for the mode, no memory, a folder that cannot be made.
    pub fn pool(&self, output: &str, slots: u32, slot_bytes: u64) -> Result<Pool, Fault> {
        self.pool_holding(output, slots, slot_bytes, 0)
    }

    /// As [`Context::pool`], for a producer that itself keeps up to `producer_max_held` slots (a decoder's reference frames).
    ///
    /// # Errors
    /// As [`Context::pool`].
    pub fn pool_holding(&self, output: &str, slots: u32, slot_bytes: u64, producer_max_held: u32) -> Result<Pool, Fault> {
        self.place.host().map_err(|fault| fault.context(format!("pool of output `{output}`")))?;
        self.pool_in(output, slots, slot_bytes, producer_max_held, &Memory::Host)
    }

    /// Where the frames of a node that can work on a card are to lie: what `GANTRY_MEMORY` asks for and a round trip with a second
    /// process proves, on the first device that this process sees. Chosen at the first call and logged with its reason.
    ///
    /// # Errors
    /// `GANTRY_MEMORY: cuda` where there is no such memory.
    pub fn memory(&self) -> Result<Memory, Fault> {
        self.place.choose(&self.runtime_dir)
    }

    /// [`Context::memory`] for a node whose parameter `memory` is `cuda`.
    ///
    /// # Errors
    /// No card's memory was chosen, with everything that was tried.
    pub fn memory_of_card(&self) -> Result<Memory, Fault> {
        let wanted = |fault: Fault| fault.context("parameter `memory` is `cuda`");
        let memory = self.memory().map_err(wanted)?;
        match memory.context() {
            Some(_) => Ok(memory),
            None => {
                let why = self.place.said().unwrap_or_default();
                let hint = "`gantry doctor` says what is missing, and with which command it comes; `MEMORY: host` works without a card";
                Err(wanted(Fault::new(format!("no memory of a card for buffers, but {why}")).hint(hint)))
            }
        }
    }

    /// As [`Context::pool_holding`], in the memory that [`Context::memory`] chose.
    ///
    /// # Errors
    /// As [`Context::pool`], and what the driver says.
    pub fn pool_in(&self, output: &str, slots: u32, slot_bytes: u64, producer_max_held: u32, memory: &Memory) -> Result<Pool, Fault> {
        let spec = |c: &Consumer| ConsumerSpec { name: c.node_id.clone(), max_held: NODE_MAX_HELD, queue_size: c.queue_size };
        let config = PoolConfig {
            runtime_dir: self.runtime_dir.clone(),
            output: format!("{}/{output}", self.node_id),
            mode: self.mode,
            slots,
            slot_bytes,
            producer_max_held,
            consumers: self.consumers(output).iter().map(spec).collect(),
            grace: GRACE,
        };
        let pool = Pool::create_in(config, memory).map_err(|e| Fault::from(e).context(format!("pool of output `{output}`")))?;
        self.pools.lock().unwrap_or_else(PoisonError::into_inner).push(pool.watch());
        Ok(pool)
    }

    /// What the buffers of this node have come to: made by it, and read by it.
    pub(crate) fn buffer_stats(&self) -> (BTreeMap<String, MadeStats>, BTreeMap<String, ReadStats>) {
        let (mut made, mut read) = (BTreeMap::<String, MadeStats>::new(), BTreeMap::<String, ReadStats>::new());
        for (output, pool) in self.pools.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(PoolWatch::stats) {
            made.entry(output).or_default().add(&pool);
        }
        for pool in self.client.get().map(Client::stats).unwrap_or_default() {
            read.entry(pool.output.clone()).or_default().add(&pool);
        }
        (made, read)
    }

    /// Where this node's buffers lie and why, once that is known.
    pub(crate) fn memory_said(&self) -> Option<String> {
        self.place.said()
    }

    /// As [`Context::client`], for a node that reads frames in host memory and in that of `memory`'s card.
    ///
    /// # Errors
    /// As [`Context::client`].
    pub fn client_on(&self, max_held: u32, memory: &Memory) -> Result<Client, Fault> {
        let config = ClientConfig { runtime_dir: self.runtime_dir.clone(), name: self.node_id.clone(), max_held };
        let made = match memory.context() {
            Some(context) => self.client.get_or_init(|| Client::with_cuda(config, context.clone())),
            None => self.client.get_or_init(|| Client::new(config)),
        };
        made.require(self.mode);
        Ok(made.clone())
    }

    /// The reader's side of all pools, holding at most `max_held` buffers at once. A node has one: the first call decides.
    ///
    /// # Errors
    /// None today; joining happens at the first handle of each pool.
    pub fn client(&self, max_held: u32) -> Result<Client, Fault> {
        self.client_on(max_held, &Memory::Host)
    }

    /// The client that the node has made, if it reads buffers.
    pub(crate) fn made_client(&self) -> Option<&Client> {
        self.client.get()
    }

    /// Checks what the graph says against the contract.
    pub(crate) fn params(&self, contract: &Contract) -> Result<ParamSet, Vec<ParamError>> {
        let env = self.topology.params(|name| contract.param(name).is_some());
        ParamSet::from_env(contract, env.iter().map(|(k, v)| (k.as_str(), v.as_str())))
    }
}
