//! Values of typed columns as JSON.

use half::f16;
use serde_json::{Value, json};

/// A 32-bit number by the shortest decimal that means it: 0.1 stays 0.1.
pub(super) fn float32(number: f32) -> Value {
    number.to_string().parse::<f64>().ok().filter(|number| number.is_finite()).into()
}

/// As [`float32`].
pub(super) fn float16(number: f16) -> Value {
    /// More digits than any 16-bit number needs.
    const DIGITS: usize = 6;
    let decimals =
        (0..DIGITS).filter_map(|digits| format!("{:.digits$e}", number.to_f64()).parse().ok());
    let mut meant = decimals.filter(|decimal: &f64| f16::from_f64(*decimal) == number);
    meant.next().filter(|number| number.is_finite()).into()
}

/// The text that the bytes are, as old writers store it. What is no text is told by its size, so that it is no field's text and no
/// obstacle to the row's other fields.
pub(super) fn bytes(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => json!({ "bytes": bytes.len() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_the_decimals_that_were_meant() {
        for number in ["0.1", "1.5", "-2.25", "3.4e38", "1e-40", "16777216", "0"] {
            let expected: f64 = number.parse().unwrap();
            assert_eq!(float32(number.parse().unwrap()), expected, "{number}");
        }
        for number in ["0.1", "1.5", "-2.25", "65500", "0.0003", "2048", "0"] {
            let expected: f64 = number.parse().unwrap();
            assert_eq!(float16(f16::from_f64(expected)), expected, "{number}");
        }
        for number in [f32::NAN, f32::INFINITY] {
            assert_eq!(float32(number), Value::Null);
            assert_eq!(float16(f16::from_f32(number)), Value::Null);
        }
        for bits in 0..=u16::MAX {
            let number = f16::from_bits(bits);
            let finite = number.is_finite().then(|| number.to_bits());
            assert_eq!(float16(number).as_f64().map(|n| f16::from_f64(n).to_bits()), finite);
        }
    }

    #[test]
    fn bytes_are_text_or_a_size() {
        assert_eq!(bytes("½".as_bytes()), "½");
        assert_eq!(bytes(b"\x89PNG"), json!({"bytes": 4}));
    }
}
