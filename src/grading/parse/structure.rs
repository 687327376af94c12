//! Words to an [`Answer`]: lists, sets, tuples, intervals, matrices, names and relations around expressions.

use super::conditions::{excluding, joined};
use super::expression::expression;
use super::numeral::significant_digits;
use super::token::{Bracket, Token};
use super::{Limits, Unreadable};
use crate::answer::{Answer, Join, Name, Relation, Value};
use crate::expression::Expression;
use crate::unit;

/// Reads all of `tokens` as one answer.
pub fn answer(tokens: &[Token]) -> Result<Answer, Unreadable> {
    let mut tokens = tokens;
    while let Some((Token::Comma | Token::Semicolon, rest)) = tokens.split_last() {
        tokens = rest;
    }
    if tokens.is_empty() {
        return Err(Unreadable::Empty);
    }
    if let Some(words) = words(tokens) {
        return Ok(words);
    }
    let parts = split(tokens, |token| *token == Token::Semicolon);
    if parts.len() > 1 {
        return joined(&[Join::Comma], list(&parts, answer)?);
    }
    let parts = split(tokens, |token| *token == Token::Comma || token.conjunction().is_some());
    let parts: Vec<&[Token]> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    match parts.as_slice() {
        [] => Err(Unreadable::Empty),
        [only] => item(only),
        _ => {
            let has = |join: &Join| {
                position(tokens, |token| token.conjunction() == Some(*join)).is_some()
            };
            let words: Vec<Join> = [Join::And, Join::Or].into_iter().filter(has).collect();
            let members = list(&parts, item)?;
            if let Some(members) = excluded(parts[0], &members) {
                return Ok(Answer::Joined { join: Join::And, members });
            }
            joined(if words.is_empty() { &[Join::Comma] } else { &words }, members)
        }
    }
}

/// `x \ne 1, 2` and `x \ne 1 \text{ or } 2` exclude both.
fn excluded(first: &[Token], members: &[Answer]) -> Option<Vec<Answer>> {
    let unequal = |token: &Token| *token == Token::Relation(Relation::NotEqual);
    position(first, unequal)?;
    let [first @ Answer::Named { name, .. }, rest @ ..] = members else { return None };
    if !rest.iter().all(is_constant) {
        return None;
    }
    let rest = rest.iter().map(|number| excluding(name.clone(), number.clone()));
    Some(std::iter::once(first.clone()).chain(rest).collect())
}

fn list(
    parts: &[&[Token]],
    read: fn(&[Token]) -> Result<Answer, Unreadable>,
) -> Result<Vec<Answer>, Unreadable> {
    let mut members = Vec::new();
    for part in parts {
        match read(part)? {
            // `1 \pm \sqrt 2` in a list is two of its members.
            Answer::List(both) | Answer::Joined { members: both, .. }
                if part.iter().any(is_plus_minus) =>
            {
                members.extend(both);
            }
            member => members.push(member),
        }
    }
    if members.len() > Limits::MEMBERS { Err(Unreadable::TooLong) } else { Ok(members) }
}

/// An answer of words alone.
fn words(tokens: &[Token]) -> Option<Answer> {
    let mut words = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        match token {
            Token::Text(text) => words.extend(text.split_whitespace().map(str::to_lowercase)),
            // `June 20`
            Token::Number(digits) if index > 0 => words.push(digits.clone()),
            Token::Comma => {}
            _ => return None,
        }
    }
    let words: Vec<&str> =
        words.iter().map(|word| word.trim_matches(['.', ',', '(', ')'])).collect();
    Some(spoken(&words.join(" ")))
}

/// What words mean.
pub fn spoken(words: &str) -> Answer {
    const NUMBERS: [&str; 21] = [
        "zero",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
        "seventeen",
        "eighteen",
        "nineteen",
        "twenty",
    ];
    if let Some(number) = NUMBERS.iter().position(|name| *name == words) {
        let expression = Expression::integer(number as i64);
        return Answer::Value(Value { expression, unit: None, digits: None });
    }
    match words {
        "no solution" | "no solutions" | "no real solution" | "no real solutions" | "empty set" => {
            Answer::Set(Vec::new())
        }
        "all real numbers" | "all reals" | "real numbers" => reals(),
        _ => Answer::Words(words.to_owned()),
    }
}

fn reals() -> Answer {
    let members = vec![Answer::infinite(true), Answer::infinite(false)];
    Answer::Tuple { closed: [false, false], members }
}

