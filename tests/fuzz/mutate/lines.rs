//! Texts of lines `key = value` under headings: TOML.

use super::bytes;
use crate::random::Random;

const VALUES: &[&str] = &[
    "0",
    "-1",
    "1",
    "2",
    "1.0",
    "-0.5",
    "0.0",
    "1e-300",
    "1e300",
    "nan",
    "inf",
    "-inf",
    "+1",
    "0x7fffffffffffffff",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "18446744073709551615",
    "4294967296",
    "1_000",
    "true",
    "false",
    "\"\"",
    "\"a\"",
    "\"é\\u0000\"",
    "''",
    "\"\"\"\na\"\"\"",
    "[]",
    "[1]",
    "[\"greedy\"]",
    "[\"maj@0\"]",
    "[\"mcts:18446744073709551615\"]",
    "[\"sbs:0x0\"]",
    "[\"sbs:99999999x99999999\"]",
    "[\"dvts:1x1000000\"]",
    "[1, \"a\", 2.5]",
    "[[[]]]",
    "{}",
    "{ kind = \"\" }",
    "{ a = 1 }",
    "1979-05-27T07:32:00Z",
    "07:32:00",
];

/// Valid texts of one kind.
pub struct Lines {
    seeds: Vec<Vec<String>>,
}

impl Lines {
    pub fn new<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let lines = |text: &str| text.lines().map(str::to_owned).collect();
        Self { seeds: texts.into_iter().map(lines).collect() }
    }

    pub fn changed(&self, random: &mut Random) -> Vec<u8> {
        let mut lines = random.pick(&self.seeds).clone();
        for _ in 0..random.below(4) {
            self.change(&mut lines, random);
        }
        let mut text = lines.join("\n").into_bytes();
        if random.once_in(12) {
            bytes::damage(&mut text, random);
        }
        text
    }

    fn change(&self, lines: &mut Vec<String>, random: &mut Random) {
        let other = random.pick(&self.seeds);
        let other = random.pick(other).clone();
        if lines.is_empty() {
            lines.push(other);
            return;
        }
        let at = random.below(lines.len());
        let key_value = |line: &str| {
            let (key, value) = line.split_once('=')?;
            Some((key.trim().to_owned(), value.trim().to_owned()))
        };
        let own = key_value(&lines[at]);
        match (random.below(20), own) {
            (0..8, Some((key, _))) => lines[at] = format!("{key} = {}", random.pick(VALUES)),
            (8 | 9, Some((key, _))) => {
                if let Some((_, value)) = key_value(&other) {
                    lines[at] = format!("{key} = {value}");
                }
            }
            (10, Some((key, value))) => {
                let number = value.parse::<u64>().map_or(0, |number| random.instead_of(number));
                lines[at] = format!("{key} = {number}");
            }
            (11, Some((_, value))) => {
                let key = *random.pick(&["kind", "extends", "path", "a.b", "\"\"", "'a b'", "é"]);
                lines[at] = format!("{key} = {value}");
            }
            (12, Some((key, value))) if random.once_in(4) => {
                lines[at] = many(&key, &value, random);
            }
            (13 | 14, _) => _ = lines.remove(at),
            (15, _) => lines.insert(at, other),
            (16, _) => lines.insert(at, lines[at].clone()),
            (17, _) => {
                let with = random.below(lines.len());
                lines.swap(at, with);
            }
            (18, _) if random.once_in(4) => {
                let headings = ["[a.b.c]", "[[problems]]", "[search.selection]", "[", "[\"\"]"];
                lines.insert(at, (*random.pick(&headings)).to_owned());
            }
            _ => {}
        }
    }
}

/// Nesting, dotted keys, and lists of many.
fn many(key: &str, value: &str, random: &mut Random) -> String {
    let depth = *random.pick(&[10, 78, 79, 80, 81, 1000, 50_000]);
    match random.below(4) {
        0 => format!("{key} = {}{}", "[".repeat(depth), "]".repeat(depth)),
        1 => format!("{key} = {}1{}", "{a=".repeat(depth), "}".repeat(depth)),
        2 => format!("{}{key} = 1", "a.".repeat(depth)),
        _ => format!("{key} = [{}]", format!("{value}, ").repeat(random.times().min(2000))),
    }
}
