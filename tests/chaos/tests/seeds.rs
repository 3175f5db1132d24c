//! The seeds of the fuzzers (fuzz/seeds) as ordinary tests: each is checked as the fuzzer would, and together they reach every answer
//! that the checker has.
//!
//! `GANTRY_REGENERATE=1 cargo test --release -p gantry-chaos --test seeds` writes the ones that are made here; files whose names begin
//! with `found-` are what fuzzing added.

#[path = "../../../fuzz/checks/handle.rs"]
mod handle;
#[path = "../../../fuzz/checks/wire.rs"]
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use gantry_frames_proofs as frames;
use gantry_frames_proofs::*;

/// What all seeds of one target may have: they are read in each test run and stay in the tree for good.
const MOST_BYTES: u64 = 256 << 10;

struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("gantry-seeds-{name}-{}", std::process::id())))
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target)
}

/// The seeds of `target` in the tree, by name, after those that are made here were compared with it or written.
fn seeds(target: &str, made: &BTreeMap<String, Vec<u8>>) -> BTreeMap<String, Vec<u8>> {
    let folder = folder(target);
    if std::env::var_os("GANTRY_REGENERATE").is_some() {
        std::fs::create_dir_all(&folder).unwrap();
        for entry in std::fs::read_dir(&folder).unwrap().flatten() {
            if !entry.file_name().to_string_lossy().starts_with("found-") {
                std::fs::remove_file(entry.path()).unwrap();
            }
        }
        made.iter().for_each(|(name, bytes)| std::fs::write(folder.join(name), bytes).unwrap());
    }
    let read = |entry: std::fs::DirEntry| (entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path()).unwrap());
    let there: BTreeMap<_, _> = std::fs::read_dir(&folder).unwrap().map(|entry| read(entry.unwrap())).collect();
    let own: BTreeMap<_, _> = there.clone().into_iter().filter(|(name, _)| !name.starts_with("found-")).collect();
    assert!(
        own == *made,
        "fuzz/seeds/{target} is not what this test makes: GANTRY_REGENERATE=1 cargo test --release -p gantry-chaos --test seeds"
    );
    let bytes: usize = there.values().map(Vec::len).sum();
    assert!((bytes as u64) < MOST_BYTES, "fuzz/seeds/{target} has {bytes} bytes");
    there
}

/// Name of a seed, edits (place and value), and the answer that it gets.
type Edited = (&'static str, Vec<(u8, u8)>, &'static str);

/// Edits of the valid handle.
fn edits() -> Vec<Edited> {
    let over = |at: std::ops::Range<u8>, value: u8| at.map(|at| (at, value)).collect::<Vec<_>>();
    vec![
        ("as-published", vec![], "taken"),
        ("magic", vec![(0, b'X')], "magic"),
        ("version-2", vec![(4, 2)], "version"),
        ("version-high", vec![(5, 1)], "version"),
        ("backend-9", vec![(6, 9)], "unknown backend"),
        ("backend-vmm", vec![(6, 1)], "not the pool's backend"),
        ("backend-ipc", vec![(6, 2)], "not the pool's backend"),
        ("backend-vmm-device", [vec![(6, 1)], over(40..56, 7)].concat(), "not the pool's backend"),
        ("mode-9", vec![(7, 9)], "unknown mode"),
        ("mode-lossless", vec![(7, 1)], "not the pool's mode"),
        ("seq-of-the-future", vec![(24, 1)], "not the pool's seq"),
        ("seq-last", over(24..32, 255), "not the pool's seq"),
        ("slot-8", vec![(32, 8)], "not the pool's slot"),
        ("slot-last", over(32..36, 255), "not the pool's slot"),
        ("slot-free", vec![(32, 3)], "stale"),
        ("generation-later", vec![(36, 9)], "stale"),
        ("device-on-host", vec![(40, 1)], "reserved"),
        ("offset-beyond", vec![(57, 5)], "not the pool's offset + len"),
        ("offset-inside", vec![(57, 2)], "forged"),
        ("offset-overflows", over(56..64, 255), "layout"),
        ("len-0", vec![(65, 0)], "payload"),
        ("len-short", vec![(64, 255), (65, 1)], "payload"),
        ("len-longer", vec![(64, 1)], "forged"),
        ("len-last", over(64..72, 255), "not the pool's offset + len"),
        ("fourcc-0", over(72..76, 0), "unknown format"),
        ("kind-0", vec![(76, 0)], "unknown kind"),
        ("kind-tensor", vec![(76, 2)], "unknown dtype"),
        ("dtype-of-a-picture", vec![(77, 1)], "reserved"),
        ("tensor-with-a-fourcc", vec![(76, 2), (77, 1), (78, 1)], "reserved"),
        ("planes-0", vec![(78, 0)], "reserved"),
        ("planes-2", vec![(78, 2)], "layout"),
        ("planes-5", vec![(78, 5)], "unknown planes"),
        ("matrix-99", vec![(79, 99)], "unknown colour"),
        ("range-99", vec![(80, 99)], "unknown colour"),
        ("flag", vec![(81, 1)], "reserved"),
        ("last-flag", vec![(87, 128)], "reserved"),
        ("published-later", vec![(95, 1)], "forged"),
        ("width-0", vec![(96, 0)], "layout"),
        ("width-last", over(96..100, 255), "layout"),
        ("width-31", vec![(96, 31)], "forged"),
        ("height-0", vec![(100, 0)], "layout"),
        ("height-last", over(100..104, 255), "layout"),
        ("plane-offset", vec![(104, 1)], "payload"),
        ("plane-offset-overflows", over(104..112, 255), "layout"),
        ("stride-0", over(112..116, 0), "layout"),
        ("stride-last", over(112..116, 255), "payload"),
        ("rows-0", vec![(116, 0)], "layout"),
        ("rows-last", over(116..120, 255), "payload"),
        ("second-plane", vec![(120, 1)], "reserved"),
        ("tail", vec![(191, 1)], "reserved"),
        ("tensor-of-dtype-9", [over(72..76, 0), vec![(76, 2), (77, 9)]].concat(), "unknown dtype"),
        ("tensor-of-rank-7", [over(72..76, 0), vec![(76, 2), (77, 1), (78, 7), (79, 0), (80, 0)]].concat(), "unknown rank"),
    ]
}

