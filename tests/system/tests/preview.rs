//! The page of a running site: nobody looks and nothing is done, somebody looks and sees it, in a real browser.

use gantry_system_tests::{Browser, Page, Sandbox, abouts, clip, get, lines, program, root};
use serde_json::Value;
use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

/// Camera of the graph with a name that a page must not take for markup.
const GATE: &str = "Gate <north>";

#[test]
fn a_site_is_looked_at_and_nothing_is_done_for_those_who_do_not_look() {
    let sandbox = Sandbox::new();
    let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
    let address = format!("127.0.0.1:{port}");
    let mut dora = sandbox.dora();
    dora.args(["run", &graph(&sandbox)]).env("GANTRY_RUN_DIR", sandbox.path("tmp/run"));
    dora.env("GANTRY_TEST_JSONL", sandbox.out()).env("GANTRY_TEST_SQLITE", sandbox.path("out/readings.sqlite"));
    dora.env("GANTRY_TEST_EVIDENCE", sandbox.path("out/evidence")).env("GANTRY_TEST_LISTEN", &address);
    let mut run = sandbox.start(dora);
    run.wait_until("readings of both cameras", 90, |sandbox| {
        let all = lines(&sandbox.out());
        [GATE, "Road"].iter().all(|camera| all.iter().filter(|r| r["camera"] == *camera).count() >= 3)
    });

    // Nobody has looked yet: readings have come, and of frames and tracks not a message.
    let idle = preview(&sandbox);
    assert!(idle["rows_in"]["readings"].as_u64() > Some(0) && idle["messages_out"] == serde_json::json!({}), "{idle}");
    assert!(idle["rows_in"]["views"].is_null() && idle["rows_in"]["tracks"].is_null() && idle["buffers_read"].is_null(), "{idle}");
    let crop = sandbox.stats().remove("crop").unwrap_or_default();
    assert!(crop["rows_in"]["frames"].as_u64() > Some(100) && crop["messages_out"]["views"].is_null(), "{crop}");

    // Pictures of both, and boxes in some of them; nothing of how the cameras are reached.
    let (pictures, boxes) = look(&address, Duration::from_secs(20));
    assert!(pictures >= 20 && boxes > 0, "{pictures} pictures, {boxes} boxes");
    // What passes frames on dies and is started again: it is asked once more.
    sandbox.processes().iter().find(|process| process.name() == "crop").expect("crop runs").signal("KILL");
    let (pictures, boxes) = look(&address, Duration::from_secs(20));
    assert!(pictures >= 20 && boxes > 0, "after the kill {pictures} pictures, {boxes} boxes");
    let found: Value = serde_json::from_slice(&get(&address, "/api/search?camera=Road")).expect("JSON");
    assert_eq!(found["place"], "database");
    let first = &found["readings"][0];
    assert!(first["votes"].as_array().is_some_and(|votes| !votes.is_empty()), "{first}");
    let picture = get(&address, &format!("/api/evidence/{}", first["id"].as_str().expect("an id")));
    assert!(picture.starts_with(&[0xff, 0xd8]), "no JPEG");

    in_a_browser(&sandbox, &address);

    run.wait_until("the looks are counted", 20, |sandbox| preview(sandbox)["counters"]["pictures"].as_u64() > Some(0));
    // The last page is closed: soon nothing is asked for, and nothing comes.
    let asked =
        |sandbox: &Sandbox| [&preview(sandbox)["messages_in"]["views"], &preview(sandbox)["messages_out"]["wanted"]].map(Value::as_u64);
    let closed = Instant::now();
    loop {
        let before = asked(&sandbox);
        std::thread::sleep(Duration::from_secs(6));
        if asked(&sandbox) == before {
            break;
        }
        assert!(closed.elapsed() < Duration::from_secs(60), "frames come though nobody looks: {before:?}");
    }
    // Both decoders go on as before: no frame waited for a place.
    for node in ["gate.decode", "road.decode"] {
        let decode = sandbox.stats().remove(node).unwrap_or_default();
        assert_eq!(decode["buffers_made"][format!("{node}/frames")]["waits"], 0, "{decode}");
    }
    run.signal("INT");
    let _ = run.end(60);
    sandbox.assert_nothing_left();
}

/// Looks at both cameras until there are 20 pictures, of each one at least, and boxes in some of them; how many of both there were.
fn look(address: &str, limit: Duration) -> (usize, usize) {
    let looked = Instant::now();
    let (mut pictures, mut boxes, mut after) = (0, 0, [0, 0]);
    while looked.elapsed() < limit && (pictures < 20 || boxes == 0 || after.contains(&0)) {
        let asked = format!("/api/pictures?p=480,{},Gate%20%3Cnorth%3E&p=480,{},Road", after[0], after[1]);
        for about in abouts(&get(address, &asked)) {
            after[usize::from(about["camera"] == "Road")] = about["number"].as_u64().expect("a number");
            pictures += 1;
            boxes += about["boxes"].as_array().map_or(0, Vec::len);
        }
    }
    assert!(!after.contains(&0), "{after:?}");
    (pictures, boxes)
}

