//! What of Python was compared with CPython.

use ruff_python_ast::{Expr, Operator};

use super::{Sure, refuse};

/// Built-ins that do in the embedded interpreter what they do in CPython.
pub(super) const ALIKE: [&str; 15] = [
    "abs", "len", "min", "max", "sorted", "range", "str", "list", "tuple", "print", "any", "all",
    "bool", "chr", "ord",
];
/// Built-ins that the host does: [`super::super::host`].
pub(super) const HOSTED: [&str; 6] = ["int", "float", "round", "sum", "pow", "divmod"];
/// Built-ins whose values CPython makes one by one when they are asked for, and the embedded interpreter at once.
pub(in super::super) const LAZY: [&str; 3] = ["enumerate", "zip", "reversed"];
/// Views of a dictionary, which follow it in CPython.
pub(super) const VIEWS: [&str; 3] = ["keys", "values", "items"];
/// Built-ins that take all of their argument at once.
pub(super) const TAKE_ALL: [&str; 6] = ["list", "tuple", "sorted", "sum", "min", "max"];
/// Methods of lists, texts and dictionaries.
pub(super) const METHODS: [&str; 27] = [
    "append",
    "extend",
    "insert",
    "pop",
    "remove",
    "sort",
    "reverse",
    "index",
    "count",
    "copy",
    "upper",
    "lower",
    "strip",
    "lstrip",
    "rstrip",
    "split",
    "join",
    "replace",
    "startswith",
    "endswith",
    "find",
    "isdigit",
    "isalpha",
    "title",
    "capitalize",
    "zfill",
    "get",
];
/// Those that were compared on ASCII alone.
pub(super) const OF_ASCII: [&str; 11] = [
    "upper",
    "lower",
    "strip",
    "lstrip",
    "rstrip",
    "split",
    "isdigit",
    "isalpha",
    "title",
    "capitalize",
    "zfill",
];
/// What of `math` needs no library of functions that differ in their last digit.
pub(super) const MATH: [&str; 10] =
    ["sqrt", "floor", "ceil", "gcd", "factorial", "comb", "isqrt", "pi", "e", "fabs"];
/// Types that a function's parameters may be said to have.
pub(super) const ANNOTATIONS: [&str; 7] = ["int", "float", "str", "bool", "list", "dict", "tuple"];
/// CPython's built-in functions and types, which the embedded interpreter may lack.
pub(in super::super) const BUILT_IN: [&str; 77] = [
    "abs",
    "aiter",
    "all",
    "anext",
    "any",
    "ascii",
    "bin",
    "bool",
    "breakpoint",
    "bytearray",
    "bytes",
    "callable",
    "chr",
    "classmethod",
    "compile",
    "complex",
    "copyright",
    "credits",
    "delattr",
    "dict",
    "dir",
    "divmod",
    "enumerate",
    "eval",
    "exec",
    "exit",
    "filter",
    "float",
    "format",
    "frozenset",
    "getattr",
    "globals",
    "hasattr",
    "hash",
    "help",
    "hex",
    "id",
    "input",
    "int",
    "isinstance",
    "issubclass",
    "iter",
    "len",
    "license",
    "list",
    "locals",
    "map",
    "max",
    "memoryview",
    "min",
    "next",
    "object",
    "oct",
    "open",
    "ord",
    "pow",
    "print",
    "property",
    "quit",
    "range",
    "repr",
    "reversed",
    "round",
    "set",
    "setattr",
    "slice",
    "sorted",
    "staticmethod",
    "str",
    "sum",
    "super",
    "tuple",
    "type",
    "vars",
    "zip",
    "NotImplemented",
    "Ellipsis",
];
/// How the names of CPython's exceptions end.
pub(super) const EXCEPTIONS: [&str; 7] =
    ["Error", "Exception", "Warning", "Exit", "Group", "Interrupt", "Iteration"];
/// Names that the host's functions have in the rewritten step.
pub(super) const HOST: &str = "_e_";

/// Whether CPython has something built in of this name, or an exception.
pub(in super::super) fn is_built_in(name: &str) -> bool {
    BUILT_IN.contains(&name) || EXCEPTIONS.iter().any(|end| name.ends_with(end))
}

/// Exceptions that a step may raise: they say nothing to the worker.
pub(super) const RAISED: [&str; 9] = [
    "ValueError",
    "TypeError",
    "KeyError",
    "IndexError",
    "ZeroDivisionError",
    "RuntimeError",
    "Exception",
    "ArithmeticError",
    "AssertionError",
];

/// The host's function for an operator; `None` where the interpreter's own is right.
pub(super) fn hosted(operator: Operator) -> Sure<Option<&'static str>> {
    Ok(Some(match operator {
        Operator::Div => "div",
        Operator::FloorDiv => "floordiv",
        Operator::Mod => "mod",
        Operator::Pow => "pow",
        Operator::MatMult => return refuse("products of matrices"),
        Operator::Mult => "mul",
        Operator::LShift => "shl",
        Operator::Add
        | Operator::Sub
        | Operator::RShift
        | Operator::BitAnd
        | Operator::BitOr
        | Operator::BitXor => return Ok(None),
    }))
}

pub(super) fn annotation(annotation: &Expr) -> Sure {
    match annotation {
        Expr::NoneLiteral(_) | Expr::StringLiteral(_) => Ok(()),
        Expr::Name(name) if ANNOTATIONS.contains(&name.id.as_str()) => Ok(()),
        _ => refuse("this annotation"),
    }
}

/// Formats that were compared: `[[<>^][0]width][,][.digits][f%d]`, digits with `f` or `%` alone; no widths where texts are not ASCII.
pub(super) fn is_plain_format(spec: &str, is_ascii: bool) -> bool {
    let rest = spec.strip_prefix(['<', '>', '^']).unwrap_or(spec);
    let width = rest.bytes().take_while(u8::is_ascii_digit).count();
    let aligned = rest.len() < spec.len() || width > 0;
    let rest = &rest[width..];
    let rest = rest.strip_prefix(',').unwrap_or(rest);
    let (digits, rest) = match rest.strip_prefix('.') {
        Some(rest) => {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            (Some(digits), &rest[digits..])
        }
        None => (None, rest),
    };
    let kind = matches!((digits, rest), (Some(1 | 2), "f" | "%") | (None, "" | "d" | "f" | "%"));
    kind && width <= 2 && (is_ascii || !aligned)
}
