//! The recipes in configs/.

use std::fs;
use std::path::{Path, PathBuf};

use espalier::environment::program::{Program, ProgramRecipe, Shot};
use espalier::environment::{EnvironmentKind, EnvironmentRecipe};
use espalier::execution::{ExecutorConfig, start_with};
use espalier::grading;
use espalier::recipe;
use serde_json::Value;

use super::problem;
use crate::execution::PROGRAM;
use crate::program::{fail, run, text};

fn recipes() -> Vec<PathBuf> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/configs");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let recipes: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|end| end == "toml")).collect();
    assert!(recipes.len() >= 9, "{recipes:?}");
    recipes
}

#[test]
fn every_recipe_tells_what_it_would_take() {
    for path in recipes() {
        let arguments = ["run", "--dry-run", "--json", "--config", text(&path)];
        let report: Value = serde_json::from_str(&run(&arguments)).unwrap();
        assert_eq!(report["schema"], "espalier.dry_run/1");
        let name = report["recipe"].as_str().unwrap();
        if ["countdown-completions", "countdown-uniform"].contains(&name) {
            assert!(report["net"].is_null() && report["memory"].is_null());
            continue;
        }
        let memory = |key: &str| report["memory"][key].as_u64().unwrap();
        let parameters = report["net"]["parameters"].as_u64().unwrap();
        let (least, most) = match name {
            "deepseekmath-7b" => (6_900_000_000, 6_920_000_000),
            "qwen2.5-math-7b" => (7_610_000_000, 7_620_000_000),
            "qwen2.5-math-1.5b" => (1_540_000_000, 1_550_000_000),
            "wordproblems-smollm2" | "gsm8k-smollm2" => (134_000_000, 135_000_000),
            _ => (800_000, 900_000),
        };
        assert!((least..most).contains(&parameters), "{name}: {parameters}");
        let bytes = if report["net"]["dtype"] == "bfloat16" { 2 } else { 4 };
        assert_eq!(memory("weights"), bytes * parameters);
        assert_eq!(memory("optimizer"), 8 * memory("trained_parameters"));
        let footprint = |key: &str| report["footprint"][key].as_u64().unwrap();
        assert!(footprint("searching") >= 4 * parameters, "{name}");
        // The base, a copy that is saved, and its moments.
        assert!(footprint("training") >= 8 * parameters + memory("optimizer"), "{name}");
        assert_eq!(footprint("host_peak"), footprint("searching").max(footprint("training")));
        assert!(footprint("disk_checkpoints") > 2 * memory("weights"), "{name}");
        assert_eq!(footprint("disk"), footprint("disk_checkpoints") + footprint("disk_trees"));
        assert!(memory("kv_cache_tokens") > 1000, "{name}");
        assert!(report["search"]["contexts"].as_u64().unwrap() > 0);
        let trained = memory("trained_parameters");
        // Rank 16 beside each of seven matrices of 28 layers.
        let low_rank = (30_000_000..50_000_000).contains(&trained);
        assert_eq!(low_rank, name == "qwen2.5-math-7b", "{name}: {trained}");
    }
}

#[test]
fn a_dry_run_counts_the_tokens_of_what_is_there() {
    let config = "configs/countdown.toml";
    let report: Value =
        serde_json::from_str(&run(&["run", "--dry-run", "--json", "--config", config])).unwrap();
    assert_eq!(
        (&report["net"]["parameters"], &report["search"]["unit"]),
        (&865_793.into(), &"tokens".into())
    );
    assert_eq!(report["problems"]["found"], 3000);
    let [least, most] = [0, 1].map(|end| report["search"]["context"][end].as_u64().unwrap());
    assert!((7..=9).contains(&least) && (9..=12).contains(&most), "{report}");
    let shown = run(&["run", "--dry-run", "--config", config]);
    assert!(shown.contains("865793 numbers of float32") && shown.contains("MiB"), "{shown}");
    let absent = ["--set", "bootstrap={kind=\"checkpoint\", path=\"nowhere\"}"];
    let message = fail(&[&["run", "--dry-run", "--config", config][..], &absent].concat(), 2);
    assert!(message.contains("nowhere") && message.contains("`vocabulary`"), "{message}");
}

/// Every worked example's code prints what the example says, and its solution is read as steps to its answer.
#[test]
fn worked_examples_are_what_their_environment_would_write() {
    let mut seen = 0;
    for path in recipes() {
        let EnvironmentRecipe::Program(program) =
            recipe::load(Some(&path), &[]).unwrap().environment
        else {
            continue;
        };
        let recipe = ProgramRecipe { executor: ExecutorConfig::default(), ..*program };
        let environment =
            Program::start_with(&recipe, |config| start_with(config, Path::new(PROGRAM))).unwrap();
        for Shot { question, solution } in &recipe.shots {
            let answer = grading::extract(solution).unwrap();
            let mut example = problem("shot", question, &answer);
            example.metadata.insert("solution".into(), solution.trim_start().into());
            let worked =
                environment.worked_solution(&example).unwrap().expect("it leads to its answer");
            let steps: Vec<String> = worked
                .steps
                .iter()
                .map(|(action, observation)| [action.as_str(), observation].concat())
                .collect();
            assert_eq!(steps.concat().trim(), solution.trim(), "{}", path.display());
            seen += 1;
        }
    }
    assert!(seen >= 5, "{seen}");
}