fn in_a_browser(sandbox: &Sandbox, address: &str) {
    let mut browser = Browser::start(sandbox);
    let mut page = browser.page(1440, 960, 1.0, false);
    page.prefer("dark");
    page.open(&format!("http://{address}/"));
    page.wait(20, "document.querySelectorAll('.camera').length === 2");
    // Its name is text, and the page is whole: no error, nothing that the policy refused.
    assert_eq!(page.value("document.querySelector('.camera strong').textContent"), GATE);
    page.wait(20, "[...document.querySelectorAll('.camera canvas')].every((c) => c.width > 400)");
    page.wait(20, "document.getElementById('summary').textContent === '2 cameras live'");
    page.wait(60, "document.querySelectorAll('#feed .reading').length >= 3");
    page.wait(20, "[...document.querySelectorAll('#feed img')].slice(0, 3).every((i) => i.naturalWidth > 20)");
    page.value("document.querySelector('#feed summary').click()");
    page.wait(5, "document.querySelector('#feed .votes td') !== null");
    page.wait(20, "document.querySelectorAll('#charts path').length >= 4");
    page.value("document.querySelector('#ask').requestSubmit()");
    page.wait(10, "document.querySelectorAll('#found .reading').length > 0");
    assert_eq!(page.value("document.documentElement.scrollWidth <= innerWidth"), true, "nothing sticks out");
    // Something to see in the pictures.
    std::thread::sleep(Duration::from_secs(if regenerates() { 25 } else { 1 }));
    wait_for_boxes(&mut page);
    picture_for_the_docs(&mut page, "preview.png");
    page.value("document.documentElement.style.scrollBehavior = 'auto'; document.getElementById('health').scrollIntoView()");
    std::thread::sleep(Duration::from_millis(600));
    picture_for_the_docs(&mut page, "preview_health.png");
    drop(page);

    let mut phone = browser.page(390, 844, 2.0, true);
    phone.prefer("light");
    phone.open(&format!("http://{address}/"));
    phone.wait(20, "document.querySelectorAll('.camera canvas').length === 2 && document.querySelector('.camera canvas').width > 400");
    phone.wait(20, "document.querySelectorAll('#feed .reading').length > 0");
    assert_eq!(phone.value("document.documentElement.scrollWidth <= innerWidth"), true, "nothing sticks out on a phone");
    assert_eq!(phone.value("getComputedStyle(document.querySelector('nav')).position"), "fixed");
    wait_for_boxes(&mut phone);
    picture_for_the_docs(&mut phone, "preview_phone.png");
    drop(phone);
}

/// A vehicle is in both pictures, if that comes soon: only for the eye.
fn wait_for_boxes(page: &mut Page<'_>) {
    if regenerates() {
        page.value(
            "new Promise(async (done) => { for (let i = 0; i < 300; i++) { const all = [...document.querySelectorAll('.camera canvas')].map((c) => \
             c.dataset.boxes > 0); if (all.every(Boolean)) break; await new Promise((r) => setTimeout(r, 50)); } done(true); })",
        );
    }
}

fn regenerates() -> bool {
    std::env::var_os("GANTRY_REGENERATE").is_some()
}

/// With `GANTRY_REGENERATE=1` what the page shows goes to docs/images.
fn picture_for_the_docs(page: &mut Page<'_>, name: &str) {
    let png = page.screenshot();
    assert!(png.len() > 20_000, "{name}: an empty picture");
    if regenerates() {
        let path = root().join("docs/images").join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).unwrap();
        // 256 colours: a third of the bytes, and the eye sees no difference.
        let script = "base64 -d > \"$1.raw\" && ffmpeg -v error -y -i \"$1.raw\" -vf 'split[a][b];[a]palettegen[p];[b][p]paletteuse' \"$1\"; rm \"$1.raw\"";
        let mut child = std::process::Command::new("bash")
            .args(["-c", script, "bash"])
            .arg(&path)
            .stdin(std::process::Stdio::piped())
            .spawn()
            .expect("bash starts");
        child.stdin.take().expect("a pipe").write_all(png.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
        assert!(std::fs::metadata(&path).unwrap().len() < 300_000, "{name} is too large for the docs");
    }
}

/// `tests/graphs/preview.yml` in the sandbox, where dora also puts its logs.
fn graph(sandbox: &Sandbox) -> String {
    let site = sandbox.path("site");
    std::fs::create_dir(&site).unwrap();
    let link = |target: &Path, name: &str| std::os::unix::fs::symlink(target, site.join(name)).unwrap();
    link(program("gantry").parent().unwrap(), "bin");
    link(&root().join("graphs/modules"), "modules");
    let text = std::fs::read_to_string(root().join("tests/graphs/preview.yml")).unwrap();
    let path = site.join("site.yml");
    // `dora run` does not fill in variables in the parameters of modules.
    let text = text.replace("$GANTRY_TEST_GATE", &clip("gate_day.mp4").display().to_string());
    let text = text.replace("$GANTRY_TEST_ROAD", &clip("road_day.mp4").display().to_string());
    std::fs::write(&path, text.replace("../../models", &root().join("models").display().to_string())).unwrap();
    path.display().to_string()
}

fn preview(sandbox: &Sandbox) -> Value {
    sandbox.stats().remove("preview").unwrap_or_default()
}
