//! From TOML to a checked [`Recipe`].

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use espalier_training::{Device, Tokenizer};
use toml::{Table, Value};

use super::fault::Fault;
use super::{BootstrapKind, ProblemsRecipe, Recipe, overrides};
use crate::curriculum::CurriculumRecipe;
use crate::upgrade::refuse_old_keys;

/// The recipe that runs when none is named.
const DEFAULT: &str = include_str!("../../configs/countdown.toml");

/// Reads a recipe file (or the embedded default), follows `extends`, applies `--set` overrides and checks the whole.
///
/// # Errors
/// Naming the file, line and key that is wrong, with the nearest right key.
pub fn load(path: Option<&Path>, overrides: &[String]) -> Result<Recipe> {
    let table = match path {
        Some(path) => read(path, &mut Vec::new())?,
        None => table_of(DEFAULT, "the embedded recipe")?,
    };
    let origin = path.map_or("the embedded recipe".to_owned(), |path| path.display().to_string());
    parse(table, overrides, &origin)
}

/// Applies overrides to a table and checks it.
///
/// # Errors
/// As [`load`].
pub fn parse(mut table: Table, overrides: &[String], origin: &str) -> Result<Recipe> {
    let mut set = Table::new();
    for assignment in overrides {
        overrides::set(&mut table, assignment)?;
        overrides::set(&mut set, assignment)?;
    }
    refuse_old_keys(&table).with_context(|| origin.to_owned())?;
    let recipe = loop {
        let fault = match typed(&table) {
            Ok(recipe) => break recipe,
            Err(fault) => fault,
        };
        if drop_unknown(&mut table, &set, &fault).is_some() {
            continue;
        }
        if let Some(value) = fault.of_value(&table, |table| typed(table).map(drop)) {
            bail!("{origin}: {value}");
        }
        let place = fault.place();
        let place = if place.is_empty() { place } else { format!(" in [{place}]") };
        bail!("{origin}{place}: {}", with_suggestion(&fault.message));
    };
    check(&recipe).with_context(|| origin.to_owned())?;
    Ok(recipe)
}

/// A table as a recipe, its values unchecked.
fn typed(table: &Table) -> Result<Recipe, Fault> {
    let read = serde_path_to_error::deserialize(Value::Table(table.clone()));
    let mut recipe: Recipe =
        read.map_err(|error: serde_path_to_error::Error<toml::de::Error>| {
            Fault::new(error.path(), error.inner().message())
        })?;
    complete_problems(&mut recipe)
        .map_err(|error| Fault::of_section("problems", format!("{error:#}")))?;
    Ok(recipe)
}

/// Drops a key of a recipe's section that the section's kind does not know, where an override chose the kind and did not set the
/// key: it belongs to the kind that the recipe had. None where the error is another.
fn drop_unknown(table: &mut Table, set: &Table, fault: &Fault) -> Option<Value> {
    let key = fault.message.strip_prefix("unknown field `")?.split('`').next()?;
    let section = &fault.place();
    let set = set.get(section)?.as_table()?;
    if !set.contains_key("kind") || set.contains_key(key) {
        return None;
    }
    table.get_mut(section)?.as_table_mut()?.remove(key)
}

/// Writes out the generator's defaults, which its environment knows.
pub(super) fn complete_problems(recipe: &mut Recipe) -> Result<()> {
    if let ProblemsRecipe::Generated(settings) = &mut recipe.problems {
        *settings = recipe.environment.complete_generator(settings)?;
    }
    Ok(())
}

/// A recipe with all its keys as the text of a recipe file.
///
/// # Errors
/// When a value has no form in TOML.
pub fn to_toml(recipe: &Recipe) -> Result<String> {
    toml::to_string_pretty(recipe).context("cannot write the recipe as TOML")
}

