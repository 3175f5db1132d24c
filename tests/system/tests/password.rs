//! `gantry read` and `gantry record` on a stream with a password: it is refused on the command line, and from a file or a variable it shows nowhere.

use gantry_rtsp::{Server, Stream};
use gantry_system_tests::{Sandbox, clip};
use std::process::Command;

/// Nowhere else in any file of a run.
const CANARY: &str = "Kanarienvogel-4711";

fn server(sandbox: &Sandbox) -> Server {
    let file = sandbox.path("stream.mp4");
    let done = Command::new("ffmpeg")
        .args(["-v", "error", "-stream_loop", "5", "-i"])
        .arg(clip("gate_day.mp4"))
        .args("-c:v libx264 -preset ultrafast -crf 20 -g 30 -bf 0".split(' '))
        .arg(&file)
        .status();
    assert!(done.expect("ffmpeg starts").success());
    Server::start(&Stream { login: Some(("operator".to_owned(), CANARY.to_owned())), ..Stream::h264(&file) }, 0)
}

#[test]
fn on_the_command_line_a_password_is_refused_and_not_repeated() {
    let sandbox = Sandbox::new();
    let address = format!("rtsp://operator:{CANARY}@127.0.0.1:9/stream");
    for command in ["read", "probe"] {
        let done = sandbox.run(sandbox.gantry([command, &address]), 20);
        done.assert_code(2);
        done.assert_says(&["rtsp://***@127.0.0.1:9/stream", "--credentials-file"]);
        assert!(!done.stderr.contains(CANARY) && !done.stdout.contains(CANARY), "{}", done.stderr);
    }
}

#[test]
fn from_a_file_or_a_variable_it_opens_the_stream_and_shows_in_no_file_and_no_command_line() {
    let sandbox = Sandbox::new();
    let server = server(&sandbox);
    let credentials = sandbox.credentials("credentials", &format!("operator:{CANARY}"));

    let mut read = sandbox.read([server.address()]);
    read.args(["--seconds", "4", "--keep-run", "--credentials-file"]).arg(&credentials);
    let mut running = sandbox.start(read);
    running.wait_until("the nodes run", 60, |sandbox| sandbox.processes().iter().any(|p| p.name() == "vote"));
    assert_eq!(sandbox.places_with(CANARY, &credentials), Vec::<String>::new());
    running.end(90).assert_code(0);

    let recording = sandbox.path("out/run.mcap");
    let mut record = sandbox.gantry(["record", &server.address(), "--seconds", "3", "--credentials-env", "GATE_LOGIN", "--out"]);
    record.arg(&recording).env("GATE_LOGIN", format!("operator:{CANARY}"));
    sandbox.run(record, 90).assert_code(0);
    assert!(recording.is_file());
    assert_eq!(sandbox.places_with(CANARY, &credentials), Vec::<String>::new());

    // Without it the camera says no, and so does `gantry`.
    let refused = sandbox.run(sandbox.read([server.address()]), 30);
    refused.assert_code(2);
}
