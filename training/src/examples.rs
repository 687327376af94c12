//! Where a run's examples come from: memory, or a file in which they wait until their step.

use std::borrow::Cow;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use espalier_model::error::Error as ModelError;

use crate::error::Result;
use crate::example::Example;
use crate::objective::PolicySpan;

/// The part of an example that a run keeps in mind for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// How many tokens it has.
    pub tokens: usize,
    /// [`Example::group`].
    pub group: Option<u32>,
    /// [`Example::has_targets`].
    pub has_targets: bool,
}

impl Shape {
    fn of(example: &Example) -> Self {
        Self {
            tokens: example.tokens.len(),
            group: example.group,
            has_targets: example.has_targets(),
        }
    }
}

/// Examples by their index.
pub trait Examples: fmt::Debug + Sync {
    /// How many there are.
    fn len(&self) -> usize;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// An example's shape; `index` is below [`Self::len`].
    fn shape(&self, index: usize) -> Shape;

    /// An example; `index` is below [`Self::len`].
    ///
    /// # Errors
    /// When it cannot be read.
    fn get(&self, index: usize) -> Result<Cow<'_, Example>>;
}

impl<T: AsRef<[Example]> + fmt::Debug + Sync> Examples for T {
    fn len(&self) -> usize {
        self.as_ref().len()
    }

    fn shape(&self, index: usize) -> Shape {
        Shape::of(&self.as_ref()[index])
    }

    fn get(&self, index: usize) -> Result<Cow<'_, Example>> {
        Ok(Cow::Borrowed(&self.as_ref()[index]))
    }
}

/// Examples in a file that has no name and goes with the process: 12 bytes each stay in memory.
#[derive(Debug)]
pub struct ExampleFile {
    path: PathBuf,
    file: BufWriter<File>,
    places: Vec<Place>,
    /// Where the first example of each [`BLOCK`] begins, in words of 4 bytes.
    blocks: Vec<u64>,
    /// Where the last one ends.
    end: u64,
}

/// What is known of an example without reading it.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// Its words of 4 bytes in the file.
    words: u32,
    /// How many tokens it has, and in the lowest bit whether it has targets.
    tokens: u32,
    /// Its group; [`NO_GROUP`] without one.
    group: u32,
}

/// Examples of which the file's place of the first alone is kept.
const BLOCK: usize = 64;
const NO_GROUP: u32 = u32::MAX;

impl ExampleFile {
    /// An empty file in the folder of `beside`, on whose disk there is room for what the run writes.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn create(beside: &Path) -> Result<Self> {
        let mut name = beside.file_name().unwrap_or_default().to_owned();
        name.push(".examples");
        let path = beside.with_file_name(name);
        let open = || {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            let mut options = OpenOptions::new();
            let file = options.read(true).write(true).create(true).truncate(true).open(&path)?;
            // What is open stays until it is closed.
            fs::remove_file(&path)?;
            Ok(file)
        };
        let file = BufWriter::new(open().map_err(ModelError::io(&path))?);
        Ok(Self { path, file, places: Vec::new(), blocks: Vec::new(), end: 0 })
    }

    /// Appends an example.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn push(&mut self, example: &Example) -> Result<()> {
        let words = words(example);
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.file.write_all(&bytes).map_err(ModelError::io(&self.path))?;
        if self.places.len().is_multiple_of(BLOCK) {
            self.blocks.push(self.end);
        }
        if self.places.len() == self.places.capacity() {
            // By an eighth: there are many, and doubling would take twice the memory.
            self.places.reserve_exact(BLOCK.max(self.places.len() / 8));
        }
        self.places.push(Place {
            words: words.len() as u32,
            tokens: (example.tokens.len() as u32) << 1 | u32::from(example.has_targets()),
            group: example.group.unwrap_or(NO_GROUP),
        });
        self.end += words.len() as u64;
        Ok(())
    }

    /// Makes the examples so far readable.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn flush(&mut self) -> Result<()> {
        Ok(self.file.flush().map_err(ModelError::io(&self.path))?)
    }
}

impl Examples for ExampleFile {
    fn len(&self) -> usize {
        self.places.len()
    }

    fn shape(&self, index: usize) -> Shape {
        let Place { tokens, group, .. } = self.places[index];
        Shape {
            tokens: (tokens >> 1) as usize,
            group: (group != NO_GROUP).then_some(group),
            has_targets: tokens & 1 == 1,
        }
    }

