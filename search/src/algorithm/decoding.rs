//! The ways to answer a problem, by name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::config::DecodeConfig;
use super::outcome::Outcome;
use super::samples::{Choice, SampledSolution};
use crate::cancel::Cancel;
use crate::environment::{Environment, Problem};
use crate::error::SearchError;
use crate::evaluator::Evaluator;
use crate::growth::Growth;
use crate::snapshot::TreeRecord;

/// How a decoding is written: its name and, behind a separator, its sizes with an `x` between them.
pub(super) struct Form {
    pub(super) name: &'static str,
    /// Unused without sizes.
    pub(super) separator: char,
    /// What messages call the sizes.
    pub(super) sizes: &'static [&'static str],
    /// Sizes for messages.
    pub(super) example: &'static [usize],
}

impl Form {
    /// The name with sizes, or with what stands for them.
    fn write<T: ToString>(&self, sizes: &[T]) -> String {
        let sizes: Vec<String> = sizes.iter().map(T::to_string).collect();
        match sizes.as_slice() {
            [] => self.name.to_owned(),
            sizes => format!("{}{}{}", self.name, self.separator, sizes.join("x")),
        }
    }

    /// The sizes in a text of this form: whole numbers >= 1 that fit 32 bits.
    fn read(&self, text: &str) -> Option<Vec<usize>> {
        let rest = text.strip_prefix(self.name)?;
        if self.sizes.is_empty() {
            return rest.is_empty().then(Vec::new);
        }
        let sizes = rest.strip_prefix(self.separator)?.split('x').map(positive);
        sizes.collect::<Option<Vec<usize>>>().filter(|sizes| sizes.len() == self.sizes.len())
    }
}

/// Digits alone, without sign or leading zero, of a number that fits 32 bits.
fn positive(text: &str) -> Option<usize> {
    let digits = text.starts_with(|c: char| ('1'..='9').contains(&c));
    let number: u32 = text.parse().ok().filter(|_| digits)?;
    usize::try_from(number).ok()
}

/// A decoding that is written in its form.
pub(super) trait Named: Sized {
    /// How it is written.
    const FORM: Form;

    /// From as many sizes as the form has, each >= 1.
    fn read(sizes: &[usize]) -> Self;

    /// The sizes, in the form's order.
    fn sizes(&self) -> Vec<usize>;

    /// How many sampled solutions it chooses from; None where it makes no such choice.
    fn samples(&self) -> Option<usize> {
        None
    }

    /// Whether the choice reads the value of each solution's end.
    fn reads_values(&self) -> bool {
        false
    }
}

/// What a decoding is given.
pub(super) struct Call<'a, E> {
    pub(super) environment: &'a E,
    pub(super) evaluator: &'a dyn Evaluator,
    pub(super) problem: &'a Problem,
    pub(super) config: &'a DecodeConfig,
    pub(super) seed: u64,
    pub(super) cancel: &'a Cancel,
}

impl<'a, E: Environment> Call<'a, E> {
    /// A bare root, grown without ground truth.
    pub(super) fn growth(&self) -> Result<Growth<'a, E>, SearchError> {
        Growth::new(self.environment, self.evaluator, self.problem, self.seed, false, self.cancel)
    }
}