/// A file's table laid over the one that it extends.
fn read(path: &Path, chain: &mut Vec<PathBuf>) -> Result<Table> {
    if chain.iter().any(|seen| seen == path) {
        bail!("{}: extends itself", path.display());
    }
    chain.push(path.to_owned());
    let text = fs::read_to_string(path)
        .with_context(|| format!("cannot read recipe {}", path.display()))?;
    let mut table = table_of(&text, &path.display().to_string())?;
    match table.remove("extends") {
        None => {
            refuse_old_keys(&table).with_context(|| path.display().to_string())?;
            // Typed reading of the text itself: its errors know the line, which a merged table has lost.
            let unread = toml::from_str::<Recipe>(&text).err();
            if let (Some(error), Err(fault)) = (unread, typed(&table)) {
                match fault.of_value(&table, |table| typed(table).map(drop)) {
                    Some(value) => {
                        let line = value.line(&text, error.span());
                        let line = line.map_or(String::new(), |line| format!(", line {line}"));
                        bail!("{}{line}: {value}", path.display())
                    }
                    None => bail!(
                        "{}: {}",
                        path.display(),
                        with_suggestion(error.to_string().trim_end())
                    ),
                }
            }
            Ok(table)
        }
        Some(Value::String(base)) => {
            let base = path.parent().unwrap_or(Path::new("")).join(base);
            let mut merged = read(&base, chain)?;
            overrides::merge(&mut merged, table);
            Ok(merged)
        }
        Some(other) => bail!("{}: extends = {other} must be a file name", path.display()),
    }
}

fn table_of(text: &str, origin: &str) -> Result<Table> {
    text.parse::<Table>()
        .map_err(|error| anyhow::anyhow!("{origin}: {}", error.to_string().trim_end()))
}

/// Adds the nearest known key to serde's "unknown field" message, which lists what it expected.
fn with_suggestion(message: &str) -> String {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let unknown = message.contains("unknown field") || message.contains("unknown variant");
    match quoted.as_slice() {
        [wrong, known @ ..] if unknown => {
            let nearest = known
                .iter()
                .filter(|known| {
                    strsim::damerau_levenshtein(wrong, known) <= wrong.len().div_ceil(2)
                })
                .min_by_key(|known| strsim::damerau_levenshtein(wrong, known));
            match nearest {
                Some(nearest) => format!("{message}\ndid you mean `{nearest}`?"),
                None => message.to_owned(),
            }
        }
        _ => message.to_owned(),
    }
}

fn check(recipe: &Recipe) -> Result<()> {
    recipe.search.settings().validate().context("[search]")?;
    recipe.labels.validate().map_err(anyhow::Error::msg).context("[labels]")?;
    recipe.environment.validate(recipe)?;
    if !recipe.labels.hindsight.is_off() && !recipe.environment.has_hindsight() {
        bail!("labels.hindsight.problems: in this environment an answer makes no other problem");
    }
    if !recipe.labels.nodes.is_off() && !recipe.objective.build().learns_values() {
        bail!(
            "labels.nodes.min_visits gives targets of the value head, which [objective] kind = \"{}\" does not train",
            recipe.objective.kind()
        );
    }
    check_bootstrap(recipe).context("[bootstrap]")?;
    match &recipe.problems {
        ProblemsRecipe::Jsonl(file) if file.path.as_os_str().is_empty() => {
            bail!("[problems]: kind = \"jsonl\" needs `path`");
        }
        // The generator's settings are checked where they are completed.
        ProblemsRecipe::Generated(_) | ProblemsRecipe::Jsonl(_) => {}
        ProblemsRecipe::Dataset(dataset) => {
            dataset.validate().map_err(anyhow::Error::msg).context("[problems]")?;
        }
    }
    recipe.policy.kind().validate().context("[policy]")?;
    if recipe.compute.device != Device::Cpu && recipe.policy.local().weights.is_some() {
        bail!(
            "policy.weights: quantised weights are computed on the CPU alone, and compute.device is \"{}\"; leave out one of the two",
            recipe.compute.device
        );
    }
    recipe.net.model_config(&Tokenizer::fresh(recipe.net.tokens)?).context("[net]")?;
    recipe.objective.build().validate().context("[objective]")?;
    recipe.training.validate().context("[training]")?;
    recipe.evaluation.validate()?;
    recipe.feeds.validate()?;
    if let Some(probe) = &recipe.rounds.probe {
        probe.validate().context("[rounds.probe]")?;
    }
    if let Some(curriculum) = &recipe.rounds.curriculum {
        check_curriculum(recipe, curriculum).context("[rounds.curriculum]")?;
    }
    if recipe
        .rounds
        .first_temperature
        .is_some_and(|temperature| !(temperature.is_finite() && temperature >= 0.0))
    {
        bail!("rounds.first_temperature must be a number that is not negative");
    }
    check_draws(recipe)?;
    let decay = recipe.rounds.learning_rate_decay;
    if !(decay > 0.0 && decay <= 1.0) {
        bail!("rounds.learning_rate_decay must be in (0, 1], is {decay}");
    }
    if recipe.name.is_empty() || recipe.name.contains(['/', '\\']) {
        bail!("name = {:?} must be a plain name: it names the run directory", recipe.name);
    }
    let kept = recipe.rounds.keep.as_ref();
    for (key, value) in [
        ("bootstrap.lines", recipe.bootstrap.lines),
        ("bootstrap.epochs", recipe.bootstrap.epochs),
        ("rounds.problems", recipe.rounds.problems),
        ("rounds.pool", recipe.rounds.pool.unwrap_or(1)),
        ("rounds.trees_per_problem", recipe.rounds.trees_per_problem),
        ("rounds.keep.checkpoints", kept.and_then(|keep| keep.checkpoints).unwrap_or(1)),
        ("rounds.gate.problems", recipe.rounds.gate.as_ref().map_or(1, |gate| gate.problems)),
        ("compute.concurrent_problems", recipe.compute.concurrent_problems),
        ("compute.slots", recipe.compute.slots),
    ] {
        if value == 0 {
            bail!("{key} must be at least 1");
        }
    }
    Ok(())
}

