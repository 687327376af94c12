//! Two evaluations of the same problems, compared problem by problem.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::Serialize;

use super::record::{Decoded, Line};
use crate::jsonl::Rows;
use crate::report::{Difference, Table, difference, mean};
use crate::usage::UsageError;

/// A row of a comparison. Its means are over problems, and over runs of as many problems each.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Compared {
    /// Names this form and its version.
    pub schema: &'static str,
    /// The decoding.
    pub decoding: String,
    /// What it is compared with.
    pub base_decoding: String,
    /// Problems of a run.
    pub problems: usize,
    /// Runs: pairs of files.
    pub runs: usize,
    /// Right answers, in [0, 1].
    pub correct: f64,
    /// Those of the base.
    pub base_correct: f64,
    /// `correct - base_correct`, with its 95 % interval.
    pub difference: Difference,
    /// Sampled tokens a problem.
    pub tokens: f64,
    /// Those of the base.
    pub base_tokens: f64,
}

/// What was written of one way to decode, by problem.
type Answers = BTreeMap<String, Answered>;

/// The answers to a problem.
struct Answered {
    question: String,
    /// By the number of the repetition: whether it is right, and its tokens.
    repetitions: BTreeMap<usize, [f64; 2]>,
}

/// The answers of an evaluation's file, by decoding in the order of the file.
struct Evaluation {
    path: PathBuf,
    decodings: Vec<(String, Answers)>,
}

/// Compares evaluations, the first of `new` with the first of `base` and so on. It compares each of `decodings` (where that is empty: each that
/// every file has) with itself or, where given, with `base_decoding`.
///
/// # Errors
/// When there are not as many of both, or a file cannot be read, lacks a decoding, answers a problem twice as the same repetition, or has
/// other problems than the others.
pub fn compare(
    new: &[PathBuf],
    base: &[PathBuf],
    decodings: &[String],
    base_decoding: Option<&str>,
) -> Result<Vec<Compared>> {
    if new.len() != base.len() {
        let (new, base) = (new.len(), base.len());
        let message = anyhow!("--base: give {new}, as many as are compared, not {base}");
        return Err(UsageError(message).into());
    }
    let itself = new == base && base_decoding.is_some();
    let (new, base) = (Evaluation::read_all(new)?, Evaluation::read_all(base)?);
    if let Some(with) = base_decoding {
        base.iter().try_for_each(|file| file.answers(with).map(drop))?;
    }
    let shared = |name: &&str| {
        let with = base_decoding.unwrap_or(name);
        let both = || base.iter().all(|file| file.find(with).is_some());
        new.iter().all(|file| file.find(name).is_some()) && both() && !(itself && with == *name)
    };
    let of_first = new.iter().take(1).flat_map(|file| &file.decodings);
    let decodings: Vec<&str> = match decodings {
        [] => of_first.map(|(name, _)| name.as_str()).filter(shared).collect(),
        asked => asked.iter().map(String::as_str).collect(),
    };
    if decodings.is_empty() {
        bail!("the files have no decoding in common that could be compared");
    }
    let row = |name: &&str| compared(&new, &base, name, base_decoding.unwrap_or(name));
    decodings.iter().map(row).collect()
}

/// The comparison as a table.
#[must_use]
pub fn comparison_table(rows: &[Compared]) -> Table {
    let header = ["decoding", "base", "% right", "base, % right", "difference", "95 % interval"];
    let counts = ["tokens a problem", "base, tokens", "n", "runs"];
    let mut table = Table::new(header.into_iter().chain(counts));
    for row in rows {
        let Difference { mean, low, high } = row.difference;
        table.push([
            row.decoding.clone(),
            row.base_decoding.clone(),
            format!("{:.1}", 100.0 * row.correct),
            format!("{:.1}", 100.0 * row.base_correct),
            format!("{:+.1}", 100.0 * mean),
            format!("[{:+.1}, {:+.1}]", 100.0 * low, 100.0 * high),
            format!("{:.1}", row.tokens),
            format!("{:.1}", row.base_tokens),
            row.problems.to_string(),
            row.runs.to_string(),
        ]);
    }
    table
}

