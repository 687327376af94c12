//! JSON: other values, kinds and keys in a valid text.

use serde_json::{Map, Value};

use super::bytes;
use crate::random::Random;

/// Begins a string that is written as it stands, without quotes: numbers that [`Value`] cannot hold, nesting that it should not.
const RAW: char = '\u{1}';
/// Begins a key that is written without what stands before [`RAW`]: an object may have a key twice.
const TWICE: char = '\u{2}';

const ODD: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "-0",
    "-1",
    "1",
    "2",
    "0.5",
    "-0.0",
    "1e-400",
    "1e308",
    "1e999",
    "-1e999",
    "NaN",
    "Infinity",
    "1E+2",
    "2147483647",
    "2147483648",
    "4294967295",
    "4294967296",
    "9007199254740993",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "123456789012345678901234567890",
    "\"\"",
    "\" \"",
    "\"a\"",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "\"\\ud83d\\ude00\"",
    "\"\u{feff}\u{202e}é\u{301}\u{1f600}\"",
    "\"-1\"",
    "\"1e999\"",
    "\"../../x\"",
    "\"/\"",
    "[]",
    "{}",
    "[null]",
    "[[]]",
    "{\"\":{}}",
    "[1,2,3]",
];

/// Valid texts of one kind, and the pieces that they are made of.
pub struct Json {
    seeds: Vec<Value>,
    /// In one text.
    most_changes: usize,
}

impl Json {
    /// # Panics
    /// When a text is not JSON.
    pub fn new<'a>(texts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let seeds = texts.into_iter().map(|text| serde_json::from_slice(text).unwrap());
        Self::of(seeds.collect())
    }

    pub fn of(seeds: Vec<Value>) -> Self {
        assert!(!seeds.is_empty());
        Self { seeds, most_changes: 3 }
    }

    /// The same with at most one change a text: for readers that refuse most changes at once.
    pub fn gently(self) -> Self {
        Self { most_changes: 1, ..self }
    }

    /// Changes a valid text in its structure, and seldom in its bytes.
    pub fn changed(&self, random: &mut Random) -> Vec<u8> {
        let mut text = Vec::new();
        self.write_changed(&mut text, random);
        if random.once_in(16) {
            bytes::damage(&mut text, random);
        }
        text
    }

    /// As [`Self::changed`], in structure alone.
    pub fn write_changed(&self, text: &mut Vec<u8>, random: &mut Random) {
        let mut value = random.pick(&self.seeds).clone();
        for _ in 0..random.below(self.most_changes + 1) {
            self.change(node(&mut value, random), random);
        }
        write(&value, text);
    }

    /// Changes the tree at a place.
    pub fn change(&self, place: &mut Value, random: &mut Random) {
        match random.below(24) {
            0..4 => *place = Value::String(format!("{RAW}{}", random.pick(ODD))),
            4..8 => {
                let mut other = random.pick(&self.seeds).clone();
                *place = node(&mut other, random).take();
            }
            8..12 => nudge(place, random),
            12 => *place = Value::Array(vec![place.take()]),
            13 if random.once_in(6) => *place = Value::String(deep(random)),
            14 if random.once_in(4) => {
                let piece = *random.pick(&["a", "0", "é", "\"", "\\", " ", "\n", "😀", "[", "9"]);
                *place = Value::String(piece.repeat(random.times()));
            }
            _ => match place {
                Value::Object(fields) => self.change_fields(fields, random),
                Value::Array(items) => change_items(items, random),
                other => nudge(other, random),
            },
        }
    }

    fn change_fields(&self, fields: &mut Map<String, Value>, random: &mut Random) {
        let key = |fields: &Map<String, Value>, random: &mut Random| {
            let count = fields.len().max(1);
            fields.keys().nth(random.below(count)).cloned().unwrap_or_default()
        };
        let one = key(fields, random);
        match random.below(6) {
            0 | 1 => _ = fields.shift_remove(&one),
            2 => {
                if let Some(value) = fields.shift_remove(&one) {
                    let mut other = random.pick(&self.seeds).clone();
                    let renamed = match node(&mut other, random) {
                        Value::Object(others) if !others.is_empty() => key(others, random),
                        _ => format!("{one}x"),
                    };
                    fields.insert(renamed, value);
                }
            }
            3 => {
                let value = fields.get(&one).cloned().unwrap_or_default();
                fields.insert(format!("{TWICE}{}{RAW}{one}", random.below(9)), value);
            }
            4 => {
                let other = key(fields, random);
                let (a, b) = (fields.get(&one).cloned(), fields.get(&other).cloned());
                if let (Some(a), Some(b)) = (a, b) {
                    fields.insert(one, b);
                    fields.insert(other, a);
                }
            }
            _ => {
                let key = *random.pick(&["", "type", "0", "\u{0}", "é", "__proto__", "a.b"]);
                let mut other = random.pick(&self.seeds).clone();
                fields.insert(key.to_owned(), node(&mut other, random).take());
            }
        }
    }
}

