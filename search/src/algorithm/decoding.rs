//! The ways to answer a problem, by name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How an answer is found. Written as `greedy`, `maj@5`, `bon@5`, `sbs:3x5` or `mcts:40`, also in
/// files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Decoding {
    /// One path at temperature 0; the value net is not used.
    Greedy,
    /// `maj@k`: the most frequent answer of k sampled paths.
    Majority {
        /// Paths, >= 1.
        k: usize,
    },
    /// `bon@k`: the answer of the path, of k sampled, whose final state the value net rates
    /// highest.
    BestOfN {
        /// Paths, >= 1.
        n: usize,
    },
    /// `sbs:B1xB2`: step-level beam search.
    StepBeam {
        /// Partial solutions kept (B1), >= 1.
        beams: usize,
        /// Steps sampled from each (B2), >= 1.
        samples: usize,
    },
    /// `mcts:N`: a tree of N simulations, then a walk down it.
    Mcts {
        /// Simulations, >= 1.
        simulations: u64,
    },
}

/// A decoding's name that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "decoding {0:?}: write greedy, maj@K, bon@K, sbs:B1xB2 or mcts:N with numbers >= 1, such as \
     maj@5, sbs:3x5 or mcts:40"
)]
pub struct DecodingParseError(pub String);

impl FromStr for Decoding {
    type Err = DecodingParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).ok_or_else(|| DecodingParseError(text.to_owned()))
    }
}

impl Decoding {
    /// How many sampled paths it chooses from; None where it makes no such choice.
    #[must_use]
    pub fn samples(self) -> Option<usize> {
        match self {
            Self::Majority { k: count } | Self::BestOfN { n: count } => Some(count),
            Self::Greedy | Self::StepBeam { .. } | Self::Mcts { .. } => None,
        }
    }

    /// Whether it reads the value of each path's end.
    #[must_use]
    pub fn reads_values(self) -> bool {
        matches!(self, Self::BestOfN { .. })
    }
}

fn parse(text: &str) -> Option<Decoding> {
    if text == "greedy" {
        return Some(Decoding::Greedy);
    }
    let (name, size) = text.split_once(['@', ':'])?;
    let decoding = match (name, text.as_bytes()[name.len()]) {
        ("maj", b'@') => Decoding::Majority { k: positive(size)? },
        ("bon", b'@') => Decoding::BestOfN { n: positive(size)? },
        ("sbs", b':') => {
            let (beams, samples) = size.split_once('x')?;
            Decoding::StepBeam { beams: positive(beams)?, samples: positive(samples)? }
        }
        ("mcts", b':') => Decoding::Mcts { simulations: positive(size)? as u64 },
        _ => return None,
    };
    Some(decoding)
}

/// Digits alone, without sign or leading zero, of a number that fits 32 bits.
fn positive(text: &str) -> Option<usize> {
    let digits = text.starts_with(|c: char| ('1'..='9').contains(&c));
    let number: u32 = text.parse().ok().filter(|_| digits)?;
    usize::try_from(number).ok()
}

impl fmt::Display for Decoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Greedy => write!(f, "greedy"),
            Self::Majority { k } => write!(f, "maj@{k}"),
            Self::BestOfN { n } => write!(f, "bon@{n}"),
            Self::StepBeam { beams, samples } => write!(f, "sbs:{beams}x{samples}"),
            Self::Mcts { simulations } => write!(f, "mcts:{simulations}"),
        }
    }
}

impl TryFrom<String> for Decoding {
    type Error = DecodingParseError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Decoding> for String {
    fn from(decoding: Decoding) -> Self {
        decoding.to_string()
    }
}

#[cfg(all(test, not(espalier_loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_form_is_read() {
        let cases = [
            ("greedy", Decoding::Greedy),
            ("maj@5", Decoding::Majority { k: 5 }),
            ("bon@16", Decoding::BestOfN { n: 16 }),
            ("sbs:3x5", Decoding::StepBeam { beams: 3, samples: 5 }),
            ("mcts:40", Decoding::Mcts { simulations: 40 }),
        ];
        for (text, decoding) in cases {
            assert_eq!(text.parse(), Ok(decoding));
            assert_eq!(decoding.to_string(), text);
            let json = format!("{text:?}");
            assert_eq!(serde_json::to_string(&decoding).unwrap(), json);
            assert_eq!(serde_json::from_str::<Decoding>(&json).unwrap(), decoding);
        }
    }

    #[test]
    fn what_cannot_be_read_is_quoted_with_the_forms() {
        let wrong = [
            "",
            "Greedy",
            "maj",
            "maj@",
            "maj@0",
            "maj:5",
            "maj@+5",
            "maj@05",
            "bon@x",
            "sbs:3",
            "sbs:0x5",
            "sbs@3x5",
            "sbs:3x",
            "mcts:",
            "mcts:-1",
            "mcts:99999999999",
            "é@5",
        ];
        for text in wrong {
            let error = text.parse::<Decoding>().unwrap_err().to_string();
            assert!(error.contains(&format!("{text:?}")) && error.contains("sbs:3x5"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in "\\PC{0,12}") {
            if let Ok(decoding) = text.parse::<Decoding>() {
                prop_assert_eq!(decoding.to_string(), text);
            }
        }
    }
}