    fn get(&self, index: usize) -> Result<Cow<'_, Example>> {
        let block = index / BLOCK;
        let before = self.places[block * BLOCK..index].iter().map(|place| u64::from(place.words));
        let start = self.blocks[block] + before.sum::<u64>();
        let mut bytes = vec![0; 4 * self.places[index].words as usize];
        let read = self.file.get_ref().read_exact_at(&mut bytes, 4 * start);
        read.map_err(ModelError::io(&self.path))?;
        let (words, _) = bytes.as_chunks::<4>();
        let words: Vec<u32> = words.iter().map(|word| u32::from_le_bytes(*word)).collect();
        let example = example(&words);
        let damaged = || ModelError::format(&self.path, format!("example {index} is damaged"));
        Ok(Cow::Owned(example.ok_or_else(damaged)?))
    }
}

/// An example as a run of words: the lengths of its lists, then the lists.
fn words(example: &Example) -> Vec<u32> {
    // Taken apart, so that a new field is not forgotten.
    let Example { tokens, policy, value_targets, value_weights, old_log_probs, signals, group } =
        example;
    let lengths = [
        tokens.len(),
        policy.len(),
        value_targets.len(),
        value_weights.len(),
        old_log_probs.len(),
        signals.len(),
    ];
    let mut words: Vec<u32> = lengths.iter().map(|&length| length as u32).collect();
    words.extend([u32::from(group.is_some()), group.unwrap_or_default()]);
    words.extend(tokens);
    for PolicySpan { tokens, weight } in policy {
        words.extend([tokens.start, tokens.end, weight.to_bits()]);
    }
    for &(position, value) in value_targets {
        words.extend([position as u32, value.to_bits()]);
    }
    words.extend(
        value_weights.iter().chain(old_log_probs).chain(signals).map(|number| number.to_bits()),
    );
    words
}

/// The example of [`words`]; `None` of any other run.
fn example(words: &[u32]) -> Option<Example> {
    let (&[tokens, policy, values, weights, old, signals, grouped, group], mut rest) =
        words.split_first_chunk()?;
    let mut take = |count: u32, width: usize| {
        let (taken, later) = rest.split_at_checked(count as usize * width)?;
        rest = later;
        Some(taken)
    };
    let number = |&bits: &u32| f32::from_bits(bits);
    let tokens = take(tokens, 1)?.to_vec();
    let policy = take(policy, 3)?.as_chunks::<3>().0.iter();
    let policy = policy.map(|&[start, end, weight]| PolicySpan {
        tokens: start..end,
        weight: f32::from_bits(weight),
    });
    let policy = policy.collect();
    let values = take(values, 2)?.as_chunks::<2>().0.iter();
    let value_targets =
        values.map(|&[position, value]| (position as usize, f32::from_bits(value))).collect();
    let value_weights = take(weights, 1)?.iter().map(number).collect();
    let old_log_probs = take(old, 1)?.iter().map(number).collect();
    let signals = take(signals, 1)?.iter().map(number).collect();
    let group = (grouped == 1).then_some(group);
    Some(Example { tokens, policy, value_targets, value_weights, old_log_probs, signals, group })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_come_back_as_they_were_and_the_file_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let full = Example {
            tokens: vec![5, 0, u32::MAX],
            policy: vec![
                PolicySpan { tokens: 1..2, weight: -0.5 },
                PolicySpan { tokens: 2..3, weight: 1e-30 },
            ],
            value_targets: vec![(2, -1.0)],
            value_weights: vec![0.25],
            old_log_probs: vec![-0.25, -3.5],
            signals: vec![0.1],
            group: Some(7),
        };
        let examples = vec![full.clone(), Example::default(), Example { group: None, ..full }];
        let mut file = ExampleFile::create(&folder.path().join("runs/out")).unwrap();
        assert!(file.is_empty());
        examples.iter().for_each(|example| file.push(example).unwrap());
        file.flush().unwrap();
        assert_eq!(file.len(), 3);
        for index in [2, 0, 1] {
            assert_eq!(*file.get(index).unwrap(), examples[index]);
            assert_eq!(file.shape(index), examples.shape(index));
        }
        assert_eq!(fs::read_dir(folder.path().join("runs")).unwrap().count(), 0);
    }

    #[test]
    fn every_one_of_many_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = ExampleFile::create(&folder.path().join("out")).unwrap();
        let one = |index: usize| Example {
            tokens: vec![index as u32; index % 7],
            group: Some(index as u32 / 3),
            ..Example::default()
        };
        let count = 3 * BLOCK + 5;
        (0..count).for_each(|index| file.push(&one(index)).unwrap());
        file.flush().unwrap();
        for index in (0..count).rev() {
            assert_eq!(*file.get(index).unwrap(), one(index));
        }
    }

    #[test]
    fn other_words_are_no_example() {
        let words = words(&Example { tokens: vec![1, 2], ..Example::default() });
        assert!(example(&words).is_some());
        assert!(example(&words[..words.len() - 1]).is_none());
        assert!(example(&words[..3]).is_none());
    }
}