/// A way to answer a problem.
pub(super) trait Decode<E: Environment> {
    /// Answers, and counts what that cost.
    fn decode(&self, call: &Call<'_, E>) -> Result<Outcome, SearchError>;

    /// As [`Self::decode`], with the tree where one is grown.
    fn decode_with_tree(
        &self,
        call: &Call<'_, E>,
    ) -> Result<(Outcome, Option<TreeRecord>), SearchError> {
        Ok((self.decode(call)?, None))
    }

    /// The choice from sampled solutions; None where it makes no such choice. Fewer than it asks for are all that there
    /// are.
    fn choose(&self, _environment: &E, _samples: &[SampledSolution]) -> Option<Choice> {
        None
    }
}

/// Makes the choice of decodings from its table.
macro_rules! decodings {
    ($($module:ident::$decoding:ident,)+) => {
        $(pub use super::$module::$decoding;)+

        /// How an answer is found, in files written by its name and sizes: `greedy`, `maj@5`, `sbs:3x5`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub enum Decoding {
            $(#[doc = concat!("See [`", stringify!($decoding), "`].")] $decoding($decoding),)+
        }

        $(impl From<$decoding> for Decoding {
            fn from(decoding: $decoding) -> Self {
                Self::$decoding(decoding)
            }
        })+

        impl Decoding {
            /// Every form, in the order of the table.
            const FORMS: &[Form] = &[$($decoding::FORM,)+];

            fn read(text: &str) -> Option<Self> {
                $(if let Some(sizes) = $decoding::FORM.read(text) {
                    return Some(Self::$decoding($decoding::read(&sizes)));
                })+
                None
            }

            fn write(&self) -> String {
                match self { $(Self::$decoding(decoding) => $decoding::FORM.write(&decoding.sizes()),)+ }
            }

            /// How many sampled solutions it chooses from; None where it makes no such choice.
            #[must_use]
            pub fn samples(self) -> Option<usize> {
                match self { $(Self::$decoding(decoding) => decoding.samples(),)+ }
            }

            /// Whether it reads the value of each sampled solution's end.
            #[must_use]
            pub fn reads_values(self) -> bool {
                match self { $(Self::$decoding(decoding) => decoding.reads_values(),)+ }
            }

            pub(super) fn method<E: Environment>(&self) -> &dyn Decode<E> {
                match self { $(Self::$decoding(decoding) => decoding,)+ }
            }
        }
    };
}

decodings! {
    greedy::Greedy,
    majority::Majority,
    best_of_n::BestOfN,
    step_beam::StepBeam,
    dvts::Dvts,
    mcts::Mcts,
}

/// A decoding's name that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodingParseError(pub String);

impl std::error::Error for DecodingParseError {}

impl fmt::Display for DecodingParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let forms: Vec<String> =
            Decoding::FORMS.iter().map(|form| form.write(form.sizes)).collect();
        let examples: Vec<String> =
            Decoding::FORMS.iter().map(|form| form.write(form.example)).collect();
        let (forms, examples) = (list(&forms), list(&examples));
        let text = &self.0;
        write!(f, "decoding {text:?}: write {forms} with numbers >= 1, such as {examples}")
    }
}

/// `a, b or c`.
fn list(texts: &[String]) -> String {
    match texts {
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        texts => texts.concat(),
    }
}

impl FromStr for Decoding {
    type Err = DecodingParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::read(text).ok_or_else(|| DecodingParseError(text.to_owned()))
    }
}

impl fmt::Display for Decoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.write())
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
        let cases: [(&str, Decoding); 5] = [
            ("greedy", Greedy.into()),
            ("maj@5", Majority { k: 5 }.into()),
            ("bon@16", BestOfN { n: 16 }.into()),
            ("sbs:3x5", StepBeam { beams: 3, samples: 5 }.into()),
            ("mcts:40", Mcts { simulations: 40 }.into()),
        ];
        for (text, decoding) in cases {
            assert_eq!(text.parse(), Ok(decoding));
            assert_eq!(decoding.to_string(), text);
            let json = format!("{text:?}");
            assert_eq!(serde_json::to_string(&decoding).unwrap(), json);
            assert_eq!(serde_json::from_str::<Decoding>(&json).unwrap(), decoding);
        }
        for form in Decoding::FORMS {
            let example = form.write(form.example);
            assert_eq!(example.parse::<Decoding>().unwrap().to_string(), example);
        }
    }

    #[test]
    fn what_cannot_be_read_is_quoted_with_the_forms() {
        let wrong = [
            "",
            "Greedy",
            "greedy@1",
            "maj",
            "maj@",
            "maj@0",
            "maj:5",
            "maj@+5",
            "maj@05",
            "maj@5x5",
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
            let quoted = error.contains(&format!("{text:?}"));
            assert!(quoted && error.contains("sbs:B1xB2") && error.contains("mcts:40"), "{error}");
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
