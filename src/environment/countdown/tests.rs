use std::collections::{BTreeMap, BTreeSet};

use rand_chacha::rand_core::SeedableRng;
use serde_json::json;

use super::*;

fn with(rules: Rules) -> Countdown {
    let Rules { negative, fractions, leftover } = rules;
    Countdown { negative, fractions, leftover, ..Countdown::default() }
}

fn problem() -> Problem {
    parse_problem("26: 7 3 5").unwrap()
}

#[test]
fn a_solution_runs_to_its_answer() {
    let environment = Countdown::default();
    let root = environment.root(&problem()).unwrap();
    assert_eq!(environment.context(&root), "26:3 5 7\n");
    let first = environment.step(&root, "7*3").unwrap();
    assert_eq!(first.observation, "=21|5 21\n");
    assert_eq!(first.terminal, None);
    let last = environment.step(&first.state, "21+5").unwrap();
    assert_eq!(last.terminal, Some(Terminal::Answer("26".into())));
    assert_eq!(environment.context(&last.state), "26:3 5 7\n7*3=21|5 21\n21+5=26|26\n");
    let rewards = ["26", "21"].map(|answer| environment.reward(&problem(), answer));
    assert_eq!(rewards, [1.0, -1.0]);
}

#[test]
fn rule_breaking_steps_end_the_path_with_a_reason() {
    let environment = Countdown::default();
    let root = environment.root(&problem()).unwrap();
    for (action, reason) in [
        ("7*4", "4 is not available"),
        ("7*7", "7 is not available twice"),
        ("3-5", "below zero"),
        ("7/3", "remainder"),
        ("7", "operator"),
        ("", "operator"),
        ("7*3=21", "no `=`"),
        ("7**3", "not a number"),
        ("+7*3", "not a number"),
        ("7*٣", "not a number"),
        ("99999999999999999999*3", "too large"),
    ] {
        let transition = environment.step(&root, action).unwrap();
        match transition.terminal {
            Some(Terminal::Invalid(message)) => {
                assert!(message.contains(reason), "{action}: {message}");
            }
            other => panic!("{action}: {other:?}"),
        }
        assert!(environment.context(&transition.state).ends_with(&format!("{action}\n")));
    }
}

#[test]
fn a_context_says_its_state() {
    for arithmetic in [Arithmetic::Environment, Arithmetic::Model] {
        for prompt in [PromptStyle::Short, PromptStyle::Question] {
            for rules in Rules::all() {
                let environment = Countdown { arithmetic, prompt, ..with(rules) };
                let mut rng = ChaCha8Rng::seed_from_u64(1);
                let mut state = environment.root(&problem()).unwrap();
                loop {
                    assert_eq!(environment.read_context(&state.context).as_ref(), Some(&state));
                    let Some(action) = environment.random_action(&state, &mut rng) else { break };
                    let legal = environment.legal_actions(&state).unwrap();
                    assert!(legal.contains(&action), "{action}: {legal:?}");
                    state = environment.step(&state, &action).unwrap().state;
                }
                assert_eq!(state.numbers.len(), 1);
            }
        }
    }
    for other in ["", "26:3 5 7", "26:\n", "26:3 5 7\n3*5=14|7 14\n", "26:3 5 7\n3*6\n"] {
        assert_eq!(Countdown::default().read_context(other), None, "{other:?}");
    }
}

#[test]
fn the_model_may_have_to_compute() {
    let environment = Countdown { arithmetic: Arithmetic::Model, ..Countdown::default() };
    let root = environment.root(&problem()).unwrap();
    let right = environment.step(&root, "7*3=21").unwrap();
    assert_eq!((&*right.observation, right.terminal), ("|5 21\n", None));
    let wrong = environment.step(&root, "7*3=22").unwrap();
    assert_eq!(wrong.terminal, Some(Terminal::Invalid("7*3 is not 22".into())));
    let short = environment.step(&root, "7*3").unwrap();
    assert!(matches!(short.terminal, Some(Terminal::Invalid(_))));
}

/// The reason why a step breaks the rules.
fn fault(environment: &Countdown, state: &State, action: &str) -> String {
    match environment.step(state, action).unwrap().terminal {
        Some(Terminal::Invalid(reason)) => reason,
        other => panic!("{action}: {other:?}"),
    }
}

