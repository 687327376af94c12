//! All measures of a recipe on one net and one source of problems.

use anyhow::{Context, Result};

use super::measure::{Figures, Needs, Subject};
use super::measures::MeasureRecipe;
use super::record::Record;

/// The figures of each measure, in the order asked for.
pub type Evaluated<'a> = Vec<(&'a MeasureRecipe, Figures)>;

/// Records what the measures need and takes them.
///
/// # Errors
/// The first measure's that cannot be taken.
pub fn evaluate<'a>(
    subject: &Subject<'_>,
    measures: impl IntoIterator<Item = &'a MeasureRecipe>,
) -> Result<Evaluated<'a>> {
    let measures: Vec<&MeasureRecipe> = measures.into_iter().collect();
    let mut needs = Needs::default();
    for measure in &measures {
        needs.add(measure.needs(subject.recipe));
    }
    let record = Record::gather(subject, &needs)?;
    let taken = measures.into_iter().map(|measure| {
        let figures = measure
            .measure(subject, &record)
            .with_context(|| format!("measure {}", measure.kind()))?;
        Ok((measure, figures))
    });
    taken.collect()
}
