//! Conditions side by side: `x < 3 or x > 5`.

use super::Unreadable;
use crate::answer::{Answer, Join, Name, Relation};

/// Members with these words between them, which are a list where none of them is a condition or an interval.
///
/// # Errors
/// When conditions are joined in two ways: `A and B or C`.
pub fn joined(words: &[Join], members: Vec<Answer>) -> Result<Answer, Unreadable> {
    if !members.iter().any(is_condition) {
        return Ok(Answer::List(members));
    }
    match *words {
        [join] => Ok(Answer::Joined { join, members }),
        _ => Err(Unreadable::Ambiguous),
    }
}

/// Everything but one number.
pub fn excluding(name: Name, number: Answer) -> Answer {
    let part = |members| Answer::Tuple { closed: [false, false], members };
    let below = part(vec![Answer::infinite(true), number.clone()]);
    let above = part(vec![number, Answer::infinite(false)]);
    Answer::Named { name, value: Answer::Union(vec![below, above]).into() }
}

/// What cannot be a point, a number or an equation.
fn is_condition(member: &Answer) -> bool {
    match member {
        Answer::Named { name, value } => {
            name.arity == 1 && matches!(**value, Answer::Tuple { .. } | Answer::Union(_))
        }
        Answer::Related { relation, .. } => *relation != Relation::Equal,
        Answer::Tuple { closed: [open, close], members } => {
            open != close || members.iter().any(|end| matches!(end, Answer::Infinite { .. }))
        }
        Answer::Union(_) | Answer::Joined { .. } => true,
        _ => false,
    }
}
