//! The register of measures: a new one is a file beside this, its `mod` line in the folder's `mod.rs` and its line here.

use std::collections::BTreeMap;
use std::str::FromStr;

use anyhow::{Context, Result, anyhow};
use serde::{Deserialize, Serialize};

use super::measure::{Figures, Measure, Needs, Subject};
use super::recipe::EvaluationRecipe;
use super::record::Record;
use crate::report::RowsOf;

/// From lines `Kind("kind", settings)` the choice of kinds in a recipe and the calls of what was chosen.
macro_rules! register {
    ($($(#[$doc:meta])* $kind:ident($name:literal, $settings:ty),)*) => {
        /// A measure of a recipe, `[[evaluation.measures]]`.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind")]
        pub enum MeasureRecipe {
            $($(#[$doc])* #[serde(rename = $name)] $kind($settings),)*
        }

        impl MeasureRecipe {
            /// The name in recipes and on the command line.
            #[must_use]
            pub fn kind(&self) -> &'static str {
                match self {
                    $(Self::$kind(_) => $name,)*
                }
            }

            /// The keys of the figures in a round's summary: of the held-out problems, and of other sources where they are measured.
            #[must_use]
            pub fn keys(&self) -> (&'static str, Option<&'static str>) {
                match self {
                    $(Self::$kind(_) => (<$settings>::KEY, <$settings>::OTHERS),)*
                }
            }

            pub(super) fn validate(&self) -> Result<()> {
                match self {
                    $(Self::$kind(measure) => measure.validate(),)*
                }
            }

            pub(super) fn needs(&self, recipe: &EvaluationRecipe) -> Needs {
                match self {
                    $(Self::$kind(measure) => measure.needs(recipe),)*
                }
            }

            pub(super) fn measure(
                &self,
                subject: &Subject<'_>,
                record: &Record,
            ) -> Result<Figures> {
                match self {
                    $(Self::$kind(measure) => measure.measure(subject, record),)*
                }
            }
        }

        /// The rows of each measure, and of the probe, in the table of rounds.
        pub const ROWS: &[RowsOf] = &[$(<$settings>::rows,)* super::probe::rows];
    };
}

register! {
    /// Accuracy of each of `[evaluation] decodings`.
    Decodings("decodings", super::decodings::Decodings),
    /// AUC of the value net against the exact truth.
    ValueAuc("value_auc", super::value_auc::ValueAuc),
    /// The chance that at least one of k samples is right.
    PassAtK("pass_at_k", super::pass_at_k::PassAtK),
    /// F1 of the first wrong steps that the value net finds in written solutions.
    Process("process", super::process::Process),
    /// Accuracy of the answers chosen from written samples that the value net scores.
    Votes("votes", super::votes::Votes),
}

impl FromStr for MeasureRecipe {
    type Err = anyhow::Error;

    /// Reads `KIND` or `KIND:SETTINGS`, the settings as in a TOML table on one line.
    fn from_str(text: &str) -> Result<Self> {
        let (kind, settings) = match text.split_once(':') {
            Some((kind, settings)) => (kind, format!(", {settings}")),
            None => (text, String::new()),
        };
        let table = format!("measure = {{kind = {:?}{settings}}}", kind.trim());
        let read: BTreeMap<String, Self> = toml::from_str(&table)
            .map_err(|error| anyhow!("{text:?}: {}", error.message().trim_end()))?;
        read.into_values().next().with_context(|| format!("{text:?} is no measure"))
    }
}

/// The measures of a recipe that lists none.
#[must_use]
pub fn default_measures() -> Vec<MeasureRecipe> {
    vec![
        MeasureRecipe::Decodings(super::decodings::Decodings {}),
        MeasureRecipe::ValueAuc(super::value_auc::ValueAuc {}),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measure_is_read_from_a_command_line() {
        let read = |text: &str| text.parse::<MeasureRecipe>();
        assert_eq!(vec![read("decodings").unwrap()], default_measures()[..1]);
        let process = read("process: files = {math = \"a.json\"}, threshold = 0.5").unwrap();
        assert!(process.validate().is_ok());
        let MeasureRecipe::Process(process) = process else { panic!("{process:?}") };
        assert_eq!((process.threshold, process.files.len()), (Some(0.5), 1));
        for (text, part) in [
            ("decoding", "`decodings`"),
            ("votes:file = 3", "`files`"),
            ("process:threshold", "process:threshold"),
            ("", "unknown variant"),
        ] {
            let error = format!("{:#}", read(text).unwrap_err());
            assert!(error.contains(part), "{text:?}: {error}");
        }
        let both = read("process:files = {a = \"a\"}").unwrap().validate().unwrap_err();
        assert!(both.to_string().contains("either threshold or validation"), "{both}");
    }

    #[test]
    fn kinds_and_keys_differ() {
        let kinds = ["decodings", "value_auc", "pass_at_k", "process", "votes"]
            .map(str::parse::<MeasureRecipe>);
        let measures: Vec<MeasureRecipe> = kinds.into_iter().map(Result::unwrap).collect();
        for (index, measure) in measures.iter().enumerate() {
            for other in &measures[index + 1..] {
                assert_ne!((measure.kind(), measure.keys().0), (other.kind(), other.keys().0));
            }
        }
    }
}
