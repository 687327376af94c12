//! `decodings`: the share of right answers of each way to decode.

use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use espalier_search::{Cut, Cuts};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::measure::{Figures, Measure, Needs, Subject};
use super::recipe::EvaluationRecipe;
use super::record::{Decoded, Line, Record};
use crate::jsonl;
use crate::report::{
    ABSENT, Proportion, RoundFiles, RoundsRow, Runs, Section, Table, label_of, mean, percent,
    proportion,
};

/// Settings: none of its own, for `[evaluation] decodings` and `[evaluation.decode]` are also those of other commands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decodings {}

/// One way of decoding over all problems and seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// Names this form and its version.
    pub schema: String,
    /// The way of decoding.
    pub decoding: String,
    /// Share of right answers.
    pub accuracy: f64,
    /// Lower end of the 95 % interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Problems.
    pub n: usize,
    /// Times that each was decoded.
    pub seeds: usize,
    /// Of the problems and times, those without an answer that ended at a limit. They count as wrong.
    #[serde(flatten)]
    pub cut: Cuts,
    /// Sampled steps that the policy was cut off in before it had ended them.
    #[serde(default)]
    pub steps_truncated: usize,
    /// Mean number of sampled tokens.
    pub tokens_per_problem: f64,
    /// Mean number of tokens in the contexts that the policy and the net that values states were given; absent in files of earlier versions,
    /// where a server does not count, and where [`Self::seconds`] is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_read_per_problem: Option<f64>,
    /// Mean number of simulations (tree search alone).
    pub simulations_per_problem: f64,
    /// Wall time of all problems and seeds; absent when part of it was done by an earlier process.
    pub seconds: Option<f64>,
}

impl Measure for Decodings {
    const KEY: &'static str = "results";
    const OTHERS: Option<&'static str> = Some("others");

    fn needs(&self, recipe: &EvaluationRecipe) -> Needs {
        Needs { decodings: recipe.decodings.clone(), samples: 0 }
    }

    fn measure(&self, subject: &Subject<'_>, record: &Record) -> Result<Figures> {
        let results = accuracies(subject, record)?;
        let lines = results.iter().map(serde_json::to_value).collect::<Result<_, _>>()?;
        let note = |result: &Accuracy| {
            format!(
                "{} {:.1} % [{:.1}, {:.1}]",
                result.decoding,
                100.0 * result.accuracy,
                100.0 * result.low,
                100.0 * result.high
            )
        };
        Ok(Figures {
            summary: serde_json::to_value(&results)?,
            lines,
            table: Some(table(&results)),
            notes: results.iter().map(note).collect(),
        })
    }

    fn rows(runs: &Runs) -> Result<Vec<RoundsRow>> {
        let mut rows = Vec::new();
        for source in runs.sources()? {
            rows.extend(source_rows(runs, source.as_deref())?);
        }
        Ok(rows)
    }
}

/// The accuracy of each of `[evaluation] decodings`.
///
/// # Errors
/// When the record does not hold every problem.
pub fn accuracies(subject: &Subject<'_>, record: &Record) -> Result<Vec<Accuracy>> {
    let summarise = |decoding: String| {
        let rows: Vec<&Decoded> =
            record.decoded.iter().filter(|row| row.decoding == decoding).collect();
        let n = subject.problems.len();
        if n == 0 || rows.len() != n * subject.seeds {
            bail!("{decoding}: {} rows for {n} problems", rows.len());
        }
        let runs: Vec<Vec<f64>> = rows
            .chunks(n)
            .map(|run| run.iter().map(|row| f64::from(u8::from(row.correct))).collect())
            .collect();
        let accuracy = proportion(&runs);
        let mean = |total: u64| total as f64 / rows.len() as f64;
        let cost = record.costs.get(&decoding);
        Ok(Accuracy {
            schema: "espalier.accuracy/1".into(),
            accuracy: accuracy.mean,
            low: accuracy.low,
            high: accuracy.high,
            n,
            seeds: subject.seeds,
            cut: rows.iter().filter_map(|row| row.cut).collect(),
            steps_truncated: rows.iter().map(|row| row.steps_truncated).sum(),
            tokens_per_problem: mean(rows.iter().map(|row| row.tokens).sum()),
            tokens_read_per_problem: cost.and_then(|cost| cost.tokens_read).map(mean),
            simulations_per_problem: mean(rows.iter().map(|row| row.simulations).sum()),
            seconds: cost.map(|cost| cost.seconds),
            decoding,
        })
    };
    let decodings = &subject.recipe.decodings;
    decodings.iter().map(|decoding| summarise(decoding.to_string())).collect()
}

