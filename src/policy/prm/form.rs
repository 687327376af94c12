//! How a process reward model is asked and read: data, with presets for those that are published.

use std::fmt;

use clap::ValueEnum;
use espalier_search::ConfigError;
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::aggregation::Aggregation;
use super::presets::Preset;
use crate::kinds::kind_or_default;

/// Who says what belongs to whom in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChatUse {
    /// The text has no turns.
    None,
    /// The checkpoint's chat template: the user asks, the assistant's answer is the steps.
    Answer,
    /// The checkpoint's chat template: each step is a turn of the user's, behind the question in the first; the assistant answers
    /// each with the tag, and the number is read where it would answer the last.
    Turns,
}

/// Which tokens the tag is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TagToken {
    /// The tag's last token, which is one of its own: a text whose tokens end otherwise is refused. Where steps are tokenised
    /// apart, it stands for the tag alone.
    Last,
    /// The first of the tokens that the tag is by itself.
    First,
    /// Whatever token the tag ends in.
    Any,
}

/// What reads the number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum HeadRecipe {
    /// Logits of classes (`score`): the probability of those with the indices `good` together.
    Classes {
        /// Indices from 0.
        good: Vec<usize>,
    },
    /// The language model's logits of two tokens: the probability of `good`. Each is the last token of its text.
    Tokens {
        /// Says that a step is good.
        good: String,
        /// Says that it is bad.
        bad: String,
    },
    /// One number (`v_head.summary`, `score` of one row), the logit of a good step.
    Scalar,
    /// The mean of the first two logits of the language model's head, a logit.
    MeanLogit,
    /// `sigmoid(beta * (log p - log p_ref))` of the whole answer, under the model and under a reference (arXiv 2412.01981, eq. 3).
    Implicit {
        /// The reference's checkpoint folder.
        reference: std::path::PathBuf,
        /// The reward's scale.
        #[serde(default = "beta")]
        beta: f64,
    },
}

/// EurusPRM's.
fn beta() -> f64 {
    0.001
}

impl Default for HeadRecipe {
    fn default() -> Self {
        Self::Classes { good: vec![1] }
    }
}

/// How a process reward model is asked: a preset, and what replaces its pieces. `form = "pure"` is a preset as it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields, default)]
pub struct FormRecipe {
    /// Where the pieces come from that are not given. It must be given: a model that is read as another gives numbers all the same.
    pub preset: Option<Preset>,
    /// What stands before the first step, with `{question}` in it, and `{bos}` for the tokenizer's first token.
    pub prompt: Option<String>,
    /// Who says what.
    pub chat: Option<ChatUse>,
    /// The system's turn, where there are turns; empty: none of ours.
    pub system: Option<String>,
    /// A step, with `{step}` in it, and `{n}` for its number from 1; a step that begins with its number already is not numbered twice.
    pub step: Option<String>,
    /// Stands between one step with its tag and the next.
    pub between: Option<String>,
    /// Stands behind a step, where its number is read.
    pub tag: Option<String>,
    /// Which tokens the tag is.
    pub tag_token: Option<TagToken>,
    /// Whether earlier steps have their tags too.
    pub tag_every: Option<bool>,
    /// Whether question, steps and tags are tokenised each by itself.
    pub apart: Option<bool>,
    /// Whether the tokenizer puts its own special tokens around a text that has no turns.
    pub special_tokens: Option<bool>,
    /// Whether line ends within a step become blanks.
    pub one_line: Option<bool>,
    /// How many tokens before the last the number is read.
    pub shift: Option<usize>,
    /// What reads the number.
    #[serde(deserialize_with = "head_or_none")]
    pub head: Option<HeadRecipe>,
    /// From the numbers of the steps to that of all.
    pub aggregation: Option<Aggregation>,
}

impl Serialize for FormRecipe {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for FormRecipe {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PresetOrTable)
    }
}

struct PresetOrTable;

impl<'de> Visitor<'de> for PresetOrTable {
    type Value = FormRecipe;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a preset or a table")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<FormRecipe, E> {
        let preset = Preset::deserialize(StrDeserializer::new(name))?;
        Ok(FormRecipe { preset: Some(preset), ..FormRecipe::default() })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<FormRecipe, A::Error> {
        FormRecipe::deserialize(MapAccessDeserializer::new(map))
    }
}

fn head_or_none<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<HeadRecipe>, D::Error> {
    kind_or_default(deserializer).map(Some)
}

