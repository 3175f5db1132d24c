//! The node as a whole: contract, joining, ends, parameters.

use gantry_contract::ParamSet;
use gantry_frames::Mode;
use gantry_messages::{BoxXyxy, CharRead, CropText, DecidedRow, ReadingRow, TextsRow, Track, TracksRow, VariantRead};
use gantry_node::{Context, Fault, Input, Outputs, Stage};
use gantry_node_vote::{CONTRACT, Params, Voting};
use proptest::prelude::*;

fn open_with(env: &[(&str, &str)], mode: Mode) -> Result<Voting, Fault> {
    let params: Params = ParamSet::from_env(&CONTRACT, env.iter().copied()).expect("parameters are valid").to().expect("parameters fit");
    Voting::open(params, &Context::for_test("vote", mode, &std::env::temp_dir()))
}

fn open() -> Voting {
    open_with(&[], Mode::Lossless).expect("opens")
}

const FRAMES: u64 = 120;

/// Three vehicles one after the other, 40 frames each, read in every frame.
fn rows(source: &str, plates: [&str; 3]) -> (Vec<TracksRow>, Vec<TextsRow>) {
    let bbox = |f: u64| BoxXyxy::new(100.0 + 30.0 * (f % 40) as f32, 500.0, 200.0 + 30.0 * (f % 40) as f32, 522.0);
    let of = |f: u64| (f / 40 + 1, plates[(f / 40) as usize]);
    let mut tracks: Vec<TracksRow> = (0..FRAMES)
        .map(|f| TracksRow {
            source: source.into(),
            frame: f,
            pts_ns: f as i64 * 40_000_000,
            tracks: vec![Track {
                track_id: of(f).0,
                age_frames: 1,
                matched: true,
                vehicle_in_source: None,
                vehicle_confidence: 0.0,
                plate_in_source: Some(bbox(f)),
                plate_confidence: 0.9,
                plate_frames: 1,
            }],
            ended: if f > 0 && f % 40 == 0 { vec![f / 40] } else { Vec::new() },
            ..TracksRow::default()
        })
        .collect();
    tracks.push(TracksRow { source: source.into(), frame: FRAMES, end: true, ended: vec![3], ..TracksRow::default() });
    let mut texts: Vec<TextsRow> = (0..FRAMES)
        .map(|f| {
            let (id, text) = of(f);
            let characters = text.chars().map(|c| CharRead { candidates: format!("{c}X"), probabilities: vec![0.9, 0.05] }).collect();
            let read = VariantRead { variant: "original".into(), text: text.into(), confidence: 0.9, characters };
            let crop = CropText {
                track_id: id,
                bbox_in_source: bbox(f),
                plate_confidence: 0.9,
                legibility: 0.7,
                reads: vec![read],
                evidence: Vec::new(),
                overview: Vec::new(),
            };
            TextsRow { source: source.into(), frame: f, pts_ns: f as i64 * 40_000_000, texts: vec![crop], ..TextsRow::default() }
        })
        .collect();
    texts.push(TextsRow { source: source.into(), frame: FRAMES, end: true, ..TextsRow::default() });
    (tracks, texts)
}

fn readings_of(rows: &[ReadingRow], source: &str) -> Vec<ReadingRow> {
    rows.iter().filter(|r| r.source == source).cloned().collect()
}

#[test]
fn the_contract_fits_and_its_pages_are_up_to_date() {
    gantry_node::testing::check_contract::<Voting>(env!("CARGO_MANIFEST_DIR"));
}

#[test]
fn the_end_of_a_camera_comes_after_its_last_reading() {
    let mut node = open();
    let mut out = Outputs::collector();
    let (tracks, texts) = rows("gate", ["KXW7391", "PLM4528", "ZRT6604"]);
    node.on_input(&Input::of("tracks", &tracks), &mut out).unwrap();
    assert!(out.taken::<ReadingRow>("readings").is_empty(), "voted without the texts");
    node.on_input(&Input::of("texts", &texts), &mut out).unwrap();
    let readings: Vec<ReadingRow> = out.taken("readings");
    assert_eq!(readings.iter().map(|r| r.plate.as_str()).collect::<Vec<_>>(), ["KXW7391", "PLM4528", "ZRT6604", ""]);
    assert!(readings[3].end && readings[3].frame == FRAMES);
    node.finish(&mut out).unwrap();
    assert!(out.taken::<ReadingRow>("readings").is_empty(), "sent twice");
}

#[test]
fn crop_is_told_of_decided_tracks_where_the_graph_has_an_edge_for_it() {
    let told = |context: Context| {
        let params: Params = ParamSet::from_env(&CONTRACT, []).expect("parameters are valid").to().expect("parameters fit");
        let (mut node, mut out) = (Voting::open(params, &context).unwrap(), Outputs::collector());
        let (tracks, texts) = rows("gate", ["KXW7391", "PLM4528", "ZRT6604"]);
        node.on_input(&Input::of("tracks", &tracks), &mut out).unwrap();
        node.on_input(&Input::of("texts", &texts), &mut out).unwrap();
        out.taken::<DecidedRow>("decided")
    };
    let context = || Context::for_test("vote", Mode::Live, &std::env::temp_dir());
    let rows = told(context().with_consumer("decided", "crop"));
    assert_eq!(rows.iter().map(|r| (r.source.as_str(), r.track_id)).collect::<Vec<_>>(), [("gate", 1), ("gate", 2), ("gate", 3)]);
    assert!(rows.iter().all(|row| row.frame % 40 < 20), "{rows:?}");
    assert!(told(context()).is_empty());
}

