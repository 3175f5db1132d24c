use crate::busy::Watch;
use crate::delivery::Delivery;
use crate::memory::{PROBE_ARGUMENT, answer_probe};
use crate::outputs::add;
use crate::scheduling::prefer_throughput;
use crate::waker::{Happening, Waker};
use crate::{Context, Edge, Fault, Input, NodeStats, Outputs, Stage, Work, added};
use arrow_array::ArrayRef;
use dora_node_api::{DoraNode, Event, EventStream, StopCause};
use gantry_contract::{Contract, ParamSet};
use gantry_frames::{Mode, StopFlag};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};
use tracing::{debug, error, info, warn};

/// Events that wait inside the node. In lossless runs pools and credits bound what is under way far below this.
const EVENT_QUEUE: usize = 4096;
/// How much later than its producers a node may hear of a stop.
const STOP_ARRIVES: Duration = Duration::from_millis(300);
/// How long a node has nothing to do before it looks for frames whose messages were lost.
const LOOK_AFTER: Duration = Duration::from_secs(1);
/// Shortest time between two writes of the statistics.
const STATS_EVERY: Duration = Duration::from_secs(1);

/// Runs the node until its inputs are closed or dora says stop. `--contract` prints the contract as JSON instead.
pub fn run<S: Stage>() -> ExitCode {
    let contract = S::CONTRACT;
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    if arguments.first().is_some_and(|argument| argument == PROBE_ARGUMENT) {
        init_log();
        return answer_probe(&arguments[1..]);
    }
    if let Some(argument) = arguments.first() {
        return answer(&contract, &argument.to_string_lossy());
    }
    init_log();
    if std::env::var(crate::MODE_ENV).as_deref() != Ok("live")
        && let Err(error) = prefer_throughput()
    {
        debug!(%error, "the system keeps its usual scheduling");
    }
    #[allow(unsafe_code)]
    // SAFETY: `run` is a node's `main`; no thread has been started so far.
    let _zenoh = unsafe { crate::zenoh::settle() }
        .inspect_err(|error| warn!(%error, "dora's zenoh session keeps its usual settings, and is awake more often"));
    match run_in_graph::<S>(&contract) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Told) => ExitCode::FAILURE,
    }
}

