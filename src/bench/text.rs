//! An environment for timing language models: whatever is written is a step.

use espalier_search::{Environment, Problem, ProblemError, StepError, Terminal, Transition};

/// Lines of text; the last of `depth` is the answer.
pub(super) struct TextSteps {
    /// Steps of a solution.
    pub depth: usize,
}

/// The question and the steps so far.
#[derive(Debug, Clone)]
pub(super) struct Text {
    text: String,
    steps: usize,
}

impl Environment for TextSteps {
    type State = Text;

    fn root(&self, problem: &Problem) -> Result<Text, ProblemError> {
        Ok(Text { text: problem.question.clone(), steps: 0 })
    }

    fn context<'a>(&self, state: &'a Text) -> &'a str {
        &state.text
    }

    fn step(&self, state: &Text, action: &str) -> Result<Transition<Text>, StepError> {
        let steps = state.steps + 1;
        let terminal = (steps == self.depth).then(|| Terminal::Answer(action.to_owned()));
        let text = format!("{}{action}\n", state.text);
        Ok(Transition { observation: "\n".into(), state: Text { text, steps }, terminal })
    }

    fn reward(&self, problem: &Problem, answer: &str) -> f64 {
        if problem.answer == answer { 1.0 } else { -1.0 }
    }
}
