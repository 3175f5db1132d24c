//! Writes down which frames of which camera it was told of, and when: one JSON line each. It takes no buffer.

use gantry_contract::{Arity, Contract, input, list, out_path_param, text};
use gantry_messages::FrameRow;
use gantry_node::{Context, Fault, Input, Outputs, Stage};
use serde::Deserialize;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

const CONTRACT: Contract = Contract {
    name: text("witness"),
    summary: text("Writes down which frames came, and when; for tests."),
    inputs: list(const { &[input("frames", "frames/v1", Arity::Any, "any number of cameras")] }),
    outputs: list(&[]),
    params: list(const { &[out_path_param("out", Some("witness.jsonl"), "a JSON line for each frame")] }),
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    out: PathBuf,
}

struct Witness {
    file: File,
}

impl Stage for Witness {
    type Params = Params;
    const CONTRACT: Contract = CONTRACT;

    fn open(params: Params, _context: &Context) -> Result<Self, Fault> {
        let file = File::options().create(true).append(true).open(&params.out);
        Ok(Self { file: file.map_err(|e| Fault::new(format!("`{}`: {e}", params.out.display())).hint("name a file that can be written"))? })
    }

    fn on_input(&mut self, input: &Input, _out: &mut Outputs) -> Result<(), Fault> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as i64);
        let mut lines = String::new();
        for row in input.rows::<FrameRow>()?.iter().filter(|row| !row.end) {
            let FrameRow { source, frame, pts_ns, captured_ns, width, height, .. } = row;
            let line = serde_json::json!({
                "camera": source, "frame": frame, "pts_ns": pts_ns, "captured_ns": captured_ns, "seen_ns": now, "width": width, "height": height,
            });
            lines.push_str(&format!("{line}\n"));
        }
        Ok(self.file.write_all(lines.as_bytes())?)
    }
}

fn main() -> ExitCode {
    gantry_node::run::<Witness>()
}
