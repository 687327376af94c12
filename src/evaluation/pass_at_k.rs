//! `pass_at_k`: the chance that at least one of k sampled solutions is right, by the unbiased estimator of Chen et al. 2021
//! (arXiv 2107.03374, equation 1): of n samples, c of them right, 1 - C(n - c, k) / C(n, k).

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::measure::{Figures, Measure, Needs, Subject};
use super::recipe::{EvaluationRecipe, listed_once};
use super::record::{Line, Record};
use super::samples::SampleSet;
use crate::jsonl;
use crate::report::{RoundFiles, RoundsRow, Runs, Section, Table, label_of, percent, proportion};

/// Settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PassAtK {
    /// Each k, >= 1.
    pub k: Vec<usize>,
    /// Samples of each problem (n), at least the largest k: more of them narrow the interval. Where a decoding chooses from more,
    /// all of those count.
    pub samples: usize,
}

impl Default for PassAtK {
    fn default() -> Self {
        Self { k: vec![1, 5, 10], samples: 20 }
    }
}

/// pass@k over all problems and repetitions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pass {
    /// Names this form and its version.
    pub schema: String,
    /// Samples of which one must be right.
    pub k: usize,
    /// Samples that the estimate comes from (n).
    pub samples: usize,
    /// Mean over problems, in [0, 1].
    pub pass: f64,
    /// Lower end of the 95 % interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Problems.
    pub n: usize,
    /// Times that samples were drawn for each.
    pub seeds: usize,
    /// Mean number of tokens of k samples.
    pub tokens_per_problem: f64,
}

impl Measure for PassAtK {
    const KEY: &'static str = "pass_at_k";
    const OTHERS: Option<&'static str> = Some("pass_at_k_others");

    fn validate(&self) -> Result<()> {
        let (Some(least), Some(most)) = (self.k.iter().min(), self.k.iter().max()) else {
            bail!("k lists no number");
        };
        ensure!(*least > 0, "k holds 0: it must be at least 1");
        listed_once(&self.k).context("k")?;
        ensure!(self.samples >= *most, "samples = {} is less than k = {most}", self.samples);
        Ok(())
    }

    fn needs(&self, _: &EvaluationRecipe) -> Needs {
        Needs { samples: self.samples, ..Needs::default() }
    }

    fn measure(&self, subject: &Subject<'_>, record: &Record) -> Result<Figures> {
        let runs: Vec<&[SampleSet]> =
            record.samples.chunks(subject.problems.len().max(1)).collect();
        let figures: Vec<Pass> = self.k.iter().map(|&k| pass(k, &runs)).collect::<Result<_>>()?;
        let mut table =
            Table::new(["pass", "%", "95 % interval", "n", "samples", "tokens a problem"]);
        for row in &figures {
            table.push([
                format!("pass@{}", row.k),
                format!("{:.1}", 100.0 * row.pass),
                format!("[{:.1}, {:.1}]", 100.0 * row.low, 100.0 * row.high),
                row.n.to_string(),
                row.samples.to_string(),
                format!("{:.1}", row.tokens_per_problem),
            ]);
        }
        let note = |row: &Pass| {
            let [pass, low, high] = [row.pass, row.low, row.high].map(|share| 100.0 * share);
            format!("pass@{} {pass:.1} % [{low:.1}, {high:.1}]", row.k)
        };
        Ok(Figures {
            summary: serde_json::to_value(&figures)?,
            lines: figures.iter().map(serde_json::to_value).collect::<Result<_, _>>()?,
            table: Some(table),
            notes: figures.iter().map(note).collect(),
        })
    }

    fn rows(runs: &Runs) -> Result<Vec<RoundsRow>> {
        let mut rows = Vec::new();
        for source in runs.sources()? {
            let source = source.as_deref();
            let ks = runs.listed(|round| {
                Ok(kept_rows(round, source)?.into_iter().map(|row| row.k).collect())
            })?;
            for k in ks {
                let label = label_of(source, &format!("pass@{k}"));
                let read = |round: &RoundFiles| read_sets(round, source, k);
                let row =
                    runs.row(Section::Answers, label, read, |sets: Vec<Vec<SampleSet>>| {
                        let runs: Vec<&[SampleSet]> = sets.iter().map(Vec::as_slice).collect();
                        Ok(Some(percent(proportion(&estimates(k, &runs)?))))
                    })?;
                let tokens = tokens(runs, source, k)?;
                rows.extend(row.map(|row| RoundsRow { tokens, ..row }));
            }
        }
        Ok(rows)
    }
}

