//! The rules of one operation.

use std::fmt;

/// Results above this end the path: nothing near it is ever a target, and products stay far from overflow.
const LARGEST: u64 = 1_000_000_000;

/// One of the four operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
}

impl Operation {
    /// All four.
    pub const ALL: [Self; 4] = [Self::Add, Self::Subtract, Self::Multiply, Self::Divide];

    fn symbol(self) -> char {
        match self {
            Self::Add => '+',
            Self::Subtract => '-',
            Self::Multiply => '*',
            Self::Divide => '/',
        }
    }

    fn compute(self, left: u64, right: u64) -> Result<u64, &'static str> {
        let result = match self {
            Self::Add => left + right,
            Self::Subtract => left.checked_sub(right).ok_or("goes below zero")?,
            Self::Multiply => left.saturating_mul(right),
            Self::Divide if right == 0 => return Err("divides by zero"),
            Self::Divide if !left.is_multiple_of(right) => return Err("leaves a remainder"),
            Self::Divide => left / right,
        };
        if result > LARGEST { Err("is too large") } else { Ok(result) }
    }
}

/// An operation on two numbers that keeps the rules of arithmetic; whether the numbers are available is
/// `Move::apply`'s to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    /// Left operand.
    pub left: u64,
    /// The operation.
    pub operation: Operation,
    /// Right operand.
    pub right: u64,
    /// What it comes to.
    pub result: u64,
}

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.left, self.operation.symbol(), self.right)
    }
}

impl Move {
    fn new(left: u64, operation: Operation, right: u64) -> Result<Self, String> {
        match operation.compute(left, right) {
            Ok(result) => Ok(Self { left, operation, right, result }),
            Err(why) => Err(format!("{left}{}{right} {why}", operation.symbol())),
        }
    }

    /// Reads `7*3`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (index, operation) = Operation::ALL
            .iter()
            .filter_map(|&operation| Some((text.find(operation.symbol())?, operation)))
            .min_by_key(|&(index, _)| index)
            .ok_or_else(|| format!("`{text}` has no operator"))?;
        Self::new(parse_number(&text[..index])?, operation, parse_number(&text[index + 1..])?)
    }

    /// The numbers that are left after the move, in ascending order.
    pub(super) fn apply(self, numbers: &[u64]) -> Result<Vec<u64>, String> {
        let mut left = numbers.to_vec();
        for operand in [self.left, self.right] {
            let index = left.iter().position(|&number| number == operand).ok_or_else(|| {
                let twice = if numbers.contains(&operand) { " twice" } else { "" };
                format!("{operand} is not available{twice}")
            })?;
            left.remove(index);
        }
        let index = left.partition_point(|&number| number < self.result);
        left.insert(index, self.result);
        Ok(left)
    }
}

pub(super) fn parse_number(text: &str) -> Result<u64, String> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("`{text}` is not a number"));
    }
    match text.parse() {
        Ok(number) if number <= LARGEST => Ok(number),
        _ => Err(format!("{text} is too large")),
    }
}

pub(super) fn join(numbers: &[u64]) -> String {
    numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(" ")
}

/// Every distinct legal move from `numbers` (in ascending order), with the numbers that it leaves.
#[must_use]
pub fn legal_moves(numbers: &[u64]) -> Vec<(Move, Vec<u64>)> {
    let mut moves: Vec<(Move, Vec<u64>)> = Vec::new();
    for (i, &left) in numbers.iter().enumerate() {
        for (j, &right) in numbers.iter().enumerate() {
            if i == j || (i > 0 && numbers[i - 1] == left && i - 1 != j) {
                continue;
            }
            for operation in Operation::ALL {
                let Ok(chosen) = Move::new(left, operation, right) else { continue };
                if moves.iter().any(|(seen, _)| *seen == chosen) {
                    continue;
                }
                if let Ok(numbers) = chosen.apply(numbers) {
                    moves.push((chosen, numbers));
                }
            }
        }
    }
    moves
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legal_moves_are_all_and_only_the_legal_ones() {
        let moves = |numbers: &[u64]| {
            let mut texts: Vec<_> =
                legal_moves(numbers).iter().map(|(chosen, _)| chosen.to_string()).collect();
            texts.sort();
            texts
        };
        assert_eq!(moves(&[2, 4]), ["2*4", "2+4", "4*2", "4+2", "4-2", "4/2"]);
        assert_eq!(moves(&[3, 3]), ["3*3", "3+3", "3-3", "3/3"]);
        assert_eq!(moves(&[0, 5]), ["0*5", "0+5", "0/5", "5*0", "5+0", "5-0"]);
        let (chosen, left) = legal_moves(&[3, 3, 4]).swap_remove(0);
        assert_eq!((chosen.to_string().as_str(), left.as_slice()), ("3+3", &[4, 6][..]));
    }

    #[test]
    fn legal_moves_do_not_depend_on_repeats_being_adjacent_to_themselves() {
        // 3 3 4: every ordered pair of values occurs, 3 with its twin included.
        let texts: Vec<_> =
            legal_moves(&[3, 3, 4]).iter().map(|(chosen, _)| chosen.to_string()).collect();
        for expected in ["3+3", "3*4", "4*3", "4-3", "3/3"] {
            assert!(texts.iter().any(|text| text == expected), "{expected} in {texts:?}");
        }
    }
}
