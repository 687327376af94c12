//! What the embedded interpreter says is what CPython says, of programs that are made at random: expressions, loops, formats, containers.
//!
//! `ESPALIER_PROGRAMS` says how many; `ESPALIER_SEED` with which seed they begin.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use rand::RngExt;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use espalier::execution::{ExecutorConfig, ExecutorKind, Outcome, start_with};

use super::{PROGRAM, path};

/// Programs of one run: two steps each.
const PROGRAMS: u64 = 600;

/// Runs every step as the executor's own worker does, without a sandbox: these programs are ours.
const REFERENCE: &str = r"
import ast, io, json, sys
for line in sys.stdin:
    space, out = {'__name__': '__main__'}, []
    for code in json.loads(line):
        printed = sys.stdout = io.StringIO()
        try:
            tree = ast.parse(code)
            last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
            exec(compile(tree, '<step>', 'exec'), space)
            value = eval(compile(ast.Expression(last.value), '<step>', 'eval'), space) if last else None
            shown = '' if value is None else str(value)
            ended = 'ok', (printed.getvalue() + shown).rstrip('\r\n')
        except Exception as error:
            ended = 'error', f'{type(error).__name__}: {error}'
        sys.stdout = sys.__stdout__
        out.append(ended)
    print(json.dumps(out), flush=True)
";

#[derive(Debug, Deserialize)]
struct Ended(Outcome, String);

#[test]
fn made_programs_end_as_in_cpython_or_are_not_run() {
    let number = |name: &str, default: u64| {
        std::env::var(name).ok().map_or(default, |text| text.parse().expect(name))
    };
    let (programs, seed) = (number("ESPALIER_PROGRAMS", PROGRAMS), number("ESPALIER_SEED", 1));
    let made: Vec<[String; 2]> = (seed..seed + programs).map(program).collect();
    let expected = reference(&made);
    let config = ExecutorConfig {
        kind: ExecutorKind::Embedded,
        workers: 1,
        max_output: 4000,
        ..ExecutorConfig::default()
    };
    let embedded = start_with(&config, Path::new(PROGRAM)).unwrap();
    let (mut run, mut steps, mut differences) = (0, 0, Vec::new());
    let mut causes: HashMap<String, usize> = HashMap::new();
    for ((program, expected), seed) in made.iter().zip(&expected).zip(seed..) {
        let (executions, _) = path(&*embedded, &[&program[0], &program[1]]);
        for (execution, Ended(outcome, text)) in executions.iter().zip(expected) {
            steps += 1;
            if execution.outcome == Outcome::Unsupported {
                *causes.entry(execution.observation.clone()).or_default() += 1;
            } else {
                run += 1;
                let found = (execution.outcome, &execution.observation);
                if found != (*outcome, text) {
                    let code = program.join("\n---\n");
                    differences
                        .push(format!("seed {seed}:\n{code}\n{found:?}\n{outcome}, {text:?}"));
                }
            }
        }
    }
    let first = differences.iter().take(5).map(String::as_str).collect::<Vec<_>>().join("\n\n");
    assert!(differences.is_empty(), "{} programs differ:\n{first}", differences.len());
    // Else nothing would have been compared.
    let mut causes: Vec<(usize, String)> = causes.into_iter().map(|(text, n)| (n, text)).collect();
    causes.sort_unstable_by(|a, b| b.cmp(a));
    causes.truncate(12);
    assert!(run * 2 > steps, "only {run} of {steps} steps were run: {causes:#?}");
    println!("{run} of {steps} steps were run, and ended as in CPython");
}

