//! Says where libtorch lies, and its CUDA half where there is one, so that programs find it at run time without
//! `LD_LIBRARY_PATH`: this crate's tests through the link arguments, the crates that depend on it through the metadata
//! keys `lib` and `cuda`, which the build script of each turns into link arguments of its own.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-env-changed=LIBTORCH_USE_PYTORCH");
    if let Some(lib) = libtorch() {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{lib}");
        println!("cargo:lib={lib}");
        let cuda = format!("{lib}/libtorch_cuda.so");
        if Path::new(&cuda).exists() {
            // It registers itself when it is loaded and no symbol of it is named, so that the linker would leave it out.
            let keep = format!("-Wl,--no-as-needed,{cuda},--as-needed");
            println!("cargo:rustc-link-arg={keep}");
            println!("cargo:cuda={keep}");
        }
    }
}

fn libtorch() -> Option<String> {
    if std::env::var_os("LIBTORCH_USE_PYTORCH").is_none() {
        return std::env::var("LIBTORCH").ok().map(|folder| format!("{folder}/lib"));
    }
    let script = "import os, torch; print(os.path.join(os.path.dirname(torch.__file__), 'lib'))";
    let output = Command::new("python3").args(["-c", script]).output().ok()?;
    let lib = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !lib.is_empty()).then_some(lib)
}
