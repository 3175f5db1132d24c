//! The same bytes again.

use gantry_system_tests::{Busy, Sandbox, Schedule, Written, clip, unreliable_graph};

/// Two cameras, with plates near.
const PART: [&str; 4] = ["--start", "4", "--seconds", "3.5"];
const LIMIT_S: u64 = 600;

/// Replays of one recording under load, against the run that was recorded.
pub fn replays(count: u64) -> Result<(), String> {
    let sandbox = Sandbox::new();
    let (recording, readings) = (sandbox.path("run.mcap"), sandbox.path("run.jsonl"));
    let mut record = sandbox.gantry(["record"]);
    record.args([clip("gate_day.mp4"), clip("road_day.mp4")]).args(["--seconds", "4", "--out"]).arg(&recording);
    sandbox.run(record, LIMIT_S).assert_code(0);
    let recorded = Written::at(&readings);
    let _busy = Busy::new(4);
    let mut same = 0;
    for turn in 1..=count {
        let _ = std::fs::remove_dir_all(readings.with_extension("evidence"));
        let mut replay = sandbox.gantry(["replay"]);
        // By the clock now and then: the speed must not matter either.
        let speed = if turn % 5 == 0 { "4" } else { "max" };
        replay.arg(&recording).args(["--speed", speed, "--out"]).arg(&readings);
        let done = sandbox.run(replay, LIMIT_S);
        done.assert_code(0);
        match Written::at(&readings).difference(&recorded) {
            None => same += 1,
            Some(difference) => println!("replay {turn}: {difference}"),
        }
    }
    let lines = recorded.readings.lines().count();
    println!(
        "{same} of {count} replays beside 4 busy loops gave the recorded bytes ({lines} readings, {} pictures)",
        recorded.evidence.len()
    );
    if same == count && lines > 0 { Ok(()) } else { Err(format!("{same} of {count}")) }
}

/// Each schedule `rounds` times with other seeds.
pub fn schedules(rounds: u64) -> Result<(), String> {
    let run = |schedule: Option<Schedule>, seed: u64| {
        let sandbox = Sandbox::new();
        let mut command = sandbox.read([clip("gate_day.mp4"), clip("road_day.mp4")]);
        command.args(PART).args(schedule.map_or(&[][..], Schedule::arguments));
        if let Some(faults) = schedule.and_then(Schedule::faults) {
            command.arg("--graph").arg(unreliable_graph(&sandbox, faults));
        }
        let done = match schedule {
            Some(schedule) => schedule.run(&sandbox, command, seed, LIMIT_S),
            None => sandbox.run(command, LIMIT_S),
        };
        done.assert_code(0);
        (Written::of(&sandbox), done.seconds)
    };
    let (undisturbed, seconds) = run(None, 0);
    println!("undisturbed: {} readings in {seconds:.1} s", undisturbed.readings.lines().count());
    let mut different = 0;
    for round in 0..rounds {
        for (index, schedule) in Schedule::ALL.into_iter().enumerate() {
            let (written, seconds) = run(Some(schedule), 1 + round * 100 + index as u64);
            let difference = written.difference(&undisturbed);
            println!("{schedule:?}: {seconds:.1} s, {}", if difference.is_none() { "the same bytes" } else { "OTHER BYTES" });
            if let Some(difference) = difference {
                println!("{difference}");
                different += 1;
            }
        }
    }
    if different == 0 && !undisturbed.readings.is_empty() { Ok(()) } else { Err(format!("{different} runs differ")) }
}
