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

/// Whether CPython shows a value so. Functions it shows otherwise, and characters that are newer than its tables of them.
pub(super) fn is_agreed_value(value: &MontyObject) -> bool {
    is_agreed_at(value, 0)
}

fn is_agreed_at(value: &MontyObject, depth: usize) -> bool {
    use MontyObject as Object;
    let inner = |value: &Object| depth < DEEPEST && is_agreed_at(value, depth + 1);
    match value {
        Object::None | Object::Bool(_) | Object::Int(_) | Object::BigInt(_) | Object::Float(_) => {
            true
        }
        // Inside another value it is shown with quotes and escapes.
        Object::String(text) => {
            let plain = |char: char| matches!(char, '\n' | '\t' | ' '..='~' | '\u{c0}'..='\u{24f}');
            depth == 0 || text.chars().all(plain)
        }
        Object::List(values) | Object::Tuple(values) => values.iter().all(inner),
        Object::Dict(pairs) => pairs.into_iter().all(|(key, value)| inner(key) && inner(value)),
        _ => false,
    }
}

/// Values in one another that are still shown.
const DEEPEST: usize = 30;

/// Whether CPython prints the text too: it refuses integers of more than 4,300 digits, shows functions otherwise, raises an exception at
/// some of the overflows that end as `inf` and `nan` here, goes to the even digit where a float lies halfway between two of its
/// shortest decimals, and escapes characters in quotes that are newer than its tables.
pub(super) fn are_agreed_words(text: &str) -> bool {
    let words = text.split(|char: char| !char.is_ascii_alphanumeric());
    let numbers = text.split(|char: char| !matches!(char, '0'..='9' | '.' | ',' | 'e' | '+' | '-'));
    let digits = |word: &str| word.bytes().take_while(u8::is_ascii_digit).count();
    words.into_iter().all(|word| word != "inf" && word != "nan" && digits(word) < 4000)
        && numbers.into_iter().all(|number| !is_halfway(number))
        && !UNLIKE.iter().any(|shown| text.contains(shown))
        && !(text.contains(|char| char > '\u{24f}') && text.contains(['\'', '"']))
}

/// Of what CPython shows otherwise: functions, and values that hold themselves or lie very deep.
const UNLIKE: [&str; 7] = ["<function", "<built-in", "<class", "<module", "[...", "{...", "(..."];

/// Whether the float that is written so lies halfway to another decimal of as many digits: it has one digit more, a 5.
fn is_halfway(written: &str) -> bool {
    let plain: String = written.chars().filter(|char| *char != ',').collect();
    let mantissa = plain.split('e').next().unwrap_or_default();
    let significant = |text: &str| {
        let digits = text.chars().filter(char::is_ascii_digit).collect::<String>();
        digits.trim_start_matches('0').trim_end_matches('0').to_owned()
    };
    let shown = significant(mantissa);
    if shown.len() < 15 || !plain.contains(['.', 'e']) {
        return false;
    }
    let Ok(value) = plain.parse::<f64>() else { return true };
    let exact = format!("{value:.60e}");
    let exact = significant(exact.split('e').next().unwrap_or_default());
    exact.len() == shown.len() + 1 && exact.ends_with('5')
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
        assert!(are_agreed_words("0.30000000000000004, 1500000000000000.0, 3.141592653589793"));
        let long = "1".repeat(4001);
        let halfway = ["1500000000000000.3", "[900719925474099.3]", "11284141381162.313"];
        let with_commas = "1,000,000,000,000,000.3";
        for text in [
            "inf",
            "[1.0, -inf]",
            "x nan",
            "<function f at 0x0>",
            "[1, [...]]",
            "['\u{1c89}']",
            &long,
            with_commas,
        ]
        .into_iter()
        .chain(halfway)
        {
            assert!(!are_agreed_words(text), "{text}");
        }
        assert!(is_agreed_value(&MontyObject::Tuple(vec![MontyObject::Int(1)])));
        assert!(!is_agreed_value(&MontyObject::List(vec![MontyObject::Set(vec![])])));
    }
}
