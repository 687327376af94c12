//! What the rows of a data set mean.

use clap::ValueEnum;
use espalier_search::Problem;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::field::{FieldError, lookup, optional_text, text};
use super::solution::{gsm8k_steps, steps};
use espalier_grading::extract;

type Row = Map<String, Value>;

/// A data set whose rows are known, or a map of fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Format {
    /// Grade-school word problems `{question, answer}`: steps with calculator annotations, then `#### ` and the answer (arXiv 2110.14168).
    Gsm8k,
    /// Competition problems `{problem, solution, level, type}` with the answer in `\boxed{}` (arXiv 2103.03874), or
    /// `{content, steps, answer, level, type}`.
    Math,
    /// One-step word problems with changed wording `{Body, Question, Answer, Equation, Type, ID}` (arXiv 2103.07191).
    Svamp,
    /// Word problems `{input, target, type}` (MAWPS, NAACL 2016).
    Mawps,
    /// Olympiad problems `{problem, answer, subject, unique_id}` (arXiv 2503.21380).
    Olymmath,
    /// Chinese university entrance examinations, translated: `{question, answer, source}`.
    Gaokao,
    /// University textbooks `{question, answer, data_source, question_number, data_topic}` (arXiv 2403.02884).
    CollegeMath,
    /// Fields by name: `question`, `answer`, and `id`, `solution` and `metadata` where they are there.
    Generic,
}

/// Where the parts of a problem stand in the rows of [`Format::Generic`]; dotted paths lead into objects and lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fields {
    /// The question.
    pub question: String,
    /// The final answer.
    pub answer: String,
    /// What names the row; absent: `id` where there is one, else the number of the row.
    pub id: Option<String>,
    /// The worked solution, a text or a list of steps; absent: `solution` where there is one.
    pub solution: Option<String>,
}

impl Default for Fields {
    fn default() -> Self {
        Self { question: "question".into(), answer: "answer".into(), id: None, solution: None }
    }
}

impl Format {
    /// The name used in recipes and on the command line.
    #[must_use]
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// The question of a row, whether or not it has an answer.
    pub(super) fn question(self, row: &Row, fields: &Fields) -> Result<String, FieldError> {
        match self {
            Self::Gsm8k | Self::Gaokao | Self::CollegeMath => text(row, "question"),
            Self::Math => first_of(row, ["problem", "content"]),
            Self::Mawps => text(row, "input"),
            Self::Olymmath => text(row, "problem"),
            Self::Generic => text(row, &fields.question),
            Self::Svamp => {
                let (body, question) = (text(row, "Body")?, text(row, "Question")?);
                let end = if body.ends_with(['.', ',', '?', '!']) { "" } else { "." };
                Ok(format!("{body}{end} {question}"))
            }
        }
    }

    /// The problem of a row. `default_id` names rows that have no name of their own.
    pub(super) fn problem(
        self,
        row: &Row,
        fields: &Fields,
        default_id: impl FnOnce() -> String,
    ) -> Result<Problem, FieldError> {
        let question = self.question(row, fields)?;
        let mut metadata = self.metadata(row, fields);
        let (answer, solution) = match self {
            Self::Gsm8k => gsm8k_answer(row)?,
            Self::Math => math_answer(row)?,
            Self::Svamp => (text(row, "Answer")?, None),
            Self::Mawps => (text(row, "target")?, None),
            Self::Olymmath | Self::Gaokao | Self::CollegeMath => (text(row, "answer")?, None),
            Self::Generic => {
                let path = fields.solution.as_deref();
                let solution = worked_steps(row, path.unwrap_or("solution"))?;
                if let (Some(path), None) = (path, &solution) {
                    return Err(FieldError::new(path, "is missing or empty"));
                }
                (text(row, &fields.answer)?, solution)
            }
        };
        if let Some(solution) = solution {
            metadata.insert("solution".into(), json!(solution));
        }
        let id = self.own_id(row, fields)?.unwrap_or_else(default_id);
        Ok(Problem { id, question, answer: without_dollars(&answer).to_owned(), metadata })
    }

    /// What the source itself calls the row.
    fn own_id(self, row: &Row, fields: &Fields) -> Result<Option<String>, FieldError> {
        let field = match self {
            Self::Gsm8k | Self::Mawps => return Ok(None),
            Self::Math | Self::Olymmath => "unique_id",
            Self::Svamp => "ID",
            Self::Gaokao => "id",
            Self::CollegeMath => {
                let source = optional_text(row, "data_source")?;
                let number = optional_text(row, "question_number")?;
                return Ok(source.zip(number).map(|(source, number)| format!("{source}.{number}")));
            }
            Self::Generic => match &fields.id {
                Some(field) => return text(row, field).map(Some),
                None => "id",
            },
        };
        optional_text(row, field)
    }

