//! tests/gpu/run.sh: which checks there are, what counts, what comes back.

use crate::{path_with, program, read, runs, said, script, terminate, wait_until, write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const PASSES: &str = "#!/bin/sh\nexit 0\n";
/// Lists three tests and one over the shim; reads its input to the end, as a child of a check may.
const PROGRAM: &str = r#"#!/bin/sh
case "$*" in
*--ignored*) ;;
*--list*) printf 'one: test\ntwo: test\nthree: test\nfour_over_the_shim: test\nhost::five: test\n' ;;
*) cat; echo "ran $2"; exit ${FAILS:-0} ;;
esac
"#;

/// A folder as pack.sh makes it, and a machine with a card.
pub struct Pack(tempfile::TempDir);

impl Pack {
    pub fn new(contents: &str) -> Self {
        let pack = Self(tempfile::tempdir().unwrap());
        std::fs::copy(script("run.sh"), pack.folder().join("run.sh")).unwrap();
        write(&pack.folder().join("contents"), contents);
        program(&pack.folder().join("bin/good"), PROGRAM);
        program(&pack.folder().join("gantry-chaos"), PASSES);
        pack.tool("nvidia-smi", "#!/bin/sh\necho 'stand-in, GPU-0, 1.0, 80000 MiB'\n");
        // That of the machine the test runs on would find no card.
        pack.tool("compute-sanitizer", PASSES);
        pack
    }