/// The mean number of tokens in the last round.
fn tokens(runs: &Runs, source: Option<&str>, k: usize) -> Result<Option<String>> {
    let mut tokens = Vec::new();
    for round in runs.round(runs.rounds() - 1) {
        let kept = kept_rows(round, source)?.into_iter().filter(|row| row.k == k);
        tokens.extend(kept.map(|row| row.tokens_per_problem));
    }
    let mean = tokens.iter().sum::<f64>() / tokens.len() as f64;
    Ok((!tokens.is_empty()).then(|| format!("{mean:.1}")))
}

/// The figures of a round's summary on a source's problems.
fn kept_rows(round: &RoundFiles, source: Option<&str>) -> Result<Vec<Pass>> {
    let rows: Option<Vec<Pass>> = match source {
        None => round.figure("evaluate", PassAtK::KEY)?,
        Some(name) => {
            let others: Option<BTreeMap<String, Vec<Pass>>> =
                round.figure("evaluate", "pass_at_k_others")?;
            others.and_then(|mut others| others.remove(name))
        }
    };
    Ok(rows.unwrap_or_default())
}

/// The sets of a record that pass@k is of, by problem: it may hold sets of several draws, of which one is taken. `None` where it was
/// not measured.
fn read_sets(round: &RoundFiles, source: Option<&str>, k: usize) -> Result<Option<Vec<SampleSet>>> {
    let Some(pass) = kept_rows(round, source)?.into_iter().find(|row| row.k == k) else {
        return Ok(None);
    };
    let lines: Vec<Line> = jsonl::read(&round.record(source))?;
    let sets = lines.into_iter().filter_map(Line::samples);
    let mut sets: Vec<SampleSet> = sets.filter(|set| set.draw.count == pass.samples).collect();
    if let Some(draw) = sets.first().map(|set| set.draw.clone()) {
        sets.retain(|set| set.draw == draw);
    }
    sets.sort_by(|a, b| a.problem.cmp(&b.problem));
    Ok(Some(sets))
}

/// pass@k over the sets of each repetition, by problem.
///
/// # Errors
/// When there are none, they hold fewer than k samples, or their problems differ.
pub fn pass(k: usize, runs: &[&[SampleSet]]) -> Result<Pass> {
    let share = proportion(&estimates(k, runs)?);
    let sets = || runs.iter().copied().flatten();
    let samples = sets().map(|set| set.draw.count).min().unwrap_or_default();
    let count = sets().map(|set| set.draw.count).sum::<usize>();
    let tokens: u64 = sets().flat_map(|set| &set.samples).map(|s| s.solution.tokens).sum();
    Ok(Pass {
        schema: "espalier.pass_at_k/1".into(),
        k,
        samples,
        pass: share.mean,
        low: share.low,
        high: share.high,
        n: runs.first().map_or(0, |run| run.len()),
        seeds: runs.len(),
        tokens_per_problem: k as f64 * tokens as f64 / count as f64,
    })
}

/// The estimate of each problem, run by run.
fn estimates(k: usize, runs: &[&[SampleSet]]) -> Result<Vec<Vec<f64>>> {
    let first = runs.first().copied().unwrap_or_default();
    ensure!(!first.is_empty(), "no samples were recorded");
    let of_run = |run: &&[SampleSet]| {
        ensure!(
            run.len() == first.len() && run.iter().zip(first).all(|(a, b)| a.problem == b.problem),
            "the samples are of different problems; the runs are not of one recipe"
        );
        let estimate = |set: &SampleSet| {
            let right = set.samples.iter().filter(|sample| sample.correct).count();
            ensure!(k <= set.draw.count, "{k} of {} samples cannot be drawn", set.draw.count);
            Ok(estimate(set.draw.count, right, k))
        };
        run.iter().map(estimate).collect()
    };
    runs.iter().map(of_run).collect()
}

