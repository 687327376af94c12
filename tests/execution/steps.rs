//! What steps of a path see of each other.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use espalier::execution::{
    CodeState, Executor, ExecutorConfig, ExecutorError, ExecutorKind, Outcome, start_with,
};

use super::{PROGRAM, cpython, executors, path, python};

fn config() -> ExecutorConfig {
    ExecutorConfig { timeout_seconds: 3.0, workers: 2, ..ExecutorConfig::default() }
}

fn observe(executor: &dyn Executor, state: &CodeState, code: &str) -> (Outcome, String) {
    let (execution, _) = executor.run(state, code).unwrap();
    (execution.outcome, execution.observation)
}

fn ok(text: &str) -> (Outcome, String) {
    (Outcome::Ok, text.to_owned())
}

#[test]
fn variables_go_to_descendants_and_never_to_siblings() {
    for executor in executors(&config()) {
        let executor = &*executor;
        let (_, root) =
            executor.run(&CodeState::default(), "x = [1]\ndef f(n): return n + 1").unwrap();
        let (_, left) = executor.run(&root, "x.append(2)\nleft = 5").unwrap();
        let (_, right) = executor.run(&root, "x.append(f(2))").unwrap();
        assert_eq!(observe(executor, &left, "x"), ok("[1, 2]"), "{executor:?}");
        assert_eq!(observe(executor, &right, "x"), ok("[1, 3]"));
        assert_eq!(observe(executor, &root, "x"), ok("[1]"));
        let (outcome, text) = observe(executor, &right, "left");
        assert_eq!((outcome, &*text), (Outcome::Error, "NameError: name 'left' is not defined"));
        assert_eq!(observe(executor, &left, "f(left)"), ok("6"));
        assert_eq!((root.steps(), left.steps()), (1, 2));
    }
}

#[test]
fn prints_and_the_last_value_are_observed() {
    for executor in executors(&config()) {
        for (code, text) in [
            ("2 + 3 * 4", "14"),
            ("print('a', 1)\nprint('b')", "a 1\nb"),
            ("print('a')\n'b'", "a\nb"),
            ("x = 3", ""),
            ("", ""),
            ("None", ""),
            ("print('é' * 3, end='')", "ééé"),
            ("[1, 2.5, 'a', None, (1,)]", "[1, 2.5, 'a', None, (1,)]"),
        ] {
            let observed = observe(&*executor, &CodeState::default(), code);
            assert_eq!(observed, ok(text), "{code:?} {executor:?}");
        }
        let (outcome, text) = observe(&*executor, &CodeState::default(), "print('lost')\n1 / 0");
        assert_eq!((outcome, &*text), (Outcome::Error, "ZeroDivisionError: division by zero"));
        let (outcome, text) = observe(&*executor, &CodeState::default(), "x = = 3");
        let expected = match outcome {
            // Of which each version speaks otherwise.
            Outcome::Unsupported => "does not run syntax",
            _ => "SyntaxError",
        };
        assert!(outcome != Outcome::Ok && text.contains(expected), "{text}");
        let long = observe(&*executor, &CodeState::default(), "print('a' * 400 + 'b' * 400)");
        assert_eq!(long, ok(&format!("{}...{}", "a".repeat(250), "b".repeat(250))));
    }
}

#[test]
fn an_exception_leaves_what_was_done_and_a_limit_leaves_nothing() {
    let config = ExecutorConfig { timeout_seconds: 1.0, ..config() };
    for executor in executors(&config) {
        let steps = ["x = 1", "x = 2\n1 / 0", "x = 3\nwhile True: pass", "x"];
        let (executions, state) = path(&*executor, &steps);
        let outcomes: Vec<Outcome> = executions.iter().map(|execution| execution.outcome).collect();
        use Outcome::{Error, Ok, Timeout};
        assert_eq!(outcomes, [Ok, Error, Timeout, Ok], "{executor:?}");
        assert_eq!((executions[3].observation.as_str(), state.steps()), ("2", 3));
        assert_eq!(executions[2].observation, "TimeoutError: ran longer than 1 s");
        assert!(executions[2].seconds >= 1.0);
    }
}

