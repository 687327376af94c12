//! The form in which steps are written: data, with three presets whose pieces can be replaced one by one.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A form that the original or the field has, to start from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// AlphaMath's trained format: `<step>` with a thought in `<p>`, then `<code>` and `<output>`, or the final answer.
    Xml,
    /// AlphaMath's first round: `Thought:`, `Action:`, `Action Input:`, `Observation:`, `Final Answer:`.
    React,
    /// Chain of thought without code, a step a line, until `####`, `\boxed`, `Final Answer:` or `The answer is`.
    #[default]
    Plain,
}

/// `[environment.format]`: a preset and what replaces its pieces. `format = "xml"` is a preset as it is.
///
/// A piece that begins with a line end is put without it where the text before ends with one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields, default)]
pub struct FormatRecipe {
    /// Where the pieces come from that are not given.
    pub preset: Preset,
    /// What the policy continues, with `{question}` in it.
    pub prompt: Option<String>,
    /// What stands before the worked examples, and only there.
    pub preamble: Option<String>,
    /// What stands between a worked example and what follows it.
    pub shot_end: Option<String>,
    /// What ends a step when the policy writes it.
    pub stops: Option<Vec<String>>,
    /// What the environment puts at the end of a step that is not the last.
    pub step_end: Option<String>,
    /// What begins the code of a step; empty: steps have no code.
    pub code_open: Option<String>,
    /// What the environment puts behind the code.
    pub code_close: Option<String>,
    /// What the environment puts before what the code printed.
    pub observation_open: Option<String>,
    /// What the environment puts behind it.
    pub observation_close: Option<String>,
    /// What stands before a final answer, in upper or lower case; `\boxed` has it in braces.
    pub answer_marks: Option<Vec<String>>,
    /// What the environment puts at the end of the last step.
    pub answer_end: Option<String>,
    /// A last step, with `{answer}` in it: for worked solutions that do not state their answer.
    pub answer_step: Option<String>,
    /// Whether a step may have neither code nor an answer.
    pub thoughts: Option<bool>,
}

impl Serialize for FormatRecipe {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for FormatRecipe {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PresetOrTable)
    }
}

struct PresetOrTable;

impl<'de> Visitor<'de> for PresetOrTable {
    type Value = FormatRecipe;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"xml\", \"react\", \"plain\" or a table")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<FormatRecipe, E> {
        let preset = Preset::deserialize(StrDeserializer::new(name))?;
        Ok(FormatRecipe { preset, ..FormatRecipe::default() })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<FormatRecipe, A::Error> {
        FormatRecipe::deserialize(MapAccessDeserializer::new(map))
    }
}

/// A format with all its pieces; [`FormatRecipe`] says what they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Format {
    pub prompt: String,
    pub preamble: String,
    pub shot_end: String,
    pub stops: Vec<String>,
    pub step_end: String,
    pub code: Option<CodePieces>,
    pub answer_marks: Vec<String>,
    pub answer_end: String,
    pub answer_step: String,
    pub thoughts: bool,
}

/// What stands around code and what it printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CodePieces {
    pub open: String,
    pub close: String,
    pub observation_open: String,
    pub observation_close: String,
}

impl Format {
    fn preset(preset: Preset) -> Self {
        let own = str::to_owned;
        let code = |open, close, observation_open, observation_close| {
            let [open, close] = [open, close].map(own);
            let [observation_open, observation_close] =
                [observation_open, observation_close].map(own);
            Some(CodePieces { open, close, observation_open, observation_close })
        };
        match preset {
            Preset::Xml => Self {
                prompt: own("<question> {question} </question>\n"),
                preamble: String::new(),
                shot_end: own("\n"),
                stops: ["\n</code>", "</code>", "</step>"].map(own).to_vec(),
                step_end: own("\n</step>\n"),
                code: code("<code>", "\n</code>", "\n<output>\n", "\n</output>"),
                answer_marks: vec![own("Final Answer:")],
                answer_end: own("\n</step>\n"),
                answer_step: own("<step>\n<p>\nFinal Answer: {answer}\n</p>"),
                thoughts: false,
            },
            Preset::React => Self {
                prompt: own("Question: {question}\n\n"),
                preamble: String::new(),
                shot_end: own("\n"),
                stops: ["\nObservation:", "Observation:", "<Solution complete>"].map(own).to_vec(),
                step_end: own("\n\n"),
                code: code("Action Input:", "\n", "\nObservation: ", ""),
                answer_marks: vec![own("Final Answer:")],
                answer_end: own("\n<Solution complete>\n"),
                answer_step: own("Final Answer: {answer}"),
                thoughts: false,
            },
            Preset::Plain => Self {
                prompt: own("Question: {question}\nAnswer:\n"),
                preamble: String::new(),
                shot_end: own("\n"),
                stops: vec![own("\n")],
                step_end: own("\n"),
                code: None,
                answer_marks: ["####", "\\boxed", "Final Answer:", "The answer is"]
                    .map(own)
                    .to_vec(),
                answer_end: own("\n"),
                answer_step: own("#### {answer}"),
                thoughts: true,
            },
        }
    }
}