fn answer(contract: &Contract, argument: &str) -> ExitCode {
    match argument {
        "--contract" => print!("{}", gantry_contract::json(contract)),
        "--version" => println!("{} {}", contract.name, env!("CARGO_PKG_VERSION")),
        "--help" | "-h" => {
            println!(
                "{}\n\nThis program is a node of a dora graph: name its path in a graph file and start that with `dora run`.",
                contract.summary
            );
            println!(
                "  --contract  print ports and parameters as JSON\n  --version   print the version\n\n{}",
                gantry_contract::page(contract, "")
            );
        }
        other => {
            eprintln!("error: unknown argument `{other}`\nhint: parameters stand in the graph's `env`; `--help` lists them");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// What is logged where `GANTRY_LOG` says nothing. dora warns of each message that is ahead of a clock that was set back, for as long as it is behind.
const LOG: &str = "info,zenoh=error,dora_node_api::event_stream::thread=error";

fn init_log() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("GANTRY_LOG").unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(LOG));
    // A second initialisation (tests in one process) keeps the first subscriber.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).without_time().try_init();
}

/// A fault that was reported.
struct Told;

/// One line for people on stderr, one file for `gantry read`.
fn report_fault(node_id: &str, fault: Fault) -> Told {
    let fault = fault.context(format!("node `{node_id}`"));
    error!("{}", fault.message());
    if let Some(hint) = fault.hint_text() {
        error!("hint: {hint}");
    }
    if let Some(dir) = std::env::var_os(crate::RUN_DIR_ENV).map(std::path::PathBuf::from) {
        let dir = dir.join("faults");
        let text = serde_json::json!({"node": node_id, "message": fault.message(), "hint": fault.hint_text()}).to_string();
        let partial = dir.join(format!(".{}.part", node_id.replace('/', "_")));
        let written = std::fs::create_dir_all(&dir)
            .and_then(|()| std::fs::write(&partial, text))
            .and_then(|()| std::fs::rename(&partial, dir.join(format!("{}.json", node_id.replace('/', "_")))));
        if let Err(e) = written {
            warn!(error = %e, "fault could not be written to the run folder");
        }
    }
    Told
}

fn run_in_graph<S: Stage>(contract: &Contract) -> Result<(), Told> {
    let unnamed = |f: Fault| report_fault(&contract.name, f);
    let stop = StopFlag::new();
    end_on_signals(&stop).map_err(unnamed)?;
    let (node, events) = DoraNode::init_from_env().map_err(|e| {
        unnamed(
            Fault::new(format!("cannot join a dataflow: {e}"))
                .hint("start nodes through a graph: `dora run graphs/read.yml` or `gantry read`"),
        )
    })?;
    let node_id = node.id().to_string();
    let named = |f: Fault| report_fault(&node_id, f);
    let descriptor = node.dataflow_descriptor().map_err(|e| named(Fault::from(e)))?;
    let mut descriptor = serde_json::to_value(descriptor).map_err(|e| named(Fault::from(e)))?;
    let configuration = serde_json::to_value(node.node_config()).map_err(|e| named(Fault::from(e)))?;
    let stays = added::complete(&mut descriptor, &node_id, &configuration, contract, |name| std::env::var(name).ok()).map_err(named)?;
    let dataflow_id = node.dataflow_id().to_string();
    let (happens, happenings) = sync_channel(EVENT_QUEUE);
    let waker = Waker::new(happens.clone());
    let context = Context::new(&node_id, &dataflow_id, descriptor, stop.clone(), waker).map_err(named)?;
    no_feedback_in_lossless_runs(contract, &context).map_err(named)?;
    let params = context.params(contract).map_err(|faults| named(all_of(faults)))?;
    let run = context.run_id.clone();
    let mut stats = NodeStats { node: node_id.clone(), kind: contract.name.to_string(), run, ..Default::default() };
    if let Some(dir) = &context.run_dir {
        stats.count_start(dir);
    }
    let mut node = Running::<S> {
        delivery: delivery(contract, &context),
        contract,
        stage: S::open(params.to().map_err(|e| named(e.into()))?, &context).map_err(named)?,
        params,
        open_inputs: awaited(contract, &context).map(|e| e.input.clone()).collect(),
        had_inputs: !context.inputs().is_empty(),
        stays,
        out: Outputs::dora(node, stats),
        started: Instant::now(),
        active: Instant::now(),
        written: None,
        worked: Duration::ZERO,
        context,
    };
    pump(events, happens, stop).map_err(named)?;
    let result = node.until_done(&happenings).or_else(|fault| excused(fault, &node.context.stop));
    node.write_stats(result.is_ok());
    // Told while the stage lives: libraries that hold a card which has failed may end the process when they are given back.
    result.map_err(named)
}

/// Inputs whose end ends the node: all but those from nodes further down, which wait for this one's end.
fn awaited<'a>(contract: &'a Contract, context: &'a Context) -> impl Iterator<Item = &'a Edge> {
    context.inputs().iter().filter(|edge| !contract.input_port(&edge.input).is_some_and(|port| port.feedback))
}

/// What comes back from further down comes when it comes: in a lossless run results would depend on it.
fn no_feedback_in_lossless_runs(contract: &Contract, context: &Context) -> Result<(), Fault> {
    let is_feedback = |edge: &&Edge| contract.input_port(&edge.input).is_some_and(|port| port.feedback);
    match context.inputs().iter().find(is_feedback) {
        Some(edge) if context.mode == Mode::Lossless => {
            let what = format!(
                "input `{}`, from `{}/{}`, is for live sites: with it a lossless run would differ from run to run",
                edge.input, edge.from_node, edge.from_output
            );
            Err(Fault::new(what).hint("take the edge out, or set `GANTRY_MODE: live` at the top of the graph"))
        }
        _ => Ok(()),
    }
}

/// In lossless mode, the check that every row comes once and in order.
fn delivery(contract: &Contract, context: &Context) -> Option<Delivery> {
    let message = |edge: &Edge| contract.input_port(&edge.input).map(|port| port.message.to_string());
    let inputs: Vec<(&Edge, String)> = context.inputs().iter().filter_map(|edge| Some((edge, message(edge)?))).collect();
    let named = inputs.iter().map(|(edge, message)| (&*edge.input, &**message, format!("{}/{}", edge.from_node, edge.from_output)));
    (context.mode == Mode::Lossless).then(|| Delivery::new(named))
}

/// After `dora stop` a node ends when it is told to, and takes its pools along; one that is still in the middle of a frame then finds
/// them closed. What fails while the graph is being stopped, or just before this node hears of it, is no fault of the run.
fn excused(fault: Fault, stop: &StopFlag) -> Result<(), Fault> {
    let started = Instant::now();
    while !stop.is_set() {
        if started.elapsed() >= STOP_ARRIVES {
            return Err(fault);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    warn!("given up while the graph is being stopped: {}", fault.message());
    Ok(())
}

/// Every fault of the parameters in one message.
fn all_of(faults: Vec<gantry_contract::ParamError>) -> Fault {
    let lines: Vec<String> = faults.iter().map(|f| f.hint().map_or_else(|| f.to_string(), |h| format!("{f} ({h})"))).collect();
    Fault::new(lines.join("; ")).hint("`gantry check` reports this before anything starts")
}

/// Ctrl-C reaches the whole process group; dora then sends `Stop`. SIGTERM is dora's next step. Neither may cut a write in two.
fn end_on_signals(stop: &StopFlag) -> Result<(), Fault> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let ignored = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    signal_hook::flag::register(SIGINT, ignored)?;
    let mut signals = signal_hook::iterator::Signals::new([SIGTERM])?;
    let stop = stop.clone();
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        if signals.forever().next().is_some() {
            stop.set();
        }
    })?;
    Ok(())
}

