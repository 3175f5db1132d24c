//! Ten ways to disturb the timing of a run. None may change a byte of what it writes.

use crate::{Finished, Process, Sandbox};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A way to disturb a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// Four loops that keep the processors busy.
    BusyLoops,
    /// Everything on one processor.
    OneCore,
    /// Nodes are moved from one processor to another all the time.
    MovedCores,
    /// Nodes, in turn, get the lowest priority.
    LowPriority,
    /// A node is stopped for some milliseconds, then another one.
    ShortStops,
    /// One node after the other is stopped for 1.3 s: longer than a node waits before it looks for lost messages.
    LongStops,
    /// dora itself is stopped for 0.4 s, again and again.
    StoppedDora,
    /// Messages between two nodes are held back for 0 to 40 ms each.
    DelayedMessages,
    /// Messages between two nodes come twice and out of order.
    RepeatedAndSwapped,
    /// Messages of another size: one packet each.
    SmallMessages,
}

/// Which nodes are stopped and moved: all that take part in a reading.
const NODES: [&str; 9] = ["camera", "decode", "resize", "detect", "track", "crop", "enhance", "recognize", "vote"];

impl Schedule {
    /// All ten.
    pub const ALL: [Self; 10] = [
        Self::BusyLoops,
        Self::OneCore,
        Self::MovedCores,
        Self::LowPriority,
        Self::ShortStops,
        Self::LongStops,
        Self::StoppedDora,
        Self::DelayedMessages,
        Self::RepeatedAndSwapped,
        Self::SmallMessages,
    ];

    /// What `unreliable` between `detect` and `track` does to messages, if this is about messages.
    #[must_use]
    pub fn faults(self) -> Option<&'static str> {
        match self {
            Self::DelayedMessages => Some("delay"),
            Self::RepeatedAndSwapped => Some("repeat+swap"),
            _ => None,
        }
    }

    /// Arguments that `gantry` needs for it.
    #[must_use]
    pub fn arguments(self) -> &'static [&'static str] {
        if self == Self::SmallMessages { &["--set", "camera.GROUP_PACKETS=1"] } else { &[] }
    }

    /// Runs `command` under it.
    #[must_use]
    pub fn run(self, sandbox: &Sandbox, command: Command, seed: u64, limit_s: u64) -> Finished {
        let command = if self == Self::OneCore { on_one_core(&command) } else { command };
        let _busy = (self == Self::BusyLoops).then(|| Busy::new(4));
        let mut disturbance = Disturbance { schedule: self, random: Random(seed), turn: 0, last: Instant::now(), stopped: Vec::new() };
        sandbox.start(command).end_disturbed(limit_s, |sandbox| disturbance.act(sandbox))
    }
}

struct Disturbance {
    schedule: Schedule,
    random: Random,
    turn: usize,
    last: Instant,
    /// Processes that wait for their SIGCONT; also sent when the run ends early.
    stopped: Vec<(Process, Instant)>,
}

impl Disturbance {
    fn act(&mut self, sandbox: &Sandbox) {
        let now = Instant::now();
        self.stopped.retain(|(process, until)| {
            let over = *until <= now;
            if over {
                process.signal("CONT");
            }
            !over
        });
        let every_ms = match self.schedule {
            Schedule::ShortStops => 30,
            Schedule::MovedCores | Schedule::LowPriority => 60,
            Schedule::LongStops => 1500,
            Schedule::StoppedDora => 900,
            _ => return,
        };
        if self.last.elapsed() < Duration::from_millis(every_ms) || !self.stopped.is_empty() {
            return;
        }
        self.last = now;
        self.turn += 1;
        let processes = sandbox.processes();
        if self.schedule == Schedule::StoppedDora {
            let is_dora = |p: &&Process| p.command.contains("dora") && p.command.contains(" run ");
            self.stop(processes.iter().find(is_dora), 400);
            return;
        }
        let nodes: Vec<&Process> = processes.iter().filter(|p| NODES.contains(&p.name())).collect();
        let Some(node) = nodes.get(self.random.below(nodes.len().max(1))).copied() else { return };
        match self.schedule {
            Schedule::ShortStops => {
                let ms = 5 + self.random.below(60) as u64;
                self.stop(Some(node), ms);
            }
            Schedule::LongStops => self.stop(nodes.get(self.turn % nodes.len()).copied(), 1300),
            Schedule::MovedCores => node.pin(if self.turn.is_multiple_of(2) { "0" } else { "0-1" }),
            _ => node.renice(19),
        }
    }

    fn stop(&mut self, process: Option<&Process>, ms: u64) {
        if let Some(process) = process {
            process.signal("STOP");
            self.stopped.push((process.clone(), Instant::now() + Duration::from_millis(ms)));
        }
    }
}

impl Drop for Disturbance {
    fn drop(&mut self) {
        self.stopped.iter().for_each(|(process, _)| process.signal("CONT"));
    }
}

/// A generator of one's own, so that a seed gives the same disturbances again: xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n.max(1) as u64) as usize
    }
}

/// The same command under `taskset -c 0`.
fn on_one_core(command: &Command) -> Command {
    let mut one = Command::new("taskset");
    one.args(["-c", "0"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => one.env(name, value),
            None => one.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        one.current_dir(folder);
    }
    one.stdin(Stdio::null());
    one
}

/// Loops that keep the processors busy until dropped.
pub struct Busy(Vec<Child>);

impl Busy {
    /// Starts `loops` of them.
    #[must_use]
    pub fn new(loops: usize) -> Self {
        Self((0..loops).filter_map(|_| Command::new("sh").args(["-c", "while :; do :; done"]).spawn().ok()).collect())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
