//! The files of a run: trees, labelled solutions, problems, logs.

use espalier::environment::AnyEnvironment;
use espalier::environment::countdown::{Countdown, parse_problem};
use espalier::jsonl::{self, EntryLog, Log};
use espalier::labels::{LabelsRecipe, NoRollouts, World, to_stepwise};
use espalier::problems;
use espalier::report::{Outline, OutlineFilter, SideBySide, check_tree};
use espalier_search::testing::HashedEvaluator;
use espalier_search::{
    Cancel, LabelledSolution, MctsConfig, Problem, TreeRecord, continue_tree, finished_paths,
    search_tree,
};
use serde_json::{Value, json};

use crate::harness::fuzz;
use crate::mutate::bytes;
use crate::mutate::json::Json;
use crate::random::Random;
use crate::scratch::{Scratch, fixture};

/// The rows of a file of the run that the tests keep.
fn kept(name: &str) -> Vec<Value> {
    let file = fixture(&format!("tests/data/version-1/run/{name}"));
    let rows = file.split(|byte| *byte == b'\n').filter(|row| !row.is_empty());
    rows.map(|row| serde_json::from_slice(row).unwrap()).collect()
}

fn some_rows(seeds: &Json, random: &mut Random) -> Vec<u8> {
    let mut text = Vec::new();
    for _ in 0..1 + random.below(3) {
        seeds.write_changed(&mut text, random);
        text.push(b'\n');
    }
    if random.once_in(16) {
        bytes::damage(&mut text, random);
    }
    text
}

/// Whether an error is of what a row says, and not that it is no JSON.
fn of_content(error: &anyhow::Error) -> bool {
    let error = format!("{error:#}");
    ![
        "expected value",
        "EOF while",
        "expected `,`",
        "expected `:`",
        "key must be a string",
        "control character",
    ]
    .iter()
    .any(|form| error.contains(form))
}

/// Labels a problem's trees as `harvest` does, and shows them as `inspect` does.
fn use_trees(trees: &[TreeRecord], labels: &[LabelsRecipe]) {
    let filter = OutlineFilter::default();
    for pair in trees.windows(2) {
        _ = SideBySide::new([&pair[0], &pair[1]], filter).text(["one", "other"]);
    }
    let world = World {
        state: &|context| Some(context.to_owned()),
        solved_by: &|_, answer| Some(answer.to_owned()),
    };
    for tree in trees {
        _ = Outline::new(tree, filter).text();
        for labels in labels {
            if let Ok(paths) =
                labels.harvest(std::slice::from_ref(tree), &world, &mut NoRollouts, 1)
            {
                paths.iter().for_each(|path| _ = to_stepwise(path));
            }
        }
    }
}

/// Grows a tree again and searches it further, as `search --continue` does.
fn search_further(environment: &Countdown, config: &MctsConfig, tree: &TreeRecord) {
    let Ok(problem) = parse_problem("26: 3 5 7") else { return };
    let problem = Problem { id: tree.problem.clone(), question: tree.question.clone(), ..problem };
    _ = continue_tree(environment, &evaluator(), &problem, config, tree, &Cancel::new());
}

fn evaluator() -> HashedEvaluator {
    HashedEvaluator::new(1, ["3*7", "3+5", "21+5", "8*7", "5-3", "7-5", "x"])
}