#[test]
fn a_step_that_ends_its_interpreter_leaves_nothing() {
    let Some(executor) = cpython(&config()) else { return };
    let (executions, state) = path(&*executor, &["x = 1", "x = 2\nimport os\nos._exit(0)", "x"]);
    assert_eq!(executions[1].outcome, Outcome::Error);
    assert_eq!((executions[2].observation.as_str(), state.steps()), ("1", 2));
}

fn embedded() -> Box<dyn Executor> {
    let config = ExecutorConfig { kind: ExecutorKind::Embedded, ..config() };
    start_with(&config, Path::new(PROGRAM)).unwrap()
}

#[test]
fn what_the_embedded_interpreter_does_otherwise_is_not_run() {
    let embedded = embedded();
    for code in [
        "import sympy",
        "from itertools import permutations",
        "def f():\n    yield 1",
        "eval('1')",
        "'%d' % 3",
        "pow(3, -1, 7)",
        "match 1:\n    case 1: pass",
        "open('x')",
        "(-8) ** 0.5",
        "10**400 * 1.0",
        "g = (x for x in [1])\nprint(list(g), list(g))",
        "print({3, 1, 2})",
        "d = {1: 'a'}\nk = 1.0\nd[k] = 'b'\nd",
        "1 % 0",
        "{}['k']",
        "assert 1 == 2",
        "class A:\n    def __repr__(self): return 'A'\nA()",
        "True + True",
        "a = [1]\nb = a\na *= 2\nb",
        "for q in (10 / y for y in [5, 0]):\n    print(q)\n    break",
        "any(x + 1 > 2 for x in [1, 2, 'a'])",
        "sorted({10, 3, 7, 8, 16}, key=lambda x: 0)",
        "print(2**53 * 0.1)",
        "x = 1e15 + 0.3\nf'{x:,}'",
        "def f(n): return [f(n - 1) for _ in [0]][0] if n else 0\nf(600)",
        "'abc'.find('', 10)",
        "10**400 + 0.5 > 1",
        "UserWarning",
        "def f(): pass\nlen(str(f))",
        "a = [1]\na.append(a)\nprint(a)",
        "'\\xdfa'.title()",
        "[chr(0x1c89)]",
        "ord('\\ud800')",
        "'ab' * -10**20",
        "a = [1, 2]\na[0], a[1] = a[1], a[0]",
        "sum([0.1] * 10)",
        "print(len)",
        "f'{None:>5}'",
        "def f(n): return f(n - 1) if n else 0\nf(950)",
        "x = 1\nwhile x < 10**5000: x *= 10\nprint(x)",
    ] {
        let (outcome, text) = observe(&*embedded, &CodeState::default(), code);
        assert_eq!(outcome, Outcome::Unsupported, "{code:?}: {text}");
        assert!(text.contains("Error: "), "{text}");
    }
    for (code, text) in [
        ("print(round(2.675, 2), round(0.15, 1))", "2.67 0.1"),
        ("0.3 ** 3", "0.026999999999999996"),
        ("5**23 / 5**21, 10**200 / 10**199", "(25.0, 10.0)"),
        ("1 // 0.1, divmod(-7.5, 2)", "(9.0, (-4.0, 0.5))"),
    ] {
        assert_eq!(observe(&*embedded, &CodeState::default(), code), ok(text));
    }
    let redefined = ["def f(xs): return sum(xs)", "def sum(xs): return 42", "f([1, 2])"];
    let (executions, _) = path(&*embedded, &redefined);
    assert_eq!(executions[1].outcome, Outcome::Unsupported, "{executions:?}");
    // Nor what builds on such a step, though it could be run.
    let steps = ["xs = []\nadd = xs.append", "add(1)", "xs", "7"];
    let (executions, _) = path(&*embedded, &steps);
    let ended = |execution: &espalier::execution::Execution| execution.outcome;
    let outcomes: Vec<Outcome> = executions.iter().map(ended).collect();
    assert_eq!(outcomes, [Outcome::Unsupported; 4], "{executions:?}");
}

