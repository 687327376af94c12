//! The answer in the text of a solution.

use std::borrow::Cow;

use super::braces::braced;

/// The answer that stands last in a solution: in `\boxed{...}` or `\fbox{...}`, behind `####`, or behind `Final Answer:`.
///
/// Boxes with nothing but a comma, a semicolon, "and" or "or" between them are one list, with or without dollar signs; of others the
/// last counts. `None` where there is no such mark, or nothing behind it: a mark without an answer, as in "put it in `\boxed{}`", is
/// passed over.
#[must_use]
pub fn extract(solution: &str) -> Option<Cow<'_, str>> {
    let marked = [last_behind(solution, "####"), last_behind(solution, "final answer:")];
    let marked = marked.into_iter().flatten().map(|(at, answer)| (at, Cow::Borrowed(answer)));
    let (boxes, spoken_of): (Vec<_>, Vec<_>) =
        boxes(solution).into_iter().partition(|found| found.full);
    let last = marked.chain(last_boxed(solution, boxes)).max_by_key(|(at, _)| *at);
    // `\boxed yes` is an answer where there is no other.
    let alone = || spoken_of.last().map(|found| Cow::Borrowed(found.content.trim()));
    last.map(|(_, answer)| answer).or_else(alone).filter(|answer| !answer.is_empty())
}

/// The text before the first of these marks, for a model that goes on with a question of its own. A mark with nothing before it cuts
/// nothing off.
#[must_use]
pub fn until<'a, S: AsRef<str>>(text: &'a str, marks: &[S]) -> &'a str {
    let first = |mark: &S| {
        let mark = Some(mark.as_ref()).filter(|mark| !mark.is_empty())?;
        let mut found = text.match_indices(mark).map(|(at, _)| at);
        found.find(|at| !text[..*at].trim().is_empty())
    };
    &text[..marks.iter().filter_map(first).min().unwrap_or(text.len())]
}

/// The last line behind a mark that is not empty, and where the mark stands.
fn last_behind<'a>(solution: &'a str, mark: &str) -> Option<(usize, &'a str)> {
    let lower = solution.to_ascii_lowercase();
    let mut end = solution.len();
    lower.rmatch_indices(mark).find_map(|(at, _)| {
        // What stands behind an empty mark stands behind none before it.
        let rest = &solution[at + mark.len()..std::mem::replace(&mut end, at)];
        let rest = rest.trim_start_matches(['*', ' ', '\n', '\r', '\t']);
        let answer = without_phrases(rest.lines().next().unwrap_or_default());
        (!answer.is_empty()).then_some((at, answer))
    })
}

/// What models write around an answer is not part of it: closing tags, "The final answer is", "I hope it is correct".
fn without_phrases(line: &str) -> &str {
    const CLOSING: [&str; 4] = ["</p>", "</step>", "<Solution complete>", "I hope"];
    const OPENING: [&str; 3] = ["the final answer is", "the answer is", ":"];
    let closing = CLOSING.iter().filter_map(|mark| line.find(mark)).chain(bold_ends(line));
    let mut answer = line[..closing.min().unwrap_or(line.len())].trim();
    for phrase in OPENING {
        let begins = answer.get(..phrase.len()).is_some_and(|s| s.eq_ignore_ascii_case(phrase));
        if begins {
            answer = answer[phrase.len()..].trim_start();
        }
    }
    // `0.333...` is not the end of a sentence.
    let answer = answer.trim_end();
    let sentence = answer.strip_suffix('.').filter(|sentence| !sentence.ends_with('.'));
    let answer = sentence.map_or(answer, str::trim_end);
    only_formula(answer).unwrap_or(answer)
}

/// Where asterisks end what is printed bold, and are no sign of a power.
fn bold_ends(line: &str) -> Option<usize> {
    line.match_indices("**").map(|(at, _)| at).find(|at| {
        let after = &line[at + 2..];
        let power = after.starts_with(|c: char| !c.is_whitespace() && !matches!(c, '.' | ','));
        !power && !line[..*at].ends_with(' ')
    })
}

