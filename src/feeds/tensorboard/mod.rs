//! A file of TensorBoard's events, which grows while a run goes on.
//!
//! TensorBoard has two readers, and importers are others. What all of them read alike: one file a run; first the form's version; no
//! tag twice at a step or at an earlier one; and where a writer goes on, a session that begins after the last step.

mod event;
mod record;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use prost::Message;

use super::scalars::Scalar;
use event::{Event, START, SessionLog, Summary, Value, What};

/// What TensorBoard finds files of events by; the time comes between the two.
const BEGIN: &str = "events.out.tfevents.";
const END: &str = ".espalier";
/// The form of the events, which is the first record.
const VERSION: &str = "brain.Event:2";

/// The events of a run.
pub(super) struct EventFile {
    path: PathBuf,
    file: File,
    /// What is yet to be appended, as records.
    pending: Vec<u8>,
    /// The last step of each tag.
    last: HashMap<String, i64>,
}

impl EventFile {
    /// Opens the file of a folder, or begins one. What stands behind a record that was cut short or is damaged is left out, and told anew.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = match found(folder)? {
            Some(path) => path,
            None => folder.join(format!("{BEGIN}{}{END}", now() as u64)),
        };
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        let cannot = || format!("cannot read {}", path.display());
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).with_context(cannot)?;
        let (whole, events) = events(&bytes);
        file.set_len(whole)
            .and_then(|()| file.seek(SeekFrom::Start(whole)))
            .with_context(cannot)?;
        let mut opened = Self { path, file, pending: Vec::new(), last: HashMap::new() };
        for event in &events {
            opened.count(event);
        }
        if events.is_empty() {
            opened.put(0, What::FileVersion(VERSION.into()));
        } else {
            let after = opened.last.values().max().map_or(0, |last| last + 1);
            opened.put(after, What::SessionLog(SessionLog { status: START }));
        }
        Ok(opened)
    }

    fn count(&mut self, event: &Event) {
        if let Some(What::Summary(Summary { value })) = &event.what {
            for Value { tag, .. } in value {
                self.last.insert(tag.clone(), event.step);
            }
        }
    }

    /// Whether a tag has nothing at a step or after it.
    pub fn lacks(&self, tag: &str, step: i64) -> bool {
        self.last.get(tag).is_none_or(|&last| last < step)
    }

    pub fn add_scalars(&mut self, scalars: &[Scalar]) {
        for Scalar { tag, step, value } in scalars {
            self.add(*step, Value::scalar(tag, *value));
        }
    }

    /// Buckets as [`Value::histogram`].
    pub fn add_histogram(&mut self, tag: &str, step: i64, buckets: &[[f64; 3]]) {
        self.add(step, Value::histogram(tag, buckets));
    }

    pub fn add_text(&mut self, tag: &str, step: i64, text: &str) {
        self.add(step, Value::text(tag, text));
    }

    fn add(&mut self, step: i64, value: Value) {
        if self.lacks(&value.tag, step) {
            self.last.insert(value.tag.clone(), step);
            self.put(step, What::Summary(Summary { value: vec![value] }));
        }
    }

    fn put(&mut self, step: i64, what: What) {
        let event = Event { wall_time: now(), step, what: Some(what) };
        record::append(&mut self.pending, &event.encode_to_vec());
    }

    /// Appends what was added.
    pub fn flush(&mut self) -> Result<()> {
        let written = self.file.write_all(&self.pending).and_then(|()| self.file.flush());
        written.with_context(|| format!("cannot write {}", self.path.display()))?;
        self.pending.clear();
        Ok(())
    }
}

/// The first file of events that this program began.
fn found(folder: &Path) -> Result<Option<PathBuf>> {
    let is_ours = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with(BEGIN) && name.ends_with(END))
    };
    let entries: io::Result<Vec<PathBuf>> = fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect());
    let entries = entries.with_context(|| format!("cannot read {}", folder.display()))?;
    Ok(entries.into_iter().filter(is_ours).min())
}

/// The whole events at the beginning of a file, and how many bytes they take.
fn events(bytes: &[u8]) -> (u64, Vec<Event>) {
    let (mut rest, mut events) = (bytes, Vec::new());
    while let Some((record, later)) = record::read(rest) {
        let Ok(event) = Event::decode(record) else { break };
        events.push(event);
        rest = later;
    }
    ((bytes.len() - rest.len()) as u64, events)
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scalar(step: i64) -> Scalar {
        Scalar { tag: "a/b".into(), step, value: step as f64 }
    }

    fn steps(folder: &Path) -> Vec<i64> {
        let bytes = fs::read(found(folder).unwrap().unwrap()).unwrap();
        let (whole, events) = events(&bytes);
        assert_eq!(whole, bytes.len() as u64);
        assert_eq!(events[0].what, Some(What::FileVersion(VERSION.into())));
        let told = events.iter().filter(|event| matches!(event.what, Some(What::Summary(_))));
        told.map(|event| event.step).collect()
    }

    #[test]
    fn a_file_grows_over_a_restart_and_repeats_nothing() {
        let folder = tempfile::tempdir().unwrap();
        for last in [2, 4] {
            let mut file = EventFile::open(folder.path()).unwrap();
            let scalars: Vec<Scalar> = (0..=last).map(scalar).collect();
            file.add_scalars(&scalars);
            file.flush().unwrap();
        }
        assert_eq!(steps(folder.path()), [0, 1, 2, 3, 4]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_a_kill_cut_short_is_told_again() {
        let folder = tempfile::tempdir().unwrap();
        let tell = || {
            let mut file = EventFile::open(folder.path()).unwrap();
            file.add_scalars(&[scalar(1), scalar(2)]);
            file.flush().unwrap();
        };
        tell();
        let path = found(folder.path()).unwrap().unwrap();
        let bytes = fs::read(&path).unwrap();
        for cut in 0..bytes.len() {
            fs::write(&path, &bytes[..cut]).unwrap();
            tell();
            assert_eq!(steps(folder.path()), [1, 2], "cut at {cut}");
        }
    }
}
