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

/// What was written of one way to decode: by problem the right answers and the tokens of its repetitions.
type Answers = BTreeMap<String, Vec<[f64; 2]>>;

/// The answers of an evaluation's file, by decoding in the order of the file.
struct Evaluation {
    path: PathBuf,
    decodings: Vec<(String, Answers)>,
}

/// Compares evaluations, the first of `new` with the first of `base` and so on, decoding by decoding: those in `decodings`, or if there are none,
/// all that every file has. Each is compared with itself or, where given, with `base_decoding`.
///
/// # Errors
/// When there are not as many of both, or a file cannot be read, lacks a decoding, or has other problems than the others.
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
    let (new, base) = (Evaluation::read_all(new)?, Evaluation::read_all(base)?);
    let shared = |name: &&str| {
        let with = base_decoding.unwrap_or(name);
        let both = || base.iter().all(|file| file.find(with).is_some());
        new.iter().all(|file| file.find(name).is_some()) && both() && base_decoding != Some(*name)
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
            .map(|file| {
                Ok(file.answers(decoding)?.values().map(|answers| of_problem(answers)).collect())
            })
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
fn of_problem(answers: &[[f64; 2]]) -> [f64; 2] {
    [0, 1].map(|place| mean(&answers.iter().map(|answer| answer[place]).collect::<Vec<_>>()))
}

fn check_same_problems<'a>(
    mut files: impl Iterator<Item = (&'a Evaluation, &'a str)>,
) -> Result<()> {
    let Some((first, decoding)) = files.next() else { return Ok(()) };
    let expected = first.answers(decoding)?;
    for (file, decoding) in files {
        let found = file.answers(decoding)?;
        let lacks =
            |has: &'a Answers, other: &Answers| has.keys().find(|id| !other.contains_key(*id));
        let odd = lacks(expected, found).map(|id| (id, first, file));
        if let Some((id, has, other)) =
            odd.or_else(|| lacks(found, expected).map(|id| (id, file, first)))
        {
            let [has, other] = [has, other].map(|file| file.path.display());
            bail!(
                "{has} answers problem {id}, and {other} does not: compare answers to the same problems"
            );
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
            let Some(Decoded { decoding, problem, correct, tokens, .. }) = line?.decoded() else {
                continue;
            };
            let place = decodings.iter().position(|(name, _)| *name == decoding);
            let place = place.unwrap_or_else(|| {
                decodings.push((decoding, Answers::new()));
                decodings.len() - 1
            });
            let answers = decodings[place].1.entry(problem).or_default();
            answers.push([f64::from(u8::from(correct)), tokens as f64]);
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

    /// A file of `(decoding, problem, right, tokens)`.
    fn file(path: &Path, rows: &[(&str, &str, bool, u64)]) -> PathBuf {
        let row = |&(decoding, problem, correct, tokens): &(&str, &str, bool, u64)| {
            let row = Decoded {
                decoding: decoding.to_owned(),
                seed: 0,
                problem: problem.to_owned(),
                answer: None,
                correct,
                tokens,
                simulations: 0,
                sample: None,
                solution: Vec::new(),
            };
            serde_json::to_string(&row).unwrap() + "\n"
        };
        fs::write(path, rows.iter().map(row).collect::<String>()).unwrap();
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
        // Half a difference with the spread of {0, 1}: 1.96 * sqrt(0.5 / 2).
        assert_eq!((row.difference.low, row.difference.high), (-0.479_982, 1.0));
        let rows = compare(&new, &new, &[], Some("greedy")).unwrap();
        let [row] = &rows[..] else { panic!("{rows:?}") };
        assert_eq!((row.decoding.as_str(), row.difference.mean), ("mcts:2", -0.25));
        assert_eq!(row.tokens, 20.0);
        assert!(comparison_table(&rows).csv().contains("-25.0"));
    }

    #[test]
    fn what_cannot_be_compared_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let one = file(&path("one"), &[("greedy", "p", true, 1), ("greedy", "q", true, 1)]);
        let less = file(&path("less"), &[("greedy", "p", true, 1)]);
        let other = file(&path("other"), &[("maj@5", "p", true, 1)]);
        let empty = file(&path("empty"), &[]);
        let told = |new: &[&PathBuf], base: &[&PathBuf], decodings: &[&str]| {
            let paths = |files: &[&PathBuf]| files.iter().copied().cloned().collect::<Vec<_>>();
            let decodings: Vec<String> = decodings.iter().map(|&name| name.to_owned()).collect();
            compare(&paths(new), &paths(base), &decodings, None).unwrap_err().to_string()
        };
        for (new, base, decodings, expected) in [
            (&[&one][..], &[&less][..], &[][..], "one answers problem q, and"),
            (&[&less], &[&one], &[], "one answers problem q, and"),
            (&[&one, &less], &[&one, &less], &[], "one answers problem q, and"),
            (&[&one], &[&other], &[], "no decoding in common"),
            (&[&one], &[&one], &["mcts:40"], "one has no mcts:40; it has greedy"),
            (&[&one], &[&empty], &[], "empty holds no decoded problem"),
            (&[&one, &one], &[&one], &[], "--base: give 2, as many as are compared, not 1"),
        ] {
            let error = told(new, base, decodings);
            assert!(error.contains(expected), "{error}");
        }
    }
}