    pub fn folder(&self) -> PathBuf {
        let folder = self.0.path().join("pack");
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    pub fn out(&self) -> PathBuf {
        self.0.path().join("out")
    }

    pub fn tool(&self, name: &str, text: &str) {
        program(&self.0.path().join("tools").join(name), text);
    }

    pub fn program(&self, name: &str, text: &str) {
        program(&self.folder().join(name), text);
    }

    pub fn command(&self, script: &Path) -> Command {
        let mut command = Command::new("bash");
        command.arg(script).env("PATH", path_with(&self.0.path().join("tools"))).env("TMPDIR", self.0.path()).env_remove("ONLY");
        command.env("OUT", self.out()).stdin(Stdio::null());
        command
    }

    fn run(&self, environment: &[(&str, &str)]) -> Output {
        self.command(&self.folder().join("run.sh")).envs(environment.iter().copied()).output().unwrap()
    }

    fn page(&self) -> String {
        read(&self.out().join("gpu.md"))
    }

    fn assert_ended(&self, output: &Output, code: i32, rows: &[&str]) {
        let page = self.page();
        assert_eq!(output.status.code(), Some(code), "{page}\n{}", said(output));
        for row in rows {
            assert!(page.contains(row), "no `{row}` in\n{page}");
        }
    }
}

#[test]
fn every_test_of_every_program_is_a_row_whatever_it_reads() {
    let pack = Pack::new("checks");
    let output = pack.run(&[]);
    pack.assert_ended(&output, 0, &["| good:one | pass |", "| good:two | pass |", "| good:three | pass |", "| chaos:cuda_vmm | pass |"]);
    let page = pack.page();
    assert!(!page.contains("four_over") && !page.contains("five"), "neither the shim's nor those of host memory:\n{page}");
    assert!(page.contains("Result: 10 of 10 checks passed"), "{page}");
}

#[test]
fn few_files_come_back_and_one_of_them_has_all_logs() {
    let pack = Pack::new("checks");
    pack.run(&[]);
    let mut files: Vec<_> = pack.out().read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    assert_eq!(files, ["gpu.md", "logs.tar.gz"]);
    let log = Command::new("tar").arg("-xzOf").arg(pack.out().join("logs.tar.gz")).arg("./logs/good_two.log").output().unwrap();
    assert_eq!(said(&log).trim(), "ran two");
}

#[test]
fn checks_run_in_the_folder_wherever_the_script_is_started() {
    let pack = Pack::new("checks");
    pack.program("bin/good", &PROGRAM.replace("ran", "ran in $(pwd)"));
    // What OUT names counts from where it was typed.
    let output = pack.command(&pack.folder().join("run.sh")).current_dir(pack.out().parent().unwrap()).env("OUT", "out").output().unwrap();
    pack.assert_ended(&output, 0, &["| good:one | pass |"]);
    let log = Command::new("tar").arg("-xzOf").arg(pack.out().join("logs.tar.gz")).arg("./logs/good_two.log").output().unwrap();
    assert!(said(&log).contains(&format!("ran in {}", pack.folder().display())), "{}", said(&log));
}

#[test]
fn a_check_that_fails_or_skips_itself_fails_the_run() {
    let pack = Pack::new("checks");
    let output = pack.run(&[("FAILS", "7")]);
    pack.assert_ended(&output, 1, &["| good:one | FAIL (7) |", "Result: 7 of 10"]);
    pack.program("bin/good", &PROGRAM.replace("ran", "skipped:"));
    let output = pack.run(&[]);
    pack.assert_ended(&output, 1, &["| good:one | FAIL (skipped) |"]);
}

#[test]
fn a_program_that_does_not_start_is_a_failure_with_its_words() {
    let pack = Pack::new("checks");
    pack.program("bin/broken", "#!/bin/sh\necho 'error while loading shared libraries: libavcodec.so.59' >&2\nexit 127\n");
    let output = pack.run(&[]);
    pack.assert_ended(
        &output,
        1,
        &["| broken | FAIL (does not start: error while loading shared libraries: libavcodec.so.59) |", "| good:one | pass |"],
    );
}

#[test]
fn a_program_without_a_test_for_a_card_is_a_failure() {
    let pack = Pack::new("checks");
    pack.program("bin/empty", "#!/bin/sh\necho 'this_is_over_the_shim: test'\n");
    let output = pack.run(&[]);
    pack.assert_ended(&output, 1, &["| empty | FAIL (names no test for a card) |"]);
}

#[test]
fn what_a_full_pack_lacks_is_a_failure_and_what_a_small_one_never_had_is_none() {
    let pack = Pack::new("full");
    std::fs::remove_file(pack.folder().join("gantry-chaos")).unwrap();
    let output = pack.run(&[]);
    let rows = ["| graph:plates | FAIL (not run: no nodes", "| graph:streams | FAIL (not run", "| chaos:cuda_ipc | FAIL (not run"];
    pack.assert_ended(&output, 1, &rows);
    let pack = Pack::new("checks");
    let output = pack.run(&[]);
    pack.assert_ended(&output, 0, &["| graph:plates | not run: the folder was packed with --checks |"]);
}

#[test]
fn what_there_is_no_time_for_is_a_failure() {
    let pack = Pack::new("checks");
    let output = pack.run(&[("LIMIT_S", "3")]);
    pack.assert_ended(&output, 1, &["| good:one | FAIL (not run: no time left) |", "| chaos:cuda_vmm | FAIL (not run: no time left) |"]);
}

#[test]
fn a_part_of_the_checks_is_chosen_by_how_their_names_begin() {
    let pack = Pack::new("checks");
    let output = pack.run(&[("ONLY", "good:t chaos:cuda_ipc")]);
    pack.assert_ended(&output, 0, &["| good:two | pass |", "| good:three | pass |", "| chaos:cuda_ipc | pass |", "Result: 3 of 3"]);
    let output = pack.run(&[("ONLY", "good:one craos")]);
    pack.assert_ended(&output, 2, &["Result: no check begins with `craos`"]);
    pack.program("bin/broken", "#!/bin/sh\nexit 127\n");
    let output = pack.run(&[("ONLY", "good:one")]);
    pack.assert_ended(&output, 0, &["Result: 1 of 1"]);
}

#[test]
fn a_sanitizer_that_refuses_the_machine_is_no_failure_and_one_that_finds_something_is() {
    let pack = Pack::new("checks");
    pack.tool("compute-sanitizer", "#!/bin/sh\necho '========= Error: Device not supported. Please refer to the documentation'\nexit 1\n");
    let output = pack.run(&[("ONLY", "sanitizer")]);
    pack.assert_ended(
        &output,
        0,
        &["| sanitizer:memcheck | not run: ========= Error: Device not supported. Please refer to the documentation |"],
    );
    assert!(!pack.page().contains("racecheck"), "asked once:\n{}", pack.page());
    pack.tool("compute-sanitizer", "#!/bin/sh\necho \"========= $LD_LIBRARY_PATH\"\nexit 9\n");
    let output = pack.run(&[("ONLY", "sanitizer")]);
    pack.assert_ended(&output, 1, &["| sanitizer:racecheck | FAIL (9) |", "| sanitizer:memcheck_of_kernels | FAIL (9) |"]);
    let log = Command::new("tar").arg("-xzOf").arg(pack.out().join("logs.tar.gz")).arg("./logs/sanitizer_initcheck.log").output().unwrap();
    assert!(said(&log).contains(&format!("{}/lib", pack.folder().display())), "{}", said(&log));
}

#[test]
fn without_a_card_nothing_is_checked() {
    if Path::new("/dev/nvidia0").exists() || Path::new("/dev/nvhost-gpu").exists() {
        return;
    }
    let pack = Pack::new("checks");
    pack.tool("nvidia-smi", "#!/bin/sh\nexit 9\n");
    let output = pack.run(&[]);
    pack.assert_ended(&output, 3, &["Result: no CUDA device"]);
}

#[test]
fn a_signal_ends_the_check_that_runs_and_leaves_page_and_logs() {
    let pack = Pack::new("checks");
    let pid = pack.folder().join("pid");
    pack.program("gantry-chaos", &format!("#!/bin/sh\necho begun\necho $$ >{0}.new && mv {0}.new {0}\nexec sleep 600\n", pid.display()));
    let mut child = pack.command(&pack.folder().join("run.sh")).stdout(Stdio::null()).spawn().unwrap();
    wait_until("chaos runs", || pid.exists());
    assert_eq!(terminate(&mut child).code(), Some(143));
    assert!(!runs(&pid), "chaos ended, too");
    assert!(pack.page().contains("| good:one | pass |") && pack.page().contains("ended by a signal"), "{}", pack.page());
    let log = Command::new("tar").arg("-xzOf").arg(pack.out().join("logs.tar.gz")).arg("./logs/chaos_cuda_vmm.log").output().unwrap();
    assert_eq!(said(&log).trim(), "begun");
}
