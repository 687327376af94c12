//! Worked solutions as lists of steps.

/// One step a line, without GSM8K's calculator annotations: `48/2 = <<48/2=24>>24` becomes `48/2 = 24`.
pub(super) fn gsm8k_steps(solution: &str) -> Vec<String> {
    let lines = solution.lines().map(|line| without_annotations(line).trim().to_owned());
    lines.filter(|line| !line.is_empty()).collect()
}

/// The text without its `<<...>>`; one that is not closed stays.
fn without_annotations(line: &str) -> String {
    let mut kept = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("<<") {
        let Some((_, behind)) = after.split_once(">>") else { break };
        kept.push_str(before);
        rest = behind;
    }
    kept + rest
}

/// The paragraphs of a text in LaTeX or, where it has but one, its lines. Formulas and figures set apart stay whole.
pub(super) fn steps(solution: &str) -> Vec<String> {
    let parts = |ends: &dyn Fn(&str) -> bool| {
        let (mut parts, mut part) = (Vec::new(), String::new());
        let mut open = Open::default();
        for line in solution.lines() {
            let inside = open.any();
            open.read(line);
            if !line.trim().is_empty() || inside {
                part.push_str(line.trim_end());
                part.push('\n');
            }
            if ends(line) && !open.any() {
                parts.push(std::mem::take(&mut part));
            }
        }
        parts.push(part);
        let trimmed = parts.iter().map(|part| part.trim().to_owned());
        trimmed.filter(|part| !part.is_empty()).collect::<Vec<_>>()
    };
    let paragraphs = parts(&|line| line.trim().is_empty());
    if paragraphs.len() > 1 { paragraphs } else { parts(&|_| true) }
}

/// What is begun and not yet ended.
#[derive(Default)]
struct Open {
    /// `\begin{..}`, `\[` and `[asy]`
    depth: usize,
    /// `$$`
    display: bool,
}

impl Open {
    fn any(&self) -> bool {
        self.depth > 0 || self.display
    }

    fn read(&mut self, line: &str) {
        let mut rest = line;
        while let Some(first) = rest.chars().next() {
            const BEGIN: [&str; 3] = ["\\begin{", "\\[", "[asy]"];
            const END: [&str; 3] = ["\\end{", "\\]", "[/asy]"];
            let starts = |mark: &&&str| rest.starts_with(**mark);
            let read = if let Some(mark) = BEGIN.iter().find(starts) {
                self.depth += 1;
                mark.len()
            } else if let Some(mark) = END.iter().find(starts) {
                self.depth = self.depth.saturating_sub(1);
                mark.len()
            } else if rest.starts_with("$$") {
                self.display = !self.display;
                2
            } else if first == '\\' {
                // An escaped sign opens nothing: `\\[2pt]`, `\$`.
                1 + rest[1..].chars().next().map_or(0, char::len_utf8)
            } else {
                first.len_utf8()
            };
            rest = &rest[read..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_go_and_what_is_none_stays() {
        let text = "He has 3*4=<<3*4=12>>12 and 1/2=<<1/2=.5>>.5\n\n1 << 2 stays<<";
        assert_eq!(gsm8k_steps(text), ["He has 3*4=12 and 1/2=.5", "1 << 2 stays<<"]);
    }

    #[test]
    fn paragraphs_are_steps_and_lines_where_there_is_one() {
        assert_eq!(steps("One.\nStill one.\n\nTwo."), ["One.\nStill one.", "Two."]);
        assert_eq!(steps("One.\nTwo.\n"), ["One.", "Two."]);
        assert_eq!(steps("One."), ["One."]);
        assert!(steps(" \n").is_empty());
    }

    #[test]
    fn what_is_set_apart_stays_whole() {
        let aligned = "We get\n\\begin{align*}\na&=b\\\\[2pt]\n\nc&=d\n\\end{align*}";
        let text = format!("{aligned}\n\nSo $$x =\n\n2.$$ Done\n\n[asy]\n\ndraw();\n[/asy]");
        assert_eq!(steps(&text), [aligned, "So $$x =\n\n2.$$ Done", "[asy]\n\ndraw();\n[/asy]"]);
        assert_eq!(steps("a \\[\nx\n\\]\nb"), ["a \\[\nx\n\\]", "b"]);
        // What is never closed is one step, and more ends than beginnings are none.
        assert_eq!(steps("\\begin{x}\na\n\nb"), ["\\begin{x}\na\n\nb"]);
        assert_eq!(steps("\\end{x} a\nb\\"), ["\\end{x} a", "b\\"]);
    }
}
