//! What people see.

use crate::clock::STAGES;
use crate::side::{Run, Side};
use comfy_table::{CellAlignment, Table, presets};

/// The machine in one line.
pub fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        info.lines().find_map(|l| l.strip_prefix("model name")).and_then(|l| l.split_once(':')).map_or("unknown CPU", |(_, m)| m.trim());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    format!("{model}, {cores} cores, load {} before the run", load.split_whitespace().next().unwrap_or("unknown"))
}

/// Prints both sides; returns the ratio of their CPU per frame, start-up left out.
pub fn print(straight: &Side, graph: &Side, memory: Option<(u64, u64)>) -> f64 {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["CPU ms per frame", "straight line", "graph"]);
    let per_frame = |side: &Side, stage: &str| side.stage_ms(stage);
    let cell = |value: f64| format!("{value:.2}");
    let row = |table: &mut Table, name: &str, a: String, b: String| {
        table.add_row([name.to_owned(), a, b]);
    };
    row(&mut table, "camera (demux)", String::new(), cell(per_frame(graph, "camera")));
    for stage in &STAGES[1..] {
        row(&mut table, stage, cell(per_frame(straight, stage)), cell(per_frame(graph, stage)));
    }
    row(&mut table, "store", String::new(), cell(per_frame(graph, "store")));
    row(&mut table, "dora, gantry", String::new(), cell(per_frame(graph, "dora")));
    let ((whole_a, steady_a), (whole_b, steady_b)) = (straight.cpu_ms(), graph.cpu_ms());
    row(&mut table, "all", cell(steady_a), cell(steady_b));
    row(&mut table, "all, with starting and ending", cell(whole_a), cell(whole_b));
    row(&mut table, "starting and ending, CPU s", format!("{:.2}", straight.start.cpu_s), format!("{:.2}", graph.start.cpu_s));
    let ((fps_a, run_a), (fps_b, run_b)) = (straight.frames_per_s(), graph.frames_per_s());
    row(&mut table, "frames/s, with starting and ending", format!("{fps_a:.1}"), format!("{fps_b:.1}"));
    row(&mut table, "frames/s", format!("{run_a:.1}"), format!("{run_b:.1}"));
    if let Some((a, b)) = memory {
        row(&mut table, "peak memory (PSS of all), MB", format!("{:.0}", a as f64 / 1e6), format!("{:.0}", b as f64 / 1e6));
    }
    for column in [1, 2] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    println!("{table}");
    let spread = |side: &Side| {
        let all: Vec<f64> = side.runs.iter().map(|r: &Run| 1000.0 * r.cpu_s / r.frames.max(1) as f64).collect();
        let (low, high) = all.iter().fold((f64::INFINITY, 0.0f64), |(l, h), v| (l.min(*v), h.max(*v)));
        format!("{low:.2} to {high:.2}")
    };
    let run = straight.runs.first().cloned().unwrap_or_default();
    println!(
        "{} frames, {} readings, the same on both sides in {} rounds; CPU ms per frame of single runs: {} and {}",
        run.frames,
        run.readings.len(),
        straight.runs.len(),
        spread(straight),
        spread(graph)
    );
    println!(
        "the graph takes {:.3} times the CPU per frame as measured, {:.3} times without starting and ending",
        whole_b / whole_a,
        steady_b / steady_a
    );
    steady_b / steady_a
}