fn compared(
    new: &[Evaluation],
    base: &[Evaluation],
    decoding: &str,
    base_decoding: &str,
) -> Result<Compared> {
    let rows = |files: &[Evaluation], decoding: &str| -> Result<Vec<Vec<[f64; 2]>>> {
        files
            .iter()
            .map(|file| Ok(file.answers(decoding)?.values().map(of_problem).collect()))
            .collect()
    };
    check_same_problems(
        new.iter()
            .map(|file| (file, decoding))
            .chain(base.iter().map(|file| (file, base_decoding))),
    )?;
    let (new, base) = (rows(new, decoding)?, rows(base, base_decoding)?);
    let pairs = new.iter().zip(&base);
    let differences: Vec<Vec<f64>> =
        pairs.map(|(new, base)| new.iter().zip(base).map(|(a, b)| a[0] - b[0]).collect()).collect();
    let mean_of = |runs: &[Vec<[f64; 2]>], place: usize| {
        mean(&runs.iter().flatten().map(|row| row[place]).collect::<Vec<_>>())
    };
    Ok(Compared {
        schema: "espalier.compared/1",
        decoding: decoding.to_owned(),
        base_decoding: base_decoding.to_owned(),
        problems: new.first().map_or(0, Vec::len),
        runs: new.len(),
        correct: mean_of(&new, 0),
        base_correct: mean_of(&base, 0),
        difference: difference(&differences),
        tokens: mean_of(&new, 1),
        base_tokens: mean_of(&base, 1),
    })
}

/// The share of right answers and the tokens of a problem's repetitions.
fn of_problem(Answered { repetitions, .. }: &Answered) -> [f64; 2] {
    [0, 1].map(|place| mean(&repetitions.values().map(|answer| answer[place]).collect::<Vec<_>>()))
}

/// Checks that all answer the problems of the first.
fn check_same_problems<'a>(
    mut files: impl Iterator<Item = (&'a Evaluation, &'a str)>,
) -> Result<()> {
    let Some(first) = files.next() else { return Ok(()) };
    let expected = first.0.answers(first.1)?;
    for other in files {
        let found = other.0.answers(other.1)?;
        let sides = [(first, expected, other, found), (other, found, first, expected)];
        for (has, answers, lacks, others) in sides {
            if let Some(id) = answers.keys().find(|id| !others.contains_key(*id)) {
                let [has, lacks] =
                    [has, lacks].map(|(file, by)| format!("{} by {by}", file.path.display()));
                bail!(
                    "{has} answers problem {id}, and {lacks} does not: compare answers to the same problems"
                );
            }
        }
        for (id, Answered { question, .. }) in expected {
            let asked = &found[id].question;
            if question != asked && !question.is_empty() && !asked.is_empty() {
                let [one, two] = [first, other].map(|(file, _)| file.path.display());
                bail!(
                    "problem {id} is {question:?} in {one} and {asked:?} in {two}: compare answers to the same problems"
                );
            }
        }
    }
    Ok(())
}

impl Evaluation {
    fn read_all(paths: &[PathBuf]) -> Result<Vec<Self>> {
        paths.iter().map(|path| Self::read(path)).collect()
    }

    fn read(path: &Path) -> Result<Self> {
        let mut decodings: Vec<(String, Answers)> = Vec::new();
        for line in Rows::<Line>::open(path)?.rows() {
            let line = line.context("this is no evaluation")?;
            let Some(row) = line.decoded() else { continue };
            let Decoded { decoding, seed, problem, question, correct, tokens, .. } = row;
            let place = decodings.iter().position(|(name, _)| *name == decoding);
            let place = place.unwrap_or_else(|| {
                decodings.push((decoding, Answers::new()));
                decodings.len() - 1
            });
            let (decoding, answers) = &mut decodings[place];
            let answered = answers
                .entry(problem)
                .or_insert_with_key(|_| Answered { question, repetitions: BTreeMap::new() });
            let answer = [f64::from(u8::from(correct)), tokens as f64];
            if answered.repetitions.insert(seed, answer).is_some() {
                let path = path.display();
                bail!("{path} answers a problem by {decoding} twice as repetition {seed}");
            }
        }
        ensure!(!decodings.is_empty(), "{} holds no decoded problem", path.display());
        Ok(Self { path: path.to_owned(), decodings })
    }

    fn find(&self, decoding: &str) -> Option<&Answers> {
        self.decodings.iter().find(|(name, _)| name == decoding).map(|(_, answers)| answers)
    }