/// 1 - C(n - c, k) / C(n, k) as a product, which no large binomial overflows; `c <= n`, `1 <= k <= n`.
pub(super) fn estimate(n: usize, c: usize, k: usize) -> f64 {
    if n - c < k {
        return 1.0;
    }
    1.0 - (n - c + 1..=n).map(|i| 1.0 - k as f64 / i as f64).product::<f64>()
}

#[cfg(test)]
mod tests {
    use espalier_search::SampledSolution;

    use super::super::samples::{Draw, Sample};
    use super::*;

    #[test]
    fn the_estimator_by_hand() {
        // n = 5, c = 2: 1 - C(3, 1)/C(5, 1) = 2/5, 1 - C(3, 2)/C(5, 2) = 7/10, 1 - C(3, 3)/C(5, 3) = 9/10, and 4 of 5 hold a right one.
        for (k, expected) in [(1, 0.4), (2, 0.7), (3, 0.9), (4, 1.0), (5, 1.0)] {
            assert!((estimate(5, 2, k) - expected).abs() < 1e-12, "{k}");
        }
        assert_eq!((estimate(5, 0, 5), estimate(5, 5, 1)), (0.0, 1.0));
        // C(200, 100) does not fit a double's integers, and half of the samples' chance that 100 hold the one right sample is 1/2.
        assert!((estimate(200, 1, 100) - 0.5).abs() < 1e-12);
    }

    #[test]
    fn the_estimate_is_the_mean_over_all_choices() {
        let right = [true, false, false, true, false, false, true];
        for k in 1..=right.len() {
            let choices =
                (0_u32..1 << right.len()).filter(|choice| choice.count_ones() as usize == k);
            let (mut hits, mut all) = (0.0, 0.0);
            for choice in choices {
                all += 1.0;
                let hit = (0..right.len()).any(|at| choice >> at & 1 == 1 && right[at]);
                hits += f64::from(u8::from(hit));
            }
            assert!((estimate(right.len(), 3, k) - hits / all).abs() < 1e-12, "{k}");
        }
    }

    fn set(problem: &str, right: &[bool], count: usize) -> SampleSet {
        let sample = |&correct: &bool| Sample {
            correct,
            solution: SampledSolution {
                answer: None,
                value: None,
                steps_truncated: 0,
                cut: None,
                tokens: 3,
                steps: vec![],
            },
        };
        SampleSet {
            schema: "espalier.samples/1".into(),
            draw: Draw { stream: "samples".into(), count, values: false },
            seed: 0,
            problem: problem.into(),
            question: String::new(),
            answer: String::new(),
            samples: right.iter().map(sample).collect(),
        }
    }

    #[test]
    fn problems_are_averaged_and_those_that_cannot_be_read_count_as_wrong() {
        let run = [set("a", &[true, false, false, true, false], 5), set("b", &[], 5)];
        let figures = pass(2, &[&run]).unwrap();
        assert!((figures.pass - 0.35).abs() < 1e-12);
        assert!(figures.low < 0.35 && figures.high > 0.35);
        assert_eq!((figures.n, figures.samples, figures.seeds), (2, 5, 1));
        assert!((figures.tokens_per_problem - 3.0).abs() < 1e-12);
        let other = [set("a", &[true], 5), set("c", &[], 5)];
        assert!(pass(2, &[&run, &other]).unwrap_err().to_string().contains("different problems"));
        assert!(pass(6, &[&run]).unwrap_err().to_string().contains("6 of 5"));
        assert!(pass(1, &[]).unwrap_err().to_string().contains("no samples"));
    }

    #[test]
    fn settings_are_checked() {
        PassAtK::default().validate().unwrap();
        for (k, samples, part) in [
            (vec![], 5, "no number"),
            (vec![0, 1], 5, "0"),
            (vec![9], 5, "k = 9"),
            (vec![2, 1, 2], 5, "k: 2 is listed twice"),
        ] {
            let error = format!("{:#}", PassAtK { k, samples }.validate().unwrap_err());
            assert!(error.contains(part), "{error}");
        }
    }
}
