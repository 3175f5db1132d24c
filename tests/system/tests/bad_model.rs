//! Models that are corrupt, empty or of the wrong shape: said at the start, and the run ends.

use gantry_system_tests::{Sandbox, clip, root};

#[test]
fn a_model_that_does_not_fit_is_named_with_what_was_wanted_and_found() {
    // Parameter, file, words of the message.
    let cases: [(&str, &str, &[&str]); 7] = [
        ("detect.MODEL", "corrupt.onnx", &["corrupt.onnx"]),
        ("detect.MODEL", "empty.onnx", &["empty.onnx"]),
        ("detect.MODEL", "wrong_rank.onnx", &["wrong_rank.onnx", "["]),
        ("detect.MODEL", "wrong_classes.onnx", &["wrong_classes.onnx"]),
        ("recognize.MODEL", "corrupt.onnx", &["corrupt.onnx"]),
        ("recognize.MODEL", "wrong_alphabet.onnx", &["wrong_alphabet.onnx"]),
        ("recognize.MODEL", "no_alphabet.onnx", &["no_alphabet.onnx", "alphabet"]),
    ];
    let mut wrong = Vec::new();
    for (parameter, file, words) in cases {
        let sandbox = Sandbox::new();
        let model = root().join("tests/models").join(file);
        let mut command = sandbox.read([clip("gate_day.mp4")]);
        command.arg("--set").arg(format!("{parameter}={}", model.display()));
        let done = sandbox.run(command, 60);
        sandbox.assert_nothing_left();
        let silent: Vec<&&str> = words.iter().chain(&["error: ", "hint: ", "node `"]).filter(|w| !done.stderr.contains(**w)).collect();
        if done.code() != 1 || !silent.is_empty() || done.seconds > 15.0 {
            wrong.push(format!(
                "{parameter}={file}: exit code {}, {:.1} s, not said {silent:?}\n{}",
                done.code(),
                done.seconds,
                done.stderr
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_model_that_is_not_there_is_refused_before_anything_starts() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.read([clip("gate_day.mp4")]);
    command.args(["--set", "detect.MODEL=no/such/model.onnx"]);
    let done = sandbox.run(command, 20);
    done.assert_code(2);
    done.assert_says(&["node `detect`", "no/such/model.onnx", "does not exist", "hint: "]);
    sandbox.assert_nothing_left();
    sandbox.assert_temporary_folder_is_empty();
}