/// Whole handles with layouts of every kind. Pool and time are made the same for each run.
fn whole(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let pool = Pool::create(PoolConfig {
        runtime_dir: dir.to_owned(),
        output: "seeds".into(),
        mode: Mode::Live,
        slots: 2,
        slot_bytes: 1 << 20,
        producer_max_held: 0,
        consumers: Vec::new(),
        grace: std::time::Duration::from_secs(1),
    })
    .unwrap();
    let colour = |matrix| Colour { matrix, range: Range::Full };
    let planes = [Plane { offset: 64, stride: 200, rows: 90 }];
    let layouts = [
        ("i420", Layout::i420(853, 479)),
        ("nv12", Layout::nv12(640, 360)),
        ("rgb8", Layout::rgb8(33, 17)),
        ("bgr8", Layout::bgr8(1, 1)),
        ("gray8-bt601", Layout::gray8(320, 240).map(|layout| layout.with_colour(colour(Matrix::Bt601)))),
        ("strided", Layout::image(PixelFormat::Gray8, 100, 90, &planes, colour(Matrix::Bt709))),
        ("tensor-u8", Layout::tensor(DType::U8, &[3, 54, 96])),
        ("tensor-f16", Layout::tensor(DType::F16, &[1, 3, 16, 16])),
        ("tensor-f32", Layout::tensor(DType::F32, &[1, 2, 3, 4, 5, 6])),
        ("tensor-strided", Layout::tensor_strided(DType::F32, &[4, 5], &[64, 4])),
    ];
    let handle = |layout: Layout| {
        let filled = pool.begin_write(&StopFlag::new()).unwrap().fill(layout).unwrap();
        let mut bytes = *filled.publish(&FrameMeta::default()).handle.as_bytes();
        bytes[8..24].fill(0xab);
        bytes[88..96].fill(0);
        bytes
    };
    layouts.into_iter().map(|(name, layout)| (name.to_owned(), [&[1][..], &handle(layout.unwrap())].concat())).collect()
}

