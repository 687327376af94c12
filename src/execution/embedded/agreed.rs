//! Of how a step ended, what CPython is sure to say in the same words, in each of its versions.

use monty_types::{ExcType, MontyObject};

/// Whether CPython raises this too. Others may mean that the interpreter lacks something.
pub(super) fn is_agreed_error(kind: ExcType, message: &str) -> bool {
    match kind {
        // Names of built-ins that are not there are refused before.
        ExcType::NameError => {
            message.starts_with("name '") && message.ends_with("' is not defined")
        }
        // Raised by the host alone.
        ExcType::ZeroDivisionError => message == "division by zero",
        ExcType::IndexError => ["list", "tuple", "string"]
            .iter()
            .any(|kind| message == format!("{kind} index out of range")),
        ExcType::TypeError => is_agreed_mixture(message),
        _ => false,
    }
}

/// Sums of what cannot be added.
fn is_agreed_mixture(message: &str) -> bool {
    if let Some(rest) = message.strip_prefix("can only concatenate str (not \"") {
        return ["int\") to str", "float\") to str", "NoneType\") to str"].contains(&rest);
    }
    let Some(types) = message.strip_prefix("unsupported operand type(s) for +: ") else {
        return false;
    };
    let Some((left, right)) = types.split_once(" and ") else { return false };
    let is_number = |name| ["'int'", "'float'"].contains(&name);
    let is_none = |name| ["'str'", "'NoneType'"].contains(&name);
    (is_number(left) && is_none(right)) || (left == "'NoneType'" && is_number(right))
}

/// Whether CPython shows the value of a last expression so.
pub(super) fn is_agreed_value(value: &MontyObject) -> bool {
    use MontyObject as Object;
    match value {
        Object::None
        | Object::Bool(_)
        | Object::Int(_)
        | Object::BigInt(_)
        | Object::Float(_)
        | Object::String(_) => true,
        Object::List(values) | Object::Tuple(values) => values.iter().all(is_agreed_value),
        Object::Dict(pairs) => {
            pairs.into_iter().all(|(key, value)| is_agreed_value(key) && is_agreed_value(value))
        }
        _ => false,
    }
}

/// Whether CPython prints the text too: it refuses integers of more than 4,300 digits, shows functions otherwise, raises an exception at
/// some of the overflows that end as `inf` and `nan` here, and goes to the even digit where a float of 16 digits before its point lies
/// halfway between two of the shortest decimals.
pub(super) fn are_agreed_words(text: &str) -> bool {
    let words = || text.split(|char: char| !char.is_ascii_alphanumeric() && char != '.');
    let digits = |word: &str| word.bytes().take_while(u8::is_ascii_digit).count();
    words().all(|word| {
        let whole = digits(word);
        word != "inf" && word != "nan" && whole < 4000 && !(whole == 16 && word.len() > 16)
    }) && !["<function", "<built-in", "<class"].iter().any(|shown| text.contains(shown))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_the_step_s_where_cpython_says_it_in_the_same_words() {
        use ExcType::{AttributeError, IndexError, KeyError, NameError, TypeError};
        for (kind, message) in [
            (NameError, "name 'x' is not defined"),
            (IndexError, "list index out of range"),
            (TypeError, "can only concatenate str (not \"int\") to str"),
            (TypeError, "unsupported operand type(s) for +: 'int' and 'str'"),
            (TypeError, "unsupported operand type(s) for +: 'NoneType' and 'int'"),
        ] {
            assert!(is_agreed_error(kind, message), "{message}");
        }
        for (kind, message) in [
            (KeyError, "k"),
            (TypeError, "unsupported operand type(s) for +: 'bool' and 'int'"),
            (TypeError, "unsupported operand type(s) for %: 'str' and 'int'"),
            (AttributeError, "module 'math' has no attribute 'nextafter'"),
        ] {
            assert!(!is_agreed_error(kind, message), "{message}");
        }
    }

    #[test]
    fn overflows_long_integers_and_functions_are_no_agreed_words() {
        assert!(are_agreed_words("infinite nanometres, 1.5e+300"));
        let long = "1".repeat(4001);
        let halfway = "1500000000000000.3";
        for text in ["inf", "[1.0, -inf]", "x nan", "<function f at 0x0>", &long, halfway] {
            assert!(!are_agreed_words(text), "{text}");
        }
        assert!(is_agreed_value(&MontyObject::Tuple(vec![MontyObject::Int(1)])));
        assert!(!is_agreed_value(&MontyObject::List(vec![MontyObject::Set(vec![])])));
    }
}
