//! Integer expressions, and the rewriting of one operation in them.

use std::fmt;

/// Results beyond this are refused: the sum of two of them is far from overflow.
const LARGEST: i64 = 1_000_000_000_000;

/// Longest expression in characters: nesting is bounded by it.
const LONGEST: usize = 2000;

/// One of the four operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
}

impl Operator {
    pub(super) fn from_symbol(symbol: char) -> Option<Self> {
        match symbol {
            '+' => Some(Self::Add),
            '-' => Some(Self::Subtract),
            '*' => Some(Self::Multiply),
            '/' => Some(Self::Divide),
            _ => None,
        }
    }

    fn symbol(self) -> char {
        match self {
            Self::Add => '+',
            Self::Subtract => '-',
            Self::Multiply => '*',
            Self::Divide => '/',
        }
    }

    /// The result, no larger than `bound`; a division must be exact.
    fn compute(self, left: i64, right: i64, bound: i64) -> Result<i64, &'static str> {
        let result = match self {
            Self::Add => left.checked_add(right),
            Self::Subtract => left.checked_sub(right),
            Self::Multiply => left.checked_mul(right),
            Self::Divide if right == 0 => return Err("divides by zero"),
            Self::Divide if left % right != 0 => return Err("leaves a remainder"),
            Self::Divide => Some(left / right),
        };
        result.filter(|result| (-bound..=bound).contains(result)).ok_or("is too large")
    }
}

/// A part of an expression. A minus sign before a number is the number's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Token {
    Number(i64),
    Operator(Operator),
    /// The sign of what stands in parentheses.
    Negate,
    Open,
    Close,
}

/// An expression; no number stands alone in parentheses.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Expression(Vec<Token>);

/// One operation on two numbers, as a policy writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Operation {
    left: i64,
    operator: Operator,
    right: i64,
}

impl Operation {
    /// Reads `3*4` in the form in which it is written here.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let form = || format!("{text:?} is not an operation on two numbers, as `3*4`");
        let expression = Expression::parse(text).map_err(|_| form())?;
        let &[Token::Number(left), Token::Operator(operator), Token::Number(right)] =
            expression.0.as_slice()
        else {
            return Err(form());
        };
        let operation = Self { left, operator, right };
        if operation.to_string() == text { Ok(operation) } else { Err(form()) }
    }

    /// What it comes to.
    pub(super) fn compute(self) -> Result<i64, String> {
        let result = self.operator.compute(self.left, self.right, LARGEST);
        result.map_err(|fault| format!("{self} {fault}"))
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.left, self.operator.symbol(), self.right)
    }
}

impl Expression {
    /// An expression of these parts, which must alternate as they should.
    pub(super) fn new(tokens: Vec<Token>) -> Self {
        let mut parts: Vec<Token> = Vec::with_capacity(tokens.len());
        for token in tokens {
            parts.push(token);
            loop {
                let (drop, number) = match parts.as_slice() {
                    [.., Token::Open, Token::Number(number), Token::Close] => (3, *number),
                    [.., Token::Negate, Token::Number(number)] => (2, -number),
                    _ => break,
                };
                parts.truncate(parts.len() - drop);
                parts.push(Token::Number(number));
            }
        }
        Self(parts)
    }

