//! The register of measures: a new one is a file beside this, its `mod` line in the folder's `mod.rs` and its line here.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::measure::{Figures, Measure, Needs, Subject};
use super::recipe::EvaluationRecipe;
use super::record::Record;
use crate::report::{RoundsRow, Runs};

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

        /// Each measure's rows in the table of rounds.
        pub const ROWS: &[fn(&Runs) -> Result<Vec<RoundsRow>>] = &[$(<$settings>::rows,)*];
    };
}

register! {
    /// Accuracy of each of `[evaluation] decodings`.
    Decodings("decodings", super::decodings::Decodings),
    /// F1 of the first wrong steps that the value net finds in written solutions.
    Process("process", super::process::Process),
    /// Accuracy of the answers chosen from written samples that the value net scores.
    Votes("votes", super::votes::Votes),
}

/// The measures of a recipe that lists none.
#[must_use]
pub fn default_measures() -> Vec<MeasureRecipe> {
    vec![MeasureRecipe::Decodings(super::decodings::Decodings {})]
}
