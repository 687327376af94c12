//! What a step says: the policy's action and the environment's observation, in one piece of memory with its siblings'.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The texts of a node. Those of siblings share one allocation, and a clone is one more reference to it: texts are most
/// of what a small tree beside a cheap evaluator costs.
#[derive(Clone)]
pub struct StepText {
    family: Arc<str>,
    step: Place,
}

/// Where a step's texts lie among its siblings'.
#[derive(Debug, Clone, Copy)]
struct Place {
    start: u32,
    action_end: u32,
    observation_start: u32,
    end: u32,
}

impl StepText {
    /// The text of a root: a prompt, which no step wrote.
    pub(crate) fn prompt(text: &str) -> Self {
        let end = offset(text.len());
        Self {
            family: text.into(),
            step: Place { start: 0, action_end: 0, observation_start: end, end },
        }
    }

    /// What the policy wrote, without the delimiter; empty at the root.
    #[must_use]
    pub fn action(&self) -> &str {
        self.part(self.step.start, self.step.action_end)
    }

    /// What the environment appended, with the delimiter.
    #[must_use]
    pub fn observation(&self) -> &str {
        self.part(self.step.observation_start, self.step.end)
    }

    /// `action + observation`; at the root the prompt.
    #[must_use]
    pub fn text(&self) -> &str {
        self.part(self.step.start, self.step.end)
    }

    fn part(&self, start: u32, end: u32) -> &str {
        &self.family[start as usize..end as usize]
    }
}

impl PartialEq for StepText {
    fn eq(&self, other: &Self) -> bool {
        // The observation is what the action leaves of the text, except at a root.
        (self.text(), self.action(), self.observation())
            == (other.text(), other.action(), other.observation())
    }
}

impl fmt::Debug for StepText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Fields::of(self).fmt(f)
    }
}

/// As it is written: a prompt as `text`, a step as `action` and `observation`. The form before this one had all three, which
/// are read as well.
#[derive(Debug, Serialize, Deserialize)]
struct Fields<'a> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    action: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    observation: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<Cow<'a, str>>,
}

impl<'a> Fields<'a> {
    fn of(step: &'a StepText) -> Self {
        let is_prompt = step.action().is_empty() && step.observation().is_empty();
        if is_prompt {
            return Self { action: None, observation: None, text: Some(step.text().into()) };
        }
        let (action, observation) = (step.action().into(), step.observation().into());
        Self { action: Some(action), observation: Some(observation), text: None }
    }
}

impl Serialize for StepText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Fields::of(self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for StepText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let Fields { action, observation, text } = Fields::deserialize(deserializer)?;
        let (action, observation) = (action.unwrap_or_default(), observation.unwrap_or_default());
        if action.is_empty() && observation.is_empty() {
            let prompt = text.ok_or_else(|| Error::missing_field("text"))?;
            return Ok(Self::prompt(&prompt));
        }
        let whole = [&*action, &*observation].concat();
        if let Some(text) = text.filter(|text| **text != whole) {
            let message = format!("text {text:?} is not action {action:?} + {observation:?}");
            return Err(Error::custom(message));
        }
        let (action_end, end) = (offset(action.len()), offset(whole.len()));
        let step = Place { start: 0, action_end, observation_start: action_end, end };
        Ok(Self { family: whole.into(), step })
    }
}

/// Texts of siblings on their way into one piece of memory. Its own memory serves one family after the other.
#[derive(Default)]
pub(crate) struct SiblingTexts {
    family: String,
    steps: Vec<Place>,
}

impl SiblingTexts {
    /// Forgets what was not shared.
    pub(crate) fn clear(&mut self) {
        self.family.clear();
        self.steps.clear();
    }

    /// Appends a step.
    #[inline]
    pub(crate) fn push(&mut self, action: &str, observation: &str) {
        let start = offset(self.family.len());
        self.family.push_str(action);
        let action_end = offset(self.family.len());
        self.family.push_str(observation);
        let end = offset(self.family.len());
        self.steps.push(Place { start, action_end, observation_start: action_end, end });
    }

    /// The texts, in order.
    #[inline]
    pub(crate) fn share(&self) -> impl Iterator<Item = StepText> {
        let family: Arc<str> = self.family.as_str().into();
        self.steps.iter().map(move |step| StepText { family: family.clone(), step: *step })
    }
}

/// A length as it is kept.
///
/// # Panics
/// Beyond 4 GiB, which no text that a policy reads comes near.
#[inline]
fn offset(length: usize) -> u32 {
    u32::try_from(length).expect("the texts of siblings are shorter than 4 GiB")
}

#[cfg(all(test, not(espalier_loom)))]
mod tests {
    use super::*;

    #[test]
    fn siblings_keep_their_own_texts() {
        let mut texts = SiblingTexts::default();
        for (action, observation) in [("7*3", "=21|5 21\n"), ("", "\n"), ("é", "")] {
            texts.push(action, observation);
        }
        let steps: Vec<StepText> = texts.share().collect();
        let parts =
            |step: &StepText| [step.action(), step.observation(), step.text()].map(str::to_owned);
        assert_eq!(parts(&steps[0]), ["7*3", "=21|5 21\n", "7*3=21|5 21\n"]);
        assert_eq!(parts(&steps[1]), ["", "\n", "\n"]);
        assert_eq!(parts(&steps[2]), ["é", "", "é"]);
        assert_eq!(parts(&StepText::prompt("26:3 5")), ["", "", "26:3 5"]);
    }

    #[test]
    fn what_is_written_is_read_and_a_foreign_text_is_refused() {
        let mut texts = SiblingTexts::default();
        texts.push("a", "b\n");
        texts.push("c", "");
        for step in texts.share().chain([StepText::prompt("p\n"), StepText::prompt("")]) {
            let json = serde_json::to_string(&step).unwrap();
            assert_eq!(serde_json::from_str::<StepText>(&json).unwrap(), step);
        }
        let read = |json| serde_json::from_str::<StepText>(json).map_err(|error| error.to_string());
        let foreign = r#"{"action": "a", "observation": "b", "text": "ac"}"#;
        assert!(read(foreign).unwrap_err().contains("\"ac\""));
        assert!(read("{}").unwrap_err().contains("text"));
    }

    #[test]
    fn a_text_is_written_once_and_the_form_that_had_it_twice_is_read() {
        let mut texts = SiblingTexts::default();
        texts.push("a", "b\n");
        let step = texts.share().next().unwrap();
        let json = r#"{"action":"a","observation":"b\n"}"#;
        assert_eq!(serde_json::to_string(&step).unwrap(), json);
        let prompt = StepText::prompt("p\n");
        assert_eq!(serde_json::to_string(&prompt).unwrap(), r#"{"text":"p\n"}"#);
        let read = |json| serde_json::from_str::<StepText>(json).unwrap();
        assert_eq!(read(r#"{"action":"a","observation":"b\n","text":"ab\n"}"#), step);
        assert_eq!(read(r#"{"action":"","observation":"","text":"p\n"}"#), prompt);
    }
}
