//! Answers that are the same, for majority votes.

use super::written::Written;

/// The group of each answer, numbered in the order of their first members.
///
/// An answer joins the first group all of whose members equal it: 5 %, 5 and 0.05 are never one group, though 5 % equals both. An
/// answer that equals nothing, an empty one included, is a group of its own.
#[must_use]
pub fn groups(answers: &[&str]) -> Vec<usize> {
    let mut groups: Vec<Vec<Written<'_>>> = Vec::new();
    let mut of = Vec::with_capacity(answers.len());
    for answer in answers {
        let written = Written::new(answer);
        let joins = |group: &Vec<Written<'_>>| group.iter().all(|member| member.same(&written));
        let index = groups.iter().position(joins);
        let index = index.unwrap_or_else(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        // Members with the same text add nothing to the group.
        if !groups[index].iter().any(|member| member.text() == *answer) {
            groups[index].push(written);
        }
        of.push(index);
    }
    of
}

#[cfg(test)]
mod tests {
    use super::groups;

    #[test]
    fn equal_answers_are_one_group() {
        let answers = ["1/2", "3", "0.5", "\\frac12", "x=3", "(1,2)", "(2,1)", "50\\%", "", "$3$"];
        assert_eq!(groups(&answers), [0, 1, 0, 0, 1, 2, 3, 0, 4, 1]);
    }

    #[test]
    fn what_is_not_equal_is_never_together() {
        // 5 % goes to whichever comes first.
        assert_eq!(groups(&["5", "5\\%", "0.05"]), [0, 0, 1]);
        assert_eq!(groups(&["0.05", "5\\%", "5"]), [0, 0, 1]);
        assert_eq!(groups(&["\\foo{1}", "\\foo{2}", "\\foo{1}"]), [0, 1, 0]);
        assert!(groups(&[]).is_empty());
    }
}
