//! Answers in LaTeX.

use espalier::grading::{Written, extract, grade, groups, until};

use crate::harness::fuzz;
use crate::mutate::{bytes, latex};
use crate::random::Random;

/// Between the two answers of an input.
const BETWEEN: char = '\n';

fn pair(random: &mut Random) -> Vec<u8> {
    let gold = latex::answer(random);
    let prediction = match random.below(4) {
        0 => gold.clone(),
        1 => format!("\\boxed{{{gold}}}"),
        _ => latex::answer(random),
    };
    let mut text = format!("{gold}{BETWEEN}{prediction}").into_bytes();
    if random.once_in(12) {
        bytes::damage(&mut text, random);
    }
    text
}

#[test]
fn answers() {
    fuzz("answers", pair, |input| {
        let text = String::from_utf8_lossy(input);
        let (gold, prediction) = text.split_once(BETWEEN).unwrap_or((&text, ""));
        let one = grade(gold, prediction);
        assert_eq!(one.verdict, grade(prediction, gold).verdict, "the order decides");
        let taken = extract(until(&text, &["x".to_owned()]));
        _ = groups(&[gold, prediction, taken.as_deref().unwrap_or_default()]);
        Written::new(gold).is_readable() || Written::new(prediction).is_readable()
    });
}
