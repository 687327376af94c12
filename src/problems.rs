//! Problems from a generator, a file or a data set, in disjoint splits.

use std::path::Path;

use anyhow::{Context, Result, bail};
use espalier_search::{Environment, Problem};
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::data::{self, DatasetRecipe, Located, Paths, Report, SourceRecipe};
use crate::environment::{AnyEnvironment, Split};
use crate::jsonl::Indexed;
use crate::recipe::{ProblemsRecipe, Recipe};
use crate::seed;
use crate::usage::UsageError;

/// Opens a file of problems, each to be read when it is asked for, and checks that each can be posed and that no id occurs
/// twice.
///
/// # Errors
/// Naming the file and the line.
pub fn open(environment: &AnyEnvironment, path: &Path) -> Result<Indexed<Problem>> {
    let check = |problem: &Problem| Ok(environment.root(problem).map(|_| ())?);
    let problems = Indexed::open(path, |problem: &Problem| &problem.id, check)?;
    if problems.is_empty() {
        bail!("{} holds no problems", path.display());
    }
    Ok(problems)
}

/// Reads all problems of a file; see [`open`].
///
/// # Errors
/// Naming the file and the line.
pub fn read(environment: &AnyEnvironment, path: &Path) -> Result<Vec<Problem>> {
    let problems = open(environment, path)?;
    (0..problems.len()).map(|number| problems.get(number)).collect()
}

/// Problems number `offset..offset + count` of a split. A generator has as many as are asked for; a file starts again from its
/// first when it holds no more, and never gives one twice in a call.
///
/// # Errors
/// When the source cannot be read or has no problem of that split.
pub fn draw(
    environment: &AnyEnvironment,
    source: &ProblemsRecipe,
    split: Split,
    offset: usize,
    count: usize,
    seed: u64,
) -> Result<Vec<Problem>> {
    let (mut problems, origin) = match source {
        ProblemsRecipe::Generated(settings) => {
            let mut problems = environment
                .generate(settings, split, offset + count, seed)
                .map_err(|error| UsageError(error.context("[problems]")))?;
            problems.drain(..offset);
            return Ok(problems);
        }
        ProblemsRecipe::Jsonl(file) => {
            let problems = read(environment, &file.path)?;
            let problems = of_split(environment, problems, |own| own == split)?;
            (problems, file.path.display().to_string())
        }
        ProblemsRecipe::Dataset(dataset) => of_dataset(environment, dataset, split)?,
    };
    if problems.is_empty() {
        bail!("{origin} has no problem in its {} split", split.name());
    }
    shuffle(&mut problems, split, seed);
    Ok(in_turn(&problems, offset, count))
}

/// The training problems of a round, from 1 on: the next ones of the split, or of the pool that the rounds take turns through.
///
/// # Errors
/// As [`draw`].
pub fn of_round(
    environment: &AnyEnvironment,
    recipe: &Recipe,
    round: usize,
) -> Result<Vec<Problem>> {
    let Recipe { problems, rounds, seed, .. } = recipe;
    let (offset, count) = ((round - 1) * rounds.problems, rounds.problems);
    let Some(pool) = rounds.pool else {
        return draw(environment, problems, Split::Train, offset, count, *seed);
    };
    Ok(in_turn(&draw(environment, problems, Split::Train, 0, pool, *seed)?, offset, count))
}

/// At most `count` problems from `offset` on, again from the first behind the last, none of them twice.
fn in_turn(problems: &[Problem], offset: usize, count: usize) -> Vec<Problem> {
    let of = |index: usize| problems[(offset + index) % problems.len()].clone();
    (0..count.min(problems.len())).map(of).collect()
}

/// At most `count` problems of a source that is for testing as a whole.
///
/// # Errors
/// When it cannot be read or has none.
pub fn draw_test(
    environment: &AnyEnvironment,
    source: &SourceRecipe,
    count: usize,
    seed: u64,
) -> Result<Vec<Problem>> {
    let read = data::read_source(source, false)?;
    let mut problems = posed(environment, read, &source.path)?;
    if problems.is_empty() {
        bail!("{} has no problem", source.path);
    }
    shuffle(&mut problems, Split::Test, seed);
    problems.truncate(count);
    Ok(problems)
}

