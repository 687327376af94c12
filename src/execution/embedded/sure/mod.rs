//! What of Python the embedded interpreter runs as CPython does, for sure.
//!
//! Its crate implements the language anew, and where the two differ it says nothing. So a step is run only where it is made of parts
//! that were compared (`tests/execution/agreement.rs`), and its operations whose result depends on the values that they meet (division,
//! powers, rounding, conversions, sums, keys of dictionaries) are done by [`super::host`], which refuses what it does not know. All
//! else is `unsupported`.

mod names;
mod reader;

use ruff_python_ast::ModModule;
use ruff_python_parser::{Parsed, parse_module};

use names::Names;
use reader::Reader;

/// A step that is surely run as CPython runs it.
#[derive(Debug, PartialEq)]
pub(super) struct Checked {
    /// With its delicate operations handed to the host.
    pub code: String,
    /// Whether an exception that it raises is the one that CPython raises.
    pub may_fail: bool,
    /// Whether it makes values at once that CPython makes one by one, so that it may take more time and memory.
    pub makes_all: bool,
}

/// Reads the step `code`, after the steps of `path`; or says why it is not run.
pub(super) fn checked<'a>(
    path: impl Iterator<Item = &'a str>,
    code: &'a str,
) -> Result<Checked, String> {
    let lower = code.to_ascii_lowercase();
    let half = ["\\ud", "\\u0000d", "\\n{"].iter().any(|escape| lower.contains(escape));
    if code.contains(['\r', '\0', '\u{feff}']) || half {
        return Err("characters that Python reads otherwise".to_owned());
    }
    let mut names = Names::default();
    for code in path {
        names.collect(code, parsed(code)?.suite());
    }
    let parsed = parsed(code)?;
    names.collect(code, parsed.suite());
    if let Some(name) = names.bound.iter().find(|name| reader::is_built_in(name)) {
        return Err(format!("{name}, which the path gives another meaning"));
    }
    let may_fail = !names.lazy && !names.are_looked_up_late();
    let makes_all = names.lazy || names.makes_all;
    let code = Reader::new(code, parsed.tokens(), &names).read(parsed.suite())?;
    Ok(Checked { code, may_fail, makes_all })
}

