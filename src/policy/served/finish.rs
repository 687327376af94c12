//! Whether a server finished a text.

/// How a text ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finish {
    /// The model ended it, by a delimiter or a token of its own.
    Ended,
    /// The server cut it off, as it would again.
    Cut,
}

const ENDED: [&str; 8] = [
    "stop",          // vLLM, SGLang, llama.cpp
    "eos",           // llama.cpp's own protocol
    "eos_token",     // TGI
    "stop_sequence", // TGI
    "stop_token",
    "end_turn",
    "tool_calls",
    "function_call",
];
const CUT: [&str; 6] = [
    "length",
    "max_tokens",
    "model_length",
    "limit",          // llama.cpp's own protocol
    "content_filter", // the same text would be cut again
    "repetition",     // vLLM
];

impl Finish {
    /// `None` where the server did not finish: the text may be half a step.
    ///
    /// Only the reasons that are known as ends are ends. Any other is none: "abort" (vLLM and SGLang under load or when they are shut
    /// down), "error", "cancelled", "timeout", a reason that is not known, and none at all, unless the text has a delimiter and so a
    /// whole step.
    pub(super) fn read(reason: Option<&str>, text: &str, stop: &[String]) -> Option<Self> {
        let Some(reason) = reason else {
            return stop.iter().any(|stop| text.contains(stop)).then_some(Self::Ended);
        };
        let is = |known: &[&str]| known.iter().any(|known| known.eq_ignore_ascii_case(reason));
        if is(&ENDED) { Some(Self::Ended) } else { is(&CUT).then_some(Self::Cut) }
    }
}

#[cfg(test)]
mod tests {
    use super::Finish;

    #[test]
    fn known_ends_are_ends_and_no_others() {
        let stop = ["\n".to_owned()];
        for (reason, text, expected) in [
            (Some("stop"), "a", Some(Finish::Ended)),
            (Some("STOP"), "a", Some(Finish::Ended)),
            (Some("eos_token"), "a", Some(Finish::Ended)),
            (Some("stop_sequence"), "a", Some(Finish::Ended)),
            (Some("tool_calls"), "a", Some(Finish::Ended)),
            (Some("length"), "a", Some(Finish::Cut)),
            (Some("limit"), "a", Some(Finish::Cut)),
            (Some("content_filter"), "a", Some(Finish::Cut)),
            (Some("abort"), "a", None),
            (Some("abort"), "a\nb", None),
            (Some("error"), "a", None),
            (Some("cancelled"), "a", None),
            (Some("canceled"), "a", None),
            (Some("insufficient_system_resource"), "a", None),
            (Some(""), "a", None),
            (None, "a", None),
            (None, "", None),
            (None, "a\nb", Some(Finish::Ended)),
        ] {
            assert_eq!(Finish::read(reason, text, &stop), expected, "{reason:?} {text:?}");
        }
    }
}
