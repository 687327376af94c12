//! What a table has that a recipe cannot have, in plain words.

use std::fmt;
use std::ops::Range;

use serde_path_to_error::{Path, Segment};
use toml::{Table, Value};

/// Why a table is no recipe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// Where it is, as far as its reader knows: a section of several kinds is read as a whole.
    path: Vec<Step>,
    /// What the reader says.
    pub message: String,
}

/// A step of a path into a table.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Element(usize),
}

impl Fault {
    /// What a reader says of a place.
    pub fn new(path: &Path, message: &str) -> Self {
        let step = |segment: &Segment| match segment {
            Segment::Map { key } => Some(Step::Key(key.clone())),
            Segment::Seq { index } => Some(Step::Element(*index)),
            Segment::Enum { .. } | Segment::Unknown => None,
        };
        let path = path.iter().map_while(step).collect();
        Self { path, message: message.trim_end().to_owned() }
    }

    /// What a reader says of a section.
    pub fn of_section(section: &str, message: String) -> Self {
        Self { path: vec![Step::Key(section.to_owned())], message }
    }

    /// Where it is, dotted.
    pub fn place(&self) -> String {
        dotted(&self.path)
    }

    /// A value that its key cannot have: the key in full, what was given, and what is expected. `None` where the fault is another.
    /// `read` reads a table as a recipe.
    pub fn of_value(
        &self,
        table: &Table,
        read: impl Fn(&Table) -> Result<(), Self>,
    ) -> Option<WrongValue> {
        let kinds = ["invalid type: ", "invalid value: ", "invalid length "];
        // A part of a section that is read by itself stands before it.
        kinds.iter().find(|kind| self.message.contains(**kind))?;
        let (_, expected) = self.message.rsplit_once(", expected ")?;
        let path = self.culprit(table, read);
        let given = at(table, &path).map(ToString::to_string).unwrap_or_default();
        Some(WrongValue { key: dotted(&path), given, expected: in_plain_words(expected) })
    }

    /// The value without which the fault would not be.
    fn culprit(&self, table: &Table, read: impl Fn(&Table) -> Result<(), Self>) -> Vec<Step> {
        let lists = !self.message.contains("invalid length ");
        let remains = |table: &Table| read(table).err().as_ref() == Some(self);
        let mut rest = table.clone();
        for path in values(table, &self.path, lists) {
            remove(&mut rest, &path);
            // Two values may have the same fault: it goes with the last of them.
            if remains(&rest) {
                continue;
            }
            // A list without an element may have a fault of its own.
            if let [list @ .., Step::Element(_)] = path.as_slice() {
                let mut without = rest.clone();
                remove(&mut without, list);
                if remains(&without) {
                    rest = without;
                    continue;
                }
            }
            return path;
        }
        let kind = [&self.path[..], &[Step::Key("kind".to_owned())]].concat();
        if at(table, &kind).is_some() { kind } else { self.path.clone() }
    }
}

/// A value that its key cannot have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WrongValue {
    key: String,
    given: String,
    expected: String,
}

impl WrongValue {
    /// The number of its line in a text, of which the reader names the span of the value or of its section.
    pub fn line(&self, text: &str, span: Option<Range<usize>>) -> Option<usize> {
        let first = text.get(..span?.start)?.matches('\n').count();
        let key = self.key.rsplit('.').next().and_then(|key| key.split('[').next())?;
        let has_key = |line: &str| {
            line.trim_start()
                .strip_prefix(key)
                .is_some_and(|rest| rest.trim_start().starts_with('='))
        };
        let lines = text.lines().enumerate().skip(first);
        let mut section = lines.take_while(|(at, line)| *at == first || !line.starts_with('['));
        section.find(|(_, line)| has_key(line)).map(|(at, _)| at + 1)
    }
}

impl fmt::Display for WrongValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}: it must be {}", self.key, self.given, self.expected)
    }
}

fn dotted(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Key(key) if text.is_empty() => text.push_str(key),
            Step::Key(key) => text.extend([".", key]),
            Step::Element(index) => text.push_str(&format!("[{index}]")),
        }
    }
    text
}

/// The paths of all values at or below one, the elements of lists before the lists, from the last; but for kinds: without its kind a
/// section is another.
fn values(table: &Table, path: &[Step], lists: bool) -> Vec<Vec<Step>> {
    let below = |step: Step| values(table, &[path, &[step]].concat(), lists);
    let section = |section: &Table| -> Vec<Vec<Step>> {
        let keys = section.keys().filter(|key| *key != "kind");
        keys.flat_map(|key| below(Step::Key(key.clone()))).collect()
    };
    if path.is_empty() {
        return section(table);
    }
    match at(table, path) {
        Some(Value::Table(inner)) if !inner.is_empty() => section(inner),
        Some(Value::Array(list)) if lists => {
            let elements = (0..list.len()).rev().flat_map(|index| below(Step::Element(index)));
            elements.chain([path.to_vec()]).collect()
        }
        _ => vec![path.to_vec()],
    }
}

fn at<'a>(table: &'a Table, path: &[Step]) -> Option<&'a Value> {
    let mut rest = path.iter();
    let Some(Step::Key(first)) = rest.next() else { return None };
    rest.try_fold(table.get(first)?, |at, step| match step {
        Step::Key(key) => at.get(key),
        Step::Element(index) => at.get(*index),
    })
}

fn remove(table: &mut Table, path: &[Step]) {
    let Some((Step::Key(first), rest)) = path.split_first() else { return };
    let Some((last, between)) = rest.split_last() else {
        table.remove(first);
        return;
    };
    let Some(value) = table.get_mut(first) else { return };
    let holder = between.iter().try_fold(value, |at, step| match step {
        Step::Key(key) => at.get_mut(key),
        Step::Element(index) => at.get_mut(*index),
    });
    match (holder, last) {
        (Some(Value::Table(section)), Step::Key(key)) => _ = section.remove(key),
        (Some(Value::Array(list)), Step::Element(index)) if *index < list.len() => {
            list.remove(*index);
        }
        _ => {}
    }
}

/// What a type expects, said without its name.
fn in_plain_words(expected: &str) -> String {
    let whole = "a whole number";
    match expected {
        "u64" | "usize" => format!("{whole}, 0 or more"),
        "u32" => format!("{whole} from 0 to {}", u32::MAX),
        "u16" => format!("{whole} from 0 to {}", u16::MAX),
        "u8" => format!("{whole} from 0 to {}", u8::MAX),
        "i64" | "i32" | "isize" => whole.to_owned(),
        "f64" | "f32" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a string" | "path string" | "string or table" | "variant identifier" => {
            "a text in quotes".to_owned()
        }
        "a sequence" => "a list".to_owned(),
        other if other == "a map" || other.starts_with("struct ") || other.contains(" enum ") => {
            "a section, {KEY = VALUE, ...}".to_owned()
        }
        other => {
            let length = ["an array of length ", "a tuple of size "];
            match length.iter().find_map(|length| other.strip_prefix(length)) {
                Some(length) => format!("a list of {length}"),
                None => other.to_owned(),
            }
        }
    }
}
