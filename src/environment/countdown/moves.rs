//! The rules of one step.

use std::fmt;

use super::Rules;
use super::number::Number;

/// One of the four operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
}

impl Operation {
    const ALL: [Self; 4] = [Self::Add, Self::Subtract, Self::Multiply, Self::Divide];

    fn symbol(self) -> char {
        match self {
            Self::Add => '+',
            Self::Subtract => '-',
            Self::Multiply => '*',
            Self::Divide => '/',
        }
    }

    fn compute(self, left: Number, right: Number, rules: Rules) -> Result<Number, &'static str> {
        let result = match self {
            Self::Add => left.add(right),
            Self::Subtract => left.add(right.negated()),
            Self::Multiply => left.multiply(right),
            Self::Divide => left.multiply(right.inverse().ok_or("divides by zero")?),
        };
        result.allowed(rules)
    }
}

/// What a step does, by the rules of arithmetic; whether the numbers are available is [`Move::apply`]'s to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Move {
    /// Puts the result of an operation in the place of two numbers.
    Combine { left: Number, operation: Operation, right: Number, result: Number },
    /// Keeps one number as the answer and leaves the others over.
    Keep(Number),
}

/// As the canonical step is written: `7*3`, `3-(8/3)`, `26`.
impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Combine { left, operation, right, .. } => {
                f.write_str(&written(*left, *operation, *right))
            }
            Self::Keep(number) => f.write_str(&number.operand()),
        }
    }
}

fn written(left: Number, operation: Operation, right: Number) -> String {
    format!("{}{}{}", left.operand(), operation.symbol(), right.operand())
}

impl Move {
    fn combine(
        left: Number,
        operation: Operation,
        right: Number,
        rules: Rules,
    ) -> Result<Self, String> {
        match operation.compute(left, right, rules) {
            Ok(result) => Ok(Self::Combine { left, operation, right, result }),
            Err(why) => Err(format!("{} {why}", written(left, operation, right))),
        }
    }

    /// Reads `7*3`, with blanks or without, and where numbers may be left over also `26`.
    pub(super) fn parse(text: &str, rules: Rules) -> Result<Self, String> {
        match operator(text, rules) {
            Some((index, operation)) => {
                let operand = |text| Number::parse_operand(text, rules);
                let (left, right) = (operand(&text[..index])?, operand(&text[index + 1..])?);
                Self::combine(left, operation, right, rules)
            }
            None if rules.leftover => Ok(Self::Keep(Number::parse(text, rules)?)),
            None => Err(format!("`{text}` has no operator")),
        }
    }

    /// What the step comes to.
    pub(super) fn result(self) -> Number {
        match self {
            Self::Combine { result, .. } | Self::Keep(result) => result,
        }
    }

    /// The numbers that are left after the move, in ascending order.
    pub(super) fn apply(self, numbers: &[Number]) -> Result<Vec<Number>, String> {
        let mut left = numbers.to_vec();
        let mut take = |operand: Number| {
            let index = left.iter().position(|&number| number == operand).ok_or_else(|| {
                let twice = if numbers.contains(&operand) { " twice" } else { "" };
                format!("{operand} is not available{twice}")
            })?;
            left.remove(index);
            Ok::<_, String>(())
        };
        match self {
            Self::Combine { left: first, right: second, result, .. } => {
                take(first)?;
                take(second)?;
                let index = left.partition_point(|&number| number < result);
                left.insert(index, result);
            }
            Self::Keep(number) => {
                take(number)?;
                if left.is_empty() {
                    return Err(format!("{number} is the answer already"));
                }
                left = vec![number];
            }
        }
        Ok(left)
    }
}

/// The operator and where it stands: behind the first operand, whose sign or fraction bar is none.
fn operator(text: &str, rules: Rules) -> Option<(usize, Operation)> {
    let blanks = text.len() - text.trim_start_matches([' ', '\t']).len();
    let behind = match text.as_bytes().get(blanks) {
        Some(b'(') if !rules.are_plain() => text.find(')').unwrap_or(blanks),
        Some(b'-') if rules.negative => blanks + 1,
        _ => blanks,
    };
    let operation = |symbol| Operation::ALL.into_iter().find(|one| one.symbol() == symbol);
    let mut symbols = text[behind..].char_indices();
    symbols.find_map(|(index, symbol)| Some((behind + index, operation(symbol)?)))
}