#[test]
fn trees() {
    let environment = Countdown::default();
    let config = MctsConfig { simulations: 12, ..MctsConfig::default() };
    let problem = parse_problem("26: 3 5 7").unwrap();
    let mut seeds = kept("rounds/1/trees.jsonl");
    for seed in 0..4 {
        let config = MctsConfig { simulations: 8, ..config.clone() };
        let tree =
            search_tree(&environment, &evaluator(), &problem, &config, seed, true, &Cancel::new());
        seeds.push(serde_json::to_value(tree.unwrap()).unwrap());
    }
    let seeds = Json::of(seeds);
    let labels: Vec<LabelsRecipe> = [
        "kind = \"q_value\"\nnodes = { min_visits = 1 }",
        "kind = \"outcome\"\nhindsight = { problems = 2 }\npaths = { distinct_states = true, known = 0.5 }",
        "kind = \"best\"",
    ]
    .map(|text| toml::from_str(text).unwrap())
    .into();
    let scratch = Scratch::new();
    fuzz(
        "trees",
        |random| some_rows(&seeds, random),
        |input| {
            let path = scratch.write("trees.jsonl", input);
            // Of those that are not whole some are read all the same, as `harvest` does.
            let read = jsonl::read::<TreeRecord>(&path);
            if let Ok(trees) = &read {
                _ = finished_paths(trees);
                if trees.iter().all(|tree| check_tree(tree).is_ok()) {
                    use_trees(trees, &labels);
                }
                trees.iter().for_each(|tree| search_further(&environment, &config, tree));
            }
            read.map_or_else(|error| of_content(&error), |_| true)
        },
    );
}

#[test]
fn rows() {
    let mut seeds = kept("rounds/1/labels.jsonl");
    seeds.extend(kept("problems/round-1.jsonl"));
    seeds.push(json!({"id": "q", "question": "Use each of the numbers 2, 3 once to make 5.", "answer": "5", "numbers": [2, 3], "target": 5}));
    let seeds = Json::of(seeds);
    let environment = AnyEnvironment::from(Countdown::default());
    let scratch = Scratch::new();
    fuzz(
        "rows",
        |random| some_rows(&seeds, random),
        |input| {
            let path = scratch.write("rows.jsonl", input);
            let solutions = jsonl::read::<LabelledSolution>(&path);
            if let Ok(solutions) = &solutions {
                solutions.iter().for_each(|solution| _ = to_stepwise(solution));
            }
            _ = jsonl::Indexed::open_grouped(&path, |solution: &LabelledSolution| {
                &solution.problem_id
            });
            let problems = problems::read(&environment, &path);
            let errors = [solutions.err(), problems.err()];
            errors.into_iter().flatten().all(|error| of_content(&error))
        },
    );
}

const IDENTITY: &str = "fuzz";

/// A log of entries whose accounts are changed, each behind its sum, and then often bytes.
#[test]
fn logs() {
    let scratch = Scratch::new();
    let accounts = Json::new([&b"{\"problems\": 1, \"counts\": [2, {}]}"[..]]);
    fuzz(
        "logs",
        |random| {
            let path = scratch.path("seed.log");
            let log = EntryLog::<Value, 1>::open(&path, IDENTITY, drop).unwrap();
            let header = std::fs::metadata(&path).unwrap().len() as usize;
            for number in [0, random.below(3), usize::MAX - random.below(3)] {
                let mut account = Vec::new();
                accounts.write_changed(&mut account, random);
                let account: Value = serde_json::from_slice(&account).unwrap_or_default();
                log.append(number, &account, [b"{\"a\": 1}\n"]).unwrap();
            }
            let mut file = std::fs::read(&path).unwrap();
            log.remove().unwrap();
            if random.once_in(2) {
                let end = file.len();
                bytes::damage_in(&mut file, header..end, random);
            }
            file
        },
        |input| {
            let path = scratch.write("rows.jsonl.log", input);
            let mut accounts = 0;
            let entries = EntryLog::<Value, 1>::open(&path, IDENTITY, |_| accounts += 1);
            if let Ok(entries) = &entries {
                assert!(entries.len() <= accounts, "an entry without an account");
                let mut copy = jsonl::Writer::create(&scratch.path("copy")).unwrap();
                entries.copy(0, &mut copy).unwrap();
            }
            let path = scratch.write("rows.jsonl.log", input);
            _ = Log::<Value>::open(&path, IDENTITY);
            entries.is_ok_and(|entries| !entries.is_empty())
        },
    );
}
