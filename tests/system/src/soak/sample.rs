//! What a process holds, from /proc.

use crate::Process;

/// One look at a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Id of the node that runs in it, or the name of the program.
    pub node: String,
    /// Memory of its own: heap and stacks. Frames lie in shared memory, whose size is fixed when pools are made.
    pub memory_kb: u64,
    /// Open descriptors.
    pub descriptors: u64,
    /// Threads.
    pub threads: u64,
}

/// Looks at a process; `None` if it has ended.
#[must_use]
pub fn sample(process: &Process) -> Option<Sample> {
    let folder = format!("/proc/{}", process.pid);
    let status = std::fs::read_to_string(format!("{folder}/status")).ok()?;
    let number = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse::<u64>().ok());
    let descriptors = std::fs::read_dir(format!("{folder}/fd")).ok()?.count() as u64;
    let environment = std::fs::read(format!("{folder}/environ")).ok()?;
    let node = node_of(&String::from_utf8_lossy(&environment)).unwrap_or_else(|| program_of(process));
    Some(Sample { node, memory_kb: number("RssAnon:")?, descriptors, threads: number("Threads:")? })
}

/// Name of the program; dora's command is a Python script and does several jobs.
fn program_of(process: &Process) -> String {
    let mut words = process.command.split_whitespace();
    match words.find(|word| word.ends_with("/dora")) {
        Some(_) => format!("dora {}", words.next().unwrap_or_default()),
        None => process.name().to_owned(),
    }
}

/// The id that dora gives to a node in its environment.
fn node_of(environment: &str) -> Option<String> {
    let config = environment.split('\0').find(|variable| variable.starts_with("DORA_NODE_CONFIG="))?;
    let id = config.split_once("node_id")?.1;
    let id: String =
        id.chars().skip_while(|c| "\": ".contains(*c)).take_while(|c| c.is_ascii_alphanumeric() || "._-".contains(*c)).collect();
    (!id.is_empty()).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_seen_with_its_threads_and_descriptors() {
        let exe = std::env::current_exe().unwrap();
        let me = Process { pid: std::process::id(), exe, command: String::new() };
        let (send, wait) = std::sync::mpsc::sync_channel::<()>(1);
        let before = sample(&me).unwrap();
        let file = std::fs::File::open("/dev/null").unwrap();
        let thread = std::thread::Builder::new().name("idle".into()).spawn(move || wait.recv()).unwrap();
        let with = sample(&me).unwrap();
        assert_eq!((with.threads, with.descriptors), (before.threads + 1, before.descriptors + 1));
        assert!(with.memory_kb > 0);
        drop((file, send));
        assert!(thread.join().unwrap().is_err());
    }

    #[test]
    fn doras_processes_are_told_apart() {
        let of = |command: &str| program_of(&Process { pid: 1, exe: "/usr/bin/python3".into(), command: command.into() });
        assert_eq!(of("/x/bin/python3 /x/bin/dora daemon --quiet"), "dora daemon");
        assert_eq!(of("python3 server.py"), "python3");
    }

    #[test]
    fn nodes_are_named_as_in_the_graph() {
        for config in
            ["{\"dataflow_id\":\"x\",\"node_id\":\"lane_1.camera\",\"run\":1}", "dataflow_id: x\nnode_id: lane_1.camera\nrun: 1\n"]
        {
            assert_eq!(node_of(&format!("A=1\0DORA_NODE_CONFIG={config}\0B=2")).as_deref(), Some("lane_1.camera"));
        }
        assert_eq!(node_of("PATH=/bin\0HOME=/"), None);
    }
}
