//! The compiler, on the texts themselves: for every architecture that Gantry runs on. Needs no GPU.

use std::fs;
use std::path::Path;

use gantry_cuda::{Code, Compiler, CudaError, Program};
use gantry_kernels::{Kernel, KernelError, LoadOptions, Origin, Source};

fn compiler() -> Compiler {
    Compiler::load(LoadOptions::from_env().nvrtc.as_deref()).unwrap_or_else(|e| panic!("{e}; {}", e.hint()))
}

#[test]
fn every_text_compiles_for_every_architecture_and_has_its_kernels() {
    let compiler = compiler();
    for source in Source::ALL {
        for architecture in Source::ARCHITECTURES {
            let code = source.compile(&compiler, Code::Cubin, architecture).unwrap();
            assert_eq!(&code[..4], b"\x7fELF", "{} for sm_{architecture}", source.name());
            for kernel in Kernel::ALL.iter().filter(|kernel| kernel.source() == source) {
                let section = format!(".text.{}\0", kernel.name().to_str().unwrap());
                let found = code.windows(section.len()).any(|bytes| bytes == section.as_bytes());
                assert!(found, "{:?} for sm_{architecture}", kernel.name());
            }
        }
    }
}

#[test]
fn no_multiplication_is_contracted_with_an_addition() {
    let compiler = compiler();
    for source in Source::ALL {
        let text = String::from_utf8(source.compile(&compiler, Code::Ptx, 75).unwrap()).unwrap();
        assert!(text.contains(".target sm_75"), "{}", source.name());
        for kernel in Kernel::ALL.iter().filter(|kernel| kernel.source() == source) {
            assert!(text.contains(&format!(".entry {}(", kernel.name().to_str().unwrap())), "{:?}", kernel.name());
        }
        // A product or sum without a rounding mode is one that ptxas may still contract.
        let is_loose = |line: &str| {
            ["fma.", "mul.f32", "mul.f64", "add.f32", "add.f64", "sub.f32", "sub.f64"].iter().any(|start| line.starts_with(start))
        };
        let contracted: Vec<&str> = text.lines().map(str::trim_start).filter(|line| is_loose(line)).collect();
        assert!(contracted.is_empty(), "{}: {contracted:?}", source.name());
    }
}

#[test]
fn a_text_with_a_mistake_gives_the_compilers_words_and_what_to_do() {
    let program = Program { name: "wrong.cu", text: "#include \"common.cuh\"\nKERNEL wrong() { missing(); }", headers: &Source::HEADERS };
    let error = compiler().compile(&program, Code::Cubin, 90, &Source::OPTIONS).unwrap_err();
    let said = error.to_string();
    assert!(said.contains("`wrong.cu` does not compile with `--gpu-architecture=sm_90`") && said.contains("missing"), "{said}");
    assert!(!error.hint().is_empty());
    let error = Source::Axes.compile(&compiler(), Code::Cubin, 12).unwrap_err();
    assert!(matches!(&error, KernelError::Cuda { source: CudaError::Compile { .. }, .. }), "{error}");
}

fn options(cache: Option<&Path>, ahead_of_time: Option<&Path>) -> LoadOptions {
    LoadOptions { cache: cache.map(Path::to_owned), ahead_of_time: ahead_of_time.map(Path::to_owned), ..LoadOptions::from_env() }
}

#[test]
fn what_was_compiled_once_is_taken_from_the_cache_and_damage_is_repaired() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(Some(folder.path()), None);
    let (code, origin) = options.code(Source::Crop, 90, 12_080).unwrap();
    assert_eq!(origin, Origin::Compiled);
    assert_eq!(options.code(Source::Crop, 90, 12_080).unwrap(), (code.clone(), Origin::Cache));
    // Another architecture, driver or text is another entry.
    assert_eq!(options.code(Source::Crop, 89, 12_080).unwrap().1, Origin::Compiled);
    assert_eq!(options.code(Source::Crop, 90, 12_090).unwrap().1, Origin::Compiled);
    assert_eq!(options.code(Source::Axes, 90, 12_080).unwrap().1, Origin::Compiled);
    let files: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 4);
    for file in &files {
        fs::write(file, b"torn").unwrap();
    }
    assert_eq!(options.code(Source::Crop, 90, 12_080).unwrap(), (code.clone(), Origin::Compiled));
    assert_eq!(options.code(Source::Crop, 90, 12_080).unwrap(), (code, Origin::Cache));
}

#[test]
fn several_threads_that_start_at_once_all_get_whole_code() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(Some(folder.path()), None);
    let wanted = options.code(Source::Measure, 90, 1).unwrap().0;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| options.code(Source::Measure, 90, 2).unwrap().0)).collect();
        for thread in threads {
            assert_eq!(thread.join().unwrap(), wanted);
        }
    });
    let parts = fs::read_dir(folder.path()).unwrap().filter(|entry| entry.as_ref().unwrap().path().extension() != Some("cubin".as_ref()));
    assert_eq!(parts.count(), 0, "no parts are left");
}

#[test]
fn a_card_that_this_compiler_does_not_know_gets_what_it_can_run() {
    let known = compiler().architectures();
    assert!(Source::ARCHITECTURES.iter().all(|architecture| known.contains(architecture)), "{known:?}");
    // Whatever comes after the newest one: machine code of the same major version, or assembly.
    let newest = known.iter().max().unwrap();
    for unknown in [newest + 1, newest + 100] {
        let (code, _) = options(None, None).code(Source::Axes, unknown, 13_000).unwrap();
        let is_cubin = code.starts_with(b"\x7fELF");
        assert_eq!(is_cubin, unknown / 10 == newest / 10, "sm_{unknown} from {known:?}");
    }
}

#[test]
fn code_made_ahead_of_time_is_taken_as_it_is_and_its_absence_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(None, Some(folder.path()));
    let error = options.code(Source::Axes, 90, 12_080).unwrap_err();
    let missing = Source::Axes.ptx_name();
    assert!(
        missing.starts_with("axes-") && error.to_string().contains(&missing) && error.hint().contains("cargo xtask kernels"),
        "{error}"
    );
    let ptx = Source::Axes.compile(&compiler(), Code::Ptx, 75).unwrap();
    fs::write(folder.path().join(Source::Axes.ptx_name()), &ptx).unwrap();
    fs::write(folder.path().join(Source::Axes.cubin_name(90)), b"for sm_90").unwrap();
    assert_eq!(options.code(Source::Axes, 89, 12_080).unwrap(), (ptx.clone(), Origin::AheadOfTime));
    assert_eq!(
        options.code(Source::Axes, 90, 12_080).unwrap(),
        (b"for sm_90".to_vec(), Origin::AheadOfTime),
        "the card's own code goes first"
    );
    assert_eq!(options.code(Source::Axes, 92, 12_080).unwrap().0, b"for sm_90", "a later card of the same major version runs it");
    assert_eq!(options.code(Source::Axes, 103, 12_080).unwrap().0, ptx, "one of the next does not");
}
