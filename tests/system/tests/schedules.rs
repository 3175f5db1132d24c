//! The same input gives the same bytes under ten schedules that disturb its timing. `cargo xtask recording schedules` does the same for longer.

use gantry_system_tests::{Sandbox, Schedule, Written, clip, unreliable_graph};

/// 2 s of the clip in which plates are near.
const PART: [&str; 4] = ["--start", "4.5", "--seconds", "2"];

#[test]
fn ten_adversarial_schedules_change_no_byte() {
    let undisturbed = {
        let sandbox = Sandbox::new();
        let mut command = sandbox.read([clip("gate_day.mp4")]);
        command.args(PART);
        sandbox.run(command, 60).assert_code(0);
        Written::of(&sandbox)
    };
    assert!(!undisturbed.readings.is_empty(), "nothing was read: the comparison would say nothing");
    for (seed, schedule) in Schedule::ALL.into_iter().enumerate() {
        let sandbox = Sandbox::new();
        let mut command = sandbox.read([clip("gate_day.mp4")]);
        command.args(PART).args(schedule.arguments());
        if let Some(faults) = schedule.faults() {
            command.arg("--graph").arg(unreliable_graph(&sandbox, faults));
        }
        let done = schedule.run(&sandbox, command, seed as u64 + 1, 90);
        done.assert_code(0);
        eprintln!("{schedule:?}: {:.1} s", done.seconds);
        let difference = Written::of(&sandbox).difference(&undisturbed);
        assert_eq!(difference, None, "{schedule:?}\n{}", done.stderr);
        sandbox.assert_nothing_left();
    }
}
