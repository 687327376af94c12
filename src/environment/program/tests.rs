use serde_json::json;

use super::*;

/// Prints its code in capitals; code that begins with `fail` raises.
#[derive(Debug)]
struct Capitals;

impl Executor for Capitals {
    fn run(&self, _: &CodeState, code: &str) -> Result<(Execution, CodeState), ExecutorError> {
        let (outcome, observation) = match code.split_once(' ') {
            Some(("fail", name)) => (Outcome::Error, format!("{name}Error: as was asked for")),
            Some(("lack", name)) => (Outcome::Unsupported, format!("{name}Error: not here")),
            _ => (Outcome::Ok, code.to_uppercase()),
        };
        Ok((Execution { outcome, observation, seconds: 0.0 }, CodeState::default()))
    }

    fn interpreter(&self) -> String {
        "capitals".to_owned()
    }
}

fn recipe(text: &str) -> ProgramRecipe {
    let recipe: ProgramRecipe = toml::from_str(text).unwrap();
    recipe.validate().unwrap();
    recipe
}

fn environment(text: &str) -> Program {
    Program::start_with(&recipe(text), |_| Ok(Box::new(Capitals))).unwrap()
}

fn problem(question: &str, answer: &str) -> Problem {
    let (id, metadata) = ("p".to_owned(), serde_json::Map::new());
    Problem { id, question: question.to_owned(), answer: answer.to_owned(), metadata }
}

/// Takes steps until one ends the path; gives the whole context and the end.
fn play(environment: &Program, actions: &[&str]) -> (String, Option<Terminal>) {
    let mut state = environment.root(&problem("Q?", "2")).unwrap();
    let mut terminal = None;
    for action in actions {
        assert_eq!(terminal, None, "before {action:?}");
        let transition = environment.step(&state, action).unwrap();
        let expected = [environment.context(&state), action, &transition.observation].concat();
        assert_eq!(environment.context(&transition.state), expected);
        (state, terminal) = (transition.state, transition.terminal);
    }
    (environment.context(&state).to_owned(), terminal)
}