/// The numbers as the state lists them.
pub(super) fn join(numbers: &[Number]) -> String {
    numbers.iter().map(Number::to_string).collect::<Vec<_>>().join(" ")
}

/// Every distinct legal move from `numbers` (in ascending order), with the numbers that it leaves.
pub(super) fn legal_moves(numbers: &[Number], rules: Rules) -> Vec<(Move, Vec<Number>)> {
    let mut moves: Vec<(Move, Vec<Number>)> = Vec::new();
    for (i, &left) in numbers.iter().enumerate() {
        for (j, &right) in numbers.iter().enumerate() {
            if i == j || (i > 0 && numbers[i - 1] == left && i - 1 != j) {
                continue;
            }
            for operation in Operation::ALL {
                let Ok(chosen) = Move::combine(left, operation, right, rules) else { continue };
                if moves.iter().any(|(seen, _)| *seen == chosen) {
                    continue;
                }
                if let Ok(numbers) = chosen.apply(numbers) {
                    moves.push((chosen, numbers));
                }
            }
        }
    }
    if rules.leftover && numbers.len() > 1 {
        let mut kept = numbers.to_vec();
        kept.dedup();
        moves.extend(kept.into_iter().map(|number| (Move::Keep(number), vec![number])));
    }
    moves
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moves(numbers: &[u64], rules: Rules) -> Vec<String> {
        let numbers: Vec<Number> =
            numbers.iter().map(|&number| Number::whole(number).unwrap()).collect();
        let moves = legal_moves(&numbers, rules);
        moves.iter().map(|(chosen, left)| format!("{chosen}:{}", join(left))).collect()
    }

    #[test]
    fn legal_moves_are_all_and_only_the_legal_ones_in_a_fixed_order() {
        let plain = |numbers| moves(numbers, Rules::default());
        assert_eq!(plain(&[2, 4]), ["2+4:6", "2*4:8", "4+2:6", "4-2:2", "4*2:8", "4/2:2"]);
        assert_eq!(plain(&[3, 3]), ["3+3:6", "3-3:0", "3*3:9", "3/3:1"]);
        assert_eq!(plain(&[0, 5]), ["0+5:5", "0*5:0", "0/5:0", "5+0:5", "5-0:5", "5*0:0"]);
        assert_eq!(moves(&[3, 3, 4], Rules::default())[0], "3+3:4 6");
        let negative = moves(&[3, 3], Rules { negative: true, ..Rules::default() });
        assert_eq!(negative, plain(&[3, 3]));
        let negative = moves(&[2, 4], Rules { negative: true, ..Rules::default() });
        assert!(negative.contains(&"2-4:-2".to_owned()) && negative.len() == 7, "{negative:?}");
        let fractions = moves(&[2, 4], Rules { fractions: true, ..Rules::default() });
        assert!(fractions.contains(&"2/4:1/2".to_owned()) && fractions.len() == 7, "{fractions:?}");
        let leftover = moves(&[3, 3, 4], Rules { leftover: true, ..Rules::default() });
        assert_eq!(leftover[leftover.len() - 2..], ["3:3", "4:4"]);
        assert_eq!(moves(&[3], Rules { leftover: true, ..Rules::default() }), [""; 0]);
    }

    #[test]
    fn legal_moves_do_not_depend_on_repeats_being_adjacent_to_themselves() {
        // 3 3 4: every ordered pair of values occurs, 3 with its twin included.
        let texts = moves(&[3, 3, 4], Rules::default());
        for expected in ["3+3:", "3*4:", "4*3:", "4-3:", "3/3:"] {
            assert!(texts.iter().any(|text| text.starts_with(expected)), "{expected} in {texts:?}");
        }
    }
}
