//! What the tests of objectives share.

use super::{LabelledPath, PathStep};

/// A path of one step, right with reward 1 or wrong with reward -1.
pub fn path(correct: bool) -> LabelledPath<'static> {
    let reward = if correct { 1.0 } else { -1.0 };
    let steps = vec![PathStep { q: Some(reward as f32), ..PathStep::default() }];
    LabelledPath { prompt: "", steps, reward, correct }
}

#[track_caller]
pub fn assert_near(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{found:?} {expected:?}");
    let near = found.iter().zip(expected).all(|(one, other)| (one - other).abs() < 1e-6);
    assert!(near, "found {found:?}\nexpected {expected:?}");
}