fn invalid(terminal: Option<Terminal>) -> String {
    match terminal {
        Some(Terminal::Invalid(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_xml_path_reads_as_alphamath_wrote_it() {
    let environment = environment("format = \"xml\"");
    let code = "<step>\n<p>\nCompute.\n</p>\n<code>\n```python\nx = 1\n```";
    let last = "<step>\n<p>\nDone.\n</p>\n<p>\nFinal Answer: $2$\n</p>\n";
    let (context, terminal) = play(&environment, &[code, last]);
    assert_eq!(
        context,
        "<question> Q? </question>\n\
         <step>\n<p>\nCompute.\n</p>\n<code>\n```python\nx = 1\n```\n</code>\n<output>\nX = 1\n</output>\n</step>\n\
         <step>\n<p>\nDone.\n</p>\n<p>\nFinal Answer: $2$\n</p>\n</step>\n"
    );
    assert_eq!(terminal, Some(Terminal::Answer("2".into())));
    let (context, terminal) = play(&environment, &["<step>\n<p>\nOnly words.\n</p>"]);
    assert!(context.ends_with("Only words.\n</p>\n</step>\n"), "{context}");
    assert!(invalid(terminal).contains("neither code nor"));
    assert_eq!(environment.stops(), ["\n</code>", "</code>", "</step>"]);
}

#[test]
fn a_react_path_reads_as_its_worked_examples_do() {
    let environment = environment("format = \"react\"");
    let code =
        "Thought: add.\n\nAction: python_interpreter\n\nAction Input: ```python\n1 + 1\n```\n";
    let last = "Thought: so it is.\n\nFinal Answer: 2\n";
    let (context, terminal) = play(&environment, &[code, last]);
    let expected =
        format!("Question: Q?\n\n{code}\nObservation: 1 + 1\n\n{last}<Solution complete>\n");
    assert_eq!((context, terminal), (expected, Some(Terminal::Answer("2".into()))));
}

#[test]
fn a_plain_path_is_lines() {
    let environment = environment("");
    let (context, terminal) = play(&environment, &["One and one.", "#### 2"]);
    assert_eq!(context, "Question: Q?\nAnswer:\nOne and one.\n#### 2\n");
    assert_eq!(terminal, Some(Terminal::Answer("2".into())));
    assert_eq!(invalid(play(&environment, &[" "]).1), "an empty step");
}

#[test]
fn errors_in_a_row_end_a_path_and_others_do_not() {
    let environment = environment("format = \"xml\"\nerrors_threshold = 2");
    let [fail, lack, fine] =
        ["<code>\nfail Name", "<code>\nlack Import", "<code>\nx"].map(str::to_owned);
    let play = |steps: &[&String]| {
        let steps: Vec<&str> = steps.iter().map(|step| step.as_str()).collect();
        play(&environment, &steps).1
    };
    assert_eq!(play(&[&fail, &fail]), None);
    assert!(invalid(play(&[&fail, &fail, &fail])).contains("more than 2 code errors"));
    assert_eq!(play(&[&fail, &fail, &fine, &fail, &fail]), None);
    // What the interpreter lacks is no error of the step's: the path ends, and nothing is learnt from it.
    let cut = play(&[&fail, &lack]).as_ref().and_then(Cut::of);
    assert_eq!(cut, Some(Cut::UnsupportedCode));
    // AlphaMath reads the observation and asks nothing else.
    let printed = "<code>\n\"Error\"".to_owned();
    let executor = Execution { outcome: Outcome::Ok, observation: "an Error".into(), seconds: 0.0 };
    assert!(is_error(&executor) && printed.contains("Error"));
}

#[test]
fn depth_and_length_end_a_path_that_has_no_answer() {
    let shallow = environment("max_depth = 2");
    assert!(invalid(play(&shallow, &["a", "b", "c"]).1).contains("too many steps: more than 2"));
    assert_eq!(play(&shallow, &["a", "b", "#### 2"]).1, Some(Terminal::Answer("2".into())));
    // The prompt has 21 characters, each step and its line end 4.
    let short = environment("max_context_characters = 29");
    assert_eq!(play(&short, &["äöü", "äöü"]).1, None);
    assert!(
        invalid(play(&short, &["äöü", "äöü", "a"]).1)
            .contains("context too long: more than 29 characters")
    );
}

#[test]
fn answers_are_compared_by_what_they_mean() {
    let environment = environment("");
    let half = problem("Q?", "\\frac{1}{2}");
    assert_eq!(["0.5", "2"].map(|answer| environment.reward(&half, answer)), [1.0, -1.0]);
    let undecided = || environment.shared.undecided.load(Ordering::Relaxed);
    assert_eq!(undecided(), 0);
    let unknown = problem("Q?", "\\foo{1}");
    assert_eq!(environment.reward(&unknown, "\\foo{2}"), 0.0);
    assert!(!environment.is_correct(0.0) && environment.is_undecided(&unknown, "\\foo{2}"));
    assert!(!environment.is_undecided(&half, "2"));
    assert_eq!(undecided(), 1);
    assert_eq!(environment.answer_groups(&["1/2", "3", "0.5", "$3$"]), [0, 1, 0, 1]);
    assert!(environment.root(&problem(" ", "2")).is_err());
}

#[test]
fn nets_of_later_rounds_read_no_examples_and_are_trained_without() {
    let shots = "[[shots]]\nquestion = \"1?\"\nsolution = \"#### 1\"\n";
    let environment = environment(&format!("shots_until_round = 2\n{shots}"));
    let prompt = |round| {
        let environment = environment.for_net_of_round(round);
        let root = environment.root(&problem("Q?", "2")).unwrap();
        environment.context(&root).to_owned()
    };
    let bare = "Question: Q?\nAnswer:\n";
    let shown = format!("Question: 1?\nAnswer:\n#### 1\n\n{bare}");
    assert_eq!([prompt(0), prompt(1), prompt(2)], [&shown, &shown, bare]);
    assert_eq!(environment.training_prompt("Q?").unwrap().unwrap(), bare);
    let identity = |round| serde_json::to_string(&environment.for_net_of_round(round)).unwrap();
    assert_eq!(identity(0), identity(1));
    assert_ne!(identity(1), identity(2));
}

#[test]
fn worked_solutions_become_steps_that_lead_to_the_answer() {
    let plain = environment("");
    let worked = |environment: &Program, solution: Value, answer: &str| {
        let metadata = [("solution".to_owned(), solution)].into_iter().collect();
        let problem = Problem { metadata, ..problem("Q?", answer) };
        environment.worked_solution(&problem).unwrap()
    };
    let steps = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(action, end)| ((*action).into(), (*end).into())).collect()
    };
    let solution = worked(&plain, json!("One.\n\nTwo.\n"), "2").unwrap();
    assert_eq!(solution.prompt, "Question: Q?\nAnswer:\n");
    assert_eq!(solution.steps, steps(&[("One.", "\n"), ("Two.", "\n"), ("#### 2", "\n")]));
    let listed = worked(&plain, json!(["One.", "#### 2", "More."]), "2").unwrap();
    assert_eq!(listed.steps, steps(&[("One.", "\n"), ("#### 2", "\n")]));
    assert_eq!(worked(&plain, json!(["#### 3"]), "2"), None);
    assert_eq!(plain.worked_solution(&problem("Q?", "2")).unwrap(), None);

    let xml = environment("format = \"xml\"");
    let code = "<step>\n<code>\nx\n</code>\n<output>\nold\n</output>\n</step>";
    let solution = worked(&xml, json!([code]), "2").unwrap();
    assert_eq!(solution.steps[0].1, "\n</code>\n<output>\nX\n</output>\n</step>\n");
    assert_eq!(solution.steps[1].0, "<step>\n<p>\nFinal Answer: 2\n</p>");
}

#[test]
fn wrong_settings_are_named() {
    for (text, part) in [
        ("max_depth = 0", "max_depth"),
        ("max_context_characters = 0", "max_context_characters"),
        ("[[shots]]\nquestion = \"q\"\nsolution = \"s\"", "shots, number 1"),
        ("[executor]\ntimeout_seconds = 0", "executor"),
        ("[format]\nstops = []", "format.stops"),
    ] {
        let recipe: ProgramRecipe = toml::from_str(text).unwrap();
        let error = format!("{:#}", recipe.validate().unwrap_err());
        assert!(error.contains(part), "{text}: {error}");
    }
    let error = toml::from_str::<ProgramRecipe>("max_steps = 3").unwrap_err().to_string();
    assert!(error.contains("max_steps"), "{error}");
    let none = |_: &ExecutorConfig| Err(ExecutorError::Sandbox("no namespaces".into()));
    let error = Program::start_with(&recipe("format = \"xml\""), none).unwrap_err().to_string();
    assert!(error.contains("sandbox"), "{error}");
    Program::start_with(&recipe(""), none).unwrap();
}

/// No worker can be started any more.
#[derive(Debug)]
struct Broken;

impl Executor for Broken {
    fn run(&self, _: &CodeState, _: &str) -> Result<(Execution, CodeState), ExecutorError> {
        Err(ExecutorError::Worker("out of order".to_owned()))
    }

    fn interpreter(&self) -> String {
        "none".to_owned()
    }
}

#[test]
fn a_machine_that_fails_fails_the_search_and_no_step() {
    use espalier_search::testing::HashedEvaluator;
    use espalier_search::{Cancel, MctsConfig, SearchError, search_tree};

    let recipe = recipe("format = \"xml\"");
    let environment = Program::start_with(&recipe, |_| Ok(Box::new(Broken))).unwrap();
    let policy = HashedEvaluator::new(1, ["<code>\nx"]);
    let (question, config) = (problem("Q?", "2"), MctsConfig::default());
    let error = search_tree(&environment, &policy, &question, &config, 1, true, &Cancel::new())
        .unwrap_err();
    let SearchError::Step(failed) = &error else { panic!("{error}") };
    assert!(failed.cause.contains("no worker can be started: out of order"), "{failed}");
}