/// The parts between separators that stand in no brackets.
fn split(tokens: &[Token], separates: impl Fn(&Token) -> bool) -> Vec<&[Token]> {
    let (mut parts, mut from, mut depth) = (Vec::new(), 0, 0_usize);
    for (index, token) in tokens.iter().enumerate() {
        match token {
            Token::Open(_) => depth += 1,
            Token::Close(_) => depth = depth.saturating_sub(1),
            _ if depth == 0 && separates(token) => {
                parts.push(&tokens[from..index]);
                from = index + 1;
            }
            _ => {}
        }
    }
    parts.push(&tokens[from..]);
    parts
}

/// The first token in no brackets that is sought.
fn position(tokens: &[Token], sought: impl Fn(&Token) -> bool) -> Option<usize> {
    let first = split(tokens, sought)[0].len();
    (first < tokens.len()).then_some(first)
}

/// The inside of a bracket that holds everything.
fn wrapped(tokens: &[Token]) -> Option<(Bracket, Bracket, &[Token])> {
    let (Some(Token::Open(open)), Some(Token::Close(close))) = (tokens.first(), tokens.last())
    else {
        return None;
    };
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate() {
        match token {
            Token::Open(_) => depth += 1,
            Token::Close(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && index + 1 < tokens.len() {
            return None;
        }
    }
    Some((*open, *close, &tokens[1..tokens.len() - 1]))
}

fn is_plus_minus(token: &Token) -> bool {
    matches!(token, Token::PlusMinus | Token::MinusPlus)
}

fn is_relation(token: &Token) -> bool {
    matches!(token, Token::Relation(_))
}

/// One member of a list, or the whole answer.
fn item(tokens: &[Token]) -> Result<Answer, Unreadable> {
    if let Some(words) = words(tokens) {
        return Ok(words);
    }
    if let Some((Token::Relation(Relation::Approximately), rest)) = tokens.split_first() {
        return item(rest);
    }
    if let Some((Bracket::Group, _, inside)) = wrapped(tokens) {
        return answer(inside);
    }
    if tokens.iter().any(is_plus_minus) {
        return plus_minus(tokens);
    }
    if let Some(at) = position(tokens, |token| *token == Token::In) {
        let name = name(&tokens[..at]).ok_or(Unreadable::Syntax)?;
        return Ok(Answer::Named { name, value: item(&tokens[at + 1..])?.into() });
    }
    if position(tokens, is_relation).is_some() {
        return related(tokens);
    }
    if let Some(at) = position(tokens, |token| *token == Token::Colon) {
        // `Answer: 5`
        if let Some(name) = name(&tokens[..at]).filter(|name| name.symbol.is_none()) {
            return Ok(Answer::Named { name, value: item(&tokens[at + 1..])?.into() });
        }
        return members(tokens, |token| *token == Token::Colon).map(Answer::Ratio);
    }
    if position(tokens, |token| *token == Token::Union).is_some() {
        return members(tokens, |token| *token == Token::Union).map(Answer::Union);
    }
    if let Some(answer) = bracketed(tokens)? {
        return Ok(answer);
    }
    match tokens {
        [Token::EmptySet] => Ok(Answer::Set(Vec::new())),
        [Token::Reals] => Ok(reals()),
        [Token::Infinity] | [Token::Plus, Token::Infinity] => Ok(Answer::infinite(false)),
        [Token::Minus, Token::Infinity] => Ok(Answer::infinite(true)),
        [Token::Based(digits, base)] => based("", digits, *base),
        [Token::Minus, Token::Based(digits, base)] => based("-", digits, *base),
        _ => value(tokens).map(Answer::Value),
    }
}

fn members(
    tokens: &[Token],
    separates: impl Fn(&Token) -> bool,
) -> Result<Vec<Answer>, Unreadable> {
    let parts = split(tokens, separates);
    if parts.len() > Limits::MEMBERS {
        return Err(Unreadable::TooLong);
    }
    parts.into_iter().map(item).collect()
}

fn based(sign: &str, digits: &str, base: u32) -> Result<Answer, Unreadable> {
    if digits.len() > Limits::DIGITS || !digits.chars().all(|digit| digit.is_digit(base)) {
        return Err(Unreadable::Syntax);
    }
    let significant = digits.trim_start_matches('0');
    let significant = if significant.is_empty() { "0" } else { significant };
    Ok(Answer::Based { digits: format!("{sign}{significant}"), base })
}

/// Both readings of `±`; with `∓` beside it, the signs go together.
fn plus_minus(tokens: &[Token]) -> Result<Answer, Unreadable> {
    let count = |sign: &Token| tokens.iter().filter(|token| *token == sign).count();
    // Two independent signs could mean two values or four.
    if count(&Token::PlusMinus) > 1 || count(&Token::MinusPlus) > 1 {
        return Err(Unreadable::Ambiguous);
    }
    let signed = |upper: bool| {
        let sign = |token: &Token| match (token, upper) {
            (Token::PlusMinus, true) | (Token::MinusPlus, false) => Token::Plus,
            (Token::PlusMinus, false) | (Token::MinusPlus, true) => Token::Minus,
            _ => token.clone(),
        };
        item(&tokens.iter().map(sign).collect::<Vec<_>>())
    };
    joined(&[Join::Comma], vec![signed(true)?, signed(false)?])
}

/// Tuples, intervals, sets and matrices; `None` for the brackets of an expression.
fn bracketed(tokens: &[Token]) -> Result<Option<Answer>, Unreadable> {
    let Some((open, close, inside)) = wrapped(tokens) else { return Ok(None) };
    let separator = |token: &Token| matches!(token, Token::Comma | Token::Semicolon);
    match open {
        Bracket::Round | Bracket::Square => {
            if position(inside, separator).is_none() {
                // Brackets around a single answer say nothing.
                if open != close {
                    return Err(Unreadable::Syntax);
                }
                let conditions = position(inside, |token| token.conjunction().is_some()).is_some()
                    && position(inside, is_relation).is_some();
                return if conditions { answer(inside) } else { item(inside) }.map(Some);
            }
            let closed = [open == Bracket::Square, close == Bracket::Square];
            let members = members(inside, separator)?;
            Ok(Some(Answer::Tuple { closed, members }))
        }
        Bracket::Set => set(inside).map(Some),
        Bracket::Environment => matrix(inside).map(Some),
        _ => Ok(None),
    }
}

fn set(inside: &[Token]) -> Result<Answer, Unreadable> {
    if inside.is_empty() {
        return Ok(Answer::Set(Vec::new()));
    }
    // `\{x | ...\}` is what the condition says.
    if let [Token::Symbol(_), Token::Bar | Token::Colon, condition @ ..]
    | [Token::Symbol(_), Token::In, Token::Reals, Token::Bar | Token::Colon, condition @ ..] =
        inside
    {
        let says = |token: &Token| is_relation(token) || *token == Token::In;
        let read = if position(condition, says).is_some() { answer } else { item };
        return read(condition);
    }
    Ok(match answer(inside)? {
        Answer::List(members) => Answer::Set(members),
        member => Answer::Set(vec![member]),
    })
}

fn matrix(inside: &[Token]) -> Result<Answer, Unreadable> {
    let mut rows = split(inside, |token| *token == Token::Row);
    if rows.last().is_some_and(|row| row.is_empty()) {
        rows.pop();
    }
    let cells = |row: &[Token]| members(row, |token| *token == Token::Cell);
    let rows: Vec<Vec<Answer>> = rows.into_iter().map(cells).collect::<Result<_, _>>()?;
    if rows.is_empty() || rows.len() > Limits::MEMBERS {
        return Err(Unreadable::Syntax);
    }
    Ok(Answer::Matrix(rows))
}

/// Equations and inequalities.
fn related(tokens: &[Token]) -> Result<Answer, Unreadable> {
    let mut sides = split(tokens, is_relation);
    let relation = |token: &Token| match token {
        Token::Relation(relation) => Some(*relation),
        _ => None,
    };
    let mut relations: Vec<Relation> = tokens.iter().filter_map(relation).collect();
    // Relations in brackets are none of these.
    if relations.len() + 1 != sides.len() {
        return Err(Unreadable::Syntax);
    }
    // What is exact stands left of the first `\approx`, unless that is a mere name.
    if let Some(at) = relations.iter().position(|relation| *relation == Relation::Approximately) {
        let from = usize::from(at == 0 && name(sides[0]).is_some());
        sides.truncate(at + 1 + from);
        relations.truncate(at + from);
        for relation in &mut relations {
            if *relation == Relation::Approximately {
                *relation = Relation::Equal;
            }
        }
    }
    match (sides.as_slice(), relations.as_slice()) {
        ([only], _) => item(only),
        ([left, right], [Relation::Equal]) => equation(left, right),
        ([left, right], [relation]) => inequality(left, *relation, right),
        ([first, .., last], chain) if chain.iter().all(|r| *r == Relation::Equal) => {
            match name(first) {
                Some(name) => Ok(Answer::Named { name, value: item(last)?.into() }),
                None => item(last),
            }
        }
        ([low, middle, high], [lower, upper]) => between([low, middle, high], [*lower, *upper]),
        _ => Err(Unreadable::Syntax),
    }
}

fn equation(left: &[Token], right: &[Token]) -> Result<Answer, Unreadable> {
    if let Some(name) = name(left) {
        return Ok(Answer::Named { name, value: item(right)?.into() });
    }
    if let Some(name) = name(right) {
        return Ok(Answer::Named { name, value: item(left)?.into() });
    }
    let result = item(right);
    let (left, right) = (value(left)?.expression, value(right)?.expression);
    // `0.56 = 56\%` is a computation, and its end the answer.
    if left.is_constant() && right.is_constant() {
        return result;
    }
    Ok(Answer::Related { left, relation: Relation::Equal, right })
}

fn inequality(left: &[Token], relation: Relation, right: &[Token]) -> Result<Answer, Unreadable> {
    let expressions = (value(left), value(right));
    let sides = [(left, right, relation), (right, left, relation.flipped())];
    for (named, other, relation) in sides {
        let Some(name) = name(named) else { continue };
        let end = item(other)?;
        if !is_constant(&end) {
            continue;
        }
        if relation == Relation::NotEqual {
            return Ok(excluding(name, end));
        }
        let closed = matches!(relation, Relation::LessEqual | Relation::GreaterEqual);
        let below = matches!(relation, Relation::Less | Relation::LessEqual);
        let interval = if below {
            Answer::Tuple { closed: [false, closed], members: vec![Answer::infinite(true), end] }
        } else {
            Answer::Tuple { closed: [closed, false], members: vec![end, Answer::infinite(false)] }
        };
        return Ok(Answer::Named { name, value: interval.into() });
    }
    Ok(Answer::Related {
        left: expressions.0?.expression,
        relation,
        right: expressions.1?.expression,
    })
}

/// `1 < x \le 2`.
fn between(sides: [&[Token]; 3], relations: [Relation; 2]) -> Result<Answer, Unreadable> {
    let rises = |relation| matches!(relation, Relation::Less | Relation::LessEqual);
    let falls = |relation: Relation| rises(relation.flipped());
    let (sides, relations) = match relations {
        [a, b] if rises(a) && rises(b) => (sides, [a, b]),
        [a, b] if falls(a) && falls(b) => {
            ([sides[2], sides[1], sides[0]], [b.flipped(), a.flipped()])
        }
        _ => return Err(Unreadable::Syntax),
    };
    let name = name(sides[1]).ok_or(Unreadable::Syntax)?;
    let closed = relations.map(|relation| relation == Relation::LessEqual);
    let members = vec![item(sides[0])?, item(sides[2])?];
    let interval = Answer::Tuple { closed, members };
    Ok(Answer::Named { name, value: interval.into() })
}

fn is_constant(answer: &Answer) -> bool {
    match answer {
        Answer::Value(value) => value.expression.is_constant(),
        Answer::Infinite { .. } => true,
        _ => false,
    }
}

/// What names a quantity: `x`, `f(x)`, `f^{-1}(x)`, `(x, y)`, `AB`, `|AB|` or words.
fn name(tokens: &[Token]) -> Option<Name> {
    let symbol = |token: &Token| matches!(token, Token::Symbol(_));
    let upper = |token: &Token| matches!(token, Token::Symbol(name) if name.starts_with(|c: char| c.is_ascii_uppercase()));
    let listed = |tokens: &[Token]| {
        !tokens.is_empty()
            && tokens.iter().enumerate().all(|(index, token)| match index % 2 {
                0 => symbol(token),
                _ => *token == Token::Comma,
            })
    };
    let inverse = [
        Token::Power,
        Token::Open(Bracket::Group),
        Token::Minus,
        Token::Number("1".to_owned()),
        Token::Close(Bracket::Group),
    ];
    let bars: &[Token] = match tokens {
        [Token::Bar, inside @ .., Token::Bar] => inside,
        _ => tokens,
    };
    let arity = match tokens {
        [only] if symbol(only) => 1,
        [Token::Text(_), ..] if tokens.iter().all(|t| matches!(t, Token::Text(_))) => 1,
        _ if bars.len() > 1 && bars.iter().all(upper) => 1,
        [Token::Fraction, rest @ ..]
            if rest.iter().all(|t| upper(t) || matches!(t, Token::Open(_) | Token::Close(_))) =>
        {
            1
        }
        // `V_1 : V_2`
        [first, Token::Colon, second] if symbol(first) && symbol(second) => 1,
        [first, rest @ ..] if symbol(first) => {
            let rest = rest.strip_prefix(&inverse).unwrap_or(rest);
            let (_, _, inside) = wrapped(rest).filter(|(open, ..)| *open == Bracket::Round)?;
            // An argument may be a number: `f(2) = 5`.
            let number = matches!(inside, [Token::Number(_)])
                && matches!(first, Token::Symbol(f) if "fghFGHPQ".contains(f.as_str()));
            if !listed(inside) && !number {
                return None;
            }
            1
        }
        _ => {
            let (_, _, inside) = wrapped(tokens).filter(|(open, ..)| *open == Bracket::Round)?;
            if !listed(inside) || inside.len() < 3 {
                return None;
            }
            inside.len().div_ceil(2)
        }
    };
    let text = tokens.iter().map(|token| match token {
        Token::Symbol(name) => name.clone(),
        Token::Text(text) => text.to_lowercase().split_whitespace().collect(),
        Token::Number(digits) => digits.clone(),
        Token::Comma => ",".to_owned(),
        Token::Colon => ":".to_owned(),
        Token::Open(Bracket::Round) => "(".to_owned(),
        Token::Minus => "-".to_owned(),
        _ => String::new(),
    });
    let single = match tokens {
        [Token::Symbol(name)] => Some(name.clone()),
        _ => None,
    };
    Some(Name { text: text.collect(), symbol: single, arity })
}

/// An expression and what it counts.
fn value(tokens: &[Token]) -> Result<Value, Unreadable> {
    let mut unit = String::new();
    let mut rest: Vec<Token> = Vec::new();
    let end = position(tokens, |token| matches!(token, Token::Text(_)));
    let (formula, suffix) = tokens.split_at(end.unwrap_or(tokens.len()));
    for token in formula {
        match token {
            // A currency stands before or behind its amount.
            Token::Currency(currency) if unit.is_empty() => unit.push_str(currency),
            other => rest.push(other.clone()),
        }
    }
    if rest.last() == Some(&Token::Times) && !suffix.is_empty() {
        rest.pop();
    }
    let percents = rest.iter().filter(|token| **token == Token::Percent).count();
    if percents == 1 && rest.last() == Some(&Token::Percent) {
        rest.pop();
        unit.push('%');
    }
    let suffix = suffix_text(suffix)?.unwrap_or_default().replace(['{', '}'], "");
    let (scale, suffix) = unit::scaled(&suffix);
    if unit::changes(suffix) {
        return Err(Unreadable::Ambiguous);
    }
    unit.push_str(suffix);
    let digits = match rest.as_slice() {
        [Token::Number(numeral)] | [Token::Minus, Token::Number(numeral)] => {
            significant_digits(numeral)
        }
        _ => None,
    };
    let mut expression = expression(&rest)?;
    if let Expression::Degrees(angle) = expression {
        expression = *angle;
        unit.push_str("degree");
    }
    if scale > 1 {
        let scale = Expression::Number(scale.into());
        expression = Expression::Product(vec![scale, expression]);
    }
    Ok(Value { expression: expression.folded(), unit: unit::normal(&unit), digits })
}

/// What stands behind a formula: words, their powers and quotients.
fn suffix_text(tokens: &[Token]) -> Result<Option<String>, Unreadable> {
    let mut text = String::new();
    for token in tokens {
        match token {
            Token::Text(word) => {
                if !text.is_empty() && !text.ends_with('/') {
                    text.push(' ');
                }
                text.push_str(word);
            }
            Token::Power => text.push('^'),
            Token::Number(digits) if text.ends_with('^') => text.push_str(digits),
            Token::Open(Bracket::Group) | Token::Close(Bracket::Group) | Token::Times => {}
            Token::Divide => text.push('/'),
            Token::Percent => text.push('%'),
            Token::Currency(currency) => text.push_str(currency),
            _ => return Err(Unreadable::Syntax),
        }
    }
    Ok((!text.is_empty()).then_some(text))
}