#[test]
fn fractions_negative_numbers_and_leftovers_are_written_and_read() {
    let environment = with(Rules { negative: true, fractions: true, leftover: true });
    let mut state = environment.root(&parse_problem("24: 3 3 8 8 9").unwrap()).unwrap();
    for action in ["8/3", "3-(8/3)", "8/(1/3)", "24"] {
        assert!(environment.legal_actions(&state).unwrap().contains(&action.to_owned()));
        let transition = environment.step(&state, action).unwrap();
        let ends = (action == "24").then(|| Terminal::Answer("24".into()));
        assert_eq!(transition.terminal, ends, "{action}");
        state = transition.state;
    }
    let lines =
        ["24:3 3 8 8 9", "8/3=8/3|8/3 3 8 9", "3-(8/3)=1/3|1/3 8 9", "8/(1/3)=24|9 24", "24=24|24"];
    assert_eq!(state.context, format!("{}\n", lines.join("\n")));
    assert_eq!(environment.read_context(&state.context), Some(state));

    let root = environment.root(&parse_problem("7: 2 4 9").unwrap()).unwrap();
    let below = environment.step(&root, "2-4").unwrap();
    assert_eq!(below.observation, "=-2|-2 9\n");
    for action in ["9-(-2)", "9--2", " 9 - ( -2 ) "] {
        assert_eq!(environment.step(&below.state, action).unwrap().observation, "=11|11\n");
    }
    for action in ["(-2)*9", "-2*9", "-2 * 9"] {
        assert_eq!(environment.step(&below.state, action).unwrap().observation, "=-18|-18\n");
    }
    let half = environment.step(&root, "2/4").unwrap();
    assert_eq!(half.observation, "=1/2|1/2 9\n");
    for action in ["9/1/2", "9-1/2", "1/2+9", "(1/2+9"] {
        assert!(fault(&environment, &half.state, action).contains("is not a number"), "{action}");
    }
    assert!(fault(&environment, &half.state, "9/1/2").contains("in parentheses"));
    assert!(fault(&environment, &half.state, "7").contains("7 is not available"));
    let ended = environment.step(&root, "9").unwrap();
    assert_eq!(ended.terminal, Some(Terminal::Answer("9".into())));
    assert!(fault(&environment, &ended.state, "9").contains("answer already"));
    let zero = environment.root(&parse_problem("7: 0 4").unwrap()).unwrap();
    assert!(fault(&environment, &zero, "4/0").contains("by zero"));
}

#[test]
fn blanks_in_a_step_do_not_count_and_stay_as_written() {
    let root = Countdown::default().root(&problem()).unwrap();
    for action in ["7*3", "7 * 3", " 7  *\t3  "] {
        let transition = Countdown::default().step(&root, action).unwrap();
        assert_eq!(transition.observation, "=21|5 21\n");
        let context = format!("26:3 5 7\n{action}=21|5 21\n");
        assert_eq!(transition.state.context, context);
        assert_eq!(Countdown::default().read_context(&context), Some(transition.state));
    }
    for action in ["7 * 1 3", "7 3"] {
        fault(&Countdown::default(), &root, action);
    }
    let model = Countdown { arithmetic: Arithmetic::Model, ..Countdown::default() };
    for action in ["7*3=21", "7 * 3 = 21", "7  *  3=21 "] {
        assert_eq!(model.step(&root, action).unwrap().observation, "|5 21\n");
    }
}

#[test]
fn a_model_that_computes_writes_fractions() {
    let environment =
        Countdown { arithmetic: Arithmetic::Model, fractions: true, ..Countdown::default() };
    let root = environment.root(&parse_problem("7: 2 4 9").unwrap()).unwrap();
    for action in ["2/4=1/2", "2 / 4 = (1/2)", "2/4=2/4"] {
        assert_eq!(environment.step(&root, action).unwrap().observation, "|1/2 9\n");
    }
    assert_eq!(fault(&environment, &root, "2/4=1/3"), "2/4 is not 1/3");
}

#[test]
fn a_number_too_large_to_combine_is_no_problem() {
    let mut problem = problem();
    problem.metadata["numbers"] = json!([3, 1_000_000_001]);
    let error = Countdown::default().root(&problem).unwrap_err().to_string();
    assert!(error.contains("numbers holds 1000000001"), "{error}");
    let environment = with(Rules { fractions: true, ..Rules::default() });
    let root = environment.root(&parse_problem("7: 1000000000 999999999").unwrap()).unwrap();
    assert!(fault(&environment, &root, "1000000000+999999999").contains("too large"));
    assert_eq!(environment.legal_actions(&root).unwrap().len(), 3);
}

#[test]
fn a_question_is_put_in_the_words_of_the_rules_unless_it_is_another_s() {
    let environment = Countdown {
        prompt: PromptStyle::Question,
        fractions: true,
        leftover: true,
        ..Countdown::default()
    };
    let words =
        "Use each of the numbers 7, 3, 5 at most once to make 26. Results may be fractions.";
    assert_eq!(environment.read_problem("26: 7 3 5").unwrap().question, words);
    let root = environment.root(&problem()).unwrap();
    assert_eq!(root.context, format!("{words}\n"));
    let told = environment.solved_by(&root.context, "9").unwrap();
    assert_eq!(
        told.question,
        "Use each of the numbers 3, 5, 7 at most once to make 9. Results may be fractions."
    );
    for answer in ["1/2", "-3"] {
        assert_eq!(environment.solved_by(&root.context, answer), None);
    }
    let theirs = Problem { question: "Reach 26 by 7, 3 and 5.".into(), ..problem() };
    assert_eq!(environment.root(&theirs).unwrap().context, "Reach 26 by 7, 3 and 5.\n");
}

