//! Where the pools of a node lie: what the graph asks for, what came of it, and the second process that proves it.

use crate::{Fault, MEMORY_ENV};
use gantry_frames::Memory;
use gantry_frames::choice::{Choice, Wish, answer, choose};
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::{Mutex, PoisonError};
use tracing::info;

/// Hidden argument of every node: the process that reads the frame of a round trip.
pub(crate) const PROBE_ARGUMENT: &str = "--answer-memory-probe";

/// What the graph asks for, and what was chosen.
#[derive(Debug, Default)]
pub(crate) struct Place {
    wish: Wish,
    chosen: Mutex<Option<Choice>>,
}

impl Place {
    /// What `GANTRY_MEMORY` says.
    pub(crate) fn from_env() -> Result<Self, Fault> {
        let wish = match std::env::var(MEMORY_ENV) {
            Ok(text) => {
                text.parse().map_err(|why| Fault::new(format!("`{MEMORY_ENV}`: {why}")).hint("`auto` is what a node does unless told"))?
            }
            Err(_) => Wish::Auto,
        };
        Ok(Self { wish, chosen: Mutex::default() })
    }

    /// For tests: `memory`, without a choice.
    pub(crate) fn of(memory: Memory) -> Self {
        let choice = Choice { memory, reason: "the test asks for it".to_owned() };
        Self { wish: Wish::Auto, chosen: Mutex::new(Some(choice)) }
    }

    /// For a node that can work on a card: chooses at the first call, by a round trip with a second process.
    pub(crate) fn choose(&self, runtime_dir: &Path) -> Result<Memory, Fault> {
        let mut chosen = self.chosen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(choice) = &*chosen {
            return Ok(choice.memory.clone());
        }
        let program = std::env::current_exe()?;
        let second = |arguments: &[OsString; 3]| {
            let mut command = Command::new(&program);
            command.arg(PROBE_ARGUMENT).args(arguments);
            command
        };
        let choice = choose(self.wish, runtime_dir, second).map_err(|error| {
            let hint = error.hint;
            Fault::from(error).context(format!("`{MEMORY_ENV}: cuda`")).hint(hint)
        })?;
        info!(memory = %choice.memory.backend(), reason = choice.reason, "where buffers lie");
        Ok(chosen.insert(choice).memory.clone())
    }

    /// For a pool whose frames are made on the CPU. A node that has chosen may have such outputs, too.
    pub(crate) fn host(&self) -> Result<(), Fault> {
        let mut chosen = self.chosen.lock().unwrap_or_else(PoisonError::into_inner);
        if self.wish == Wish::Cuda && chosen.is_none() {
            return Err(Fault::new(format!("`{MEMORY_ENV}: cuda`, but this node makes its frames on the CPU"))
                .hint(format!("set `{MEMORY_ENV}` in the `env` of the nodes that work on the card, and not for the whole graph")));
        }
        chosen.get_or_insert_with(|| Choice { memory: Memory::Host, reason: "this node makes its frames on the CPU".to_owned() });
        Ok(())
    }

    /// Back end and reason, once chosen.
    pub(crate) fn said(&self) -> Option<String> {
        let chosen = self.chosen.lock().unwrap_or_else(PoisonError::into_inner);
        chosen.as_ref().map(|choice| format!("{}: {}", choice.memory.backend(), choice.reason))
    }
}

/// The second process: its last line says what did not work.
pub(crate) fn answer_probe(arguments: &[OsString]) -> ExitCode {
    let answered = match <&[OsString; 3]>::try_from(arguments) {
        Ok(arguments) => answer(arguments),
        Err(_) => Err(format!("`{PROBE_ARGUMENT}` takes a folder, an output and a device, {} arguments came", arguments.len())),
    };
    match answered {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_of_the_cpu_stays_on_the_host_and_says_why_and_refuses_to_be_sent_to_a_card() {
        let place = Place::default();
        assert_eq!(place.said(), None);
        place.host().unwrap();
        assert_eq!(place.said().as_deref(), Some("host memory: this node makes its frames on the CPU"));
        let fault = Place { wish: Wish::Cuda, ..Place::default() }.host().unwrap_err();
        assert!(fault.message().contains("makes its frames on the CPU") && fault.hint_text().is_some());
    }

    #[test]
    fn a_node_of_the_card_gets_host_memory_where_there_is_none_or_an_error_if_it_must_have_it() {
        let dir = std::env::temp_dir().join(format!("gantry-memory-{}", std::process::id()));
        let place = Place { wish: Wish::Host, ..Place::default() };
        assert!(matches!(place.choose(&dir), Ok(Memory::Host)));
        assert_eq!(place.said().as_deref(), Some("host memory: the graph asks for host memory"));
        let cuda = Place { wish: Wish::Cuda, ..Place::default() };
        // This test's program is no node and cannot answer: with a card the round trip fails, without one there is none.
        let fault = cuda.choose(&dir).unwrap_err();
        assert!(fault.message().contains("no CUDA memory for buffer pools: ") && fault.hint_text().is_some(), "{fault}");
    }
}
