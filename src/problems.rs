//! Problems from a generator or a file, in disjoint splits.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use espalier_search::Problem;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::environment::{Domain, Split, countdown};
use crate::recipe::ProblemsRecipe;
use crate::{jsonl, seed};

/// Reads problems and checks that each can be posed and that no id occurs twice.
///
/// # Errors
/// Naming the file and the row.
pub fn read<E: Domain>(environment: &E, path: &Path) -> Result<Vec<Problem>> {
    let problems: Vec<Problem> = jsonl::read(path)?;
    if problems.is_empty() {
        bail!("{} holds no problems", path.display());
    }
    let mut ids = HashSet::new();
    for (index, problem) in problems.iter().enumerate() {
        environment
            .root(problem)
            .with_context(|| format!("{}: row {}", path.display(), index + 1))?;
        if !ids.insert(&problem.id) {
            bail!("{}: row {}: id {:?} occurs twice", path.display(), index + 1, problem.id);
        }
    }
    Ok(problems)
}

/// Problems number `offset..offset + count` of a split. A generator has as many as are asked for; a file starts again from its
/// first when it holds no more, and never gives one twice in a call.
///
/// # Errors
/// When the source cannot be read or has no problem of that split.
pub fn draw<E: Domain>(
    environment: &E,
    source: &ProblemsRecipe,
    split: Split,
    offset: usize,
    count: usize,
    seed: u64,
) -> Result<Vec<Problem>> {
    match source {
        ProblemsRecipe::Generated(recipe) => {
            let mut problems = countdown::generate(recipe, split, offset + count, seed)
                .map_err(|message| anyhow!(message))
                .context("[problems]")?;
            problems.drain(..offset);
            Ok(problems)
        }
        ProblemsRecipe::Jsonl(file) => {
            let mut problems = Vec::new();
            for problem in read(environment, &file.path)? {
                if environment.split(&problem)? == split {
                    problems.push(problem);
                }
            }
            if problems.is_empty() {
                bail!("{} has no problem in its {} split", file.path.display(), split.name());
            }
            let stream = seed::derive(seed, &["problem order", split.name()]);
            problems.shuffle(&mut ChaCha8Rng::seed_from_u64(stream));
            let available = problems.len();
            Ok((0..count.min(available))
                .map(|index| problems[(offset + index) % available].clone())
                .collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::countdown::{Countdown, GeneratorRecipe};
    use crate::recipe::JsonlRecipe;

    fn file_of(problems: &[Problem]) -> (tempfile::TempDir, ProblemsRecipe) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("problems.jsonl");
        jsonl::write(&path, problems).unwrap();
        (folder, ProblemsRecipe::Jsonl(JsonlRecipe { path }))
    }

    #[test]
    fn a_file_is_split_without_overlap_and_wraps_around() {
        let recipe = GeneratorRecipe::default();
        let mut problems = countdown::generate(&recipe, Split::Train, 10, 1).unwrap();
        problems.extend(countdown::generate(&recipe, Split::Test, 5, 1).unwrap());
        let (_folder, source) = file_of(&problems);
        let ids = |split, offset, count| -> Vec<String> {
            let drawn = draw(&Countdown::default(), &source, split, offset, count, 3).unwrap();
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
            countdown::generate(&GeneratorRecipe::default(), Split::Train, 3, 1).unwrap();
        problems[2].metadata.remove("target");
        let (_folder, ProblemsRecipe::Jsonl(file)) = file_of(&problems) else { unreachable!() };
        let error = format!("{:#}", read(&Countdown::default(), &file.path).unwrap_err());
        assert!(error.contains("row 3") && error.contains("target"), "{error}");
        problems[2] = problems[0].clone();
        let (_folder, ProblemsRecipe::Jsonl(file)) = file_of(&problems) else { unreachable!() };
        let error = format!("{:#}", read(&Countdown::default(), &file.path).unwrap_err());
        assert!(error.contains("occurs twice"), "{error}");
    }
}