/// A fraction as the tests know it: numerator and positive denominator, in lowest terms.
type Fraction = (i64, i64);

fn lowest((above, below): Fraction) -> Fraction {
    let divisor =
        (1..=above.abs().max(below.abs())).rev().find(|d| above % d == 0 && below % d == 0);
    let divisor = divisor.unwrap() * below.signum();
    (above / divisor, below / divisor)
}

/// Reads what the environment lists as left.
fn fraction(text: &str) -> Fraction {
    let (above, below) = text.split_once('/').unwrap_or((text, "1"));
    (above.parse().unwrap(), below.parse().unwrap())
}

fn result((a, b): Fraction, symbol: char, (c, d): Fraction, rules: Rules) -> Option<Fraction> {
    let result = match symbol {
        '+' => (a * d + c * b, b * d),
        '-' => (a * d - c * b, b * d),
        '*' => (a * c, b * d),
        _ if c == 0 => return None,
        _ => (a * d, b * c),
    };
    let (above, below) = lowest(result);
    ((above >= 0 || rules.negative) && (below == 1 || rules.fractions)).then_some((above, below))
}

/// The numbers that legal steps reach from each state, found by putting every step that could be written to the step checker, which must
/// take those alone that are right by [`result`]. Each state's legal actions must be those that were taken.
struct Exhaustive {
    environment: Countdown,
    reached: BTreeMap<String, BTreeSet<Fraction>>,
    states: BTreeMap<String, State>,
}

impl Exhaustive {
    fn reach(&mut self, state: &State) -> BTreeSet<Fraction> {
        let key = self.environment.state_key(state).unwrap();
        if let Some(known) = self.reached.get(&key) {
            return known.clone();
        }
        let rules = self.environment.rules();
        let texts: Vec<&str> = key.split(' ').collect();
        let operand = |text: &str| {
            if text.contains(['/', '-']) { format!("({text})") } else { text.to_owned() }
        };
        // Each step with whether it is legal.
        let mut steps: BTreeMap<String, bool> = BTreeMap::new();
        for (i, left) in texts.iter().enumerate() {
            steps.insert(operand(left), rules.leftover);
            for (j, right) in texts.iter().enumerate() {
                for symbol in ['+', '-', '*', '/'] {
                    let legal =
                        i != j && result(fraction(left), symbol, fraction(right), rules).is_some();
                    *steps
                        .entry(format!("{}{symbol}{}", operand(left), operand(right)))
                        .or_default() |= legal;
                }
            }
        }
        let mut reached = BTreeSet::new();
        let mut taken = BTreeSet::new();
        for (action, legal) in steps {
            let transition = self.environment.step(state, &action).unwrap();
            match transition.terminal {
                Some(Terminal::Invalid(reason)) => {
                    assert!(!legal, "{rules:?} {key}: {action}: {reason}");
                }
                terminal => {
                    assert!(legal, "{rules:?} {key}: {action}");
                    taken.insert(action);
                    match terminal {
                        Some(Terminal::Answer(answer)) => {
                            reached.insert(fraction(&answer));
                        }
                        _ => reached.extend(self.reach(&transition.state)),
                    }
                }
            }
        }
        let listed = self.environment.legal_actions(state).unwrap();
        assert_eq!(listed.iter().cloned().collect::<BTreeSet<_>>(), taken, "{rules:?} {key}");
        assert_eq!(listed.len(), taken.len(), "{rules:?} {key}");
        self.reached.insert(key.clone(), reached.clone());
        self.states.insert(key, state.clone());
        reached
    }
}

#[test]
fn the_solver_agrees_with_the_steps_under_all_rules() {
    for rules in Rules::all() {
        let environment = with(rules);
        let mut all = Exhaustive { environment, reached: BTreeMap::new(), states: BTreeMap::new() };
        let values = [0, 1, 2, 3, 5, 8];
        for (i, a) in values.iter().enumerate() {
            for (j, b) in values.iter().enumerate().skip(i) {
                for c in &values[j..] {
                    let problem = parse_problem(&format!("0: {a} {b} {c}")).unwrap();
                    all.reach(&environment.root(&problem).unwrap());
                }
            }
        }
        let four = parse_problem("24: 3 3 8 8").unwrap();
        all.reach(&environment.root(&four).unwrap());
        let mut truth = environment.truth().unwrap();
        for (key, state) in &all.states {
            for target in 0..=30 {
                let state = State { target, ..state.clone() };
                let expected = all.reached[key].contains(&(target as i64, 1));
                assert_eq!(truth(&state), expected, "{rules:?} {target}: {key}");
            }
        }
        // Each rule makes a difference.
        assert_eq!(all.reached["3 3 8 8"].contains(&(24, 1)), rules.fractions || rules.leftover);
        assert_eq!(all.reached["2 5 8"].contains(&(8, 1)), rules.leftover);
        assert_eq!(all.reached["2 5 8"].contains(&(-11, 1)), rules.negative);
    }
}