fn change_items(items: &mut Vec<Value>, random: &mut Random) {
    if items.is_empty() {
        items.push(Value::Null);
        return;
    }
    let at = random.below(items.len());
    match random.below(5) {
        0 => _ = items.remove(at),
        1 => {
            let item = items[at].clone();
            // Many of one that is itself large would make a large input and show nothing more.
            let most = if item.is_array() || item.is_object() { 100 } else { 10_000 };
            items.extend(std::iter::repeat_n(item, random.times().min(most)));
        }
        2 => items.truncate(at),
        3 => items.reverse(),
        _ => {
            let other = random.below(items.len());
            items.swap(at, other);
        }
    }
}

/// A value close to the one there.
fn nudge(place: &mut Value, random: &mut Random) {
    *place = match &*place {
        Value::Number(number) => {
            let near = match (number.as_u64(), number.as_f64()) {
                (Some(whole), _) => random.instead_of(whole).to_string(),
                (None, Some(real)) => {
                    let factor = *random.pick(&[-1.0, 0.0, 2.0, 0.5, 1e300, 1e-300]);
                    format!("{:?}", real * factor)
                }
                (None, None) => "0".to_owned(),
            };
            Value::String(format!("{RAW}{near}"))
        }
        Value::String(text) => {
            let mut characters: Vec<char> = text.chars().collect();
            let at = random.below(characters.len() + 1);
            let odd = *random
                .pick(&['\0', ' ', '\n', 'é', '\u{301}', '😀', '\u{202e}', '#', '/', '-', '1']);
            match random.below(4) {
                0 => characters.truncate(at),
                1 => characters.insert(at, odd),
                2 => characters.extend_from_within(..),
                _ if at < characters.len() => characters[at] = odd,
                _ => characters.reverse(),
            }
            Value::String(characters.into_iter().collect())
        }
        Value::Bool(truth) => Value::Bool(!truth),
        other => Value::Array(vec![other.clone(), other.clone()]),
    };
}

/// Nesting around the limits of readers, and far beyond them.
fn deep(random: &mut Random) -> String {
    let depth = *random.pick(&[60, 100, 125, 126, 127, 128, 129, 1000, 100_000]);
    let (open, close) = *random.pick(&[("[", "]"), ("{\"a\":", "}"), ("[{\"type\":", "}]")]);
    format!("{RAW}{}1{}", open.repeat(depth), close.repeat(depth))
}

/// A place in the tree: the root seldom, a leaf often.
fn node<'a>(root: &'a mut Value, random: &mut Random) -> &'a mut Value {
    let mut place = root;
    loop {
        let children = match &*place {
            Value::Array(items) => items.len(),
            Value::Object(fields) => fields.len(),
            _ => 0,
        };
        if children == 0 || random.once_in(6) {
            return place;
        }
        let at = random.below(children);
        place = match place {
            Value::Array(items) => &mut items[at],
            Value::Object(fields) => fields.values_mut().nth(at).expect("counted"),
            _ => unreachable!(),
        };
    }
}

/// Writes what [`Value`] can hold, and what [`RAW`] and [`TWICE`] stand for.
pub fn write(value: &Value, text: &mut Vec<u8>) {
    match value {
        Value::String(string) => match string.strip_prefix(RAW) {
            Some(raw) => text.extend_from_slice(raw.as_bytes()),
            None => quote(string, text),
        },
        Value::Array(items) => {
            text.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(b',');
                }
                write(item, text);
            }
            text.push(b']');
        }
        Value::Object(fields) => {
            text.push(b'{');
            for (index, (key, value)) in fields.iter().enumerate() {
                if index > 0 {
                    text.push(b',');
                }
                let twice = key.strip_prefix(TWICE).and_then(|rest| rest.split_once(RAW));
                quote(twice.map_or(key, |(_, key)| key), text);
                text.push(b':');
                write(value, text);
            }
            text.push(b'}');
        }
        other => serde_json::to_writer(text, other).unwrap(),
    }
}

fn quote(string: &str, text: &mut Vec<u8>) {
    serde_json::to_writer(text, string).unwrap();
}