#[test]
fn a_stop_in_the_middle_sends_what_was_read_so_far() {
    let mut node = open_with(&[("SETTLE", "false")], Mode::Lossless).unwrap();
    let mut out = Outputs::collector();
    let (tracks, texts) = rows("gate", ["KXW7391", "PLM4528", "ZRT6604"]);
    node.on_input(&Input::of("tracks", &tracks[..60]), &mut out).unwrap();
    node.on_input(&Input::of("texts", &texts[..60]), &mut out).unwrap();
    node.finish(&mut out).unwrap();
    let readings: Vec<ReadingRow> = out.taken("readings");
    assert_eq!(readings.iter().map(|r| (r.plate.as_str(), r.frames_read)).collect::<Vec<_>>(), [("KXW7391", 40), ("PLM4528", 20)]);
}

#[test]
fn a_live_camera_that_falls_silent_does_not_keep_its_readings() {
    let mut node = open_with(&[("SETTLE", "false")], Mode::Live).unwrap();
    let mut out = Outputs::collector();
    let (tracks, texts) = rows("gate", ["KXW7391", "PLM4528", "ZRT6604"]);
    node.on_input(&Input::of("tracks", &tracks[..30]), &mut out).unwrap();
    node.on_input(&Input::of("texts", &texts[..30]), &mut out).unwrap();
    for _ in 0..14 {
        node.on_tick(&mut out).unwrap();
    }
    assert!(out.taken::<ReadingRow>("readings").is_empty());
    node.on_tick(&mut out).unwrap();
    assert_eq!(out.taken::<ReadingRow>("readings").len(), 1);
}

#[test]
fn a_live_camera_that_starts_again_has_new_passes() {
    let mut node = open_with(&[], Mode::Live).unwrap();
    let mut out = Outputs::collector();
    let (tracks, texts) = rows("gate", ["KXW7391", "PLM4528", "ZRT6604"]);
    for plates in [20, 120] {
        node.on_input(&Input::of("tracks", &tracks[..plates]), &mut out).unwrap();
        node.on_input(&Input::of("texts", &texts[..plates]), &mut out).unwrap();
    }
    node.finish(&mut out).unwrap();
    let plates: Vec<String> = out.taken::<ReadingRow>("readings").into_iter().map(|r| r.plate).collect();
    assert_eq!(plates, ["KXW7391", "KXW7391", "PLM4528", "ZRT6604"]);
}

#[test]
fn parameters_that_contradict_each_other_or_a_wrong_table_are_faults_with_a_hint() {
    let fault = open_with(&[("MIN_LENGTH", "8"), ("MAX_LENGTH", "5")], Mode::Lossless).err().expect("refused");
    assert!(fault.message().contains("`min_length`: 8 is above `max_length` 5") && fault.hint_text().is_some(), "{fault}");
    let path = std::env::temp_dir().join(format!("gantry-vote-{}.yml", std::process::id()));
    std::fs::write(&path, "unknown_cost: 1\nconfusable: []\nsyntaxes: [{name: x, pattern: LQ, weight: 1}]\n").unwrap();
    let fault = open_with(&[("SYNTAXES", path.to_str().unwrap())], Mode::Lossless).err().expect("refused");
    std::fs::remove_file(&path).unwrap();
    assert!(fault.message().contains("`LQ`") && fault.message().contains("`syntaxes`"), "{fault}");
}