fn reference(programs: &[[String; 2]]) -> Vec<[Ended; 2]> {
    let mut command = Command::new("python3");
    command.args(["-c", REFERENCE]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let lines: Vec<String> =
        programs.iter().map(|program| serde_json::to_string(program).unwrap()).collect();
    let writing = std::thread::spawn(move || {
        for line in lines {
            writeln!(input, "{line}").unwrap();
        }
    });
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Two steps: one that defines, one that goes on.
fn program(seed: u64) -> [String; 2] {
    let mut make = Make(ChaCha8Rng::seed_from_u64(seed));
    // Every name that a program may use has a value at the start.
    let mut first = vec![
        "import math\ni, j, k, n, x, y, s = 7, -3, 2, 1, 2.5, 0.75, 'abc'".to_owned(),
        "ns, d = [3, 1.5, 2], {'a': 1, 'b': 0.5}".to_owned(),
        format!("i = {}", make.int(1)),
        format!("j = {}", make.int(2)),
        format!("x = {}", make.float(1)),
        format!("y = {}", make.float(2)),
        format!("s = {}", make.text(1)),
        format!("ns = {}", make.numbers(1)),
        format!("d = {{'a': {}, 'b': {}}}", make.int(1), make.float(1)),
    ];
    for _ in 0..3 {
        first.push(make.statement(0));
    }
    let mut second: Vec<String> = (0..4).map(|_| make.statement(0)).collect();
    second.push(make.value(3));
    [first.join("\n"), second.join("\n")]
}

struct Make(ChaCha8Rng);

impl Make {
    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.0.random_range(0..of.len())]
    }

    fn below(&mut self, most: u32) -> u32 {
        self.0.random_range(0..most)
    }

    fn int(&mut self, depth: u32) -> String {
        if depth == 0 {
            return match self.below(40) {
                0..18 => self.0.random_range(-9..40).to_string(),
                18..22 => self.0.random_range(100..100_000).to_string(),
                22 => self.pick(&["2**53 + 1", "10**18", "7**25", "-3**20", "10**25"]).to_owned(),
                _ => self.pick(&["i", "j", "len(ns)", "len(s)"]).to_owned(),
            };
        }
        let depth = depth - 1;
        match self.below(14) {
            0..5 => {
                let op = self.pick(&["+", "-", "*", "//", "%", "&", "|", "^"]);
                format!("({} {op} {})", self.int(depth), self.int(depth))
            }
            5 => format!("({}) ** {}", self.int(depth), self.below(5)),
            6 => format!("int({})", self.float(depth)),
            7 => format!("round({})", self.float(depth)),
            8 => format!("abs({})", self.int(depth)),
            9 => {
                format!("{}({}, {})", self.pick(&["min", "max"]), self.int(depth), self.int(depth))
            }
            10 => format!("({} if {} else {})", self.int(depth), self.test(depth), self.int(depth)),
            11 => format!("sum(k * {} for k in range({}))", self.int(0), self.below(9)),
            12 => format!("math.{}({})", self.pick(&["floor", "ceil"]), self.float(depth)),
            _ => self.int(0),
        }
    }

    fn float(&mut self, depth: u32) -> String {
        if depth == 0 {
            return match self.below(10) {
                0..3 => format!("{}.{:02}", self.below(200), self.below(100)),
                3 => format!("{}.{}5", self.below(20), self.below(1000)),
                4 => self.pick(&["0.1", "1e16", "2.5e-7", "1e22", "3.0", "1e100"]).to_owned(),
                _ => self.pick(&["x", "y", "math.pi"]).to_owned(),
            };
        }
        let depth = depth - 1;
        match self.below(14) {
            0..4 => {
                let op = self.pick(&["+", "-", "*", "/", "//", "%"]);
                format!("({} {op} {})", self.number(depth), self.float(depth))
            }
            4 | 5 => format!("({} / {})", self.int(depth), self.int(depth)),
            6 => format!("round({}, {})", self.float(depth), self.below(4)),
            7 => format!("{} ** {}", self.float(0), self.pick(&["2", "3", "0.5", "-1", "10"])),
            8 => format!("float({})", self.int(depth)),
            9 => format!("abs({})", self.float(depth)),
            10 => format!("math.sqrt(abs({}))", self.float(depth)),
            11 => format!("sum([{}, {}, {}])", self.number(depth), self.float(0), self.float(0)),
            12 => format!("max({}, {})", self.float(depth), self.number(depth)),
            _ => self.float(0),
        }
    }

    fn number(&mut self, depth: u32) -> String {
        if self.below(2) == 0 { self.int(depth) } else { self.float(depth) }
    }

    fn test(&mut self, depth: u32) -> String {
        match self.below(5) {
            0..3 => {
                let op = self.pick(&["<", "<=", ">", "==", "!=", ">="]);
                format!("{} {op} {}", self.number(depth), self.number(depth))
            }
            3 => format!("{} in ns", self.int(0)),
            _ => {
                let (a, b) = (self.number(0), self.number(0));
                format!("({a} > 1 {} not {b} < 5)", self.pick(&["and", "or"]))
            }
        }
    }

    fn text(&mut self, depth: u32) -> String {
        if depth == 0 {
            let plain = ["'abc'", "'It is'", "\"it's\"", "'1,2'", "'  pad '", "''", "s", "'é'"];
            return self.pick(&plain).to_owned();
        }
        let depth = depth - 1;
        match self.below(10) {
            0..3 => self.formatted(),
            3 => format!("({} + {})", self.text(depth), self.text(depth)),
            4 => {
                let method = self.pick(&["upper()", "strip()", "replace('a', 'b')", "title()"]);
                format!("{}.{method}", self.text(0))
            }
            5 => format!("str({})", self.value(depth)),
            6 => format!("{}[{}:{}]", self.text(0), self.below(3), self.below(6)),
            7 => "', '.join(str(n) for n in ns)".to_owned(),
            8 => format!("{} * {}", self.text(0), self.below(4)),
            _ => self.text(0),
        }
    }

    fn formatted(&mut self) -> String {
        let spec = self.pick(&[
            "", ":.2f", ":,", ":,.2f", ":.0f", ":8.3f", ":>10", ":<6", ":^9", ":.1%", ":d", ":05d",
            ":06.2f", ":10,.1f", "!r", ":%", ":3",
        ]);
        let value = self.number(1);
        format!("f\"got {{{value}{spec}}} of {{{}}}\"", self.number(0))
    }

    fn numbers(&mut self, depth: u32) -> String {
        if depth == 0 {
            return "ns".to_owned();
        }
        match self.below(8) {
            0..3 => format!("[{}, {}, {}]", self.number(0), self.number(1), self.number(0)),
            3 => format!("[n * {} for n in {} if {}]", self.number(0), "ns", self.test(0)),
            4 => "sorted(ns, reverse=True)".to_owned(),
            5 => "ns[::-1]".to_owned(),
            6 => format!("list(range({}))", self.below(7)),
            _ => format!("[{}, {}] * {}", self.number(0), self.int(0), self.below(3)),
        }
    }

    /// Of any type that is shown.
    fn value(&mut self, depth: u32) -> String {
        match self.below(10) {
            0..3 => self.int(depth),
            3..6 => self.float(depth),
            6 => self.text(depth),
            7 => self.numbers(depth.min(1)),
            8 if depth > 1 => self.idiom(),
            8 => self.pick(&["d", "(i, x)", "[s, x]", "list(zip(ns, ns))", "i == x"]).to_owned(),
            _ => format!("{{'k': {}, {}: [x]}}", self.number(0), self.int(0)),
        }
    }

    /// What models often write.
    fn idiom(&mut self) -> String {
        let (int, number, text) = (self.int(1), self.number(1), self.text(0));
        match self.below(22) {
            0 => format!("divmod({int}, {number})"),
            1 => format!("pow({int}, {})", self.below(4)),
            2 => format!("[int(c) for c in str(abs({int}))]"),
            3 => format!("list(map(int, str(abs({int}))))"),
            4 => format!("sum(map(int, str(abs({int}))))"),
            5 => format!("{{n: n ** 2 for n in range({})}}", self.below(5)),
            6 => format!("sorted([{number}, {int}, 3.5], key=lambda n: -n)"),
            7 => format!("any(n > {number} for n in ns)"),
            8 => format!("all(n % 2 == 0 for n in [{int}, 4])"),
            9 => format!("{text}.split()"),
            10 => format!("{text}.count('a') + {text}.find('b')"),
            11 => format!("d.get({text}, {number})"),
            12 => format!("list(d.items()) + [{text} in d]"),
            13 => format!("[(k, v) for k, v in d.items() if v > {number}]"),
            14 => format!("[[r * c for c in range(3)] for r in range({})]", self.below(4)),
            15 => "(lambda a, b=2: a * b)".to_owned(),
            16 => format!("len(set([{int}, {int}, 1])), sorted(set([{int}, 2]))"),
            17 => format!("math.gcd(abs({int}), 12), math.comb(9, 4), math.factorial(6)"),
            18 => format!("not {number}, bool({int}), {int} is None"),
            19 => "min(ns), max(ns, key=lambda n: -n), sum(ns) / len(ns)".to_owned(),
            20 => "[n for n in range(2, 30) if all(n % k for k in range(2, n))]".to_owned(),
            _ => format!("str({number}) + {text} + chr(65 + {} % 26)", self.below(90)),
        }
    }

    fn statement(&mut self, depth: u32) -> String {
        let indent = "    ".repeat(depth as usize + 1);
        let inner = |make: &mut Self| {
            if depth < 1 { make.statement(depth + 1) } else { make.simple() }
        };
        match self.below(12) {
            0 => {
                let (test, yes, no) = (self.test(1), inner(self), inner(self));
                let end = &indent[4..];
                format!("if {test}:\n{indent}{yes}\n{end}else:\n{indent}{no}")
            }
            1 => format!("for k in range({}):\n{indent}{}", self.below(5), inner(self)),
            2 => {
                let over = self.pick(&[
                    "for k, n in enumerate(ns)",
                    "for k, n in zip(range(5), ns)",
                    "for k, n in d.items()",
                    "for n in reversed(ns)",
                    "for n in ns",
                ]);
                let body = self.pick(&["print(k, n)", "i += 1", "x = x + n", "print(n, end=' ')"]);
                format!("k = 0\n{}{over}:\n{indent}{body}", &indent[4..])
            }
            3 => {
                let (value, call) = (self.number(1), self.number(0));
                let end = &indent[4..];
                format!("def f(i, x=2):\n{indent}return {value}\n{end}print(f({call}))")
            }
            _ => self.simple(),
        }
    }

    fn simple(&mut self) -> String {
        match self.below(12) {
            0..5 => format!("print({}, {})", self.value(2), self.value(1)),
            5 => format!("i = {}", self.int(2)),
            6 => format!("x = {}", self.float(2)),
            7 => format!("x {}= {}", self.pick(&["+", "-", "*", "/", "//", "%"]), self.number(1)),
            8 => format!("d[{}] = {}", self.pick(&["'a'", "'c'", "i", "s"]), self.number(1)),
            9 => format!("ns.append({})", self.number(1)),
            10 => format!("s = {}", self.text(2)),
            _ => format!("ns = {}", self.numbers(1)),
        }
    }
}