fn shuffle(problems: &mut [Problem], split: Split, seed: u64) {
    let stream = seed::derive(seed, &["problem order", split.name()]);
    problems.shuffle(&mut ChaCha8Rng::seed_from_u64(stream));
}

/// The problems whose own split is one of those wanted.
fn of_split(
    environment: &AnyEnvironment,
    problems: Vec<Problem>,
    wanted: impl Fn(Split) -> bool,
) -> Result<Vec<Problem>> {
    let mut chosen = Vec::new();
    for problem in problems {
        if wanted(environment.split(&problem)?) {
            chosen.push(problem);
        }
    }
    Ok(chosen)
}

/// The problems of a split, and where they come from. With a test source of its own nothing of the others is held out for testing.
fn of_dataset(
    environment: &AnyEnvironment,
    dataset: &DatasetRecipe,
    split: Split,
) -> Result<(Vec<Problem>, String)> {
    let own = dataset.test.as_ref().filter(|_| split == Split::Test);
    let (read, origin) = match own {
        Some(test) => (data::read_source(test, dataset.skip_bad_rows)?, &test.path),
        None => (data::read(dataset)?, &dataset.path),
    };
    let mut problems = posed(environment, read, origin)?;
    if own.is_none() {
        let whole = dataset.test.is_some();
        let wanted = |own| own == split || whole && split == Split::Train && own == Split::Test;
        problems = of_split(environment, problems, wanted)?;
    }
    Ok((problems, origin.to_string()))
}

/// What was read of a source, each problem checked that it can be posed.
fn posed(
    environment: &AnyEnvironment,
    (located, report): (Vec<Located>, Report),
    origin: &Paths,
) -> Result<Vec<Problem>> {
    tracing::info!("{origin}: {}", report.one_line());
    for bad in &report.bad_rows {
        tracing::warn!("{}: {}; skipped", bad.place, bad.cause);
    }
    let mut problems = Vec::with_capacity(located.len());
    for Located { place, problem } in located {
        environment.root(&problem).with_context(|| place.to_string())?;
        problems.push(problem);
    }
    Ok(problems)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::environment::ProblemGenerator;
    use crate::environment::countdown::{Countdown, GeneratorRecipe};
    use crate::jsonl;
    use crate::recipe::JsonlRecipe;

    fn countdown() -> AnyEnvironment {
        Countdown::default().into()
    }

    fn file_of(problems: &[Problem]) -> (tempfile::TempDir, ProblemsRecipe) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("problems.jsonl");
        jsonl::write(&path, problems).unwrap();
        (folder, ProblemsRecipe::Jsonl(JsonlRecipe { path }))
    }

    #[test]
    fn a_file_is_split_without_overlap_and_wraps_around() {
        let recipe = GeneratorRecipe::default();
        let mut problems = recipe.generate(&Countdown::default(), Split::Train, 10, 1).unwrap();
        problems.extend(recipe.generate(&Countdown::default(), Split::Test, 5, 1).unwrap());
        let (_folder, source) = file_of(&problems);
        let ids = |split, offset, count| -> Vec<String> {
            let drawn = draw(&countdown(), &source, split, offset, count, 3).unwrap();
            drawn.into_iter().map(|problem| problem.id).collect()
        };
        assert_eq!(ids(Split::Test, 0, 100).len(), 5);
        let first = ids(Split::Train, 0, 6);
        let second = ids(Split::Train, 6, 6);
        assert_eq!(first.iter().chain(&second).collect::<HashSet<_>>().len(), 10);
        assert_eq!(second[4..], first[..2]);
    }

    #[test]
    fn bad_rows_are_named() {
        let mut problems =
            GeneratorRecipe::default().generate(&Countdown::default(), Split::Train, 3, 1).unwrap();
        problems[2].metadata.remove("target");
        let (_folder, ProblemsRecipe::Jsonl(file)) = file_of(&problems) else { unreachable!() };
        let error = format!("{:#}", read(&countdown(), &file.path).unwrap_err());
        assert!(error.contains("jsonl:3") && error.contains("target"), "{error}");
        problems[2] = problems[0].clone();
        let (_folder, ProblemsRecipe::Jsonl(file)) = file_of(&problems) else { unreachable!() };
        let error = format!("{:#}", read(&countdown(), &file.path).unwrap_err());
        assert!(error.contains("occurs twice"), "{error}");
    }
}