#[test]
fn auto_is_cpython_where_it_can_be() {
    let auto = ExecutorConfig { kind: ExecutorKind::Auto, python: python(), ..config() };
    let executor = start_with(&auto, Path::new(PROGRAM)).unwrap();
    let expected = if cpython(&config()).is_some() { "CPython 3." } else { "embedded" };
    assert!(executor.interpreter().contains(expected), "{}", executor.interpreter());
    let absent = ExecutorConfig { python: "no-such-python".into(), ..auto };
    let executor = start_with(&absent, Path::new(PROGRAM)).unwrap();
    assert!(executor.interpreter().contains("embedded"), "{}", executor.interpreter());
    assert_eq!(observe(&*executor, &CodeState::default(), "6 * 7"), ok("42"));
}

/// A tree of steps in which every node's observation depends on its whole path.
fn grow(executor: &dyn Executor) -> Vec<String> {
    let (_, root) =
        executor.run(&CodeState::default(), "trace = []\nsteps = ('a', 'b', 'c')").unwrap();
    let mut level = vec![root];
    let mut seen = Vec::new();
    for depth in 0..3 {
        let mut next = Vec::new();
        for state in &level {
            for branch in 0..3 {
                let code = format!(
                    "trace.append({depth} * 10 + {branch})\nif {branch} == 2: oops\nprint(trace, steps)"
                );
                let (execution, after) = executor.run(state, &code).unwrap();
                seen.push(execution.observation);
                next.push(after);
            }
        }
        level = next;
    }
    seen.extend(level.iter().map(|state| observe(executor, state, "trace").1));
    seen
}

#[test]
fn replay_gives_what_kept_states_give() {
    for executor in executors(&config()) {
        let first = grow(&*executor);
        assert_eq!(first.len(), 3 + 9 + 27 + 27);
        assert!(first.contains(&"[0, 12, 21]".to_owned()), "{first:?}");
        // States of the other kind, and states of an executor that is gone, are replayed.
        let (_, foreign) = executor.run(&CodeState::default(), "y = 8").unwrap();
        for other in executors(&config()) {
            assert_eq!(observe(&*other, &foreign, "y + 1"), ok("9"), "{executor:?} {other:?}");
        }
        assert_eq!(grow(&*executor), first);
    }
    let alike = |live_states, workers| {
        let config = ExecutorConfig { live_states, workers, ..config() };
        cpython(&config).map(|executor| grow(&*executor))
    };
    let kept = alike(40, 1);
    assert_eq!(alike(0, 1), kept);
    assert_eq!(alike(3, 2), kept);
}

#[test]
fn many_threads_share_an_executor() {
    for executor in executors(&config()) {
        let done = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let (executor, done) = (&executor, &done);
                scope.spawn(move || {
                    let mut state = CodeState::default();
                    for step in 0..5 {
                        let code = format!("x = {thread} * 10 + {step}\nx");
                        let (execution, after) = executor.run(&state, &code).unwrap();
                        assert_eq!(execution.observation, (thread * 10 + step).to_string());
                        state = after;
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                });
            }
        });
        assert_eq!(done.into_inner(), 8);
    }
}

#[test]
fn python_repeats_itself() {
    let config = ExecutorConfig { workers: 2, ..config() };
    let Some(executor) = cpython(&config) else { return };
    let code = "import random\nprint(random.random(), hash('a'), {'x', 'y', 'z'})";
    let first = observe(&*executor, &CodeState::default(), code);
    assert_eq!(first.0, Outcome::Ok, "{}", first.1);
    for _ in 0..3 {
        assert_eq!(observe(&*executor, &CodeState::default(), code), first);
    }
    let another = cpython(&config).unwrap();
    assert_eq!(observe(&*another, &CodeState::default(), code), first);
}

