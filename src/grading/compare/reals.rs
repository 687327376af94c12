//! Sets of real numbers: intervals, their unions, and conditions on one variable.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use super::{Comparison, all, possible};
use crate::answer::{Answer, Join, Value};
use crate::grade::{Grade, Rule};
use crate::numeric;

/// What an answer says of the real numbers.
enum Reals<'a> {
    /// Nothing: it is a number, a list, ...
    Nothing,
    /// Something that cannot be computed, or that can be read in several ways
    Unclear,
    Set {
        /// The variable that it is said of
        name: Option<&'a str>,
        intervals: Intervals<'a>,
    },
}

/// Intervals in their order, with gaps between them: every set has but one such form.
type Intervals<'a> = Vec<[Cut<'a>; 2]>;

/// A place between the numbers: an interval is all that lies between two of them.
#[derive(Clone, Copy)]
struct Cut<'a> {
    at: &'a Answer,
    /// Behind the number, so that it is left out at an interval's beginning and is in at its end
    behind: bool,
}

impl Comparison {
    /// Compares sets of which one at least is more than an interval; `None` where that is not what both are.
    pub(super) fn reals(&mut self, left: &Answer, right: &Answer) -> Option<Grade> {
        let joined = |answer: &Answer| matches!(answer, Answer::Joined { .. });
        let is_set =
            |answer: &Answer| joined(answer) || matches!(answer.unnamed(), Answer::Union(_));
        if !is_set(left) && !is_set(right) {
            return None;
        }
        if let (
            Answer::Joined { join: a, members: left },
            Answer::Joined { join: b, members: right },
        ) = (left, right)
            && a.agrees(*b)
        {
            let grade = self.lists(left, right);
            if grade.is_equal() {
                return Some(grade);
            }
        }
        match (self.read(left), self.read(right)) {
            (Reals::Nothing, _) | (_, Reals::Nothing) => None,
            (Reals::Set { name: a, intervals: left }, Reals::Set { name: b, intervals: right }) => {
                let grade = self.intervals(&left, &right);
                // The same numbers for x and for y may or may not be the same answer.
                let other = a.zip(b).is_some_and(|(a, b)| a != b);
                Some(if other { possible(Grade { rule: Rule::Name, ..grade }) } else { grade })
            }
            _ if joined(left) || joined(right) => Some(Grade::undecided(Rule::Relation)),
            _ => None,
        }
    }

    fn intervals(&mut self, left: &Intervals<'_>, right: &Intervals<'_>) -> Grade {
        if left.len() != right.len() {
            return Grade::different(Rule::Union);
        }
        let cuts = left.iter().flatten().zip(right.iter().flatten());
        let grades = cuts.map(|(left, right)| {
            let grade = self.answers(left.at, right.at);
            if left.behind == right.behind { grade } else { Grade::different(Rule::Union) }
        });
        let grade = all(grades, Rule::Union);
        // The order of other ends was found by their values.
        let rational = |cut: &Cut<'_>| is_infinite(cut.at) || cut.at.number().is_some();
        let exact = left.iter().chain(right).flatten().all(rational);
        if exact { grade } else { grade.probable() }
    }