/// The only formula of a line is its answer, whatever words stand around it.
fn only_formula(line: &str) -> Option<&str> {
    const MARKS: [[&str; 2]; 4] = [["$$", "$$"], ["\\(", "\\)"], ["\\[", "\\]"], ["$", "$"]];
    MARKS.into_iter().find_map(|[open, close]| {
        let (before, rest) = line.split_once(open)?;
        let (formula, after) = rest.split_once(close)?;
        let before = before.trim_end().trim_end_matches(':');
        (is_words(before) && is_words(after)).then_some(formula.trim())
    })
}

fn is_words(text: &str) -> bool {
    text.chars().all(|c| c.is_alphabetic() || c.is_whitespace())
        && !text.split_whitespace().any(|word| matches!(word, "and" | "or" | "not"))
}

/// A box: its content, and where it stands with its command.
struct Boxed<'a> {
    begin: usize,
    end: usize,
    content: &'a str,
    /// It holds an answer.
    full: bool,
}

/// All boxes that are closed.
fn boxes(solution: &str) -> Vec<Boxed<'_>> {
    const COMMANDS: [&str; 2] = ["\\boxed", "\\fbox"];
    let mut boxes = Vec::new();
    let mut from = 0;
    while let Some(found) = solution[from..].find('\\') {
        let begin = from + found;
        from = begin + 1;
        let Some(rest) =
            COMMANDS.iter().find_map(|command| solution[begin..].strip_prefix(command))
        else {
            continue;
        };
        from = solution.len() - rest.len();
        if let Some((content, length)) = content(rest) {
            from += length;
            let full = is_full(content, rest.trim_start_matches(' ').starts_with('{'));
            boxes.push(Boxed { begin, end: from, content, full });
        }
    }
    boxes
}

/// The content of the last box, or of those that are one list with it, and where it ends.
fn last_boxed<'a>(solution: &str, mut boxes: Vec<Boxed<'a>>) -> Option<(usize, Cow<'a, str>)> {
    let Boxed { mut begin, end, content, .. } = boxes.pop()?;
    let mut members = vec![content];
    while let Some(earlier) = boxes.pop() {
        if !is_conjunction(&solution[earlier.end..begin]) {
            break;
        }
        members.push(earlier.content);
        begin = earlier.begin;
    }
    members.reverse();
    let answer = match members.as_slice() {
        [only] => Cow::Borrowed(only.trim()),
        all => Cow::Owned(all.join(", ")),
    };
    Some((end, answer))
}

/// The braced content behind the command of a box, and the length of all of it; one word where braces are left out.
fn content(text: &str) -> Option<(&str, usize)> {
    let rest = text.trim_start_matches(' ');
    let skipped = text.len() - rest.len();
    if !rest.starts_with('{') {
        let end = rest.find(['$', '\n', ' ', '\\']).unwrap_or(rest.len());
        return (skipped > 0 && end > 0).then(|| (&rest[..end], skipped + end));
    }
    braced(rest).map(|(content, length)| (content, skipped + length))
}

/// Whether a box holds an answer, rather than being spoken of: `put it in \boxed{}`, `\boxed{your answer}`, `the \boxed instruction`.
fn is_full(content: &str, braced: bool) -> bool {
    if !braced {
        let letters = content.chars().take(2).filter(|c| c.is_alphabetic()).count();
        return letters < 2 && content.contains(char::is_alphanumeric);
    }
    const DOTS: [&str; 3] = ["\\ldots", "\\cdots", "\\dots"];
    let bare = without(content, &[&SPACES[..], &TEXTS, &DOTS].concat());
    let shown = |c: &char| !c.is_whitespace() && !matches!(c, '.' | '…' | '$' | '{' | '}' | '*');
    let shown: String = bare.to_lowercase().chars().filter(shown).collect();
    let spoken_of = shown.ends_with("answer") && shown.chars().all(char::is_alphabetic);
    !(shown.is_empty() || spoken_of)
}