impl FormatRecipe {
    /// The whole format.
    ///
    /// # Errors
    /// Naming the key that cannot be used.
    pub(super) fn resolve(&self) -> Result<Format, String> {
        let preset = Format::preset(self.preset);
        let text = |own: &Option<String>, preset: &str| own.clone().unwrap_or(preset.to_owned());
        let none = CodePieces {
            open: String::new(),
            close: String::new(),
            observation_open: "\n".to_owned(),
            observation_close: String::new(),
        };
        let code = preset.code.unwrap_or(none);
        let code = CodePieces {
            open: text(&self.code_open, &code.open),
            close: text(&self.code_close, &code.close),
            observation_open: text(&self.observation_open, &code.observation_open),
            observation_close: text(&self.observation_close, &code.observation_close),
        };
        let format = Format {
            prompt: text(&self.prompt, &preset.prompt),
            preamble: text(&self.preamble, &preset.preamble),
            shot_end: text(&self.shot_end, &preset.shot_end),
            stops: self.stops.clone().unwrap_or(preset.stops),
            step_end: text(&self.step_end, &preset.step_end),
            code: (!code.open.is_empty()).then_some(code),
            answer_marks: self.answer_marks.clone().unwrap_or(preset.answer_marks),
            answer_end: text(&self.answer_end, &preset.answer_end),
            answer_step: text(&self.answer_step, &preset.answer_step),
            thoughts: self.thoughts.unwrap_or(preset.thoughts),
        };
        format.check()?;
        Ok(format)
    }
}

impl Format {
    fn check(&self) -> Result<(), String> {
        for (key, text, part) in
            [("prompt", &self.prompt, "{question}"), ("answer_step", &self.answer_step, "{answer}")]
        {
            if !text.contains(part) {
                return Err(format!("format.{key} = {text:?} must have {part} in it"));
            }
        }
        for (key, texts) in [("stops", &self.stops), ("answer_marks", &self.answer_marks)] {
            if texts.is_empty() || texts.iter().any(String::is_empty) {
                return Err(format!("format.{key} must hold at least one text and no empty one"));
            }
        }
        for (key, text) in [("step_end", &self.step_end), ("answer_end", &self.answer_end)] {
            if text.is_empty() {
                return Err(format!(
                    "format.{key} must not be empty: the value is read at its last token"
                ));
            }
        }
        Ok(())
    }
}

/// Where the text of a model that goes on with a question of its own is to be cut: the line before `{question}` in a prompt, at the
/// beginning of a line. `None` where nothing stands before the question, as in a chat.
#[must_use]
pub fn next_question(prompt: &str) -> Option<String> {
    let (before, _) = prompt.split_once("{question}")?;
    let line = before.trim().lines().last()?.trim();
    Some(format!("\n{line}"))
}

/// What the environment appends to `text`: `piece` without its first line end where the text ends with one.
pub(super) fn joined<'a>(text: &str, piece: &'a str) -> &'a str {
    if text.ends_with('\n') { piece.strip_prefix('\n').unwrap_or(piece) } else { piece }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Format, String> {
        #[derive(Deserialize)]
        struct Section {
            format: FormatRecipe,
        }
        let section: Section = toml::from_str(text).map_err(|error| error.to_string())?;
        let written = toml::to_string(&section.format).unwrap();
        assert_eq!(toml::from_str::<FormatRecipe>(&written).unwrap(), section.format);
        section.format.resolve()
    }

    #[test]
    fn a_format_is_a_preset_with_pieces_replaced() {
        assert_eq!(parse("format = \"xml\"").unwrap(), Format::preset(Preset::Xml));
        assert_eq!(parse("[format]").unwrap(), Format::preset(Preset::Plain));
        let format = parse("[format]\nstops = [\"\\n\\n\"]\nstep_end = \"\\n\\n\"").unwrap();
        assert_eq!(format.stops, ["\n\n"]);
        let plain = Format::preset(Preset::Plain);
        let expected = Format { stops: format.stops.clone(), step_end: "\n\n".into(), ..plain };
        assert_eq!(format, expected);
        let format = parse("[format]\ncode_open = \"```python\"\nthoughts = false").unwrap();
        assert_eq!(format.code.unwrap().open, "```python");
        assert!(parse("[format]\npreset = \"xml\"\ncode_open = \"\"").unwrap().code.is_none());
    }

    #[test]
    fn the_next_question_begins_as_the_first_one() {
        for (prompt, mark) in [
            ("Question: {question}\nAnswer:\n", Some("\nQuestion:")),
            ("<question> {question} </question>\n", Some("\n<question>")),
            ("Solve this.\n\n### Problem\n\n{question}\n", Some("\n### Problem")),
            ("{question}", None),
            (" \n{question}\n", None),
        ] {
            assert_eq!(next_question(prompt).as_deref(), mark, "{prompt:?}");
        }
    }

    #[test]
    fn wrong_pieces_are_named() {
        for (text, part) in [
            ("format = \"yaml\"", "unknown variant `yaml`"),
            ("format = 3", "\"xml\", \"react\", \"plain\" or a table"),
            ("[format]\nstop = [\"x\"]", "unknown field `stop`"),
            ("[format]\nprompt = \"Q\"", "{question}"),
            ("[format]\nanswer_step = \"A\"", "{answer}"),
            ("[format]\nstops = []", "format.stops"),
            ("[format]\nanswer_marks = [\"\"]", "format.answer_marks"),
            ("[format]\nstep_end = \"\"", "format.step_end"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
