//! Questions that occur twice, and questions that a test set holds.

use std::collections::HashMap;

use serde::Serialize;

use super::words::{normalised, words};
use super::{Located, Place};

/// A problem that was taken out, and what it was taken for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Removed {
    /// Its row.
    pub place: Place,
    /// Its id.
    pub id: String,
    /// The row that holds the same.
    pub matched: Place,
    /// How much of the question is the same.
    pub by: MatchKind,
    /// The words that both hold.
    pub text: String,
}

/// How much of two questions is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MatchKind {
    /// The whole question, but for case, layout and punctuation.
    Question,
    /// A run of words.
    Ngram,
}

/// Keeps the first of problems whose questions are the same.
pub(super) fn deduplicate(problems: Vec<Located>) -> (Vec<Located>, Vec<Removed>) {
    let mut first: HashMap<String, Place> = HashMap::new();
    part(problems, |located| {
        let text = normalised(&located.problem.question);
        if let Some(place) = first.get(&text) {
            return Some((place.clone(), MatchKind::Question, text));
        }
        first.insert(text, located.place.clone());
        None
    })
}

/// Takes out every problem whose question is a test question or shares n words in a row with one.
pub(super) fn decontaminate(
    problems: Vec<Located>,
    questions: &TestQuestions,
) -> (Vec<Located>, Vec<Removed>) {
    part(problems, |located| questions.find(&located.problem.question))
}

/// Parts what is kept from what is taken out.
fn part(
    problems: Vec<Located>,
    mut matched: impl FnMut(&Located) -> Option<(Place, MatchKind, String)>,
) -> (Vec<Located>, Vec<Removed>) {
    let (mut kept, mut removed) = (Vec::new(), Vec::new());
    for located in problems {
        match matched(&located) {
            None => kept.push(located),
            Some((matched, by, text)) => {
                let (place, id) = (located.place, located.problem.id);
                removed.push(Removed { place, id, matched, by, text });
            }
        }
    }
    (kept, removed)
}

/// The questions of test sets, as GPT-3's decontamination keeps documents (arXiv 2005.14165, appendix C): by their n-grams of words in lower
/// case without punctuation, the first row that holds one. Questions of fewer words are kept whole.
pub(super) struct TestQuestions {
    n: usize,
    numbers: HashMap<String, u32>,
    ngrams: HashMap<Box<[u32]>, usize>,
    questions: HashMap<String, usize>,
    places: Vec<Place>,
}

/// The number of words that no test question holds.
const UNKNOWN: u32 = u32::MAX;

impl TestQuestions {
    /// No questions yet. `n` is at least 1.
    pub(super) fn new(n: usize) -> Self {
        Self {
            n: n.max(1),
            numbers: HashMap::new(),
            ngrams: HashMap::new(),
            questions: HashMap::new(),
            places: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, place: Place, question: &str) {
        let index = self.places.len();
        self.places.push(place);
        self.questions.entry(normalised(question)).or_insert(index);
        let mut numbered = Vec::new();
        for word in words(question) {
            let next = u32::try_from(self.numbers.len()).unwrap_or(UNKNOWN);
            numbered.push(*self.numbers.entry(word).or_insert(next));
        }
        for ngram in numbered.windows(self.n) {
            self.ngrams.entry(ngram.into()).or_insert(index);
        }
    }

    /// The first test question that is this one, or shares a run of words with it.
    fn find(&self, question: &str) -> Option<(Place, MatchKind, String)> {
        let whole = normalised(question);
        if let Some(&index) = self.questions.get(&whole) {
            return Some((self.places[index].clone(), MatchKind::Question, whole));
        }
        let words = words(question);
        let number = |word: &String| self.numbers.get(word).copied().unwrap_or(UNKNOWN);
        let numbered: Vec<u32> = words.iter().map(number).collect();
        let found = numbered
            .windows(self.n)
            .zip(words.windows(self.n))
            .find_map(|(ngram, words)| Some((self.ngrams.get(ngram)?, words)));
        let (&index, words) = found?;
        Some((self.places[index].clone(), MatchKind::Ngram, words.join(" ")))
    }
}