    /// Reads an expression; spaces mean nothing.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > LONGEST {
            return Err(format!("an expression of more than {LONGEST} characters"));
        }
        let mut tokens = Vec::new();
        let mut open = 0_usize;
        // Whether a number or a parenthesis must come next, rather than an operation.
        let mut operand = true;
        let mut rest = text.trim_start();
        while let Some(symbol) = rest.chars().next() {
            let after = rest[symbol.len_utf8()..].trim_start();
            match symbol {
                '(' if operand => {
                    tokens.push(Token::Open);
                    open += 1;
                    rest = after;
                }
                ')' if !operand && open > 0 => {
                    tokens.push(Token::Close);
                    open -= 1;
                    rest = after;
                }
                '-' if operand && after.starts_with('(') => {
                    tokens.push(Token::Negate);
                    rest = after;
                }
                '-' if operand => {
                    let (number, behind) = leading_number(after)?;
                    tokens.push(Token::Number(-number));
                    (operand, rest) = (false, behind);
                }
                _ if operand => {
                    let (number, behind) = leading_number(rest)?;
                    tokens.push(Token::Number(number));
                    (operand, rest) = (false, behind);
                }
                _ => {
                    let operator = Operator::from_symbol(symbol)
                        .ok_or_else(|| format!("{symbol:?} is out of place in {text:?}"))?;
                    tokens.push(Token::Operator(operator));
                    (operand, rest) = (true, after);
                }
            }
        }
        if operand || open > 0 {
            return Err(format!("{text:?} is not a whole expression"));
        }
        Ok(Self::new(tokens))
    }

    /// The number that an expression without operations is.
    pub(super) fn number(&self) -> Option<i64> {
        match self.0.as_slice() {
            [Token::Number(number)] => Some(*number),
            _ => None,
        }
    }

    /// What it comes to; `None` where a division is not exact or a result too large.
    pub(super) fn value(&self) -> Option<i64> {
        self.value_within(LARGEST)
    }

    /// As [`Self::value`], with every result between `-bound` and `bound`.
    pub(super) fn value_within(&self, bound: i64) -> Option<i64> {
        let mut rest = self.0.as_slice();
        let value = sum(&mut rest, bound)?;
        rest.is_empty().then_some(value)
    }

    /// All operations on two neighbouring numbers that have a result, each once, in the order in which they stand. Whether it is
    /// their turn does not matter.
    pub(super) fn operations(&self) -> Vec<Operation> {
        let mut operations: Vec<Operation> = Vec::new();
        for (_, operation) in self.places() {
            if operation.compute().is_ok() && !operations.contains(&operation) {
                operations.push(operation);
            }
        }
        operations
    }

    /// Puts an operation's result in its place. Of several places the first is taken where the expression keeps its value, or else
    /// the first.
    ///
    /// # Errors
    /// When it has no result, or stands nowhere.
    pub(super) fn rewrite(&self, operation: Operation) -> Result<(i64, Self), String> {
        let result = operation.compute()?;
        let value = self.value();
        let mut first = None;
        for (place, _) in self.places().filter(|(_, other)| *other == operation) {
            let after = self.replaced(place, result);
            if value.is_some() && after.value() == value {
                return Ok((result, after));
            }
            first.get_or_insert(after);
        }
        first
            .map(|after| (result, after))
            .ok_or_else(|| format!("{operation} does not stand in {self}"))
    }

    fn places(&self) -> impl Iterator<Item = (usize, Operation)> {
        self.0.windows(3).enumerate().filter_map(|(place, tokens)| match *tokens {
            [Token::Number(left), Token::Operator(operator), Token::Number(right)] => {
                Some((place, Operation { left, operator, right }))
            }
            _ => None,
        })
    }

    fn replaced(&self, place: usize, result: i64) -> Self {
        let behind = &self.0[place + 3..];
        Self::new([&self.0[..place], &[Token::Number(result)], behind].concat())
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|token| match token {
            Token::Number(number) => write!(f, "{number}"),
            Token::Operator(operator) => write!(f, "{}", operator.symbol()),
            Token::Negate => f.write_str("-"),
            Token::Open => f.write_str("("),
            Token::Close => f.write_str(")"),
        })
    }
}

/// The digits at the beginning of a text as a number, and what follows them.
fn leading_number(text: &str) -> Result<(i64, &str), String> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    if digits.is_empty() {
        return Err(format!("a number is missing before {rest:?}"));
    }
    let number = digits.parse().ok().filter(|number| *number <= LARGEST);
    Ok((number.ok_or_else(|| format!("{digits} is too large"))?, rest.trim_start()))
}

fn sum(rest: &mut &[Token], bound: i64) -> Option<i64> {
    let mut value = product(rest, bound)?;
    while let [Token::Operator(operator @ (Operator::Add | Operator::Subtract)), behind @ ..] =
        *rest
    {
        *rest = behind;
        value = operator.compute(value, product(rest, bound)?, bound).ok()?;
    }
    Some(value)
}