/// A curriculum reads from the labels what was solved, and its largest search must be one.
fn check_curriculum(recipe: &Recipe, curriculum: &CurriculumRecipe) -> Result<()> {
    curriculum.validate().map_err(anyhow::Error::msg)?;
    if recipe.labels.paths.max_correct == 0 {
        bail!(
            "it needs labels.paths.max_correct of 1 or more: labels without right paths do not tell what was solved"
        );
    }
    let problems = recipe.rounds.pool.unwrap_or(usize::MAX).min(recipe.rounds.problems);
    if curriculum.most > problems as f64 {
        bail!(
            "most = {} must be at most {problems}, the problems of a round, whose budget it shares",
            curriculum.most
        );
    }
    let mut largest = recipe.search.clone();
    largest.settings_mut().scale_budget(curriculum.most);
    largest.settings().validate().with_context(|| format!("most = {}: [search]", curriculum.most))
}

/// Refuses to draw without replacement from a policy that cannot, and where the first round draws the same step each time.
fn check_draws(recipe: &Recipe) -> Result<()> {
    let search = recipe.search.settings().draws_without_replacement();
    if search && recipe.rounds.first_temperature == Some(0.0) {
        bail!("rounds.first_temperature must be above 0 with search.without_replacement = true");
    }
    let sections = [
        ("search", search),
        ("evaluation.decode", recipe.evaluation.decode.tree.without_replacement),
    ];
    for (section, without_replacement) in sections {
        if without_replacement && !recipe.policy.kind().draws_without_replacement() {
            bail!(
                "{section}.without_replacement must be false: a server draws each step by itself. `remove_duplicate` drops those that \
                 are equal"
            );
        }
    }
    Ok(())
}