/// The limits at which answers of any of these results ended: tables have a column of each.
#[must_use]
pub fn cuts_of<'a>(results: impl IntoIterator<Item = &'a Accuracy>) -> Vec<Cut> {
    let mut all = Cuts::default();
    results.into_iter().for_each(|result| all += result.cut);
    Cut::ALL.into_iter().filter(|cut| all.of(*cut) > 0).collect()
}

/// The titles of the columns that [`Accuracy::cells`] fills.
#[must_use]
pub fn titles(cuts: &[Cut]) -> Vec<String> {
    let mut titles = ["% right", "95 % interval", "n", "seeds"].map(str::to_owned).to_vec();
    titles.extend(cuts.iter().map(Cut::to_string));
    titles.push("tokens a problem".to_owned());
    titles
}

impl Accuracy {
    /// The cells that every table of accuracies has, with one for each of these limits.
    #[must_use]
    pub fn cells(&self, cuts: &[Cut]) -> Vec<String> {
        let mut cells = vec![
            format!("{:.1}", 100.0 * self.accuracy),
            format!("[{:.1}, {:.1}]", 100.0 * self.low, 100.0 * self.high),
            self.n.to_string(),
            self.seeds.to_string(),
        ];
        cells.extend(cuts.iter().map(|cut| self.cut.of(*cut).to_string()));
        cells.push(format!("{:.1}", self.tokens_per_problem));
        cells
    }

    /// The wall time for a table.
    #[must_use]
    pub fn seconds_cell(&self) -> String {
        self.seconds.map_or("–".into(), |seconds| format!("{seconds:.1}"))
    }
}

fn table(results: &[Accuracy]) -> Table {
    let cuts = cuts_of(results);
    let header = [vec!["decoding".to_owned()], titles(&cuts), vec!["seconds".to_owned()]].concat();
    let mut table = Table::new(header);
    for result in results {
        let name = vec![result.decoding.clone()];
        table.push([name, result.cells(&cuts), vec![result.seconds_cell()]].concat());
    }
    table
}

/// The rows of one source: accuracy over problems and runs, and the tokens of the last round. A decoding, or the source, may be
/// measured in some rounds alone, for a recipe may change between them.
fn source_rows(runs: &Runs, source: Option<&str>) -> Result<Vec<RoundsRow>> {
    let mut answers: HashMap<PathBuf, Answers> = HashMap::new();
    for round in (0..runs.rounds()).flat_map(|round| runs.round(round)) {
        let path = round.record(source);
        if source.is_none() || path.exists() {
            let read = Answers::read(path.clone())?;
            let taken: Option<IgnoredAny> = round.figure("evaluate", Decodings::KEY)?;
            ensure!(!read.rows.is_empty() || taken.is_none(), "{} is empty", path.display());
            answers.insert(path, read);
        }
    }
    let of = |round: &RoundFiles| answers.get(&round.record(source));
    let list = |round: &RoundFiles, listed: fn(&Answers) -> Vec<String>| {
        Ok(of(round).map(listed).unwrap_or_default())
    };
    let problems = runs.listed(|round| list(round, Answers::problems))?;
    let mut rows = Vec::new();
    for name in runs.listed(|round| list(round, Answers::decodings))? {
        let label = label_of(source, &name);
        let found = runs.figures(&label, |round| {
            let there = |answers: &&Answers| answers.of(&name).next().is_some();
            let read = |answers: &Answers| {
                Ok((answers.correct(&name, &problems)?, answers.tokens(&name)?))
            };
            of(round).filter(there).map(read).transpose()
        })?;
        let mut tokens = None;
        let mut share = |found: Vec<(Vec<f64>, f64)>| {
            let (correct, spent): (Vec<Vec<f64>>, Vec<f64>) = found.into_iter().unzip();
            tokens = Some(mean(&spent));
            proportion(&correct)
        };
        let curve: Vec<Option<Proportion>> =
            found.into_iter().map(|found| found.map(&mut share)).collect();
        if curve.iter().all(Option::is_none) {
            continue;
        }
        rows.push(RoundsRow {
            section: Section::Answers,
            label,
            cells: curve.iter().map(|share| share.map_or(ABSENT.to_owned(), percent)).collect(),
            tokens: tokens.map(|tokens| format!("{tokens:.1}")),
            curve,
        });
        for cut in Cut::ALL {
            let label = format!("{}: {cut}, %", label_of(source, &name));
            let share =
                |round: &RoundFiles| Ok(of(round).and_then(|all| all.share_cut(&name, cut)));
            let show = |shares: Vec<f64>| Ok(Some(format!("{:.1}", 100.0 * mean(&shares))));
            rows.extend(runs.row(Section::Answers, label, share, show)?);
        }
    }
    Ok(rows)
}