    /// What else is worth keeping.
    fn metadata(self, row: &Row, fields: &Fields) -> Row {
        let kept: &[(&str, &str)] = match self {
            Self::Gsm8k => &[],
            Self::Math => &[("level", "level"), ("type", "type"), ("subject", "subject")],
            Self::Svamp => &[("Type", "type"), ("Equation", "equation")],
            Self::Mawps => &[("type", "type")],
            Self::Olymmath => &[("subject", "subject")],
            Self::Gaokao => &[("source", "source"), ("lang", "language")],
            Self::CollegeMath => &[("data_topic", "topic"), ("license", "license")],
            Self::Generic => return generic_metadata(row, fields),
        };
        let found = kept
            .iter()
            .filter_map(|(field, name)| Some(((*name).to_owned(), lookup(row, field)?.clone())));
        found.collect()
    }
}

/// Everything that is not a part of the problem itself; what stands under `metadata` is laid open.
fn generic_metadata(row: &Row, fields: &Fields) -> Row {
    let Fields { question, answer, id, solution } = fields;
    let id = id.as_deref().unwrap_or("id");
    let solution = solution.as_deref().unwrap_or("solution");
    let mut metadata = Row::new();
    for (name, value) in row {
        match value {
            Value::Object(inner) if name == "metadata" => metadata.extend(inner.clone()),
            Value::Null => {}
            _ if [question, answer, id, solution].contains(&name.as_str()) => {}
            value => {
                metadata.insert(name.clone(), value.clone());
            }
        }
    }
    metadata
}

fn first_of(row: &Row, fields: [&str; 2]) -> Result<String, FieldError> {
    match optional_text(row, fields[0])? {
        Some(text) => Ok(text),
        None => optional_text(row, fields[1])?.ok_or_else(|| {
            FieldError::new(fields[0], format!("is missing or empty, and so is `{}`", fields[1]))
        }),
    }
}

fn gsm8k_answer(row: &Row) -> Result<(String, Option<Vec<String>>), FieldError> {
    let whole = text(row, "answer")?;
    let Some((solution, answer)) = whole.rsplit_once("####") else {
        return Err(FieldError::new("answer", "has no `####` before the final answer"));
    };
    // Commas part thousands alone: every answer is one number.
    let answer = answer.trim().replace(',', "");
    if answer.is_empty() {
        return Err(FieldError::new("answer", "has nothing after `####`"));
    }
    Ok((answer, Some(gsm8k_steps(solution)).filter(|steps| !steps.is_empty())))
}

fn math_answer(row: &Row) -> Result<(String, Option<Vec<String>>), FieldError> {
    let field = if lookup(row, "solution").is_some() { "solution" } else { "steps" };
    let solution = optional_text(row, field)?;
    let answer = match optional_text(row, "answer")? {
        Some(answer) => answer,
        None => {
            let boxed = solution.as_deref().and_then(extract);
            let none =
                || FieldError::new(field, "has no answer in `\\boxed{}`, nor has `answer` one");
            boxed.ok_or_else(none)?.into_owned()
        }
    };
    Ok((answer, solution.as_deref().map(steps).filter(|steps| !steps.is_empty())))
}

/// Steps from a text or a list of texts.
fn worked_steps(row: &Row, path: &str) -> Result<Option<Vec<String>>, FieldError> {
    let Some(Value::Array(items)) = lookup(row, path) else {
        return Ok(optional_text(row, path)?.map(|solution| steps(&solution)));
    };
    let step = |item: &Value| match item {
        Value::String(step) => Ok(step.clone()),
        _ => Err(FieldError::new(path, "is a list of what are not all texts")),
    };
    let steps = items.iter().map(step).collect::<Result<Vec<_>, _>>()?;
    Ok(Some(steps).filter(|steps| !steps.is_empty()))
}

/// An answer that is one formula, without the signs around it.
fn without_dollars(answer: &str) -> &str {
    let inner = answer.strip_prefix('$').and_then(|rest| rest.strip_suffix('$'));
    match inner {
        Some(inner)
            if !inner.contains('$') && !inner.ends_with('\\') && !inner.trim().is_empty() =>
        {
            inner.trim()
        }
        _ => answer,
    }
}
