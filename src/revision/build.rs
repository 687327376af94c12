//! Asks git and the compiler for their revision and version.

use std::process::Command;

/// The sources, from this crate's folder: a change of theirs makes a clean revision a dirty one.
const SOURCES: [&str; 5] =
    ["../../Cargo.lock", "../../Cargo.toml", "../../search", "../../src", "../../training"];

fn main() {
    let places = ["HEAD", "refs/heads", "packed-refs"]
        .map(|name| output("git", &["rev-parse", "--path-format=absolute", "--git-path", name]));
    // A place that is not there would ask git again at every build.
    let places = places.into_iter().flatten().filter(|place| std::path::Path::new(place).exists());
    for place in places.chain(SOURCES.map(str::to_owned)) {
        println!("cargo:rerun-if-changed={place}");
    }
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
