//! What a step is: code, a final answer or a thought.

use super::format::{Format, next_question};
use crate::grading;

/// A step that the policy wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step<'a> {
    /// Code to run.
    Code(&'a str),
    /// The final answer.
    Answer(String),
    /// Text alone.
    Thought,
}

/// Reads an action, or says why it is no step. Of code and answer the one whose mark comes first counts: a policy that writes on
/// past the end of its solution has said before what it answers, and what it writes behind a question of its own is no part of it.
pub(super) fn read<'a>(format: &Format, action: &'a str) -> Result<Step<'a>, String> {
    let action = grading::until(action, next_question(&format.prompt).as_slice());
    if action.trim().is_empty() {
        return Err("an empty step".to_owned());
    }
    let open = format.code.as_ref().map(|code| code.open.as_str());
    let code = open.and_then(|open| Some((action.find(open)?, open)));
    let answer = first_mark(action, &format.answer_marks);
    match (code, answer) {
        (Some((at, open)), answer) if answer.is_none_or(|(mark, _)| at < mark) => {
            match unfenced(&action[at + open.len()..]) {
                "" => Err("a step without its code".to_owned()),
                code => Ok(Step::Code(code)),
            }
        }
        (_, Some((at, mark))) => match answer_behind(action, at, mark) {
            Some(answer) => Ok(Step::Answer(answer)),
            None => Err(format!("no answer behind {mark:?}")),
        },
        _ if format.thoughts => Ok(Step::Thought),
        _ => Err("a step with neither code nor a final answer".to_owned()),
    }
}

/// The first of the marks in a text, and where it stands.
fn first_mark<'a>(text: &str, marks: &'a [String]) -> Option<(usize, &'a str)> {
    // ASCII case alone, so that places in both texts are the same.
    let lower = text.to_ascii_lowercase();
    let find = |mark: &'a String| Some((lower.find(&mark.to_ascii_lowercase())?, mark.as_str()));
    marks.iter().filter_map(find).min_by_key(|(at, _)| *at)
}

/// The answer behind the mark at `at`: the box that it is or that its line holds, else the rest of the line.
fn answer_behind(action: &str, at: usize, mark: &str) -> Option<String> {
    let rest = if mark.starts_with("\\boxed") { &action[at..] } else { &action[at + mark.len()..] };
    let rest = rest.trim_start_matches(['*', ' ', '\n', '\r', '\t']);
    let line = rest.lines().next().unwrap_or_default();
    let found = if line.contains("\\boxed") || line.contains("\\fbox") {
        grading::extract(rest)
    } else {
        // The rules for what models write around an answer are those of `####`.
        grading::extract(&format!("#### {line}")).map(|answer| answer.into_owned().into())
    };
    found.map(std::borrow::Cow::into_owned)
}

/// Code without the fence that many write around it.
fn unfenced(code: &str) -> &str {
    let code = code.trim_matches(['\n', '\r']);
    let Some(inside) = code.trim_start().strip_prefix("```") else {
        return code;
    };
    let inside = inside.split_once('\n').map_or("", |(_, inside)| inside);
    let end = inside.rfind("```").unwrap_or(inside.len());
    inside[..end].trim_matches(['\n', '\r'])
}

#[cfg(test)]
mod tests {
    use super::super::format::{FormatRecipe, Preset};
    use super::*;

    fn step(preset: Preset, action: &str) -> Result<Step<'_>, String> {
        let format = FormatRecipe { preset, ..FormatRecipe::default() }.resolve().unwrap();
        read(&format, action)
    }

    fn answer(text: &str) -> Result<Step<'_>, String> {
        Ok(Step::Answer(text.to_owned()))
    }

    #[test]
    fn xml_steps_are_code_or_an_answer() {
        let xml = |action| step(Preset::Xml, action);
        let code = "<step>\n<p>\nAdd.\n</p>\n<code>\n```python\nx = 1\nprint(x)\n```";
        assert_eq!(xml(code), Ok(Step::Code("x = 1\nprint(x)")));
        assert_eq!(xml("<code>\nif x:\n    y\n"), Ok(Step::Code("if x:\n    y")));
        let last = "<step>\n<p>\nSo.\n</p>\n<p>\nFinal Answer: $\\frac{1}{2}$\n</p>\n";
        assert_eq!(xml(last), answer("\\frac{1}{2}"));
        assert_eq!(xml("<p>Final Answer: 5</p>"), answer("5"));
        for (action, part) in [
            (" \n", "empty"),
            ("<step>\n<p>\nThinking.\n</p>\n", "neither"),
            ("<step>\n<code>\n```python\n```", "without its code"),
            ("<step>\n<p>\nFinal Answer:\n</p>", "no answer behind"),
        ] {
            let error = xml(action).unwrap_err();
            assert!(error.contains(part), "{action}: {error}");
        }
    }

    #[test]
    fn react_steps_take_what_comes_first() {
        let react = |action| step(Preset::React, action);
        let code =
            "Thought: add.\n\nAction: python_interpreter\n\nAction Input: ```python\n1 + 1\n```\n";
        assert_eq!(react(code), Ok(Step::Code("1 + 1")));
        let run_on = "Final Answer: $2$\n\nQuestion: another\n\nAction Input: ```python\n3\n```\n\nFinal Answer: 3";
        assert_eq!(react(run_on), answer("2"));
        let named = "Action Input: print('Final Answer: 3')";
        assert_eq!(react(named), Ok(Step::Code(" print('Final Answer: 3')")));
        assert!(react("Thought: nothing").is_err());
    }

    #[test]
    fn plain_steps_end_with_any_mark() {
        let plain = |action| step(Preset::Plain, action);
        assert_eq!(plain("He has 3 + 4 = 7 apples."), Ok(Step::Thought));
        for (action, expected) in [
            ("#### 1,234", "1,234"),
            ("So it is \\boxed{\\frac{1}{2}}.", "\\frac{1}{2}"),
            ("The answer is \\boxed{7}, as said.", "7"),
            ("**Final Answer:** 5", "5"),
            ("the answer is 12.", "12"),
            ("The answer is: $3$ dollars", "3"),
        ] {
            assert_eq!(plain(action), answer(expected), "{action}");
        }
        assert!(plain("####").is_err() && plain("\\boxed{").is_err());
        assert_eq!(plain("The answer is \\fbox{7}, as said."), answer("7"));
    }

    #[test]
    fn what_follows_the_next_question_is_none_of_the_step() {
        for (preset, next) in
            [(Preset::Plain, "Question: 1 + 1?"), (Preset::Xml, "<question> 1 </question>")]
        {
            let formats = |action: &str| {
                let format =
                    FormatRecipe { preset, thoughts: Some(true), ..FormatRecipe::default() };
                read(&format.resolve().unwrap(), action).map(|step| match step {
                    Step::Answer(answer) => Some(answer),
                    _ => None,
                })
            };
            let invented = format!("\n\n{next}\nFinal Answer: \\boxed{{2}}");
            let first = format!("Final Answer: \\boxed{{18}}{invented}");
            assert_eq!(formats(&first), Ok(Some("18".to_owned())), "{first}");
            let none = format!("It goes on.{invented}");
            assert_eq!(formats(&none), Ok(None), "{none}");
        }
        // Inside a line the same word is one of the solution's own.
        let own = "The Question: is it 2? Final Answer: 2";
        assert_eq!(step(Preset::Plain, own), answer("2"));
    }
}
