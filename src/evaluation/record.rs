//! The record of a net's answers to problems: what the measures read.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use espalier_search::{Cancel, Cut, Decoding, Environment, Problem, SolutionStep, decode};
use serde::{Deserialize, Serialize};

use super::grid;
use super::measure::{Needs, Subject};
use super::samples::{Draw, SampleSet};
use crate::interrupt::Work;
use crate::jsonl::{self, Log, Writer};
use crate::policy::LimitWatch;
use crate::seed;

/// One decoded problem, a line of `evaluation.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decoded {
    /// The way of decoding.
    pub decoding: String,
    /// The number of the repetition, from 0.
    pub seed: usize,
    /// [`Problem::id`].
    pub problem: String,
    /// [`Problem::question`]; empty in files of earlier versions.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub question: String,
    /// The answer given, if any.
    pub answer: Option<String>,
    /// Whether it is right.
    pub correct: bool,
    /// Sampled tokens; where the answer is chosen from samples, those of the samples that it is chosen from.
    pub tokens: u64,
    /// Simulations (tree search alone).
    pub simulations: u64,
    /// Sampled steps that the policy was cut off in before it had ended them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub steps_truncated: usize,
    /// Without an answer: the first of the causes that ended its paths. With one: that it could be shown neither right nor wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<Cut>,
    /// The number of the sample that was chosen from the problem's [`SampleSet`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<usize>,
    /// The steps that lead to the answer where it is not chosen from samples. Without an answer: the steps of the only path, otherwise
    /// none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub solution: Vec<SolutionStep>,
}

/// Whether a count is left out of what is written.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// A line of `evaluation.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Line {
    /// A decoded problem.
    Decoded(Decoded),
    /// The samples of a problem.
    Samples(SampleSet),
}

impl Decoded {
    /// Whether not even the problem could be read: it is longer than the policy reads.
    fn is_unread(&self) -> bool {
        self.cut == Some(Cut::ContextTooLong) && self.tokens == 0
    }
}

impl Line {
    /// The decoded problem, where it is one.
    #[must_use]
    pub fn decoded(self) -> Option<Decoded> {
        match self {
            Self::Decoded(row) => Some(row),
            Self::Samples(_) => None,
        }
    }

    /// The samples, where it is a set.
    #[must_use]
    pub fn samples(self) -> Option<SampleSet> {
        match self {
            Self::Samples(set) => Some(set),
            Self::Decoded(_) => None,
        }
    }
}

/// The answers to all problems.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Record {
    /// By decoding in the order asked for, then by repetition, then by problem.
    pub decoded: Vec<Decoded>,
    /// By repetition, then by problem; empty where no samples are needed.
    pub samples: Vec<SampleSet>,
    /// What each decoding took. Those that an earlier process did in part are absent, and so are those that choose from a part of the
    /// samples.
    pub costs: HashMap<String, Cost>,
}

/// What answering all problems in one way took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// Wall time in seconds.
    pub seconds: f64,
    /// See [`espalier_search::Evaluator::tokens_read`].
    pub tokens_read: Option<u64>,
}

impl Record {
    /// Answers every problem in every way that is needed, and writes the answers to the subject's file when it has one. Finished problems are
    /// kept in a log beside it (`*.log`), so that after a kill only unfinished ones are answered; a log of other settings is refused. What a
    /// file holds that is recorded further stays in it as it is.
    ///
    /// Problems that are longer than the policy reads have no answer; a warning says how many.
    ///
    /// # Errors
    /// The first problem's that could not be answered; when the policy can read none of them.
    pub fn gather(subject: &Subject<'_>, needs: &Needs) -> Result<Self> {
        let watch = LimitWatch::new(subject.evaluator);
        let subject = &Subject { evaluator: &watch, ..*subject };
        let mut stage = Stage::open(subject)?;
        let mut record = Self::default();
        let draw = Draw::for_needs(needs).map(|draw| stage.kept.draw_for(draw));
        let (mut drawn, mut steps_truncated) = (None, 0);
        if let Some(draw) = &draw {
            (record.samples, drawn) = stage.samples(draw)?;
            let samples = record.samples.iter().flat_map(|set| &set.samples);
            steps_truncated = samples.map(|sample| sample.solution.steps_truncated).sum();
        }
        for decoding in &needs.decodings {
            let name = decoding.to_string();
            let (rows, cost) = if let Some(count) = decoding.samples() {
                let choices = record.samples.iter();
                let rows = choices.filter_map(|set| set.decoded(subject.environment, *decoding));
                let all = draw.as_ref().is_some_and(|draw| draw.count == count);
                (rows.collect(), drawn.filter(|_| all))
            } else {
                let (rows, cost) = stage.decoded(*decoding)?;
                steps_truncated += rows.iter().map(|row| row.steps_truncated).sum::<usize>();
                (rows, cost)
            };
            record.decoded.extend(rows);
            record.costs.extend(cost.map(|cost| (name, cost)));
        }
        let (unread, all) = (record.unread(), subject.problems.len());
        if unread == all && all > 0 {
            stage.discard()?;
            bail!("none of the {all} problems can be read: {}", watch.context());
        }
        if unread > 0 {
            tracing::warn!(
                "{unread} of {all} problems cannot be read and count as wrong: {}",
                watch.context()
            );
        }
        watch.warn_of_steps(steps_truncated);
        stage.finish(&record)?;
        Ok(record)
    }

