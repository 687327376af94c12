//! Exceptions of the embedded interpreter that say only that the code needs CPython.

use monty_types::ExcType;

/// Built-ins of CPython that monty 0.0.23 lacks; it reports them as unknown names.
const MISSING_BUILTINS: [&str; 14] = [
    "__import__",
    "breakpoint",
    "compile",
    "complex",
    "delattr",
    "eval",
    "exec",
    "exit",
    "globals",
    "input",
    "locals",
    "memoryview",
    "quit",
    "vars",
];

/// Whether the interpreter lacks what the code asks for.
pub(super) fn is_gap(kind: ExcType, message: &str, code: &str) -> bool {
    // What the code raises by itself is its own.
    let raised = |name: &str| code.contains(&format!("raise {name}"));
    match kind {
        ExcType::ImportError | ExcType::ModuleNotFoundError => {
            !raised("ImportError") && !raised("ModuleNotFoundError")
        }
        ExcType::NotImplementedError => !raised("NotImplementedError"),
        ExcType::NameError => {
            MISSING_BUILTINS.iter().any(|name| message == format!("name '{name}' is not defined"))
        }
        // Modules and methods of built-in types are there in part.
        ExcType::AttributeError => {
            message.contains("has no attribute") && {
                const BUILT_IN: [&str; 8] =
                    ["str", "int", "float", "list", "dict", "set", "tuple", "bytes"];
                message.starts_with("module ")
                    || message.starts_with("'module' object")
                    || BUILT_IN.iter().any(|name| message.starts_with(&format!("'{name}' object")))
            }
        }
        ExcType::TypeError => {
            message.starts_with("unsupported operand type(s) for %: 'str'")
                || message.contains("argument is not supported")
        }
        // pow(a, -1, m), the inverse.
        ExcType::ValueError => message.starts_with("pow() 2nd argument cannot be negative"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_told_from_what_is_wrong() {
        use ExcType::{AttributeError, ImportError, NameError, NotImplementedError, TypeError};
        let gap = |kind, message| is_gap(kind, message, "");
        assert!(gap(ImportError, "cannot import name 'permutations' from 'itertools'"));
        assert!(gap(NotImplementedError, "does not yet support yield expressions"));
        assert!(gap(NameError, "name 'eval' is not defined"));
        assert!(!gap(NameError, "name 'x' is not defined"));
        assert!(gap(AttributeError, "module 'math' has no attribute 'nextafter'"));
        assert!(gap(AttributeError, "'module' object has no attribute 'PRIO_PROCESS'"));
        assert!(!gap(AttributeError, "'Point' object has no attribute 'z'"));
        assert!(gap(TypeError, "unsupported operand type(s) for %: 'str' and 'int'"));
        assert!(!gap(TypeError, "unsupported operand type(s) for +: 'str' and 'int'"));
        let raised = "raise NotImplementedError('later')";
        assert!(!is_gap(NotImplementedError, "later", raised));
    }
}