const SPACES: [&str; 8] = ["\\qquad", "\\quad", "\\,", "\\;", "\\:", "\\!", "\\ ", "~"];
const TEXTS: [&str; 5] = ["\\textbf", "\\textrm", "\\text", "\\mbox", "\\mathrm"];
const DELIMITERS: [&str; 5] = ["$", "\\(", "\\)", "\\[", "\\]"];

fn without(text: &str, dropped: &[&str]) -> String {
    dropped.iter().fold(text.to_owned(), |text, dropped| text.replace(dropped, " "))
}

/// Whether boxes with this between them are members of one list.
fn is_conjunction(between: &str) -> bool {
    let between = DELIMITERS.iter().fold(between.to_owned(), |text, mark| text.replace(mark, ""));
    let rest = without(&between, &[&SPACES[..], &TEXTS].concat());
    let words: Vec<&str> = rest
        .split(|c: char| c.is_whitespace() || matches!(c, ',' | '{' | '}' | ';' | '*'))
        .filter(|word| !word.is_empty())
        .collect();
    match words.as_slice() {
        [] => between.is_empty() || between.contains([',', ';']),
        [word] => *word == "and" || *word == "or",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{extract, until};

    #[test]
    fn the_last_mark_counts() {
        for (solution, answer) in [
            ("so \\boxed{3}, no: \\boxed{\\frac{1}{2}}.", Some("\\frac{1}{2}")),
            ("\\boxed{\\{1, 2\\}}", Some("\\{1, 2\\}")),
            ("\\boxed{4} and then \\boxed{5", Some("4")),
            ("thus $\\boxed 7$.", Some("7")),
            ("\\boxed{}", None),
            ("48/2=<<48/2=24>>24\n#### 72", Some("72")),
            ("#### 1,234 \nmore", Some("1,234")),
            ("<p>\nFinal Answer: $\\frac{3}{4}$\n</p>", Some("\\frac{3}{4}")),
            ("Final Answer: The final answer is $28 \\%$. I hope it is correct.", Some("28 \\%")),
            ("**Final Answer:**\n\n$x=5$", Some("x=5")),
            ("Final Answer: $12$ and $13$", Some("$12$ and $13$")),
            ("Final Answer: \\$5", Some("\\$5")),
            ("#### 2**3", Some("2**3")),
            ("#### x ** 2", Some("x ** 2")),
            ("**Final Answer: 8**.", Some("8")),
            ("#### 0.333...", Some("0.333...")),
            ("#### It is not $5$", Some("It is not $5$")),
            ("#### Answer \\( (9+1) \\)", Some("(9+1)")),
            ("#### The matrix is: $$\\frac12$$", Some("\\frac12")),
            ("#### It is \\[ 9 \\].", Some("9")),
            ("#### \\(1\\) and \\(2\\)", Some("\\(1\\) and \\(2\\)")),
            ("\\boxed{1}\\boxed{2}", Some("1, 2")),
            ("\\boxed{1}\n\n\\boxed{2}", Some("2")),
            ("\\boxed{1} ... Final Answer: 2", Some("2")),
            ("#### 1\n\\boxed{2}", Some("2")),
            ("\\boxed{1} and \\boxed{-2}", Some("1, -2")),
            ("$\\boxed{2}, \\boxed{3}$", Some("2, 3")),
            ("\\boxed{1}. Then again \\boxed{2}", Some("2")),
            ("The result is \\boxed{12}. Wait ... The result is \\boxed{15}.", Some("15")),
            ("It is 5.", None),
            ("", None),
        ] {
            assert_eq!(extract(solution).as_deref(), answer, "{solution}");
        }
    }

    #[test]
    fn a_framed_answer_is_a_boxed_one() {
        for (solution, answer) in [
            ("so $\\fbox{42}$.", "42"),
            ("\\boxed{3}, no: \\fbox{\\frac{1}{2}}", "\\frac{1}{2}"),
            ("\\fbox{3}, no: \\boxed{4}", "4"),
            ("\\fbox{1} and \\boxed{2}", "1, 2"),
            ("\\fboxsep=3pt \\boxed{4}", "4"),
        ] {
            assert_eq!(extract(solution).as_deref(), Some(answer), "{solution}");
        }
    }

    #[test]
    fn boxes_are_one_list_with_and_without_dollars() {
        let list = [
            "",
            ",",
            ", ",
            " and ",
            " or ",
            ", and ",
            ";\n",
            " \\text{ and } ",
            "\\qquad\\mbox{or}\\qquad ",
        ];
        let apart = [
            " ",
            "\n",
            " then ",
            ". So ",
            " and then ",
            ", not ",
            " is wrong: ",
            " and \\frac12 and ",
            " = ",
        ];
        for (betweens, answer) in [(&list, "3, 5"), (&apart, "5")] {
            for between in betweens {
                for text in [
                    format!("It is \\boxed{{3}}{between}\\boxed{{5}}."),
                    format!("It is $\\boxed{{3}}${between}$\\boxed{{5}}$."),
                    format!("It is $$\\boxed{{3}}$${between}$$\\boxed{{5}}$$."),
                    format!("It is \\(\\boxed{{3}}\\){between}\\(\\boxed{{5}}\\)."),
                    format!("It is $\\boxed{{3}}{between}\\boxed{{5}}$."),
                ] {
                    assert_eq!(extract(&text).as_deref(), Some(answer), "{text}");
                }
            }
        }
    }

    #[test]
    fn a_mark_that_is_spoken_of_replaces_no_answer() {
        for spoken in [
            "I was asked to put it within \\boxed{}.",
            "I put it in \\boxed{ }, or $\\boxed{\\;}$.",
            "I was asked for \\boxed{...} or \\boxed{\\ldots}.",
            "That is \\boxed{your answer} and \\boxed{\\text{answer}}.",
            "As the \\boxed instruction says, with \\boxed - or \\fbox{}.",
            "It stands in $\\boxed$, or behind ####.",
            "####",
            "Final Answer:",
        ] {
            for before in ["\\boxed{42}. ", "#### 42\n", "Final Answer: 42\n"] {
                let text = [before, spoken].concat();
                assert_eq!(extract(&text).as_deref(), Some("42"), "{text}");
            }
        }
        // What holds an answer does.
        for (last, answer) in [
            ("\\boxed 5", "5"),
            ("\\boxed x", "x"),
            ("\\boxed{\\{\\}}", "\\{\\}"),
            ("\\boxed{\\emptyset}", "\\emptyset"),
            ("\\boxed{no}", "no"),
            ("#### 8\n########", "8"),
            ("\\boxed{+}", "+"),
        ] {
            let text = format!("\\boxed{{42}}. No: {last}");
            assert_eq!(extract(&text).as_deref(), Some(answer), "{text}");
        }
        assert_eq!(extract("\\boxed yes").as_deref(), Some("yes"));
        assert_eq!(extract("\\boxed{} and \\boxed{ }"), None);
    }

    #[test]
    fn a_text_ends_where_the_next_question_begins() {
        let text = "It is 18.\n#### 18\n\nQuestion: 1 + 1?\nQ: 2?\n#### 2";
        let read = |marks: &[&str]| extract(until(text, marks)).map(std::borrow::Cow::into_owned);
        assert_eq!(read(&[]).as_deref(), Some("2"));
        assert_eq!(read(&["Question:"]).as_deref(), Some("18"));
        assert_eq!(read(&["\nQ:", "\nQuestion:"]).as_deref(), Some("18"));
        assert_eq!(read(&["Problem:", ""]).as_deref(), Some("2"));
        // A text that begins with a mark repeats its own question.
        assert_eq!(until(" Question: a\nQuestion: b", &["Question:"]), " Question: a\n");
        assert_eq!(until("Question: a", &["Question:"]), "Question: a");
    }
}
