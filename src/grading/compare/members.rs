//! Lists, sets and tuples.

use std::collections::BTreeSet;

use super::{Comparison, all, possible};
use crate::answer::{Answer, Name};
use crate::grade::{Grade, Rule, Verdict};

impl Comparison {
    /// Members in the same order.
    pub(super) fn ordered(&mut self, left: &[Answer], right: &[Answer], rule: Rule) -> Grade {
        if left.len() != right.len() {
            return Grade::different(rule);
        }
        all(left.iter().zip(right).map(|(left, right)| self.answers(left, right)), rule)
    }

    /// Members in any order, each counted once.
    pub(super) fn unordered(&mut self, left: &[Answer], right: &[Answer], rule: Rule) -> Grade {
        let (left, right) = (self.distinct(left), self.distinct(right));
        if left.len() != right.len() {
            return Grade::different(rule);
        }
        let mut grades: Vec<Vec<Grade>> = Vec::with_capacity(left.len());
        for member in &left {
            grades.push(right.iter().map(|other| self.answers(member, other)).collect());
        }
        // A member that differs from all on the other side settles it, whichever side it is on.
        let differs = |grade: &Grade| grade.verdict == Verdict::Different;
        let alone = |column: usize| grades.iter().all(|row| differs(&row[column]));
        if grades.iter().any(|row| row.iter().all(differs)) || (0..right.len()).any(alone) {
            return Grade::different(rule);
        }
        let mut whole = Grade::equal(rule);
        let mut free = vec![true; right.len()];
        for row in &grades {
            let found = (0..right.len()).find(|column| free[*column] && row[*column].is_equal());
            let Some(column) = found else { return Grade::undecided(rule) };
            free[column] = false;
            whole.exact &= row[column].exact;
        }
        whole
    }

    fn distinct<'a>(&mut self, members: &'a [Answer]) -> Vec<&'a Answer> {
        let mut distinct: Vec<&Answer> = Vec::with_capacity(members.len());
        for member in members {
            if !distinct.iter().any(|other| self.answers(other, member).is_equal()) {
                distinct.push(member);
            }
        }
        distinct
    }

    /// Members without brackets. Values of several names keep their order where the other side leaves the names out.
    pub(super) fn lists(&mut self, left: &[Answer], right: &[Answer]) -> Grade {
        let names = |members: &[Answer]| -> BTreeSet<String> {
            members.iter().filter_map(name).map(|name| name.text.clone()).collect()
        };
        match (names(left).len(), names(right).len()) {
            (2.., 0) | (0, 2..) => self.named(left, right, Rule::List),
            // `x = 1, 2` names its first member alone, and means all.
            (1, _) | (_, 1) if names(left).union(&names(right)).count() == 1 => {
                let unnamed = |members: &[Answer]| -> Vec<Answer> {
                    members.iter().map(|member| member.unnamed().clone()).collect()
                };
                self.unordered(&unnamed(left), &unnamed(right), Rule::List)
            }
            _ => self.unordered(left, right, Rule::List),
        }
    }

    /// Members of which one side gives the names: values without names stand in the alphabet's order.
    fn named(&mut self, left: &[Answer], right: &[Answer], rule: Rule) -> Grade {
        let sorted =
            |members: &[Answer]| members.iter().filter_map(name).map(|name| &name.text).is_sorted();
        if sorted(left) && sorted(right) {
            self.ordered(left, right, rule)
        } else {
            possible(self.unordered(left, right, Rule::Name))
        }
    }

    /// Members without brackets against those in brackets: `3, 4` may be the point (3, 4) or two solutions, and `x = 3, y = 4` is the
    /// point.
    pub(super) fn list_and_tuple(
        &mut self,
        list: &[Answer],
        closed: [bool; 2],
        members: &[Answer],
    ) -> Grade {
        let names: BTreeSet<&str> =
            list.iter().filter_map(name).map(|name| name.text.as_str()).collect();
        if names.len() == list.len() && list.len() > 1 && closed == [false, false] {
            self.named(list, members, Rule::Tuple)
        } else {
            possible(self.unordered(list, members, Rule::Tuple))
        }
    }

    pub(super) fn tuples(&mut self, left: &Answer, right: &Answer) -> Grade {
        let (
            Answer::Tuple { closed: left_closed, members: left },
            Answer::Tuple { closed: right_closed, members: right },
        ) = (left, right)
        else {
            return Grade::different(Rule::Kind);
        };
        let grade = self.ordered(left, right, Rule::Tuple);
        if left_closed == right_closed {
            let interval = left_closed.contains(&true) || left.iter().chain(right).any(is_infinite);
            return Grade { rule: if interval { Rule::Interval } else { Rule::Tuple }, ..grade };
        }
        // Two members are an interval's ends; more are a vector, in whatever brackets.
        if left.len() == 2 && right.len() == 2 {
            Grade::different(Rule::Interval)
        } else {
            possible(grade)
        }
    }
}

fn is_infinite(answer: &Answer) -> bool {
    matches!(answer, Answer::Infinite { .. })
}

fn name(answer: &Answer) -> Option<&Name> {
    match answer {
        Answer::Named { name, .. } => Some(name),
        _ => None,
    }
}