fn parsed(code: &str) -> Result<Parsed<ModModule>, String> {
    let parsed = parse_module(code).map_err(|error| format!("syntax: {}", error.error))?;
    match parsed.has_no_syntax_errors() {
        true => Ok(parsed),
        false => Err("syntax of another version of Python".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::checked;

    fn alone(code: &str) -> Result<String, String> {
        checked(std::iter::empty(), code).map(|checked| checked.code)
    }

    #[test]
    fn delicate_operations_are_handed_to_the_host_where_they_stand() {
        for (code, expected) in [
            ("a / b * c", "_e_mul(_e_div(a , b) , c)"),
            ("def f(a): return(a)/2", "def f(a): return _e_div((a),2)"),
            ("[a] * b + c * 'x'", "[a] * _e_count(b) + _e_count(c) * 'x'"),
            ("str(a) + f'{b}'", "str(_e_shown(a)) + f'{_e_shown(b)}'"),
            ("x *= 2", "x = _e_mul(x, 2)"),
            ("(a + b) / (c - d)", "_e_div((a + b) , (c - d))"),
            ("-x ** 2", "-_e_pow(x , 2)"),
            ("a / b / c", "_e_div(_e_div(a , b) , c)"),
            ("2 ** 3 ** 2", "_e_pow(2 , _e_pow(3 , 2))"),
            ("(a # a / b\n // b)", "(_e_floordiv(a # a / b\n , b))"),
            ("f'{a / b:.2f}'", "f'{_e_formatted(_e_div(a , b)):.2f}'"),
            ("x /= y + 1", "x = _e_div(x, y + 1)"),
            ("x **= (a + b)", "x = _e_pow(x, (a + b))"),
            ("a[i] //= 2", "a[_e_key(i)] = _e_floordiv(a[i], 2)"),
            ("a[i] += 2", "a[_e_key(i)] += 2"),
            ("a['k'] = round(x, 2)", "a['k'] = _e_round(x, 2)"),
            (
                "{k: v / 2 for k, v in d.items()}",
                "{_e_key(k): _e_div(v , 2) for k, v in d.items()}",
            ),
            ("sum(x / 2 for x in xs)", "_e_sum(_e_div(x , 2) for x in xs)"),
            ("xs[n // 2:]", "xs[_e_floordiv(n , 2):]"),
        ] {
            assert_eq!(alone(code).as_deref(), Ok(expected), "{code}");
        }
    }

    #[test]
    fn what_was_not_compared_is_not_run() {
        for code in [
            "g = (x for x in [1])",
            "m = map(str, [1])",
            "print({1, 2})",
            "for x in {1, 2}: print(x)",
            "class A: pass",
            "try:\n    x = 1\nexcept: pass",
            "import random",
            "import math as m",
            "math.sin(1)",
            "eval('1')",
            "eval",
            "x.bit_length()",
            "f'{x!a}'",
            "f'{x=}'",
            "f'{x:g}'",
            "f'{x:{y}}'",
            "1j",
            "b'x'",
            "del x",
            "print(x, file=y)",
            "any(f(x) for x in xs)",
            "for y in (1 / x for x in xs): print(y)",
            "for y in map(f, xs): print(y)",
            "xs.extend(1 / x for x in ys)",
            "sorted({1, 2}, key=len)",
            "max((f(x) for x in xs), key=len)",
            "'a'.find('', 10)",
            "sorted(xs, reverse=n)",
            "Warning",
            "'\\xdf'.title()",
            "f = lambda: 1\ng = f",
            "s = '\\ud800'",
            "_e_div(1, 2)",
            "__name__",
            "x is 5",
            "sum = 3\nsum([1])",
            "for i, x in enumerate(xs):\n    xs.append(x)",
            "def f(x: List[int]): return x",
            "a.b = 3",
            "a[0:1] = [2]",
            "(x := 3)",
            "f'{1,}'",
            "x /= 2,",
            "d[k,] = 5",
            "return 5",
            "break",
            "x = 1\nglobal x",
            "def f(x):\n    global x",
            "def f():\n    x = 1\n    global x",
            "def f():\n    x: int\n    return x",
            "f'{1!r }'",
            "'\\N{SHAKING FACE}'",
            "len(map(str, xs))",
            "def f(zip): return 1\nzip(xs, ys)",
            "[xs.pop() for i, x in enumerate(xs)]",
            "f = lambda v: xs.append(v)\nfor i, x in enumerate(xs): f(x)",
            "ys = max(xs, zs)\nfor i, x in enumerate(ys): xs.append(x)",
            "zs = [xs for _ in range(2)]\nfor i, x in enumerate(zs[0]): xs.append(x)",
            "e = d\nfor k in d: e.pop(k)",
            "def f(): return 1\nxs[k] *= f()",
            "sum((f(x) for x in xs), g(0))",
            "1e999",
            "def f(): return lambda v: v",
            "def f(): return math",
            "[[[[1 for a in xs] for b in xs] for c in xs] for d in xs]",
            "'\\706'.title()",
            "x = chr (223)\nx.title()",
            "'\\U0000d800'",
            "raise TimeoutError('time limit exceeded')",
            "raise MemoryError('x')",
        ] {
            assert!(alone(code).is_err(), "{code}: {:?}", alone(code));
        }
        assert!(checked(["sum = 3"].into_iter(), "sum([1])").is_err());
        assert!(checked(["def f(): return sum([1])"].into_iter(), "sum = 3").is_err());
        assert!(!checked(std::iter::empty(), "any(x for x in xs)").unwrap().may_fail);
        for late in ["solve(eq)", "foo(1/0)", "x = 5\nx.append(foo)", "def f(x): x.append(foo)"] {
            assert!(!checked(std::iter::empty(), late).unwrap().may_fail, "{late}");
        }
        for sure in ["x = []\nx.append(foo)", "print(foo)", "def f(a): return a\nf(foo)"] {
            assert!(checked(std::iter::empty(), sure).unwrap().may_fail, "{sure}");
        }
        assert!(checked(std::iter::empty(), "for i, x in enumerate(xs): break").unwrap().makes_all);
        assert!(alone("x = = 3").unwrap_err().starts_with("syntax"));
    }

    #[test]
    fn loops_over_lazy_values_may_fill_lists_of_their_own() {
        let filled = "out = []\nfor i, x in enumerate(xs):\n    out.append(x * i)";
        assert!(alone(filled).is_ok());
        for code in [
            "out = xs\nfor i, x in enumerate(xs):\n    out.append(x)",
            "out = []\nys = [out]\nfor y in reversed(ys):\n    out.append(y)",
            "def f(): xs.append(1)\nfor i, x in enumerate(xs):\n    f()",
        ] {
            assert!(alone(code).is_err(), "{code}");
        }
    }
}