/// A file of decoded problems.
struct Answers {
    path: PathBuf,
    rows: Vec<Decoded>,
}

impl Answers {
    fn read(path: PathBuf) -> Result<Self> {
        let lines: Vec<Line> = jsonl::read(&path)?;
        let rows = lines.into_iter().filter_map(Line::decoded).collect();
        Ok(Self { path, rows })
    }

    /// Ids of the problems.
    fn problems(&self) -> Vec<String> {
        let mut problems: Vec<String> = self.rows.iter().map(|row| row.problem.clone()).collect();
        problems.sort();
        problems.dedup();
        problems
    }

    /// In the order in which they were measured.
    fn decodings(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for row in &self.rows {
            if !names.contains(&row.decoding) {
                names.push(row.decoding.clone());
            }
        }
        names
    }

    fn of<'a>(&'a self, decoding: &'a str) -> impl Iterator<Item = &'a Decoded> {
        self.rows.iter().filter(move |row| row.decoding == decoding)
    }

    fn correct(&self, decoding: &str, problems: &[String]) -> Result<Vec<f64>> {
        let by_id: HashMap<&str, bool> =
            self.of(decoding).map(|row| (row.problem.as_str(), row.correct)).collect();
        if by_id.len() != problems.len() {
            bail!(
                "{}: {decoding} has {} problems, and all rounds and runs together {}: is the file whole, and are the runs of one recipe?",
                self.path.display(),
                by_id.len(),
                problems.len()
            );
        }
        problems
            .iter()
            .map(|id| {
                let correct = by_id.get(id.as_str()).with_context(|| {
                    format!("{}: {decoding} has no problem {id}", self.path.display())
                })?;
                Ok(f64::from(u8::from(*correct)))
            })
            .collect()
    }

    /// The share of problems without an answer that ended at a limit; `None` where no answer of the file did.
    fn share_cut(&self, decoding: &str, cut: Cut) -> Option<f64> {
        let all = self.of(decoding).count();
        let any = self.rows.iter().any(|row| row.cut == Some(cut));
        let ended = self.of(decoding).filter(|row| row.cut == Some(cut)).count();
        (any && all > 0).then(|| ended as f64 / all as f64)
    }

    fn tokens(&self, decoding: &str) -> Result<f64> {
        let (count, total) = self
            .of(decoding)
            .fold((0_u64, 0_u64), |(count, total), row| (count + 1, total + row.tokens));
        ensure!(count > 0, "{} has no {decoding}", self.path.display());
        Ok(total as f64 / count as f64)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_record_without_answers_is_of_other_measures_or_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let round = folder.path().join("rounds/0");
        fs::create_dir_all(&round).unwrap();
        fs::write(round.join("evaluation.jsonl"), "").unwrap();
        let rows = |summary: &str| {
            fs::write(round.join("evaluate.json"), summary).unwrap();
            Decodings::rows(&Runs::open(&[folder.path().to_owned()]).unwrap())
        };
        assert_eq!(rows("{}").unwrap(), []);
        let error = rows("{\"results\": [{\"decoding\": \"greedy\"}]}").unwrap_err();
        assert!(error.to_string().contains("evaluation.jsonl is empty"), "{error}");
    }
}