    fn answers(&self, decoding: &str) -> Result<&Answers> {
        self.find(decoding).with_context(|| {
            let there: Vec<&str> = self.decodings.iter().map(|(name, _)| name.as_str()).collect();
            format!("{} has no {decoding}; it has {}", self.path.display(), there.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A file of `(decoding, problem, right, tokens)`; what comes again is another repetition.
    fn file(path: &Path, rows: &[(&str, &str, bool, u64)]) -> PathBuf {
        let row =
            |(index, &(decoding, problem, correct, tokens)): (usize, &(&str, &str, bool, u64))| {
                let before = &rows[..index];
                let row = Decoded {
                    steps_truncated: 0,
                    cut: None,
                    decoding: decoding.to_owned(),
                    seed: before.iter().filter(|row| (row.0, row.1) == (decoding, problem)).count(),
                    problem: problem.to_owned(),
                    question: format!("what is {problem}?"),
                    answer: None,
                    correct,
                    tokens,
                    simulations: 0,
                    sample: None,
                    solution: Vec::new(),
                };
                serde_json::to_string(&row).unwrap() + "\n"
            };
        fs::write(path, rows.iter().enumerate().map(row).collect::<String>()).unwrap();
        path.to_owned()
    }

    #[test]
    fn answers_are_paired_by_problem_whatever_their_order() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let new = [
            ("greedy", "p", true, 4),
            ("greedy", "q", true, 6),
            // Two repetitions.
            ("mcts:2", "p", true, 10),
            ("mcts:2", "q", true, 30),
            ("mcts:2", "p", false, 10),
            ("mcts:2", "q", true, 30),
        ];
        let new = [file(&path("new"), &new)];
        let base = [("greedy", "q", true, 1), ("greedy", "p", false, 3), ("maj@5", "p", true, 9)];
        let base = [file(&path("base"), &base)];
        let rows = compare(&new, &base, &[], None).unwrap();
        let [row] = &rows[..] else { panic!("{rows:?}") };
        assert_eq!((row.decoding.as_str(), row.problems, row.runs), ("greedy", 2, 1));
        assert_eq!((row.correct, row.base_correct, row.difference.mean), (1.0, 0.5, 0.5));
        assert_eq!((row.tokens, row.base_tokens), (5.0, 2.0));
        // Differences 1 and 0, and half a problem gained and lost: 1.96 sqrt((2 / 4 - 1 / 16) / 4).
        assert!((row.difference.low - (0.5 - 1.959_964 * 0.109_375f64.sqrt())).abs() < 1e-9);
        assert_eq!(row.difference.high, 1.0);
        let rows = compare(&new, &new, &[], Some("greedy")).unwrap();
        let [row] = &rows[..] else { panic!("{rows:?}") };
        assert_eq!((row.decoding.as_str(), row.difference.mean), ("mcts:2", -0.25));
        assert_eq!(row.tokens, 20.0);
        assert!(comparison_table(&rows).csv().contains("-25.0"));
        // Another file's same decoding is another subject.
        let rows = compare(&new, &base, &[], Some("greedy")).unwrap();
        let names: Vec<&str> = rows.iter().map(|row| row.decoding.as_str()).collect();
        assert_eq!(names, ["greedy", "mcts:2"]);
    }

    #[test]
    fn what_cannot_be_compared_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let one = file(&path("one"), &[("greedy", "p", true, 1), ("greedy", "q", true, 1)]);
        let less = file(&path("less"), &[("greedy", "p", true, 1)]);
        let other = file(&path("other"), &[("maj@5", "p", true, 1)]);
        let empty = file(&path("empty"), &[]);
        let [twice, asked] = ["twice", "asked"].map(path);
        let text = fs::read_to_string(&one).unwrap();
        fs::write(&twice, text.repeat(2)).unwrap();
        fs::write(&asked, text.replace("what is q?", "who is q?")).unwrap();
        let told = |new: &[&PathBuf], base: &[&PathBuf], decodings: &[&str]| {
            let paths = |files: &[&PathBuf]| files.iter().copied().cloned().collect::<Vec<_>>();
            let decodings: Vec<String> = decodings.iter().map(|&name| name.to_owned()).collect();
            compare(&paths(new), &paths(base), &decodings, None).unwrap_err().to_string()
        };
        for (new, base, decodings, expected) in [
            (&[&one][..], &[&less][..], &[][..], "one by greedy answers problem q, and"),
            (&[&less], &[&one], &[], "one by greedy answers problem q, and"),
            (&[&one, &less], &[&one, &less], &[], "one by greedy answers problem q, and"),
            (&[&one], &[&other], &[], "no decoding in common"),
            (&[&one], &[&one], &["mcts:40"], "one has no mcts:40; it has greedy"),
            (&[&one], &[&empty], &[], "empty holds no decoded problem"),
            (&[&one], &[&twice], &[], "twice answers a problem by greedy twice as repetition 0"),
            (&[&one], &[&asked], &[], "problem q is \"what is q?\" in"),
            (&[&one, &one], &[&one], &[], "--base: give 2, as many as are compared, not 1"),
        ] {
            let error = told(new, base, decodings);
            assert!(error.contains(expected), "{error}");
        }
    }
}
