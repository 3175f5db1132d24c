//! Cameras over TLS (`rtsps`, `https`): whose certificate is taken, what is said of another one, and that the password is not shown to it.

use gantry_rtsp::{Server, Stream};
use gantry_system_tests::{Authority, Sandbox, Site, video, watched};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// `openssl s_server` with the files of the sandbox; it ends with its value.
struct WebServer(Child, u16);

impl WebServer {
    fn start(sandbox: &Sandbox, (certificate, key): (PathBuf, PathBuf)) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        let mut command = Command::new("openssl");
        command
            .args(["s_server", "-quiet", "-WWW", "-accept", &format!("127.0.0.1:{port}"), "-cert"])
            .arg(certificate)
            .arg("-key")
            .arg(key);
        command.current_dir(sandbox.path(".")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().expect("openssl, which `cargo xtask setup` installs"), port)
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Nowhere else in any file of a run.
const CANARY: &str = "Kanarienvogel-2342";

#[test]
fn a_certificate_of_the_right_authority_for_the_right_name_is_taken_and_no_other() {
    let sandbox = Sandbox::new();
    let file = video(&sandbox, "clip.mp4", "testsrc2=size=640x360:rate=25:duration=90");
    let (ours, theirs) = (Authority::new(&sandbox.path("."), "ours"), Authority::new(&sandbox.path("."), "theirs"));
    let login = Some(("operator".to_owned(), CANARY.to_owned()));
    let server = |name: &str, names: &str| {
        let tls = Some(ours.signs(name, names));
        Server::start(&Stream { login: login.clone(), tls, ..Stream::h264(&file) }, 0)
    };
    let (good, misnamed) = (server("camera", "IP:127.0.0.1,DNS:localhost"), server("misnamed", "DNS:camera.example"));
    let plain = Server::start(&Stream { login: login.clone(), ..Stream::h264(&file) }, 0);
    let web = WebServer::start(&sandbox, ours.signs("web", "IP:127.0.0.1"));
    let page = format!("https://127.0.0.1:{}/clip.mp4", web.1);
    let credentials = sandbox.credentials("credentials", &format!("operator:{CANARY}"));
    let camera = |address: &str, ca_file: Option<PathBuf>| {
        let ca_file = ca_file.map(|path| format!(", ca_file: {}", path.display())).unwrap_or_default();
        format!("source: \"{address}\", credentials_file: {}{ca_file}", credentials.display())
    };
    let ca = Some(ours.certificate());
    let graph = watched(
        &sandbox,
        &[
            ("right", &camera(&good.address(), ca.clone())),
            ("by_name", &camera(&good.address().replace("127.0.0.1", "localhost"), ca.clone())),
            // The camera's own certificate, as one that has signed itself is given; its name does not matter then.
            ("pinned", &camera(&misnamed.address(), Some(sandbox.path("misnamed.pem")))),
            ("web", &camera(&page, ca.clone())),
            ("wrong_web", &camera(&page, Some(theirs.certificate()))),
            ("unchecked", &camera(&good.address(), None)),
            ("wrong_ca", &camera(&good.address(), Some(theirs.certificate()))),
            ("wrong_name", &camera(&misnamed.address(), ca.clone())),
            ("no_tls", &camera(&plain.address().replace("rtsp:", "rtsps:"), ca)),
        ],
    );
    // The command that is tried first says the same.
    let probe = |address: &str, authority: &Authority| {
        let files = ["--credentials-file".into(), credentials.clone(), "--ca-file".into(), authority.certificate()];
        sandbox.gantry([PathBuf::from("probe"), address.into()].into_iter().chain(files))
    };
    let mut right = probe(&good.address(), &ours);
    let right = std::thread::Builder::new().name("probe".into()).spawn(move || right.output()).unwrap();
    for (address, says) in [(good.address(), "no certificate of `CA_FILE` has signed it"), (plain.address(), "is not reached over TLS")] {
        let refused = sandbox.run(probe(&address, &theirs), 60);
        assert_ne!(refused.code(), 0);
        refused.assert_says(&[says]);
    }
    let site = Site::start(&sandbox, &graph, &[]);
    for camera in ["right", "by_name", "pinned", "unchecked"] {
        site.wait(60, &format!("frames of `{camera}`"), |_| sandbox.seen(camera).len() >= 25);
    }
    // It sends the file at once and hangs up: no camera, and opened all the same.
    site.wait(60, "the web server is taken", |site| site.counter("web.camera", "connects") > 0);
    for (camera, says) in [
        ("wrong_ca", "is refused: no certificate of `CA_FILE` has signed it"),
        ("wrong_name", "is refused: it is not for `127.0.0.1`, only for `camera.example`"),
        ("wrong_web", "its certificate is refused"),
        ("no_tls", "it does not speak tls"),
        ("unchecked", "is not checked"),
    ] {
        site.says(30, &format!("{camera}.camera"), says);
    }
    for camera in ["wrong_ca", "wrong_name", "wrong_web", "no_tls"] {
        assert_eq!(sandbox.seen(camera), [], "{camera}");
        assert_eq!(site.counter(&format!("{camera}.camera"), "connects"), 0, "{camera}");
    }
    let right = right.join().unwrap().unwrap();
    assert!(right.status.success(), "{right:?}");
    let shown = sandbox.places_with(CANARY, &credentials);
    site.stop();
    assert_eq!(shown, Vec::<String>::new());
    assert_eq!(sandbox.places_with(CANARY, &credentials), Vec::<String>::new());
    sandbox.assert_nothing_left();
}
