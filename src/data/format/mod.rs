//! The meaning of the rows of a data set. A new format is a file here that implements [`RowFormat`], its `mod` line and its line in the
//! list of [`Format`].

mod college_math;
mod gaokao;
mod generic;
mod gsm8k;
mod llm_mcts_countdown;
mod math;
mod mawps;
mod olymmath;
mod svamp;

pub use generic::Fields;

use clap::ValueEnum;
use espalier_search::Problem;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::field::{FieldError, lookup};

/// The fields of a row.
pub(super) type Row = Map<String, Value>;

/// A final answer, and the steps of the solution that leads to it.
type Answer = (String, Option<Vec<String>>);

/// The parts of a problem in the rows of one data set.
trait RowFormat {
    /// Fields that are kept as metadata, each with its name there.
    const KEPT: &'static [(&'static str, &'static str)] = &[];

    /// The question, whether or not the row has an answer.
    fn question(row: &Row, fields: &Fields) -> Result<String, FieldError>;

    /// The final answer and the worked solution.
    fn answer(row: &Row, fields: &Fields) -> Result<Answer, FieldError>;

    /// The source's own name of the row.
    fn own_id(_row: &Row, _fields: &Fields) -> Result<Option<String>, FieldError> {
        Ok(None)
    }

    /// Everything else that is worth keeping; by default [`Self::KEPT`].
    fn metadata(row: &Row, _fields: &Fields) -> Result<Row, FieldError> {
        let kept = Self::KEPT
            .iter()
            .filter_map(|(field, name)| Some(((*name).to_owned(), lookup(row, field)?.clone())));
        Ok(kept.collect())
    }
}

/// From lines `Name(module::Type)` the choice of formats and the calls of what was chosen.
macro_rules! formats {
    ($($(#[$about:meta])* $name:ident($format:ty),)+) => {
        /// A data set whose rows are known, or a map of fields.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ValueEnum)]
        #[serde(rename_all = "snake_case")]
        #[value(rename_all = "snake_case")]
        pub enum Format {
            $($(#[$about])* $name,)+
        }

        impl Format {
            /// The question of a row, whether or not it has an answer.
            pub(super) fn question(self, row: &Row, fields: &Fields) -> Result<String, FieldError> {
                match self {
                    $(Self::$name => <$format>::question(row, fields),)+
                }
            }

            /// The problem of a row. `default_id` names rows that have no name of their own.
            pub(super) fn problem(
                self,
                row: &Row,
                fields: &Fields,
                default_id: impl FnOnce() -> String,
            ) -> Result<Problem, FieldError> {
                match self {
                    $(Self::$name => problem::<$format>(row, fields, default_id),)+
                }
            }
        }
    };
}

formats! {
    /// Grade-school word problems `{question, answer}`: steps with calculator annotations, then `#### ` and the answer (arXiv 2110.14168).
    Gsm8k(gsm8k::Gsm8k),
    /// Competition problems `{problem, solution, level, type}` with the answer in `\boxed{}` or `\fbox{}` (arXiv
    /// 2103.03874), or `{content, steps, answer, level, type}`.
    Math(math::Math),
    /// One-step word problems with changed wording `{Body, Question, Answer, Equation, Type, ID}` (arXiv 2103.07191).
    Svamp(svamp::Svamp),
    /// Word problems `{input, target, type}` (MAWPS, NAACL 2016).
    Mawps(mawps::Mawps),
    /// Olympiad problems `{problem, answer, subject, unique_id}` (arXiv 2503.21380).
    Olymmath(olymmath::Olymmath),
    /// Chinese university entrance examinations, translated: `{question, answer, source}`.
    Gaokao(gaokao::Gaokao),
    /// University textbooks `{question, answer, data_source, question_number, data_topic}` (arXiv 2403.02884).
    CollegeMath(college_math::CollegeMath),
    /// Countdown problems `{input, target}` of llm-mcts, whose rules let a solution leave numbers out and pass through negative results
    /// and fractions; those of the environment `countdown` do not.
    LlmMctsCountdown(llm_mcts_countdown::LlmMctsCountdown),
    /// Fields by name: `question`, `answer`, and `id`, `solution` and `metadata` where they are there.
    Generic(generic::Generic),
}

impl Format {
    /// The name used in recipes and on the command line.
    #[must_use]
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

fn problem<F: RowFormat>(
    row: &Row,
    fields: &Fields,
    default_id: impl FnOnce() -> String,
) -> Result<Problem, FieldError> {
    let question = F::question(row, fields)?;
    let mut metadata = F::metadata(row, fields)?;
    let (answer, solution) = F::answer(row, fields)?;
    if let Some(solution) = solution {
        metadata.insert("solution".into(), json!(solution));
    }
    let id = F::own_id(row, fields)?.unwrap_or_else(default_id);
    Ok(Problem { id, question, answer: without_dollars(&answer).to_owned(), metadata })
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
