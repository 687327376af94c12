//! Kills and signals at random moments of every stage.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

use super::subject::{Subject, assert_alike, files};
use super::{amount, policy, random};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(300);

/// A program under way.
struct Started {
    child: Child,
    /// What it said.
    log: JoinHandle<String>,
}

impl Started {
    /// Starts the command and waits until it has said something, if it does: a signal is for a program that has begun.
    fn new(subject: &Subject, folder: &Path) -> Self {
        let mut command = subject.command(folder);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let (tell, began) = mpsc::channel();
        // Read all along: a full pipe would hold the program up.
        let log = thread::spawn(move || {
            let mut text = String::new();
            while lines.read_line(&mut text).unwrap() > 0 {
                // Nobody listens after the first.
                let _ = tell.send(());
            }
            text
        });
        let _ = began.recv_timeout(subject.first_word);
        Self { child, log }
    }

    fn signal(mut self, signal: &str) -> (Option<i32>, String) {
        let kill = format!("kill -{signal} {} 2>/dev/null", self.child.id());
        Command::new("sh").args(["-c", &kill]).status().unwrap();
        let begun = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < PATIENCE, "SIG{signal} does not end the program");
            sleep(Duration::from_millis(1));
        }
        (self.child.wait().unwrap().code(), self.log.join().unwrap())
    }
}

/// How long each stage takes an undisturbed program.
fn durations(subject: &Subject, folder: &Path) -> BTreeMap<String, Duration> {
    let mut durations = BTreeMap::new();
    let mut started = Started::new(subject, folder);
    let mut before = Instant::now();
    while started.child.try_wait().unwrap().is_none() {
        let now = Instant::now();
        if let Some(stage) = (subject.stage)(folder) {
            *durations.entry(stage).or_insert(Duration::ZERO) += now - before;
        }
        before = now;
        sleep(Duration::from_millis(1));
    }
    let status = started.child.wait().unwrap();
    assert!(status.success(), "{}: {}", subject.name, started.log.join().unwrap());
    durations
}

/// What is finished in a folder: summaries of stages, and entries of logs. A log goes when its stage's summary is there.
fn finished(folder: &Path) -> BTreeMap<String, usize> {
    let mut finished = BTreeMap::new();
    for (name, path) in files(folder) {
        let (log, entries) = if name.ends_with(".log") {
            let bytes = fs::read(path).unwrap_or_default();
            (name, bytes.iter().filter(|&&byte| byte == b'\n').count())
        } else if name.ends_with(".jsonl") {
            (format!("{name}.log"), usize::MAX)
        } else {
            continue;
        };
        let most = finished.entry(log).or_default();
        *most = entries.max(*most);
    }
    finished
}

fn up_to(most: Duration, random: &mut ChaCha8Rng) -> Duration {
    most.mul_f64(f64::from(random.next_u32()) / f64::from(u32::MAX))
}

/// Sends signals at random moments until each stage had `wanted`, and compares with an undisturbed run.
fn disturb(subject: &Subject, wanted: usize, signals: &[&str], stream: u64) {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    fs::create_dir(&whole).unwrap();
    let durations = durations(subject, &whole);
    let mut random = random(stream);
    let mut sent: BTreeMap<String, usize> =
        durations.keys().map(|stage| (stage.clone(), 0)).collect();
    let mut runs = 0;
    while sent.values().any(|&times| times < wanted) {
        runs += 1;
        let disturbed = folder.path().join("disturbed");
        fs::create_dir(&disturbed).unwrap();
        let mut before = BTreeMap::new();
        while (subject.stage)(&disturbed).is_some() {
            let mut started = Started::new(subject, &disturbed);
            // The stage in which the next signal comes: the first that still wants one.
            let due = |stage: &String| sent.get(stage).is_some_and(|&times| times < wanted);
            let ended = loop {
                match (subject.stage)(&disturbed) {
                    Some(stage) if due(&stage) => {
                        sleep(up_to(durations[&stage], &mut random));
                        break false;
                    }
                    _ if started.child.try_wait().unwrap().is_some() => break true,
                    _ => sleep(Duration::from_millis(1)),
                }
            };
            let stage = (subject.stage)(&disturbed);
            if ended || stage.is_none() {
                let status = started.child.wait().unwrap();
                assert!(status.success(), "{}: {}", subject.name, started.log.join().unwrap());
                break;
            }
            let signal = signals[random.next_u32() as usize % signals.len()];
            let (status, log) = started.signal(signal);
            match (signal, status) {
                // In the first case it was done before the signal came.
                (_, Some(0)) | ("KILL", None) => {}
                ("INT", Some(130)) | ("TERM", Some(143)) => {
                    assert!(log.contains(&format!("stopped by SIG{signal}")), "{log}");
                }
                _ => panic!("{}, SIG{signal}: status {status:?}: {log}", subject.name),
            }
            if status != Some(0) {
                *sent.entry(stage.unwrap()).or_default() += 1;
            }
            let after = finished(&disturbed);
            for (name, entries) in &before {
                // A log that is gone has become its file.
                let now = after.get(name).copied().unwrap_or_default();
                assert!(
                    now >= *entries,
                    "{}: {name} had {entries} entries and has {now}",
                    subject.name
                );
            }
            before = after;
        }
        subject.finish(&disturbed);
        assert_alike(&whole, &disturbed, subject.name);
        fs::remove_dir_all(&disturbed).unwrap();
    }
    let signals = signals.join(" and ");
    println!("chaos: {}: SIG{signals} in {runs} runs, by stage: {sent:?}; all alike", subject.name);
}

#[test]
fn a_run_that_is_killed_anywhere_becomes_the_undisturbed_one() {
    disturb(&Subject::countdown(), amount(), &["KILL"], 1);
}

#[test]
fn a_run_of_word_problems_that_is_killed_anywhere_becomes_the_undisturbed_one() {
    disturb(&Subject::word_problems(), amount(), &["KILL"], 2);
}

#[test]
fn commands_with_a_served_policy_that_are_killed_anywhere_give_the_undisturbed_files() {
    let (server, folder) = (policy::slow_server(), tempfile::tempdir().unwrap());
    for (subject, stream) in policy::served(&server, folder.path()).iter().zip(3..) {
        disturb(subject, amount(), &["KILL"], stream);
    }
}

#[test]
fn an_interrupted_run_says_so_and_becomes_the_undisturbed_one() {
    disturb(&Subject::countdown(), amount().div_ceil(4), &["INT", "TERM"], 5);
}