#[test]
fn every_seed_of_a_handle_gets_its_answer_and_every_answer_has_a_seed() {
    let (dir, another) = (Dir::new("handle"), Dir::new("another"));
    let target = handle::Target::new(&dir.0);
    let bytes = |edits: &[(u8, u8)]| [&[0][..], &edits.iter().flat_map(|(at, value)| [*at, *value]).collect::<Vec<_>>()].concat();
    let mut made: BTreeMap<_, _> = edits().iter().map(|(name, edits, _)| ((*name).to_owned(), bytes(edits))).collect();
    made.insert("nothing".into(), Vec::new());
    made.insert("noise".into(), (0..193u8).map(|i| i.wrapping_mul(37) | 1).collect());
    let whole = whole(&another.0);
    made.extend(whole.iter().cloned());
    let there = seeds("handle", &made);

    let got = |(name, edits, wanted): &Edited| {
        let answer = target.check(&bytes(edits));
        (answer != *wanted).then(|| format!("`{name}` gets `{answer}`, not `{wanted}`"))
    };
    let others: Vec<_> = edits().iter().filter_map(got).collect();
    assert!(others.is_empty(), "{others:#?}");
    for (name, bytes) in &whole {
        assert_eq!(target.check(bytes), "another pool", "seed `{name}`");
    }
    let answers: BTreeSet<_> = there.values().map(|bytes| target.check(bytes)).collect();
    // `device` cannot be reached on host memory: there the device is zero, or the handle is refused before.
    let missing: Vec<_> = ANSWERS.iter().filter(|answer| !answers.contains(**answer)).collect();
    assert!(missing.is_empty(), "no seed is answered with {missing:?}");
    assert_eq!(target.check(&[0]), "taken", "after all that was refused the frame is still there");
}

const ANSWERS: &[&str] = &[
    "another pool",
    "forged",
    "layout",
    "magic",
    "not the pool's backend",
    "not the pool's mode",
    "not the pool's offset + len",
    "not the pool's seq",
    "not the pool's slot",
    "payload",
    "reserved",
    "stale",
    "taken",
    "unknown backend",
    "unknown colour",
    "unknown dtype",
    "unknown format",
    "unknown kind",
    "unknown mode",
    "unknown planes",
    "unknown rank",
    "version",
];

#[test]
fn every_seed_of_the_wire_is_a_message_or_nothing() {
    let message = |kind: u8, rest: &[u8]| [&2u32.to_le_bytes()[..], &[kind], rest].concat();
    let number = |n: u32| n.to_le_bytes();
    let refused = |code: u32, value: u32| message(4, &[&number(code)[..], &number(value), &[6], b"cam0/f"].concat());
    let welcome = proofs::welcome(PoolId([7; 16]), Mode::Lossless, 9, 4096, 3, "cam0.decode/frames");
    let mut on_a_card = welcome.clone();
    // Back end, behind version, kind, index and mode.
    on_a_card[10] = 1;
    let made = [
        ("hello", message(1, &[&number(3)[..], &[6], b"detect"].concat()), "request"),
        ("hello-without-name", message(1, &[&number(3)[..], &[0]].concat()), "request"),
        ("hello-short", message(1, &[3, 0, 0]), "nothing"),
        ("hello-of-a-longer-name", message(1, &[&number(3)[..], &[200], b"detect"].concat()), "nothing"),
        ("hello-in-latin-1", message(1, &[&number(3)[..], &[2], &[0xe4, 0xf6]].concat()), "nothing"),
        ("hello-and-more", message(1, &[&number(3)[..], &[1], b"ab"].concat()), "nothing"),
        ("goodbye", message(2, &[]), "request"),
        ("goodbye-and-more", message(2, &[0]), "nothing"),
        ("welcome", welcome.clone(), "reply"),
        ("welcome-on-a-card", on_a_card, "reply"),
        ("welcome-short", welcome[..20].to_vec(), "nothing"),
        ("refused-undeclared", refused(0, 0), "reply"),
        ("refused-in-use", refused(1, 4711), "reply"),
        ("refused-max-held", refused(2, 8), "reply"),
        ("refused-closing", refused(3, 0), "reply"),
        ("refused-for-nothing", refused(4, 0), "nothing"),
        ("another-kind", message(9, &[]), "nothing"),
        ("another-version", vec![1, 0, 0, 0, 2], "nothing"),
        ("nothing", Vec::new(), "nothing"),
    ];
    let there = seeds("wire", &made.iter().map(|(name, bytes, _)| ((*name).to_owned(), bytes.clone())).collect());
    let got = |(name, bytes, wanted): &(&str, Vec<u8>, &str)| {
        let answer = wire::check(bytes);
        (answer != *wanted).then(|| format!("`{name}` is `{answer}`, not `{wanted}`"))
    };
    let others: Vec<_> = made.iter().filter_map(got).collect();
    assert!(others.is_empty(), "{others:#?}");
    let answers: BTreeSet<_> = there.values().map(|bytes| wire::check(bytes)).collect();
    assert_eq!(answers, BTreeSet::from(["nothing", "reply", "request"]));
}