    /// Problems that are longer than the policy reads.
    fn unread(&self) -> usize {
        let decoded = self.decoded.iter().filter(|row| row.is_unread()).map(|row| &*row.problem);
        let samples = self.samples.iter().filter(|set| set.samples.is_empty());
        decoded.chain(samples.map(|set| &*set.problem)).collect::<HashSet<&str>>().len()
    }
}

/// The work of a record, and what an earlier process left of it.
struct Stage<'a> {
    subject: &'a Subject<'a>,
    out: Option<(&'a Path, Log<Line>)>,
    /// Each repetition of each problem.
    cells: Vec<(usize, &'a Problem)>,
    decoded: HashMap<(String, usize, String), Decoded>,
    samples: HashMap<(usize, String), Vec<SampleSet>>,
    kept: Kept,
}

/// What a file holds that is recorded further.
#[derive(Default)]
struct Kept {
    /// The file as it is.
    bytes: Vec<u8>,
    /// Decodings of which it holds all answers.
    decodings: HashSet<String>,
    /// Draws of which it holds all samples.
    draws: Vec<Draw>,
}

impl Kept {
    /// The file appears whole, so that it holds all cells of what it holds any of.
    fn read(path: &Path) -> Result<(Self, Vec<Line>)> {
        if !path.exists() {
            return Ok((Self::default(), Vec::new()));
        }
        let lines: Vec<Line> = jsonl::read(path)?;
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut kept = Self { bytes, ..Self::default() };
        for line in &lines {
            match line {
                Line::Decoded(row) => _ = kept.decodings.insert(row.decoding.clone()),
                Line::Samples(set) if kept.draws.contains(&set.draw) => {}
                Line::Samples(set) => kept.draws.push(set.draw.clone()),
            }
        }
        Ok((kept, lines))
    }

    /// A draw that is there and serves as well, or the one that is wanted.
    fn draw_for(&self, wanted: Draw) -> Draw {
        self.draws.iter().find(|draw| draw.serves(&wanted)).cloned().unwrap_or(wanted)
    }
}

impl<'a> Stage<'a> {
    fn open(subject: &'a Subject<'a>) -> Result<Self> {
        let Subject { environment, problems, seed, net, .. } = subject;
        let cells = (0..subject.seeds)
            .flat_map(|seed| problems.iter().map(move |problem| (seed, problem)))
            .collect();
        let mut stage = Self {
            subject,
            out: None,
            cells,
            decoded: HashMap::new(),
            samples: HashMap::new(),
            kept: Kept::default(),
        };
        let Some(out) = subject.out else { return Ok(stage) };
        let mut lines = Vec::new();
        if subject.further {
            (stage.kept, lines) = Kept::read(out)?;
        }
        // A line says which decoding or draw, and which repetition, it is of, so a log also serves more of them.
        let parts = (environment, problems, &subject.recipe.decode, seed, net);
        let (log, before) = Log::open(&jsonl::log_beside(out), &jsonl::identity(&parts)?)?;
        lines.extend(before);
        for line in lines {
            match line {
                Line::Decoded(row) => {
                    let cell = (row.decoding.clone(), row.seed, row.problem.clone());
                    stage.decoded.insert(cell, row);
                }
                Line::Samples(set) => {
                    let cell = (set.seed, set.problem.clone());
                    stage.samples.entry(cell).or_default().push(set);
                }
            }
        }
        stage.out = Some((out, log));
        Ok(stage)
    }

    fn samples(&mut self, draw: &Draw) -> Result<(Vec<SampleSet>, Option<Cost>)> {
        let before = self.cells.iter().map(|(seed, problem)| {
            let sets = self.samples.remove(&(*seed, problem.id.clone()))?;
            sets.into_iter().find(|set| set.draw == *draw)
        });
        let before = before.collect();
        self.fill(&format!("sample {}", draw.count), before, |cell, cancel| {
            let set = draw.sample(self.subject, cell, cancel)?;
            self.keep(|| Line::Samples(set.clone()))?;
            Ok(set)
        })
    }

    fn decoded(&mut self, decoding: Decoding) -> Result<(Vec<Decoded>, Option<Cost>)> {
        let name = decoding.to_string();
        let before = self
            .cells
            .iter()
            .map(|(seed, problem)| self.decoded.remove(&(name.clone(), *seed, problem.id.clone())));
        let before = before.collect();
        self.fill(&format!("evaluate {name}"), before, |cell, cancel| {
            let row = decode_one(self.subject, decoding, cell, cancel)?;
            self.keep(|| Line::Decoded(row.clone()))?;
            Ok(row)
        })
    }

    fn fill<T: Send>(
        &self,
        label: &str,
        before: Vec<Option<T>>,
        work: impl Fn((usize, &Problem), &Cancel) -> Result<T> + Sync,
    ) -> Result<(Vec<T>, Option<Cost>)> {
        let read = self.subject.evaluator.tokens_read();
        let one = |cell: usize, cancel: &Cancel| work(self.cells[cell], cancel);
        let work = Work::begin();
        let concurrency = self.subject.concurrent_problems;
        let filled = grid::fill(label, before, concurrency, work.cancel(), one);
        work.check(|| match self.out {
            Some(_) => "what is answered is kept; the same command goes on".to_owned(),
            None => "no file was named to keep what is answered".to_owned(),
        })?;
        let (cells, seconds) = filled?;
        let tokens_read =
            self.subject.evaluator.tokens_read().zip(read).map(|(after, before)| after - before);
        Ok((cells, seconds.map(|seconds| Cost { seconds, tokens_read })))
    }

    fn keep(&self, line: impl FnOnce() -> Line) -> Result<()> {
        self.out.as_ref().map_or(Ok(()), |(_, log)| log.append([&line()]))
    }

    /// Leaves nothing of a record that says nothing.
    fn discard(self) -> Result<()> {
        self.out.map_or(Ok(()), |(_, log)| log.remove())
    }

    /// Writes the whole record, after which the log is of no more use.
    fn finish(self, record: &Record) -> Result<()> {
        /// As [`Line`].
        #[derive(Serialize)]
        #[serde(untagged)]
        enum Row<'a> {
            Decoded(&'a Decoded),
            Samples(&'a SampleSet),
        }
        let Some((out, log)) = self.out else { return Ok(()) };
        let Kept { bytes, decodings, draws } = &self.kept;
        let decoded = record.decoded.iter().filter(|row| !decodings.contains(&row.decoding));
        let samples = record.samples.iter().filter(|set| !draws.contains(&set.draw));
        let mut file = Writer::create(out)?;
        file.bytes(bytes)?;
        for row in decoded.map(Row::Decoded).chain(samples.map(Row::Samples)) {
            file.row(&row)?;
        }
        file.finish()?;
        log.retire()
    }
}

fn decode_one(
    subject: &Subject<'_>,
    decoding: Decoding,
    (seed, problem): (usize, &Problem),
    cancel: &Cancel,
) -> Result<Decoded> {
    let Subject { environment, evaluator, .. } = *subject;
    let name = decoding.to_string();
    let stream = seed::derive(subject.seed, &["decode", &name, &seed.to_string(), &problem.id]);
    let config = &subject.recipe.decode;
    let outcome = decode(decoding, environment, evaluator, problem, config, stream, cancel)
        .with_context(|| format!("problem {}, {name}", problem.id))?;
    let (correct, cut) = match &outcome.answer {
        Some(answer) => {
            let reward = environment.reward(problem, answer);
            let verdict = environment.verdict(problem, answer, reward);
            (verdict == Some(true), verdict.is_none().then_some(Cut::UndecidedAnswer))
        }
        None => (false, outcome.cut),
    };
    Ok(Decoded {
        decoding: name,
        seed,
        problem: problem.id.clone(),
        question: problem.question.clone(),
        correct,
        steps_truncated: outcome.steps_truncated,
        cut,
        answer: outcome.answer,
        tokens: outcome.tokens,
        simulations: outcome.simulations,
        sample: None,
        solution: outcome.solution,
    })
}

#[cfg(test)]
mod tests {
    use espalier_search::testing::Answering;
    use espalier_search::{Evaluation, Evaluator, EvaluatorError, Proposal, Request};

    use super::*;
    use crate::environment::countdown::{Countdown, parse_problem};
    use crate::evaluation::EvaluationRecipe;
    use crate::pipeline::tests::until_cancelled;

    /// Reads no problem that begins so; of others its steps say nothing.
    fn short(unread: &'static str) -> impl Evaluator {
        let step = Proposal {
            action: "?".into(),
            log_prob: -1.0,
            tokens: 1,
            truncated: false,
            sampled: None,
        };
        let answer = move |request: &Request| {
            if request.context.starts_with(unread) {
                return Err(EvaluatorError::ContextTooLong { tokens: 20, limit: 10 });
            }
            let proposals = vec![step.clone(); request.samples];
            Ok(Evaluation { proposals, value: 0.0 })
        };
        Answering(move |requests: &[Request], _: &Cancel| requests.iter().map(&answer).collect())
    }

    #[test]
    fn problems_that_cannot_be_read_are_counted_apart_and_not_all_may_be_such() {
        let problems =
            ["24: 2 3 4", "9: 2 3 4", "26: 3 5 7"].map(|text| parse_problem(text).unwrap());
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("rows.jsonl");
        let (environment, recipe) = (Countdown::default().into(), EvaluationRecipe::default());
        let gather = |evaluator: &dyn Evaluator| {
            let subject = Subject {
                environment: &environment,
                evaluator,
                net: "short",
                problems: &problems,
                recipe: &recipe,
                seeds: 1,
                seed: 1,
                concurrent_problems: 1,
                out: Some(&out),
                further: false,
            };
            let names = ["greedy", "maj@2", "bon@3", "sbs:2x2", "dvts:2x2", "mcts:4"];
            let decodings = names.map(|name| name.parse().unwrap()).to_vec();
            Record::gather(&subject, &Needs { decodings, samples: 0 })
        };
        let error = gather(&short("")).unwrap_err().to_string();
        assert!(error.contains("none of the 3") && error.contains("20 tokens"), "{error}");
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);
        let record = gather(&short("26")).unwrap();
        assert_eq!((record.decoded.len(), record.unread()), (18, 1));
        for row in record.decoded {
            let unread = (row.problem == problems[2].id).then_some(Cut::ContextTooLong);
            assert_eq!((row.answer, row.cut), (None, unread), "{}", row.decoding);
        }
    }

    #[test]
    fn the_first_failure_ends_decodings_under_way_and_is_the_one_that_is_told() {
        let problems =
            ["24: 2 3 4", "9: 2 3 4", "26: 3 5 7"].map(|text| parse_problem(text).unwrap());
        // Fails at one problem; stuck at any other until it is cancelled.
        let broken = Answering(|requests: &[Request], cancel: &Cancel| {
            if requests[0].context.starts_with("26") {
                let broken = Err(EvaluatorError::Failed("out of order".to_owned()));
                return vec![broken; requests.len()];
            }
            until_cancelled(requests, cancel)
        });
        let subject = Subject {
            environment: &Countdown::default().into(),
            evaluator: &broken,
            net: "broken",
            problems: &problems,
            recipe: &EvaluationRecipe::default(),
            seeds: 1,
            seed: 1,
            concurrent_problems: 3,
            out: None,
            further: false,
        };
        let needs = Needs { decodings: vec![espalier_search::decoding::Greedy.into()], samples: 0 };
        let error = Record::gather(&subject, &needs).unwrap_err();
        assert!(format!("{error:#}").contains("out of order"), "{error:#}");
    }
}
