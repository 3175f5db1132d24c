//! Compiles the kernels with the system's C++ compiler (`cargo xtask setup` installs one).

fn main() {
    println!("cargo::rerun-if-changed=shim.h");
    println!("cargo::rerun-if-changed=shim.cpp");
    println!("cargo::rerun-if-changed=../cuda");
    // Contraction would round differently than the Rust code and the GPU (--fmad=false) do. The kernels read the same memory as bytes and as words.
    // No C++ library is linked, so that the tests run on a bare machine.
    cc::Build::new()
        .cpp(true)
        .cpp_link_stdlib(None)
        .std("c++17")
        .include("../cuda")
        .flag("-ffp-contract=off")
        .flag("-fno-strict-aliasing")
        .flag("-fno-exceptions")
        .flag("-fno-rtti")
        .opt_level(2)
        .extra_warnings(true)
        .warnings_into_errors(true)
        .file("shim.cpp")
        .compile("gantry_kernels_shim");
}
