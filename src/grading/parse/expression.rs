//! Words to an [`Expression`], by recursive descent.

use dashu_ratio::RBig;

use super::numeral;
use super::token::{Bracket, Token};
use super::{Limits, Unreadable};
use crate::expression::{Expression, Function};

/// Reads all of `tokens` as one expression.
pub fn expression(tokens: &[Token]) -> Result<Expression, Unreadable> {
    let mut parser = Parser { tokens, at: 0, digit: 0, depth: 0, bars: 0 };
    let read = parser.sum()?;
    if parser.at == tokens.len() { Ok(read) } else { Err(Unreadable::Syntax) }
}

struct Parser<'t> {
    tokens: &'t [Token],
    at: usize,
    /// TeX takes single digits as arguments: how many of the numeral here are taken.
    digit: usize,
    depth: usize,
    /// Absolute values that are open
    bars: usize,
}

impl<'t> Parser<'t> {
    fn peek(&self) -> Option<&'t Token> {
        self.tokens.get(self.at)
    }

    fn look(&self, ahead: usize) -> Option<&'t Token> {
        self.tokens.get(self.at + ahead)
    }

    fn take(&mut self, token: &Token) -> bool {
        let found = self.peek() == Some(token);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, token: &Token) -> Result<(), Unreadable> {
        if self.take(token) { Ok(()) } else { Err(Unreadable::Syntax) }
    }

    fn nested<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Unreadable>,
    ) -> Result<T, Unreadable> {
        self.depth += 1;
        if self.depth > 2 * Limits::DEPTH {
            return Err(Unreadable::TooDeep);
        }
        let result = read(self);
        self.depth -= 1;
        result
    }

    /// The sign here: −1 for an odd number of minus signs.
    fn sign(&mut self) -> bool {
        let mut negative = false;
        loop {
            if self.take(&Token::Minus) {
                negative = !negative;
            } else if !self.take(&Token::Plus) {
                return negative;
            }
        }
    }

    fn sum(&mut self) -> Result<Expression, Unreadable> {
        let mut terms = Vec::new();
        loop {
            let negative = self.sign();
            let term = self.product()?;
            terms.push(if negative { term.negated() } else { term });
            if !matches!(self.peek(), Some(Token::Plus | Token::Minus)) {
                break;
            }
        }
        Ok(single(terms, Expression::Sum))
    }

    fn product(&mut self) -> Result<Expression, Unreadable> {
        let mut factors = vec![self.factor()?];
        let mut divided = false;
        loop {
            if self.take(&Token::Times) {
                let negative = self.sign();
                let factor = self.factor()?;
                factors.push(if negative { factor.negated() } else { factor });
                divided = false;
            } else if self.take(&Token::Divide) {
                let negative = self.sign();
                let divisor = self.factor()?;
                let divisor = if negative { divisor.negated() } else { divisor };
                let dividend = single(std::mem::take(&mut factors), Expression::Product);
                factors.push(Expression::Quotient(dividend.into(), divisor.into()));
                divided = true;
            } else if self.factor_begins() {
                // What `1/2x` is depends on who reads it, and `{1}{2}` shows 12.
                if divided || self.shows_one_numeral() {
                    return Err(Unreadable::Ambiguous);
                }
                factors.push(self.factor()?);
            } else {
                break;
            }
        }
        Ok(single(factors, Expression::Product))
    }

    /// Whether what is here multiplies what is before it.
    fn factor_begins(&self) -> bool {
        match self.peek() {
            Some(
                Token::Symbol(_)
                | Token::Fraction
                | Token::Root
                | Token::Function(_)
                | Token::Binomial
                | Token::Open(_),
            ) => true,
            Some(Token::Bar) => self.bars == 0,
            // The rest of a numeral whose first digit was an argument.
            _ => false,
        }
    }

    /// Whether digits in braces follow what ends in a digit or brace.
    fn shows_one_numeral(&self) -> bool {
        let before = self.at.checked_sub(1).and_then(|at| self.tokens.get(at));
        matches!(before, Some(Token::Number(_) | Token::Close(Bracket::Group)))
            && self.peek() == Some(&Token::Open(Bracket::Group))
            && matches!(self.look(1), Some(Token::Number(_)))
    }

    fn factor(&mut self) -> Result<Expression, Unreadable> {
        let base = self.nested(Self::primary)?;
        self.postfix(base)
    }

    fn postfix(&mut self, mut base: Expression) -> Result<Expression, Unreadable> {
        let mut count = 0;
        loop {
            if self.degree() {
                base = Expression::Degrees(base.into());
            } else if self.take(&Token::Power) {
                let exponent = self.nested(Self::exponent)?;
                base = Expression::Power(base.into(), exponent.into());
            } else if self.take(&Token::Factorial) {
                base = Expression::Call(Function::Factorial, vec![base]);
            } else if self.take(&Token::Percent) {
                base = Expression::Quotient(base.into(), Expression::integer(100).into());
            } else {
                return Ok(base);
            }
            count += 1;
            if count > 8 {
                return Err(Unreadable::TooDeep);
            }
        }
    }

    /// `°`, `^\circ` or `^{\circ}`.
    fn degree(&mut self) -> bool {
        let raised = [
            Token::Power,
            Token::Open(Bracket::Group),
            Token::Degree,
            Token::Close(Bracket::Group),
        ];
        let forms: [&[Token]; 3] =
            [&[Token::Degree], &[Token::Power, Token::Degree], raised.as_slice()];
        let rest = &self.tokens[self.at..];
        let found = forms.iter().find(|form| rest.starts_with(form));
        self.at += found.map_or(0, |form| form.len());
        found.is_some()
    }

    fn exponent(&mut self) -> Result<Expression, Unreadable> {
        let negative = self.sign();
        let mut exponent = match self.peek() {
            Some(Token::Number(_) | Token::Open(_) | Token::Fraction | Token::Root) => {
                self.primary()?
            }
            Some(Token::Symbol(name)) => {
                self.at += 1;
                Expression::Symbol(name.clone())
            }
            _ => return Err(Unreadable::Syntax),
        };
        if self.take(&Token::Power) {
            let above = self.nested(Self::exponent)?;
            exponent = Expression::Power(exponent.into(), above.into());
        }
        Ok(if negative { exponent.negated() } else { exponent })
    }

    fn primary(&mut self) -> Result<Expression, Unreadable> {
        let token = self.peek().ok_or(Unreadable::Syntax)?;
        if let Token::Open(bracket) = token {
            return self.bracketed(*bracket);
        }
        self.at += 1;
        match token {
            Token::Number(numeral) => self.number(numeral),
            Token::Symbol(name) => self.symbol(name),
            Token::Fraction => {
                let above = self.argument()?;
                let below = self.argument()?;
                self.whole_argument()?;
                Ok(Expression::Quotient(above.into(), below.into()))
            }
            Token::Binomial => {
                let arguments = vec![self.argument()?, self.argument()?];
                self.whole_argument()?;
                Ok(Expression::Call(Function::Binomial, arguments))
            }
            Token::Root => {
                let degree = if self.take(&Token::Open(Bracket::Square)) {
                    let degree = self.sum()?;
                    self.expect(&Token::Close(Bracket::Square))?;
                    degree
                } else {
                    Expression::integer(2)
                };
                let radicand = self.argument()?;
                self.whole_argument()?;
                Ok(Expression::Root(radicand.into(), degree.into()))
            }
            Token::Function(function) => self.call(*function),
            Token::Bar => {
                self.bars += 1;
                let inside = self.sum()?;
                self.bars -= 1;
                self.expect(&Token::Bar)?;
                Ok(Expression::Call(Function::Absolute, vec![inside]))
            }
            _ => Err(Unreadable::Syntax),
        }
    }

    fn bracketed(&mut self, bracket: Bracket) -> Result<Expression, Unreadable> {
        self.at += 1;
        let bars = std::mem::take(&mut self.bars);
        let inside = self.sum()?;
        self.bars = bars;
        self.expect(&Token::Close(bracket))?;
        match bracket {
            Bracket::Round | Bracket::Square | Bracket::Group => Ok(inside),
            Bracket::Floor => Ok(Expression::Call(Function::Floor, vec![inside])),
            Bracket::Ceiling => Ok(Expression::Call(Function::Ceiling, vec![inside])),
            Bracket::Set | Bracket::Environment => Err(Unreadable::Syntax),
        }
    }

    /// A numeral, repeating decimal or mixed number.
    fn number(&mut self, numeral: &str) -> Result<Expression, Unreadable> {
        if let Some(Token::Repeating(repeated)) = self.peek() {
            self.at += 1;
            return Ok(Expression::Number(numeral::repeating(numeral, repeated)?));
        }
        let value = numeral::value(numeral)?;
        let plain = numeral.bytes().all(|byte| byte.is_ascii_digit());
        match self.peek() {
            Some(Token::Fraction) if plain => {
                let from = (self.at, self.digit);
                let fraction = self.nested(Self::primary);
                if let Some(fraction) = fraction.ok().as_ref().and_then(proper) {
                    return Ok(Expression::Number(value + fraction));
                }
                (self.at, self.digit) = from;
                Ok(Expression::Number(value))
            }
            Some(Token::Number(above)) if plain && self.look(1) == Some(&Token::Divide) => {
                let Some(Token::Number(below)) = self.look(2) else {
                    return Err(Unreadable::Syntax);
                };
                let (above, below) = (numeral::value(above)?, numeral::value(below)?);
                let fraction = Expression::Quotient(
                    Expression::Number(above).into(),
                    Expression::Number(below).into(),
                );
                self.at += 3;
                let fraction = proper(&fraction).ok_or(Unreadable::Syntax)?;
                Ok(Expression::Number(value + fraction))
            }
            _ => Ok(Expression::Number(value)),
        }
    }

    fn symbol(&mut self, name: &str) -> Result<Expression, Unreadable> {
        let applied = matches!(name, "f" | "g" | "h");
        if !applied || !self.take(&Token::Open(Bracket::Round)) {
            return Ok(Expression::Symbol(name.to_owned()));
        }
        let mut arguments = vec![self.sum()?];
        while self.take(&Token::Comma) {
            arguments.push(self.sum()?);
        }
        self.expect(&Token::Close(Bracket::Round))?;
        Ok(Expression::Apply(name.to_owned(), arguments))
    }

    /// One argument of a command, as TeX takes it: a group, or else one digit or letter.
    fn argument(&mut self) -> Result<Expression, Unreadable> {
        if let Some(Token::Number(numeral)) = self.peek() {
            let digit = numeral.as_bytes().get(self.digit).copied();
            let digit = digit.filter(u8::is_ascii_digit).ok_or(Unreadable::Syntax)?;
            self.digit += 1;
            if self.digit == numeral.len() {
                (self.at, self.digit) = (self.at + 1, 0);
            }
            return Ok(Expression::integer(i64::from(digit - b'0')));
        }
        if self.digit > 0 {
            return Err(Unreadable::Syntax);
        }
        match self.peek() {
            Some(Token::Open(Bracket::Group | Bracket::Round) | Token::Root | Token::Fraction) => {
                self.nested(Self::primary)
            }
            Some(Token::Symbol(name)) => {
                self.at += 1;
                Ok(Expression::Symbol(name.clone()))
            }
            _ => Err(Unreadable::Syntax),
        }
    }

    /// `\sqrt12` is √1·2 to TeX and √12 to whoever wrote it.
    fn whole_argument(&self) -> Result<(), Unreadable> {
        if self.digit == 0 { Ok(()) } else { Err(Unreadable::Ambiguous) }
    }

    fn call(&mut self, function: Function) -> Result<Expression, Unreadable> {
        let base = if self.take(&Token::Subscript) {
            let base = match self.peek() {
                Some(Token::Number(_)) => self.primary()?,
                _ => self.argument()?,
            };
            Some(base)
        } else {
            None
        };
        let power =
            if self.take(&Token::Power) { Some(self.nested(Self::exponent)?) } else { None };
        let argument = self.nested(Self::function_argument)?;
        let (function, power) = match power {
            Some(Expression::Number(minus_one)) if minus_one == RBig::from(-1) => {
                (function.inverse().ok_or(Unreadable::Ambiguous)?, None)
            }
            power => (function, power),
        };
        let called = match (function, base) {
            (Function::Log, Some(base)) => {
                let logarithm = |of| Expression::Call(Function::Ln, vec![of]);
                Expression::Quotient(logarithm(argument).into(), logarithm(base).into())
            }
            (_, Some(_)) => return Err(Unreadable::Syntax),
            (_, None) => Expression::Call(function, vec![argument]),
        };
        Ok(match power {
            Some(power) => Expression::Power(called.into(), power.into()),
            None => called,
        })
    }

    /// Brackets, or everything up to the next sign or function: `\sin 2x`.
    fn function_argument(&mut self) -> Result<Expression, Unreadable> {
        if matches!(self.peek(), Some(Token::Open(_) | Token::Function(_) | Token::Bar)) {
            return self.primary();
        }
        let negative = self.sign();
        let mut factors = vec![self.factor()?];
        while self.factor_begins()
            && !matches!(self.peek(), Some(Token::Function(_) | Token::Open(_) | Token::Bar))
        {
            factors.push(self.factor()?);
        }
        let argument = single(factors, Expression::Product);
        Ok(if negative { argument.negated() } else { argument })
    }
}

fn single(mut members: Vec<Expression>, of: fn(Vec<Expression>) -> Expression) -> Expression {
    match members.len() {
        1 => members.remove(0),
        _ => of(members),
    }
}

/// The value of a fraction of two numerals, which makes a mixed number of the numeral before it.
fn proper(fraction: &Expression) -> Option<RBig> {
    let Expression::Quotient(above, below) = fraction else { return None };
    match (&**above, &**below) {
        (Expression::Number(above), Expression::Number(below))
            if below.is_int() && above.is_int() && RBig::ZERO <= *above && above < below =>
        {
            Some(above / below)
        }
        _ => None,
    }
}
