//! The answer in the text of a solution.

use std::borrow::Cow;

use super::braces::braced;

/// The answer that stands last in a solution: in `\boxed{...}`, behind `####`, or behind `Final Answer:`.
///
/// Boxes with nothing but a comma or an "and" between them are one list. `None` where there is no such mark, or nothing behind it.
#[must_use]
pub fn extract(solution: &str) -> Option<Cow<'_, str>> {
    let marked = [last_behind(solution, "####"), last_behind(solution, "final answer:")];
    let marked = marked.into_iter().flatten().map(|(at, answer)| (at, Cow::Borrowed(answer)));
    let last = marked.chain(last_boxed(solution)).max_by_key(|(at, _)| *at);
    last.map(|(_, answer)| answer).filter(|answer| !answer.is_empty())
}

/// The last line behind a mark, and where the mark stands.
fn last_behind<'a>(solution: &'a str, mark: &str) -> Option<(usize, &'a str)> {
    let lower = solution.to_ascii_lowercase();
    let at = lower.rfind(mark)?;
    let rest = solution[at + mark.len()..].trim_start_matches(['*', ' ', '\n', '\r', '\t']);
    let line = rest.lines().next().unwrap_or_default();
    Some((at, without_phrases(line)))
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

/// The content of the last box that is closed, and where it ends.
fn last_boxed(solution: &str) -> Option<(usize, Cow<'_, str>)> {
    let mut boxes: Vec<(usize, usize, &str)> = Vec::new();
    let mut from = 0;
    while let Some(found) = solution[from..].find("\\boxed") {
        let begin = from + found;
        let after = begin + "\\boxed".len();
        from = after;
        if let Some((content, length)) = content(&solution[after..]) {
            boxes.push((begin, after + length, content));
            from = after + length;
        }
    }
    let (mut begin, end, last) = boxes.pop()?;
    let mut members = vec![last];
    while let Some((earlier, close, content)) = boxes.pop() {
        if !is_conjunction(&solution[close..begin]) {
            break;
        }
        members.push(content);
        begin = earlier;
    }
    members.reverse();
    let answer = match members.as_slice() {
        [only] => Cow::Borrowed(only.trim()),
        all => Cow::Owned(all.join(", ")),
    };
    Some((end, answer))
}

/// The braced content behind `\boxed`, and the length of all of it; one word where braces are left out.
fn content(text: &str) -> Option<(&str, usize)> {
    let rest = text.trim_start_matches(' ');
    let skipped = text.len() - rest.len();
    if !rest.starts_with('{') {
        let end = rest.find(['$', '\n', ' ', '\\']).unwrap_or(rest.len());
        return (skipped > 0 && end > 0).then(|| (&rest[..end], skipped + end));
    }
    braced(rest).map(|(content, length)| (content, skipped + length))
}

/// Whether boxes with this between them are members of one list.
fn is_conjunction(between: &str) -> bool {
    if between.len() > 40 {
        return false;
    }
    let mut rest = between.to_owned();
    for dropped in ["\\text", "\\quad", "\\)", "\\(", "\\,", "\\ "] {
        rest = rest.replace(dropped, " ");
    }
    let words: Vec<&str> = rest
        .split(|c: char| c.is_whitespace() || matches!(c, ',' | '$' | '{' | '}' | ';'))
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
    use super::extract;

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
            ("It is 5.", None),
            ("", None),
        ] {
            assert_eq!(extract(solution).as_deref(), answer, "{solution}");
        }
    }
}