fn check_bootstrap(recipe: &Recipe) -> Result<()> {
    let bootstrap = &recipe.bootstrap;
    // A policy that no run trains has no round 0.
    let is_read = recipe.policy.kind().untrainable().is_none();
    match (bootstrap.kind, &bootstrap.path) {
        (BootstrapKind::RandomLines, Some(path)) => {
            bail!("path = {path:?} is read by kind = \"checkpoint\" or \"solutions\" alone");
        }
        (BootstrapKind::RandomLines, None) if is_read && !recipe.environment.has_random_steps() => {
            bail!(
                "this environment has no random legal steps: write kind = \"checkpoint\" or \"solutions\", and `path`"
            );
        }
        (BootstrapKind::Solutions, _) if is_read && !recipe.environment.has_worked_solutions() => {
            bail!("kind = \"solutions\": problems of this environment carry no solutions");
        }
        (BootstrapKind::Checkpoint | BootstrapKind::Solutions, None) if is_read => {
            bail!("this kind needs `path`, a Hugging Face folder or a GGUF file");
        }
        _ => {}
    }
    if bootstrap.learning_rate.is_some_and(|rate| !(rate.is_finite() && rate > 0.0)) {
        bail!("learning_rate must be a positive number");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use espalier_search::SearchConfig;

    use super::*;

    fn load_text(text: &str) -> Result<Recipe> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("recipe.toml");
        fs::write(&path, text).unwrap();
        load(Some(&path), &[])
    }

    #[test]
    fn the_embedded_recipe_loads() {
        assert_eq!(load(None, &[]).unwrap().name, "countdown");
    }

    #[test]
    fn a_wrong_value_is_told_by_its_line_and_key() {
        for (text, part) in [
            ("name = \"x\"\n[rounds]\ncount = \"a\"\n", "line 3: rounds.count = \"a\""),
            // The section is read as a whole, for its kind.
            ("[search]\nkind = \"mcts\"\nsamples = \"a\"\n", "line 3: search.samples = \"a\""),
            ("[search]\nsimulations = 3\n[search.selection]\nc_puct = \"a\"\n", "c_puct"),
        ] {
            let error = load_text(text).unwrap_err().to_string();
            assert!(error.contains(part), "{part} in {error}");
        }
    }

    #[test]
    fn a_misspelt_key_is_named_with_its_line_and_the_nearest() {
        let error = load_text("name = \"x\"\n[rounds]\ncuont = 3\n").unwrap_err().to_string();
        for part in ["recipe.toml", "line 3", "`cuont`", "did you mean `count`?"] {
            assert!(error.contains(part), "{part} in {error}");
        }
        let error = load_text("[search]\nkind = \"mcts\"\nc_pcut = 1.0\n").unwrap_err().to_string();
        assert!(error.contains("did you mean `c_puct`?"), "{error}");
        let error = load_text("[search]\nkind = \"mtcs\"\n").unwrap_err().to_string();
        assert!(error.contains("did you mean `mcts`?"), "{error}");
    }

    #[test]
    fn a_kind_that_an_override_chooses_keeps_what_it_knows() {
        let recipe = |overrides: &[&str]| {
            let overrides: Vec<String> = overrides.iter().map(|it| (*it).to_owned()).collect();
            load(None, &overrides)
        };
        let sft = recipe(&["objective.kind=sft", "search.samples=3"]).unwrap();
        assert_eq!((sft.objective.kind(), sft.labels.paths.max_correct), ("sft", 8));
        let samples = recipe(&["search.kind=samples", "search.temperature=0.5"]).unwrap();
        assert!(matches!(samples.search, SearchConfig::Samples(_)));
        for (wrong, part) in [
            (&["objective.kind=sft", "objective.beta=1"][..], "beta"),
            (&["objective.beat=1"], "beat"),
        ] {
            let error = recipe(wrong).unwrap_err().to_string();
            assert!(error.contains("unknown field") && error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_section_without_its_kind_is_of_the_default_kind() {
        for (section, keys) in [
            ("environment", "prompt = \"question\""),
            ("problems", "numbers = [3, 3]"),
            ("policy", "top_p = 0.5"),
            ("search", "samples = 3"),
            ("labels", "paths.max_correct = 3"),
            ("objective", "beta = 0.5"),
        ] {
            let text = format!("[{section}]\n{keys}\n");
            let recipe = load_text(&text).unwrap();
            let mut table = text.parse::<Table>().unwrap();
            let kind = Value::try_from(&recipe).unwrap()[section]["kind"].clone();
            assert_eq!(kind, Value::try_from(Recipe::default()).unwrap()[section]["kind"]);
            let overrides = format!("{section}.{}", keys.replace(" = ", "="));
            assert_eq!(parse(Table::new(), &[overrides], "").unwrap(), recipe, "{section}");
            overrides::set_value(&mut table, &format!("{section}.kind"), kind).unwrap();
            assert_eq!(parse(table, &[], "").unwrap(), recipe, "{section}");
        }
        let served = "policy = {kind = 'completions', url = 'http://x', model = 'm', value = {}}";
        assert_eq!(
            load_text(served).unwrap(),
            load_text(&served.replace("{}", "{kind = 'none'}")).unwrap()
        );
    }

    #[test]
    fn only_a_policy_that_is_trained_needs_a_round_0() {
        let words =
            "[environment]\nkind = \"program\"\n[problems]\nkind = \"jsonl\"\npath = \"p.jsonl\"\n";
        let served = "[policy]\nkind = \"completions\"\nmodel = \"m\"\n";
        for (bootstrap, part) in [
            ("", "no random legal steps"),
            ("[bootstrap]\nkind = \"checkpoint\"\n", "needs `path`"),
            ("[bootstrap]\nkind = \"solutions\"\n", "needs `path`"),
        ] {
            let error = load_text(&[words, bootstrap].concat()).unwrap_err();
            assert!(format!("{error:#}").contains(part), "{error:#}");
            load_text(&[words, bootstrap, served].concat()).unwrap();
        }
    }

    /// Every key of every section, given what it cannot be.
    #[test]
    fn a_wrong_value_is_told_by_its_key_in_plain_words() {
        let told = |overrides: &[&str]| {
            let overrides: Vec<String> = overrides.iter().map(|it| (*it).to_owned()).collect();
            format!("{:#}", parse(Table::new(), &overrides, "origin").unwrap_err())
        };
        for (overrides, message) in [
            (
                &["rounds.count=many"][..],
                "rounds.count = \"many\": it must be a whole number, 0 or more",
            ),
            (
                &["search.simulations=-1"],
                "search.simulations = -1: it must be a whole number, 0 or more",
            ),
            (&["search.c_puct=[]"], "search.c_puct = []: it must be a number"),
            (&["search.samples=a", "search.simulations=a"], "search.samples = \"a\""),
            (
                &["problems.max_value=many"],
                "problems.max_value = \"many\": it must be a whole number",
            ),
            (&["policy.top_p=half"], "policy.top_p = \"half\": it must be a number"),
            (
                &["labels.paths.max_correct=x"],
                "labels.paths.max_correct = \"x\": it must be a whole",
            ),
            (
                &["labels.hindsight.answers=[1, 2]", "labels.nodes.min_visits=-1"],
                "labels.nodes.min_visits = -1: it must be a whole number",
            ),
            (
                &["labels.hindsight.answers=[1, 'a']", "labels.nodes.min_visits=2"],
                "labels.hindsight.answers[1] = \"a\": it must be a whole number",
            ),
            (
                &["evaluation.decode.selection=3"],
                "evaluation.decode.selection = 3: it must be a section",
            ),
            (
                &["problems.numbers=[3, 'a']"],
                "problems.numbers[1] = \"a\": it must be a whole number",
            ),
            (&["problems.numbers=[3]"], "problems.numbers = [3]: it must be a list of 2"),
            (
                &[
                    "evaluation.measures=[{kind = 'value_auc'}, {kind = 'pass_at_k', samples = 'x'}]",
                ],
                "evaluation.measures[1].samples = \"x\": it must be a whole number",
            ),
            (&["evaluation.decodings=[3]"], "evaluation.decodings[0] = 3: it must be"),
            (&["search=3"], "search = 3: it must be a section"),
            (&["name=3"], "name = 3: it must be a text in quotes"),
            (
                &["evaluation.decodings=greedy"],
                "evaluation.decodings = \"greedy\": it must be a list",
            ),
        ] {
            let told = told(overrides);
            assert!(told.starts_with(&format!("origin: {message}")), "{told}");
        }
        for setting in super::super::settings() {
            let kind = setting.kind.as_deref().filter(|kind| !kind.contains(':'));
            let key = format!("{}.{}", setting.section, setting.key);
            let key = key.trim_start_matches('.');
            let kind = kind.map(|kind| format!("{}.kind={kind}", setting.section));
            for wrong in ["[[]]", "{a={}}"] {
                let assignment = format!("{key}={wrong}");
                let overrides: Vec<String> = kind.iter().cloned().chain([assignment]).collect();
                let Err(error) = parse(Table::new(), &overrides, "origin") else { continue };
                let told = format!("{error:#}");
                for name in ["usize", "u64", "u32", "u16", "f32", "f64", "struct", " enum"] {
                    assert!(!told.contains(name), "{key}: {told}");
                }
            }
        }
    }

    #[test]
    fn drawing_without_replacement_is_refused_where_it_cannot_be_done() {
        let told = |overrides: &[&str]| {
            let overrides: Vec<String> = overrides.iter().map(|it| (*it).to_owned()).collect();
            load(None, &overrides).map_err(|error| format!("{error:#}"))
        };
        const SERVED: [&str; 3] =
            ["policy.kind=completions", "policy.url=http://localhost:1", "policy.model=m"];
        let cases: [(&[&str], &str); 5] = [
            (&["search.temperature=0"], "without_replacement = true: needs a temperature above 0"),
            (&["rounds.first_temperature=0"], "rounds.first_temperature must be above 0"),
            (&SERVED, "search.without_replacement must be false: a server"),
            (
                &["search.kind=beam", "search.temperature=0"],
                "without_replacement = true: needs a temperature above 0",
            ),
            (
                &["search.compatibility=alphamath", "search.widening=0"],
                "without_replacement = true: must be false with compatibility",
            ),
        ];
        for (overrides, message) in cases {
            let error = told(&[overrides, &["search.without_replacement=true"]].concat());
            assert!(error.as_ref().is_err_and(|error| error.contains(message)), "{error:?}");
            told(&[overrides, &["search.without_replacement=false"]].concat()).unwrap();
        }
        let decode = ["evaluation.decode.without_replacement=true"];
        let off = ["search.without_replacement=false"];
        let error = told(&[&SERVED[..], &off, &decode].concat()).unwrap_err();
        assert!(error.contains("evaluation.decode.without_replacement must be false"), "{error}");
        told(&[&off[..], &decode].concat()).unwrap();
    }

    #[test]
    fn overrides_are_applied_and_checked() {
        let recipe = load(None, &["search.c_puct=2.5".into(), "name=other".into()]).unwrap();
        assert!(matches!(recipe.search, SearchConfig::Mcts(search) if search.c_puct == 2.5));
        assert_eq!(recipe.name, "other");
        for (assignment, part) in [
            ("search.c_pcut=1", "did you mean `c_puct`?"),
            ("rounds.count=many", "rounds.count"),
            ("rounds", "key=value"),
            ("rounds.count.deep=1", "rounds.count"),
            ("problems.numbers=[3, 99]", "numbers"),
            (
                "evaluation.decodings=['greedy', 'maj@5', 'greedy']",
                "evaluation.decodings: greedy is listed twice",
            ),
            ("evaluation.measures=[{kind = 'pass_at_k', k = [1, 1]}]", "k: 1 is listed twice"),
            ("evaluation.others.svamp={format = 'svamp', path = ''}", "[evaluation.others.svamp]"),
            (
                "evaluation.others={'a/b' = {format = 'svamp', path = 'x'}}",
                "[evaluation.others.a/b]",
            ),
        ] {
            let error = format!("{:#}", load(None, &[assignment.into()]).unwrap_err());
            assert!(error.contains(part), "{assignment}: {error}");
        }
    }

    #[test]
    fn extends_lays_one_recipe_over_another() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("base.toml"), "name = \"base\"\nseed = 7\n").unwrap();
        let child = folder.path().join("child.toml");
        fs::write(&child, "extends = \"base.toml\"\nname = \"child\"\n").unwrap();
        let recipe = load(Some(&child), &[]).unwrap();
        assert_eq!((recipe.name.as_str(), recipe.seed), ("child", 7));
        fs::write(&child, "extends = \"child.toml\"\n").unwrap();
        assert!(load(Some(&child), &[]).unwrap_err().to_string().contains("extends itself"));
    }
}
