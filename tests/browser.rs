//! A real Chromium.

use std::path::{Path, PathBuf};
use std::process::Command;

use espalier::search::testing::skipped;

/// Debian's package `chromium`, or another that is installed.
pub fn browser() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let found = std::env::split_paths(&path)
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .find(|program| program.exists());
    if found.is_none() {
        skipped("no Chromium (Debian's package `chromium`)");
    }
    found
}

/// Opens an address and returns the page's elements as they are when its scripts rest. A word on the console is a failure.
pub fn opened(browser: &Path, address: &str, folder: &Path) -> String {
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"])
        .args(["--window-size=1400,1000", "--virtual-time-budget=10000"])
        .args(["--enable-logging=stderr", "--disable-background-networking"])
        .arg("--disable-component-update")
        .arg(format!("--user-data-dir={}", folder.join("profile").display()))
        .arg(address)
        .output()
        .unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(!log.contains(":CONSOLE"), "{log}");
    String::from_utf8(output.stdout).unwrap()
}
