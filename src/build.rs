//! Records where the build comes from, and lets the programs find libtorch without `LD_LIBRARY_PATH`.

use std::process::Command;

fn main() {
    // espalier-training's build script says where libtorch lies.
    if let Ok(lib) = std::env::var("DEP_ESPALIER_LIBTORCH_LIB") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{lib}");
    }
    if let Ok(keep) = std::env::var("DEP_ESPALIER_LIBTORCH_CUDA") {
        println!("cargo:rustc-link-arg={keep}");
    }

    println!("cargo:rerun-if-changed=.git/HEAD");
    println!("cargo:rerun-if-changed=.git/refs/heads");
    let revision = output("git", &["describe", "--always", "--dirty", "--abbrev=12"]);
    println!("cargo:rustc-env=ESPALIER_GIT_REVISION={}", revision.as_deref().unwrap_or("unknown"));
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let version = output(&rustc, &["--version"]);
    println!("cargo:rustc-env=ESPALIER_RUSTC={}", version.as_deref().unwrap_or("unknown"));
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}