/// Moves dora's events into a queue, so that `Stop` is seen while the stage waits for a free slot.
fn pump(mut events: EventStream, happens: SyncSender<Happening>, stop: StopFlag) -> Result<(), Fault> {
    std::thread::Builder::new().name("dora-events".into()).spawn(move || {
        while let Some(event) = events.recv() {
            if matches!(event, Event::Stop(StopCause::Manual)) {
                stop.set();
            }
            if happens.send(Happening::Event(event)).is_err() {
                return;
            }
        }
        // The stage's wakers keep the queue open. Nobody listens any more where this fails.
        let _ = happens.send(Happening::Over);
    })?;
    Ok(())
}

struct Running<'a, S: Stage> {
    delivery: Option<Delivery>,
    contract: &'a Contract,
    context: Context,
    stage: S,
    params: ParamSet,
    out: Outputs,
    open_inputs: BTreeSet<String>,
    had_inputs: bool,
    /// It ends when it is told to, and not with its inputs; see [`added`].
    stays: bool,
    started: Instant,
    /// When it last had something to do.
    active: Instant,
    written: Option<Instant>,
    /// Work that has sent nothing yet.
    worked: Duration,
}

enum Flow {
    Go,
    End,
}

impl<S: Stage> Running<'_, S> {
    fn until_done(&mut self, happenings: &Receiver<Happening>) -> Result<(), Fault> {
        loop {
            // Take what is there; ask the stage for work only when nothing is.
            let happening = match happenings.try_recv() {
                Ok(happening) => Some(happening),
                Err(_) if self.context.stop.is_set() => None,
                Err(_) if self.handle_overdue()? => continue,
                Err(_) => match self.work()? {
                    Work::Again => {
                        self.active = Instant::now();
                        continue;
                    }
                    Work::Done => break,
                    Work::Idle => happenings.recv().ok(),
                    Work::After(time) => match happenings.recv_timeout(time) {
                        Ok(happening) => Some(happening),
                        Err(RecvTimeoutError::Timeout) => continue,
                        Err(RecvTimeoutError::Disconnected) => None,
                    },
                },
            };
            match happening {
                Some(Happening::Woken) => {}
                Some(Happening::Event(event)) => {
                    if matches!(self.handle(event)?, Flow::End) {
                        break;
                    }
                }
                Some(Happening::Over) | None => break,
            }
        }
        self.stage.finish(&mut self.out)?;
        while self.stays && !self.context.stop.is_set() {
            match happenings.recv() {
                Ok(Happening::Over) | Err(_) => break,
                Ok(Happening::Event(Event::Stop(StopCause::Manual))) => break,
                Ok(_) => {}
            }
        }
        Ok(())
    }

    /// Lets the stage work. What it took counts for the rows that it sent; what sent none counts with the next that did.
    fn work(&mut self) -> Result<Work, Fault> {
        let (watch, before) = (Watch::start(), self.out.sent());
        let work = self.stage.work(&mut self.out)?;
        let rows = self.out.sent() - before;
        if rows > 0 || work != Work::Idle {
            self.worked += watch.worked();
        }
        if rows > 0 {
            self.out.busy("work", std::mem::take(&mut self.worked), rows);
        }
        Ok(work)
    }

    fn handle(&mut self, event: Event) -> Result<Flow, Fault> {
        match event {
            Event::Input { id, metadata, data } => {
                let Some(port) = self.contract.input_port(&id) else {
                    self.on_tick()?;
                    return Ok(Flow::Go);
                };
                if let Some(dora_node_api::Parameter::String(found)) = metadata.parameters.get("gantry_type")
                    && *found != port.message
                {
                    return Err(Fault::new(format!("input `{id}` takes `{}`, the message is `{found}`", port.message))
                        .hint("`gantry check` shows the types of every edge"));
                }
                add(&mut self.out.stats.messages_in, &port.name, 1);
                self.out.queued(&port.name, i64::try_from(metadata.timestamp().get_time().as_nanos()).unwrap_or(0));
                let array = data.into_inner();
                let arrays = match &mut self.delivery {
                    Some(delivery) => delivery.take(&id, array, self.context.made_client(), &mut self.out)?,
                    None => vec![array],
                };
                for array in arrays {
                    self.deliver(&id, array)?;
                }
            }
            Event::InputClosed { id } => {
                debug!(input = %id, "input closed");
                if let Some(delivery) = self.delivery.as_mut().filter(|_| !self.context.stop.is_set()) {
                    for array in delivery.close(&id, self.context.made_client(), &mut self.out)? {
                        self.deliver(&id, array)?;
                    }
                }
                self.open_inputs.remove(id.as_str());
                if self.had_inputs && self.open_inputs.is_empty() {
                    return Ok(Flow::End);
                }
            }
            Event::InputRecovered { id } if awaited(self.contract, &self.context).any(|edge| edge.input == id.as_str()) => {
                self.open_inputs.insert(id.to_string());
            }
            Event::NodeRestarted { id } => {
                info!(peer = %id, "peer was restarted");
                self.stage.on_peer_restarted(id.as_ref(), &mut self.out)?;
            }
            Event::NodeFailed { source_node_id, .. } => warn!(peer = %source_node_id, "upstream node failed"),
            Event::ParamUpdate { key, value } => self.on_param(&key, &value)?,
            Event::ParamDeleted { key } => self.on_param_deleted(&key)?,
            Event::Stop(_) => return Ok(Flow::End),
            Event::Error(e) => warn!(error = %e, "dora reports an error"),
            _ => {}
        }
        Ok(Flow::Go)
    }

    /// Handles what no message told of; whether there was something.
    fn handle_overdue(&mut self) -> Result<bool, Fault> {
        // Below that a message is more likely under way than lost.
        let Some(delivery) = self.delivery.as_mut().filter(|_| self.active.elapsed() >= LOOK_AFTER) else { return Ok(false) };
        let found = delivery.overdue(self.context.made_client(), &mut self.out)?;
        let any = !found.is_empty();
        for (id, array) in found {
            self.deliver(&id, array)?;
        }
        Ok(any)
    }

    fn deliver(&mut self, id: &str, array: ArrayRef) -> Result<(), Fault> {
        let Some(port) = self.contract.input_port(id) else { return Ok(()) };
        let input = Input::new(id.to_owned(), port.name.to_string(), array);
        add(&mut self.out.stats.rows_in, &port.name, input.len() as u64);
        let _edge = gantry_copies::edge(port.name.clone());
        let watch = Watch::start();
        let handled = self.stage.on_input(&input, &mut self.out);
        self.out.busy(&port.name, watch.worked(), input.len() as u64);
        self.active = Instant::now();
        handled
    }

    fn on_tick(&mut self) -> Result<(), Fault> {
        if let Some(delivery) = &mut self.delivery {
            delivery.on_tick()?;
        }
        self.stage.on_tick(&mut self.out)?;
        if self.written.is_none_or(|t| t.elapsed() >= STATS_EVERY) {
            self.write_stats(false);
        }
        Ok(())
    }

    fn on_param(&mut self, key: &str, value: &serde_json::Value) -> Result<(), Fault> {
        match self.params.set_live(self.contract, key, value) {
            Ok(()) => {
                info!(param = key, "parameter changed");
                self.stage.on_params(self.params.to()?)
            }
            Err(e) => {
                warn!(param = key, hint = e.hint(), "parameter not changed: {e}");
                Ok(())
            }
        }
    }

    /// Falls back to what the graph says.
    fn on_param_deleted(&mut self, key: &str) -> Result<(), Fault> {
        let start = self.context.params(self.contract).map_err(all_of)?;
        match start.get(&key.to_ascii_lowercase()) {
            Some(value) => self.on_param(key, &value.clone()),
            None => Ok(()),
        }
    }

    fn write_stats(&mut self, ended: bool) {
        self.written = Some(Instant::now());
        let Some(dir) = self.context.run_dir.clone() else { return };
        (self.out.stats.buffers_made, self.out.stats.buffers_read) = self.context.buffer_stats();
        self.out.stats.memory = self.context.memory_said();
        self.out.stats.copies = gantry_copies::counted().into_iter().map(|(edge, copies)| (edge, copies.into())).collect();
        self.out.stats.measure(self.started);
        self.out.stats.ended = ended;
        if let Err(e) = self.out.stats.write(&dir) {
            debug!(error = %e, "statistics could not be written");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_contract::{Arity, input, list, text};

    const CONTRACT: Contract = Contract {
        name: text("crop"),
        summary: text("Cuts."),
        inputs: list(
            const { &[input("tracks", "tracks/v1", Arity::One, ""), input("decided", "decided/v1", Arity::Optional, "").feedback()] },
        ),
        outputs: list(const { &[] }),
        params: list(const { &[] }),
    };

    fn context(mode: Mode, inputs: &serde_json::Value) -> Context {
        let graph = serde_json::json!({"nodes": [{"id": "crop", "inputs": inputs}]});
        Context::for_test("crop", mode, std::path::Path::new("/tmp")).in_graph(graph).unwrap()
    }

    #[test]
    fn what_comes_back_from_further_down_is_not_waited_for_and_has_no_place_in_a_lossless_run() {
        let both = serde_json::json!({"tracks": "track/tracks", "decided": "vote/decided", "tick": "dora/timer/secs/1"});
        let live = context(Mode::Live, &both);
        assert_eq!(awaited(&CONTRACT, &live).map(|edge| edge.input.as_str()).collect::<Vec<_>>(), ["tracks"]);
        assert!(no_feedback_in_lossless_runs(&CONTRACT, &live).is_ok());
        let fault = no_feedback_in_lossless_runs(&CONTRACT, &context(Mode::Lossless, &both)).unwrap_err();
        assert!(fault.message().contains("`decided`, from `vote/decided`") && fault.hint_text().is_some(), "{fault}");
        let one = serde_json::json!({"tracks": "track/tracks"});
        assert!(no_feedback_in_lossless_runs(&CONTRACT, &context(Mode::Lossless, &one)).is_ok());
    }
}