    fn read<'a>(&mut self, answer: &'a Answer) -> Reals<'a> {
        let set = |intervals: Option<Intervals<'a>>| match intervals {
            Some(intervals) => Reals::Set { name: None, intervals },
            None => Reals::Unclear,
        };
        match answer {
            Answer::Named { name, value } if name.arity == 1 => {
                let read = match &**value {
                    number @ Answer::Value(_) => set(point(number).map(|point| vec![point])),
                    value => self.read(value),
                };
                match read {
                    Reals::Set { intervals, .. } => {
                        Reals::Set { name: Some(&name.text), intervals }
                    }
                    other => other,
                }
            }
            Answer::Tuple { closed, members } => self.interval(*closed, members),
            Answer::Set(members) => match members.iter().map(point).collect() {
                Some(points) => set(self.union(points)),
                None => Reals::Nothing,
            },
            Answer::Union(parts) => {
                let mut intervals = Vec::new();
                for part in parts {
                    match self.read(part) {
                        Reals::Set { intervals: part, .. } => intervals.extend(part),
                        other => return other,
                    }
                }
                set(self.union(intervals))
            }
            Answer::Joined { join, members } => self.joined(*join, members),
            Answer::Related { .. } => Reals::Unclear,
            _ => Reals::Nothing,
        }
    }

    /// Two ends and what is between them.
    fn interval<'a>(&mut self, closed: [bool; 2], members: &'a [Answer]) -> Reals<'a> {
        let [low, high] = members else { return Reals::Nothing };
        if [low, high].into_iter().zip(closed).any(|(end, closed)| closed && is_infinite(end)) {
            return Reals::Nothing;
        }
        if ![low, high].into_iter().all(|end| is_infinite(end) || is_real(end)) {
            return Reals::Unclear;
        }
        let interval = [Cut { at: low, behind: !closed[0] }, Cut { at: high, behind: closed[1] }];
        match self.order(interval[0], interval[1]) {
            Some(Ordering::Less) => Reals::Set { name: None, intervals: vec![interval] },
            Some(_) => Reals::Nothing,
            None => Reals::Unclear,
        }
    }

    /// Conditions on one variable. A reading that leaves nothing open, or nothing at all, is not meant.
    fn joined<'a>(&mut self, join: Join, members: &'a [Answer]) -> Reals<'a> {
        let mut names = BTreeSet::new();
        members.iter().for_each(|member| collect_names(member, &mut names));
        if names.len() > 1 {
            return Reals::Nothing;
        }
        let name = names.pop_first();
        if name.is_none() && join != Join::Or {
            return Reals::Unclear;
        }
        let mut sets = Vec::with_capacity(members.len());
        for member in members {
            match self.read(member) {
                Reals::Set { intervals, .. } => sets.push(intervals),
                Reals::Nothing | Reals::Unclear => return Reals::Unclear,
            }
        }
        // What leaves out a few numbers goes with all the rest: `x < 1, x > 2, x \ne 5`.
        let excludes = sets.iter().any(|set| unbounded(set) && set.len() > 1);
        let (Some(any), Some(both)) = (self.union(sets.concat()), self.intersection(&sets)) else {
            return Reals::Unclear;
        };
        let says = |set: &Intervals<'_>| !(set.is_empty() || set.len() == 1 && unbounded(set));
        let meant = match join {
            Join::Or => Some(any).filter(says),
            Join::And => Some(both).filter(says),
            Join::Comma => match (says(&any), says(&both)) {
                (true, false) if !excludes => Some(any),
                (false, true) => Some(both),
                _ => None,
            },
        };
        match meant {
            Some(intervals) => Reals::Set { name, intervals },
            None => Reals::Unclear,
        }
    }

    fn union<'a>(&mut self, intervals: Intervals<'a>) -> Option<Intervals<'a>> {
        let mut sorted: Intervals<'a> = Vec::with_capacity(intervals.len());
        for interval in intervals {
            let mut at = sorted.len();
            while at > 0 && self.order(interval[0], sorted[at - 1][0])? == Ordering::Less {
                at -= 1;
            }
            sorted.insert(at, interval);
        }
        let mut union: Intervals<'a> = Vec::with_capacity(sorted.len());
        for [from, to] in sorted {
            match union.last_mut() {
                Some([_, end]) if self.order(*end, from)? != Ordering::Less => {
                    *end = self.larger(*end, to)?;
                }
                _ => union.push([from, to]),
            }
        }
        Some(union)
    }

    fn intersection<'a>(&mut self, sets: &[Intervals<'a>]) -> Option<Intervals<'a>> {
        let (first, rest) = sets.split_first()?;
        let mut common = first.clone();
        for set in rest {
            let mut next = Vec::new();
            for [from, to] in common {
                for [other_from, other_to] in set {
                    let from = self.larger(from, *other_from)?;
                    let ends_first = self.order(to, *other_to)? == Ordering::Less;
                    let to = if ends_first { to } else { *other_to };
                    if self.order(from, to)? == Ordering::Less {
                        next.push([from, to]);
                    }
                }
            }
            common = next;
        }
        Some(common)
    }

    fn larger<'a>(&mut self, left: Cut<'a>, right: Cut<'a>) -> Option<Cut<'a>> {
        Some(if self.order(left, right)? == Ordering::Less { right } else { left })
    }

    fn order(&mut self, left: Cut<'_>, right: Cut<'_>) -> Option<Ordering> {
        let order = match (left.at, right.at) {
            (Answer::Infinite { negative: left }, Answer::Infinite { negative: right }) => {
                right.cmp(left)
            }
            (Answer::Infinite { negative: true }, _)
            | (_, Answer::Infinite { negative: false }) => Ordering::Less,
            (Answer::Infinite { .. }, _) | (_, Answer::Infinite { .. }) => Ordering::Greater,
            (Answer::Value(left), Answer::Value(right)) => self.order_of_values(left, right)?,
            _ => return None,
        };
        Some(order.then(left.behind.cmp(&right.behind)))
    }

    fn order_of_values(&mut self, left: &Value, right: &Value) -> Option<Ordering> {
        use crate::expression::Expression::Number;
        let (left, right) = (&left.expression, &right.expression);
        if let (Number(left), Number(right)) = (left, right) {
            return Some(left.cmp(right));
        }
        if self.expressions(left, right).is_equal() {
            return Some(Ordering::Equal);
        }
        self.numeric = self.numeric.checked_sub(1)?;
        numeric::order(left, right)
    }
}

/// One number as an interval.
fn point(answer: &Answer) -> Option<[Cut<'_>; 2]> {
    let cut = |behind| Cut { at: answer, behind };
    is_real(answer).then(|| [cut(false), cut(true)])
}

/// A constant that counts nothing. One that is not real is in no order with others.
fn is_real(answer: &Answer) -> bool {
    matches!(answer, Answer::Value(value) if value.unit.is_none() && value.expression.is_constant())
}

fn is_infinite(answer: &Answer) -> bool {
    matches!(answer, Answer::Infinite { .. })
}

/// Whether a set goes on without end on both sides.
fn unbounded(set: &Intervals<'_>) -> bool {
    match (set.first(), set.last()) {
        (Some([from, _]), Some([_, to])) => is_infinite(from.at) && is_infinite(to.at),
        _ => false,
    }
}

fn collect_names<'a>(answer: &'a Answer, into: &mut BTreeSet<&'a str>) {
    match answer {
        Answer::Named { name, .. } => {
            into.insert(&name.text);
        }
        Answer::Joined { members, .. } => {
            members.iter().for_each(|member| collect_names(member, into));
        }
        _ => {}
    }
}