#[test]
fn a_live_parameter_counts_from_the_next_reading() {
    let mut node = open_with(&[("SETTLE", "false")], Mode::Lossless).unwrap();
    let strict: Params = ParamSet::from_env(&CONTRACT, [("MIN_READS", "41"), ("SETTLE", "false")]).unwrap().to().unwrap();
    let mut out = Outputs::collector();
    let (tracks, texts) = rows("gate", ["KXW7391", "PLM4528", "ZRT6604"]);
    node.on_input(&Input::of("tracks", &tracks), &mut out).unwrap();
    node.on_params(strict).unwrap();
    node.on_input(&Input::of("texts", &texts), &mut out).unwrap();
    let readings: Vec<ReadingRow> = out.taken("readings");
    assert!(readings.iter().all(|r| r.end), "40 frames are not 41");
    assert_eq!(out.counted("abstained"), 3);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn readings_do_not_depend_on_when_messages_arrive_or_on_other_cameras(order in prop::collection::vec((0_usize..4, 1_usize..20), 400)) {
        let a = rows("a", ["KXW7391", "PLM4528", "ZRT6604"]);
        let b = rows("b", ["HHG2210", "HHG2210", "WQA9087"]);
        let mut alone = open();
        let mut out = Outputs::collector();
        alone.on_input(&Input::of("tracks", &a.0), &mut out).unwrap();
        alone.on_input(&Input::of("texts", &a.1), &mut out).unwrap();
        let wanted: Vec<ReadingRow> = out.taken("readings");
        prop_assert_eq!(wanted.len(), 4);

        let mut node = open();
        let mut next = [0_usize; 4];
        let all = FRAMES as usize + 1;
        for (edge, rows) in order.into_iter().chain((0..4).map(|e| (e, all))) {
            let (from, to) = (next[edge], (next[edge] + rows).min(all));
            if from == to {
                continue;
            }
            next[edge] = to;
            let input = match edge {
                0 => Input::of("tracks", &a.0[from..to]),
                1 => Input::of("texts", &a.1[from..to]),
                2 => Input::of("tracks", &b.0[from..to]),
                _ => Input::of("texts", &b.1[from..to]),
            };
            node.on_input(&input, &mut out).unwrap();
        }
        let found: Vec<ReadingRow> = out.taken("readings");
        prop_assert_eq!(readings_of(&found, "a"), wanted);
        // One plate in two tracks in a row is one pass.
        let b: Vec<String> = readings_of(&found, "b").into_iter().map(|r| r.plate).collect();
        prop_assert_eq!(b, ["HHG2210", "WQA9087", ""]);
    }
}

/// A node with two edges of texts in its graph, and `READERS` as given.
fn open_with_two_readers(readers: &str) -> Result<Voting, Fault> {
    let params: Params = ParamSet::from_env(&CONTRACT, [("READERS", readers)]).expect("valid").to().expect("fits");
    let graph = serde_json::json!({"nodes": [
        {"id": "vote", "inputs": {"tracks": "track/tracks", "texts_a": "reader_a/texts", "texts_b": "reader_b/texts"}},
    ]});
    let context = Context::for_test("vote", Mode::Lossless, &std::env::temp_dir()).in_graph(graph)?;
    Voting::open(params, &context)
}

fn from_edge(id: &str, rows: &[TextsRow]) -> Input {
    let mut input = Input::of("texts", rows);
    input.id = id.to_owned();
    input
}

#[test]
fn two_readers_of_a_camera_vote_together_whoever_speaks_first() {
    let (tracks, right) = rows("gate", ["KXW7391", "PLM4528", "ZRT6604"]);
    let (_, wrong) = rows("gate", ["KXW7391", "PLM4628", "ZRT6604"]);
    // The second reader is less sure, so it is outvoted where they differ.
    let unsure: Vec<TextsRow> = wrong
        .into_iter()
        .map(|mut row| {
            for read in row.texts.iter_mut().flat_map(|t| &mut t.reads) {
                read.confidence = 0.6;
                read.characters.iter_mut().for_each(|c| c.probabilities = vec![0.6, 0.05]);
            }
            row
        })
        .collect();
    let run = |first: (&str, &[TextsRow]), second: (&str, &[TextsRow])| {
        let (mut node, mut out) = (open_with_two_readers("2").unwrap(), Outputs::collector());
        node.on_input(&Input::of("tracks", &tracks), &mut out).unwrap();
        node.on_input(&from_edge(first.0, first.1), &mut out).unwrap();
        assert!(out.taken::<ReadingRow>("readings").is_empty(), "voted without the second reader");
        node.on_input(&from_edge(second.0, second.1), &mut out).unwrap();
        out.taken::<ReadingRow>("readings")
    };
    let readings = run(("texts_a", &right), ("texts_b", &unsure));
    assert_eq!(run(("texts_b", &unsure), ("texts_a", &right)), readings);
    let plates: Vec<&str> = readings.iter().filter(|r| !r.end).map(|r| r.plate.as_str()).collect();
    assert_eq!(plates, ["KXW7391", "PLM4528", "ZRT6604"]);
    let votes: Vec<(&str, &str)> = readings[1].votes.iter().map(|v| (v.text.as_str(), v.variant.as_str())).collect();
    assert_eq!(votes, [("PLM4528", "original@reader_a"), ("PLM4628", "original@reader_b")]);
}

#[test]
fn a_camera_that_is_read_twice_without_saying_so_is_refused() {
    let (_, texts) = rows("gate", ["KXW7391", "PLM4528", "ZRT6604"]);
    let (mut node, mut out) = (open_with_two_readers("1").unwrap(), Outputs::collector());
    node.on_input(&from_edge("texts_a", &texts[..3]), &mut out).unwrap();
    let fault = node.on_input(&from_edge("texts_b", &texts[..3]), &mut out).unwrap_err();
    assert_eq!(fault.message(), "camera `gate` is read by `reader_a` and also by `reader_b`, `readers` is 1");
    // Two readers that share the cameras between them are no ensemble.
    let (_, others) = rows("road", ["KXW7391", "PLM4528", "ZRT6604"]);
    node.on_input(&from_edge("texts_b", &others), &mut out).unwrap();
    let Err(fault) = open_with_two_readers("3") else { panic!("three readers over two edges") };
    assert_eq!(fault.message(), "parameter `readers` is 3, edges with texts: 2");
}