/// A form with all its pieces; [`FormRecipe`] says what they are.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Form {
    pub prompt: String,
    pub chat: ChatUse,
    pub system: String,
    pub step: String,
    pub between: String,
    pub tag: String,
    pub tag_token: TagToken,
    pub tag_every: bool,
    pub apart: bool,
    pub special_tokens: bool,
    pub one_line: bool,
    pub shift: usize,
    pub head: HeadRecipe,
    pub aggregation: Aggregation,
}

impl FormRecipe {
    /// The preset with what replaces its pieces.
    #[must_use]
    pub(super) fn resolve(&self) -> Form {
        let Self {
            preset,
            prompt,
            chat,
            system,
            step,
            between,
            tag,
            tag_token,
            tag_every,
            apart,
            special_tokens,
            one_line,
            shift,
            head,
            aggregation,
        } = self.clone();
        let form = preset.unwrap_or_default().form();
        Form {
            prompt: prompt.unwrap_or(form.prompt),
            chat: chat.unwrap_or(form.chat),
            system: system.unwrap_or(form.system),
            step: step.unwrap_or(form.step),
            between: between.unwrap_or(form.between),
            tag: tag.unwrap_or(form.tag),
            tag_token: tag_token.unwrap_or(form.tag_token),
            tag_every: tag_every.unwrap_or(form.tag_every),
            apart: apart.unwrap_or(form.apart),
            special_tokens: special_tokens.unwrap_or(form.special_tokens),
            one_line: one_line.unwrap_or(form.one_line),
            shift: shift.unwrap_or(form.shift),
            head: head.unwrap_or(form.head),
            aggregation: aggregation.unwrap_or(form.aggregation),
        }
    }

    /// Checks the pieces, alone and beside each other.
    ///
    /// # Errors
    /// Names the first key that is wrong.
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let names = Preset::value_variants().iter().filter_map(ValueEnum::to_possible_value);
        let names: Vec<String> = names.map(|value| value.get_name().to_owned()).collect();
        ConfigError::require(
            self.preset.is_some(),
            "value.form",
            &"absent",
            &format!("must name how the model is read: one of {}", names.join(", ")),
        )?;
        let form = self.resolve();
        let once = |text: &str, place: &str| text.matches(place).count() == 1;
        ConfigError::require(
            once(&form.prompt, "{question}"),
            "value.form.prompt",
            &format!("{:?}", form.prompt),
            "must hold {question} once",
        )?;
        ConfigError::require(
            once(&form.step, "{step}"),
            "value.form.step",
            &format!("{:?}", form.step),
            "must hold {step} once",
        )?;
        let turns = form.chat != ChatUse::None;
        ConfigError::require(
            !(turns && form.apart),
            "value.form.apart",
            &form.apart,
            "must be false where value.form.chat has turns",
        )?;
        let tagged = form.chat != ChatUse::Turns || !form.tag.is_empty();
        ConfigError::require(
            tagged,
            "value.form.tag",
            &"\"\"",
            "must be what the assistant answers where value.form.chat = \"turns\"",
        )?;
        match &form.head {
            HeadRecipe::Classes { good } => ConfigError::require(
                !good.is_empty(),
                "value.form.head.good",
                &"[]",
                "must name at least one class",
            ),
            HeadRecipe::Tokens { good, bad } => ConfigError::require(
                !good.is_empty() && !bad.is_empty() && good != bad,
                "value.form.head",
                &format!("{{good = {good:?}, bad = {bad:?}}}"),
                "must name two different tokens",
            ),
            HeadRecipe::Implicit { reference, beta } => {
                ConfigError::require(
                    beta.is_finite() && *beta > 0.0,
                    "value.form.head.beta",
                    beta,
                    "must be above 0",
                )?;
                ConfigError::require(
                    !reference.as_os_str().is_empty(),
                    "value.form.head.reference",
                    &"\"\"",
                    "must name the reference model's checkpoint folder",
                )?;
                ConfigError::require(
                    form.chat == ChatUse::Answer && form.shift == 0,
                    "value.form.chat",
                    &format!("{:?}", form.chat),
                    "must be \"answer\", with value.form.shift = 0, for an implicit reward: it is a sum over the answer's tokens",
                )
            }
            HeadRecipe::Scalar | HeadRecipe::MeanLogit => Ok(()),
        }
    }
}