#[test]
fn odd_texts_are_answered() {
    for executor in executors(&config()) {
        let long = format!("x = 1{}\nx", " + 1".repeat(40));
        assert_eq!(observe(&*executor, &CodeState::default(), &long), ok("41"));
        let comment = format!("# {}\n7", "x".repeat(300_000));
        assert_eq!(observe(&*executor, &CodeState::default(), &comment), ok("7"));
        let (_, state) = executor.run(&CodeState::default(), "y = 2").unwrap();
        assert_eq!(observe(&*executor, &state, &comment.replace("\n7", "\ny")), ok("2"));
        for code in ["print('\\ud800')", "x = '\0'", "\u{feff}1", "print(chr(0))", "\t1", "é = 3"]
        {
            observe(&*executor, &CodeState::default(), code);
        }
        let nested = format!("{}{}", "(".repeat(20_000), ")".repeat(20_000));
        observe(&*executor, &CodeState::default(), &nested);
        assert_eq!(observe(&*executor, &CodeState::default(), "6 * 7"), ok("42"), "{executor:?}");
    }
}

#[test]
fn sympy_is_there_where_the_interpreter_has_it() {
    let Some(executor) = cpython(&config()) else { return };
    let steps = ["from sympy import *\nx = symbols('x')", "solve(x**2 - 2, x)"];
    let (executions, _) = path(&*executor, &steps);
    let [import, solve] = &executions[..] else { panic!("two steps") };
    if import.outcome == Outcome::Error {
        assert!(import.observation.starts_with("ModuleNotFoundError"), "{import:?}");
        return;
    }
    assert_eq!(solve.observation, "[-sqrt(2), sqrt(2)]");
}

#[test]
fn what_cannot_start_says_why() {
    let start = |config: &ExecutorConfig, program: &str| {
        start_with(config, Path::new(program)).unwrap_err().to_string()
    };
    let cpython = ExecutorConfig { kind: ExecutorKind::Cpython, python: python(), ..config() };
    let absent = ExecutorConfig { python: "no-such-python".into(), ..cpython.clone() };
    assert!(start(&absent, PROGRAM).contains("python = \"no-such-python\""));
    let none = ExecutorConfig { python: "true".into(), ..cpython.clone() };
    assert!(start(&none, PROGRAM).contains("python = \"true\""));
    let zero = ExecutorConfig { timeout_seconds: 0.0, ..cpython.clone() };
    assert!(start(&zero, PROGRAM).contains("timeout_seconds = 0"));
    // A program that makes no sandbox.
    let error = start_with(&cpython, Path::new("/bin/false")).unwrap_err();
    assert!(matches!(error, ExecutorError::Sandbox(_)), "{error:?}");
    assert!(error.to_string().contains("unsafe_no_sandbox"), "{error}");
}

#[test]
fn an_unsafe_executor_keeps_time_and_memory() {
    let config = ExecutorConfig {
        kind: ExecutorKind::Cpython,
        timeout_seconds: 1.0,
        unsafe_no_sandbox: true,
        workers: 1,
        ..config()
    };
    let executor = start_with(&config, Path::new("/no/such/program")).unwrap();
    let steps = ["x = 20", "while True: pass", "[0] * 10**9", "x + 1"];
    let (executions, _) = path(&*executor, &steps);
    let outcomes: Vec<Outcome> = executions.iter().map(|execution| execution.outcome).collect();
    assert_eq!(outcomes, [Outcome::Ok, Outcome::Timeout, Outcome::Memory, Outcome::Ok]);
    assert_eq!(executions[3].observation, "21");
}
