//! What a server writes when it refuses a request.
//!
//! The message, codes and parameter are read from the shapes that are about: `{"error": {"message", "type", "code", "param"}}` (OpenAI,
//! vLLM, llama.cpp), the same without the outer object (SGLang, older vLLM), `{"error": "...", "error_type": "..."}` (TGI) and
//! `{"detail": "..."}`. Any other body is a message as a whole.

use serde_json::Value;

/// A refusal, in lower case.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) message: String,
    /// Names of the kind of error, such as `invalid_request_error`.
    pub(super) codes: Vec<String>,
    /// The parameter that is refused, where the server names it apart from the message.
    pub(super) parameter: Option<String>,
}

/// Names of the number of samples, and of what bounds it in llama.cpp.
const SAMPLES: [&str; 4] = ["n", "n_cmpl", "slot", "slots"];

impl Refusal {
    pub(super) fn read(body: &str) -> Self {
        let Ok(json) = serde_json::from_str::<Value>(body) else {
            return Self { message: body.to_lowercase(), ..Self::default() };
        };
        let text = |value: &Value| value.as_str().map(str::to_lowercase);
        let objects = [&json["error"], &json];
        let find = |key: &str| objects.iter().find_map(|object| text(&object[key]));
        let message = find("message").or_else(|| find("error")).or_else(|| find("detail"));
        let codes = ["type", "code", "error_type", "status"];
        Self {
            message: message.unwrap_or_else(|| body.to_lowercase()),
            codes: objects
                .iter()
                .flat_map(|object| codes.iter().filter_map(|key| text(&object[*key])))
                .collect(),
            parameter: find("param"),
        }
    }

    /// The message's words; an identifier is one.
    pub(super) fn words(&self) -> impl Iterator<Item = &str> {
        let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
        self.message.split(move |c| !part_of_word(c)).filter(|word| !word.is_empty())
    }

    /// Whether it is the number of samples that is refused.
    pub(super) fn names_samples(&self) -> bool {
        self.words().chain(self.parameter.as_deref()).any(|word| SAMPLES.contains(&word))
    }
}

#[cfg(test)]
mod tests {
    use super::Refusal;

    #[test]
    fn every_shape_is_read() {
        for (body, message, codes, parameter) in [
            (
                r#"{"error": {"message": "Too Long", "type": "BadRequestError", "param": "prompt", "code": 400}}"#,
                "too long",
                &["badrequesterror"][..],
                Some("prompt"),
            ),
            (
                r#"{"object": "error", "message": "Too long", "type": "BadRequestError", "param": null, "code": 400}"#,
                "too long",
                &["badrequesterror"],
                None,
            ),
            (
                r#"{"error": "too long", "error_type": "validation"}"#,
                "too long",
                &["validation"],
                None,
            ),
            (r#"{"detail": "too long"}"#, "too long", &[], None),
            (r#"{"detail": [1]}"#, r#"{"detail": [1]}"#, &[], None),
            (r#""too long""#, r#""too long""#, &[], None),
            ("<h1>Too Long", "<h1>too long", &[], None),
            ("", "", &[], None),
        ] {
            let found = Refusal::read(body);
            assert_eq!(found.message, message, "{body}");
            assert_eq!(found.codes, codes, "{body}");
            assert_eq!(found.parameter.as_deref(), parameter, "{body}");
        }
    }

    #[test]
    fn a_number_of_samples_is_named_by_a_word_of_its_own() {
        for (body, expected) in [
            ("Field 'n': Value must be between 1 <= value <= 4, but got 9", true),
            ("n_cmpl cannot be greater than the number of slots, please increase -np", true),
            ("n must be less or equal to the number of slots", true),
            (r#"{"error": {"message": "too many samples", "param": "n"}}"#, true),
            ("no such model", false),
            ("top_n must be positive", false),
            ("", false),
        ] {
            assert_eq!(Refusal::read(body).names_samples(), expected, "{body}");
        }
    }
}