fn product(rest: &mut &[Token], bound: i64) -> Option<i64> {
    let mut value = operand(rest, bound)?;
    while let [Token::Operator(operator @ (Operator::Multiply | Operator::Divide)), behind @ ..] =
        *rest
    {
        *rest = behind;
        value = operator.compute(value, operand(rest, bound)?, bound).ok()?;
    }
    Some(value)
}

fn operand(rest: &mut &[Token], bound: i64) -> Option<i64> {
    let (first, behind) = rest.split_first()?;
    *rest = behind;
    match first {
        Token::Number(number) => Some(*number),
        Token::Negate => operand(rest, bound).map(|value| -value),
        Token::Open => {
            let value = sum(rest, bound)?;
            let (Token::Close, behind) = rest.split_first()? else { return None };
            *rest = behind;
            Some(value)
        }
        Token::Operator(_) | Token::Close => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Expression {
        Expression::parse(text).unwrap()
    }

    #[test]
    fn values_follow_the_order_of_operations() {
        for (text, value) in [
            ("2+3*4", Some(14)),
            ("(2+3)*4", Some(20)),
            ("20-6/3-1", Some(17)),
            ("-2*-(3-5)", Some(-4)),
            ("8/2/2", Some(2)),
            ("( ( -83 + -59 * -99 ) ) - -( -97 + 0 )", Some(-83 + 59 * 99 - 97)),
            ("7/2", None),
            ("1/(2-2)", None),
            ("1000000000000*2", None),
        ] {
            assert_eq!(read(text).value(), value, "{text}");
        }
    }

    #[test]
    fn an_expression_is_written_as_it_is_read_again() {
        for (text, written) in [
            (" ( 3 + 7 ) ", "(3+7)"),
            ("((5))", "5"),
            ("-( 4 )", "-4"),
            ("-(-4)", "4"),
            ("3 - -(4 + 5)", "3--(4+5)"),
            ("3 - - 5", "3--5"),
        ] {
            assert_eq!(read(text).to_string(), written);
            assert_eq!(read(written), read(text));
        }
        let long = "1+".repeat(LONGEST) + "1";
        for bad in ["", "3+", "(3", "3)", "3 4", "3**4", "+3", "--3", "a", "3+٣", &long] {
            assert!(Expression::parse(bad).is_err(), "{bad}");
        }
        assert!(Expression::parse("99999999999999999999").unwrap_err().contains("too large"));
    }

    #[test]
    fn one_operation_is_rewritten_in_turn_or_out_of_turn() {
        let rewrite = |text: &str, operation: &str| {
            read(text).rewrite(Operation::parse(operation)?).map(|(_, after)| after.to_string())
        };
        assert_eq!(rewrite("2+3*4", "3*4").unwrap(), "2+12");
        assert_eq!(rewrite("2+3*4", "2+3").unwrap(), "5*4");
        assert_eq!(rewrite("-(2+3)*4", "2+3").unwrap(), "-5*4");
        assert_eq!(rewrite("9-(4-5)", "4-5").unwrap(), "9--1");
        // The second 1+2 may be taken; the first is before a product.
        assert_eq!(rewrite("1+2*3+(1+2)", "1+2").unwrap(), "1+2*3+3");
        assert_eq!(rewrite("1+2*3", "1+2").unwrap(), "3*3");
        assert!(rewrite("2+3*4", "2*4").unwrap_err().contains("does not stand in 2+3*4"));
        assert!(rewrite("7/2", "7/2").unwrap_err().contains("leaves a remainder"));
        assert!(rewrite("7/0", "7/0").unwrap_err().contains("divides by zero"));
        for bad in ["3", "2+3*4", "2 + 3", "02+3", "(2)+3", ""] {
            assert!(rewrite("2+3*4", bad).unwrap_err().contains("is not an operation"), "{bad}");
        }
    }

    #[test]
    fn operations_are_those_of_neighbours_that_have_a_result() {
        let texts: Vec<String> =
            read("7/2+2*(3-7)+2*3").operations().iter().map(ToString::to_string).collect();
        // Not 7/2, which is not exact, nor what a parenthesis parts.
        assert_eq!(texts, ["2+2", "3-7", "2*3"]);
    }
}
