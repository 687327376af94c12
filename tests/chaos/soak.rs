//! A long run, and what its memory does.

use std::fs;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::setting;
use crate::program::{TINY, espalier, text};

/// How long, in minutes.
const MINUTES: &str = "ESPALIER_SOAK_MINUTES";

/// Resident memory of a process in bytes, if it is there.
fn resident(process: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? * 1024.0)
}

/// The slope of the least-squares line.
fn slope(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let [x, y] = points.iter().fold([0.0; 2], |[x, y], point| [x + point.0 / n, y + point.1 / n]);
    let above: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    above / points.iter().map(|point| (point.0 - x).powi(2)).sum::<f64>()
}

#[test]
fn the_memory_of_a_long_run_does_not_grow() {
    assert!((slope(&[(0.0, 1.0), (1.0, 3.0), (2.0, 5.0)]) - 2.0).abs() < 1e-12);
    let minutes: f64 = setting(MINUTES, 0.2);
    let folder = tempfile::tempdir().unwrap();
    let [run_dir, said] = ["run", "said"].map(|name| folder.path().join(name));
    let log = fs::File::create(&said).unwrap();
    // A round takes more than a second.
    let count = format!("rounds.count={}", 20 + (60.0 * minutes) as usize);
    let endless = [
        &*count,
        "rounds.window=2",
        "rounds.pool=240",
        "rounds.keep.checkpoints=1",
        "rounds.keep.trees=0",
        "rounds.probe.problems=12",
        "rounds.probe.search.simulations=10",
    ];
    let mut arguments = vec!["run", "--config", TINY, "--run-dir", text(&run_dir)];
    endless.iter().for_each(|setting| arguments.extend(["--set", setting]));
    let mut child = espalier(&arguments).stdout(Stdio::null()).stderr(log).spawn().unwrap();
    let (begun, mut points) = (Instant::now(), Vec::new());
    let begun_rounds = || fs::read_dir(run_dir.join("rounds")).map_or(0, Iterator::count);
    // On a busy machine the first round may take longer than a short soak.
    while begun.elapsed().as_secs_f64() < 60.0 * minutes || begun_rounds() < 2 {
        sleep(Duration::from_millis(250));
        let ended = child.try_wait().unwrap();
        assert!(ended.is_none(), "the run ended: {}", fs::read_to_string(&said).unwrap());
        points.extend(resident(child.id()).map(|bytes| (begun.elapsed().as_secs_f64(), bytes)));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let rounds = begun_rounds();
    // The first third warms up.
    let warm = &points[points.len() / 3..];
    let hourly = 3600.0 * slope(warm) / f64::from(1 << 20);
    let last = warm.last().unwrap().1 / f64::from(1 << 20);
    println!(
        "chaos: soak of {minutes} min: {rounds} rounds begun, {last:.0} MiB, {hourly:+.1} MiB an hour"
    );
    assert!(last > 1.0);
    // What a slope means needs time.
    assert!(minutes < 5.0 || hourly < 60.0, "memory grows by {hourly:.1} MiB an hour");
}
