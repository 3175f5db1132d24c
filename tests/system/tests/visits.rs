//! Readings to visits to a file, in a real graph.

use gantry_system_tests::{Sandbox, lines, program};

#[test]
fn events_of_visits_reach_the_store_and_open_visits_survive_the_death_of_their_node() {
    let sandbox = Sandbox::new();
    let site = sandbox.path("site");
    std::fs::create_dir(&site).unwrap();
    std::os::unix::fs::symlink(program("gantry").parent().unwrap(), site.join("bin")).unwrap();
    let rules = "lists: { deny: banned.txt }\ncameras: { entry: { role: entry }, exit: { role: exit } }\n";
    std::fs::write(site.join("rules.yml"), rules).unwrap();
    std::fs::write(site.join("banned.txt"), "KXW-000O2\n").unwrap();
    let (state, visits) = (sandbox.path("visits.json"), sandbox.path("visits.jsonl"));
    let text = format!(
        "env: {{ GANTRY_MODE: live }}
nodes:
  - id: source
    path: bin/readings_source
    inputs: {{ tick: dora/timer/millis/500 }}
    outputs: [readings]
    env: {{ COUNT: 200, PER_SECOND: 50 }}
  - id: visits
    path: bin/visits
    restart_policy: on-failure
    restart_delay: 0.2
    inputs:
      tick: dora/timer/millis/500
      readings: {{ source: source/readings, queue_size: 256, queue_policy: backpressure }}
    outputs: [visits]
    env: {{ RULES: rules.yml, MAX_DISTANCE: 0.25, STATE: {state} }}
  - id: store
    path: bin/store
    inputs:
      tick: dora/timer/millis/500
      readings: {{ source: source/readings, queue_size: 256, queue_policy: backpressure }}
      visits: {{ source: visits/visits, queue_size: 256, queue_policy: backpressure }}
    env: {{ JSONL: {out}, VISITS: {visits} }}
",
        state = state.display(),
        out = sandbox.out().display(),
        visits = visits.display(),
    );
    let graph = site.join("site.yml");
    std::fs::write(&graph, text).unwrap();
    let mut dora = sandbox.dora();
    dora.arg("run").arg(&graph);
    let mut running = sandbox.start(dora);
    running.wait_until("vehicles have entered", 60, |_| lines(&visits).len() > 40);
    let open = |_: &Sandbox| std::fs::read_to_string(&state).unwrap_or_default().matches("\"plate\"").count();
    assert!(open(&sandbox) > 10);
    let node = sandbox.processes().into_iter().find(|p| p.name() == "visits").expect("the node runs");
    node.signal("KILL");
    running.end(60).assert_code(0);

    let all = lines(&visits);
    let count = |event: &str| all.iter().filter(|v| v["event"] == event).count();
    assert!(count("entered") > 30 && count("left") > 30, "{} entered, {} left", count("entered"), count("left"));
    let first = &all[0];
    assert_eq!((&first["event"], &first["camera"], &first["duration_s"]), (&"entered".into(), &"entry".into(), &0.0.into()));
    assert!(first["at"].is_string() && first["visit"].is_string());
    let banned: Vec<_> = all.iter().filter(|v| v["list"] == "deny").map(|v| (v["plate"].clone(), v["list_distance"].clone())).collect();
    assert_eq!(banned, [("KXW00002".into(), 0.25.into())]);
    sandbox.assert_nothing_left();
}
