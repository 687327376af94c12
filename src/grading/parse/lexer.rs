//! Text to words. What only changes looks is dropped here: sizes, spaces, math delimiters, fonts.

use super::token::{Bracket, Token};
use super::unicode::ascii;
use super::{Limits, Unreadable};
use crate::answer::Relation;
use crate::braces::braced;
use crate::expression::Function;
use crate::unit;

/// What [`lex`] found.
#[derive(Debug)]
pub struct Lexed {
    pub tokens: Vec<Token>,
    /// A comma between digits was read as one between thousands, and could be one of a list.
    pub comma_guessed: bool,
}

/// Reads an answer's words.
///
/// # Errors
/// When it is too long or has a command that is not known here.
pub fn lex(text: &str, commas_part_thousands: bool) -> Result<Lexed, Unreadable> {
    if text.len() > Limits::BYTES {
        return Err(Unreadable::TooLong);
    }
    let ascii = if text.is_ascii() { None } else { Some(ascii(text)) };
    let mut lexer = Lexer {
        text: ascii.as_deref().unwrap_or(text),
        at: 0,
        tokens: Vec::new(),
        brackets: Vec::new(),
        commas_part_thousands,
        comma_guessed: false,
    };
    lexer.run()?;
    if lexer.brackets.is_empty() {
        Ok(Lexed { tokens: lexer.tokens, comma_guessed: lexer.comma_guessed })
    } else {
        Err(Unreadable::Unbalanced)
    }
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    tokens: Vec<Token>,
    brackets: Vec<Bracket>,
    commas_part_thousands: bool,
    comma_guessed: bool,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_spaces(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    fn run(&mut self) -> Result<(), Unreadable> {
        while let Some(byte) = self.peek() {
            match byte {
                b'0'..=b'9' => self.number(),
                b'.' if self.digits_from(self.at + 1) > 0 => self.number(),
                b'a'..=b'z' | b'A'..=b'Z' => self.letters()?,
                b'\\' => self.command()?,
                0x80.. => self.foreign()?,
                _ => {
                    self.at += 1;
                    self.sign(byte)?;
                }
            }
        }
        Ok(())
    }

    fn sign(&mut self, byte: u8) -> Result<(), Unreadable> {
        let token = match byte {
            b'(' => return self.open(Bracket::Round),
            b'[' => return self.open(Bracket::Square),
            // `{}` shows nothing at all.
            b'{' if self.peek() == Some(b'}') => {
                self.at += 1;
                return Ok(());
            }
            b'{' => return self.open(Bracket::Group),
            b')' => return self.close(Bracket::Round),
            b']' => return self.close(Bracket::Square),
            b'}' => return self.close(Bracket::Group),
            b'$' | b'~' | b'"' => return Ok(()),
            space if space.is_ascii_whitespace() => return Ok(()),
            // The end of a sentence; more points go on with what is before them.
            b'.' if self.rest().trim_matches(['$', ' ', '\n']).is_empty() => return Ok(()),
            b'*' if self.peek() == Some(b'*') => {
                self.at += 1;
                Token::Power
            }
            b'=' => {
                self.at += usize::from(self.peek() == Some(b'='));
                Token::Relation(Relation::Equal)
            }
            b'<' | b'>' => Token::Relation(self.inequality(byte == b'<')),
            b'!' if self.peek() == Some(b'=') => {
                self.at += 1;
                Token::Relation(Relation::NotEqual)
            }
            b'+' if self.rest().starts_with("/-") => {
                self.at += 2;
                Token::PlusMinus
            }
            b'+' => Token::Plus,
            b'-' => Token::Minus,
            b'*' => Token::Times,
            b'/' => Token::Divide,
            b'^' => Token::Power,
            b'!' => Token::Factorial,
            b'|' => Token::Bar,
            b'&' => Token::Cell,
            b',' => Token::Comma,
            b';' => Token::Semicolon,
            b':' => Token::Colon,
            b'%' => Token::Percent,
            b'_' => Token::Subscript,
            _ => return Err(Unreadable::Sign),
        };
        self.tokens.push(token);
        Ok(())
    }

    fn inequality(&mut self, less: bool) -> Relation {
        let or_equal = self.peek() == Some(b'=');
        self.at += usize::from(or_equal);
        match (less, or_equal) {
            (true, false) => Relation::Less,
            (true, true) => Relation::LessEqual,
            (false, false) => Relation::Greater,
            (false, true) => Relation::GreaterEqual,
        }
    }

    fn open(&mut self, bracket: Bracket) -> Result<(), Unreadable> {
        if self.brackets.len() >= Limits::DEPTH {
            return Err(Unreadable::TooDeep);
        }
        self.brackets.push(bracket);
        self.tokens.push(Token::Open(bracket));
        Ok(())
    }

    fn close(&mut self, bracket: Bracket) -> Result<(), Unreadable> {
        let half_open = |b| matches!(b, Bracket::Round | Bracket::Square);
        match self.brackets.pop() {
            Some(open) if open == bracket || half_open(open) && half_open(bracket) => {
                self.tokens.push(Token::Close(bracket));
                Ok(())
            }
            _ => Err(Unreadable::Unbalanced),
        }
    }

    fn digits_from(&self, at: usize) -> usize {
        self.text.as_bytes()[at.min(self.text.len())..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count()
    }

    /// Digits, with what parts thousands dropped.
    fn number(&mut self) {
        let mut digits = String::new();
        let mut point = false;
        let mut grouped = false;
        loop {
            let run = self.digits_from(self.at);
            digits.push_str(&self.text[self.at..self.at + run]);
            self.at += run;
            if !point && self.peek() == Some(b'.') && self.digits_from(self.at + 1) > 0 {
                point = true;
                digits.push('.');
                self.at += 1;
                continue;
            }
            if !point && self.rest().starts_with(".\\overline") {
                point = true;
                digits.push('.');
                self.at += 1;
            }
            match self.thousands(&digits, point, grouped) {
                Some(width) => {
                    grouped = true;
                    self.at += width;
                }
                None => break,
            }
        }
        if !point && self.based(&digits) {
            return;
        }
        if self.peek().is_some_and(|byte| byte | 0x20 == b'e') {
            let sign =
                usize::from(matches!(self.text.as_bytes().get(self.at + 1), Some(b'+' | b'-')));
            let run = self.digits_from(self.at + 1 + sign);
            if run > 0 {
                let end = self.at + 1 + sign + run;
                digits.push_str(&self.text[self.at..end].to_ascii_lowercase());
                self.at = end;
            }
        }
        self.tokens.push(Token::Number(digits));
    }

    /// How long the separator of thousands here is.
    fn thousands(&mut self, digits: &str, point: bool, grouped: bool) -> Option<usize> {
        let rest = self.rest();
        let explicit = ["{,}", ",\\!", "\\!,\\!", "\\,", "{,\\!}", "{, }"];
        let explicit = explicit.iter().find(|separator| rest.starts_with(**separator));
        if let Some(separator) = explicit {
            let after = self.at + separator.len();
            let spaces = self.text[after..].len() - self.text[after..].trim_start().len();
            let width = separator.len() + spaces;
            return (!point && self.digits_from(self.at + width) == 3).then_some(width);
        }
        let inside = self.brackets.iter().any(|bracket| *bracket != Bracket::Group);
        let first_group = grouped || digits.len() <= 3 && !digits.starts_with('0');
        let parts = rest.starts_with(' ') || self.commas_part_thousands && rest.starts_with(',');
        if point || inside || !first_group || !parts || self.digits_from(self.at + 1) != 3 {
            return None;
        }
        self.comma_guessed |= rest.starts_with(',');
        Some(1)
    }

    /// `4210_7` or `152A_{11}`.
    fn based(&mut self, digits: &str) -> bool {
        let rest = self.rest();
        let letters = rest.bytes().take_while(u8::is_ascii_uppercase).count();
        if !rest[letters..].starts_with('_') {
            return false;
        }
        let Some((base, width)) = subscript(&rest[letters + 1..]) else { return false };
        let Ok(base) = base.trim().parse::<u32>() else { return false };
        if !(2..=36).contains(&base) {
            return false;
        }
        let digits = format!("{digits}{}", &rest[..letters]);
        self.at += letters + 1 + width;
        self.tokens.push(match base {
            10 if letters == 0 => Token::Number(digits),
            _ => Token::Based(digits, base),
        });
        true
    }

    /// A word in letters of another language. Other signs, and letters of formulas, may change what the answer is.
    fn foreign(&mut self) -> Result<(), Unreadable> {
        let formula = |c| matches!(c, '\u{2100}'..='\u{214f}' | '\u{1d400}'..='\u{1d7ff}');
        let rest = self.rest();
        let ends = |c: char| !c.is_alphabetic() || c.is_ascii() || formula(c);
        let end = rest.find(ends).unwrap_or(rest.len());
        if end == 0 {
            return Err(Unreadable::Sign);
        }
        self.tokens.push(Token::Text(rest[..end].to_owned()));
        self.at += end;
        Ok(())
    }

    fn after_operand(&self) -> bool {
        matches!(
            self.tokens.last(),
            Some(
                Token::Number(_)
                    | Token::Close(_)
                    | Token::Text(_)
                    | Token::Divide
                    | Token::Degree
                    | Token::Repeating(_)
            )
        )
    }

    fn letters(&mut self) -> Result<(), Unreadable> {
        let rest = self.rest();
        let run = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let word = &rest[..run];
        if run == 1 {
            self.at += run;
            return self.symbol(word);
        }
        if let Some(function) = Function::named(word) {
            self.at += run;
            self.tokens.push(Token::Function(function));
            return Ok(());
        }
        let lower = word.to_ascii_lowercase();
        let token = match lower.as_str() {
            "sqrt" => Token::Root,
            "pi" => Token::Symbol("pi".to_owned()),
            "infinity" | "infty" => Token::Infinity,
            "percent" | "pct" | "percentage" => Token::Percent,
            "and" | "or" => Token::Text(lower),
            _ if run >= 4 || self.after_operand() && unit::is_known(&lower) => {
                Token::Text(word.to_owned())
            }
            _ => {
                // A product of letters; a subscript belongs to the last.
                for index in 0..run {
                    self.at += 1;
                    self.symbol(&word[index..=index])?;
                }
                return Ok(());
            }
        };
        self.at += run;
        self.tokens.push(token);
        Ok(())
    }

    /// A letter and its subscript.
    fn symbol(&mut self, name: &str) -> Result<(), Unreadable> {
        let mut name = name.to_owned();
        self.skip_spaces();
        if self.peek() == Some(b'_') {
            let (index, width) = subscript(&self.rest()[1..]).ok_or(Unreadable::Unbalanced)?;
            name.push('_');
            name.extend(index.chars().filter(|c| !c.is_whitespace()));
            self.at += 1 + width;
        }
        self.tokens.push(Token::Symbol(name));
        Ok(())
    }

    fn command(&mut self) -> Result<(), Unreadable> {
        self.at += 1;
        let rest = self.rest();
        let run = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        if run == 0 {
            let Some(character) = rest.chars().next() else { return Ok(()) };
            self.at += character.len_utf8();
            let token = match character {
                '{' => return self.open(Bracket::Set),
                '}' => return self.close(Bracket::Set),
                // Outside matrices no line ends before a command: its backslash was doubled, as by a second encoding to JSON.
                '\\' if self.doubled() => {
                    self.at -= 1;
                    return Ok(());
                }
                '\\' => Token::Row,
                '%' => Token::Percent,
                '$' => Token::Currency("dollar"),
                '|' => Token::Bar,
                ',' | ';' | ':' | '!' | ' ' | '(' | ')' | '[' | ']' | '\n' | '&' | '#' | '"' => {
                    return Ok(());
                }
                _ => return Err(Unreadable::Sign),
            };
            self.tokens.push(token);
            return Ok(());
        }
        let name = &rest[..run];
        self.at += run;
        let token = match name {
            "left" | "right" => {
                // `\right.` closes nothing that shows.
                self.skip_spaces();
                self.at += usize::from(self.peek() == Some(b'.'));
                return Ok(());
            }
            "big" | "Big" | "bigg" | "Bigg" | "bigl" | "bigr" | "Bigl" | "Bigr" | "biggl"
            | "biggr" | "displaystyle" | "textstyle" | "limits" | "quad" | "qquad" | "boxed"
            | "fbox" | "space" | "thinspace" | "middle" | "rm" | "bf" | "it" | "angle"
            | "triangle" => return Ok(()),
            "text" | "mbox" | "textbf" | "textit" | "textrm" | "textnormal" | "hbox" | "mathrm"
            | "mathbf" | "mathit" | "operatorname" | "textsf" | "mathsf" | "texttt" | "emph"
            | "mathcal" => return self.text_command(),
            "mathbb" => {
                let (content, width) = argument(self.rest()).ok_or(Unreadable::Unbalanced)?;
                self.at += width;
                match content.trim() {
                    "R" => Token::Reals,
                    other => Token::Symbol(format!("mathbb_{other}")),
                }
            }
            "overline" | "dot" => {
                let (content, width) = argument(self.rest()).ok_or(Unreadable::Unbalanced)?;
                let content = content.trim();
                if content.is_empty() || !content.bytes().all(|byte| byte.is_ascii_digit()) {
                    return Err(Unreadable::Command);
                }
                self.at += width;
                Token::Repeating(content.to_owned())
            }
            "begin" => return self.begin(),
            "end" => {
                let (_, width) = argument(self.rest()).ok_or(Unreadable::Unbalanced)?;
                self.at += width;
                return self.close(Bracket::Environment);
            }
            "frac" | "dfrac" | "tfrac" | "cfrac" => Token::Fraction,
            "binom" | "dbinom" | "tbinom" => Token::Binomial,
            "sqrt" => Token::Root,
            "cdot" | "times" | "ast" => Token::Times,
            "div" => Token::Divide,
            "pm" => Token::PlusMinus,
            "mp" => Token::MinusPlus,
            "le" | "leq" | "leqslant" | "leqq" => Token::Relation(Relation::LessEqual),
            "ge" | "geq" | "geqslant" | "geqq" => Token::Relation(Relation::GreaterEqual),
            "lt" => Token::Relation(Relation::Less),
            "gt" => Token::Relation(Relation::Greater),
            "ne" | "neq" => Token::Relation(Relation::NotEqual),
            "approx" => Token::Relation(Relation::Approximately),
            "infty" => Token::Infinity,
            "cup" => Token::Union,
            "in" => Token::In,
            "emptyset" | "varnothing" | "oslash" => Token::EmptySet,
            "circ" | "degree" => Token::Degree,
            "euro" => Token::Currency("euro"),
            "pounds" => Token::Currency("pound"),
            "mid" | "vert" | "lvert" | "rvert" => Token::Bar,
            "colon" => Token::Colon,
            "lbrace" => return self.open(Bracket::Set),
            "rbrace" => return self.close(Bracket::Set),
            "lfloor" => return self.open(Bracket::Floor),
            "rfloor" => return self.close(Bracket::Floor),
            "lceil" => return self.open(Bracket::Ceiling),
            "rceil" => return self.close(Bracket::Ceiling),
            "land" | "wedge" => Token::Text("and".to_owned()),
            "lor" | "vee" => Token::Text("or".to_owned()),
            _ => match Function::named(name) {
                Some(function) => Token::Function(function),
                None if GREEK.contains(&name) => return self.symbol(name),
                // `\quadx` is written by those who drop spaces.
                None if name.starts_with("quad") => {
                    self.at -= run - "quad".len();
                    return Ok(());
                }
                None => return Err(Unreadable::Command),
            },
        };
        self.tokens.push(token);
        Ok(())
    }

    fn doubled(&self) -> bool {
        let command = |byte: u8| byte.is_ascii_alphabetic() || matches!(byte, b'{' | b'}' | b'%');
        !self.brackets.contains(&Bracket::Environment) && self.peek().is_some_and(command)
    }

    fn begin(&mut self) -> Result<(), Unreadable> {
        let (name, width) = argument(self.rest()).ok_or(Unreadable::Unbalanced)?;
        let columns = match name {
            "pmatrix" | "bmatrix" | "matrix" | "Bmatrix" => false,
            "array" => true,
            _ => return Err(Unreadable::Command),
        };
        self.at += width;
        if columns {
            let (_, width) = argument(self.rest()).ok_or(Unreadable::Unbalanced)?;
            self.at += width;
        }
        self.open(Bracket::Environment)
    }

    /// What stands upright: words, units, or mathematics all the same.
    fn text_command(&mut self) -> Result<(), Unreadable> {
        let (content, width) = argument(self.rest()).ok_or(Unreadable::Unbalanced)?;
        self.at += width;
        let content = content.trim().trim_matches('$').trim();
        if content.is_empty() {
            return Ok(());
        }
        let bare = content.trim_matches([',', '.', ';', ' ']).to_ascii_lowercase();
        if bare == "and" || bare == "or" {
            self.tokens.push(Token::Text(bare));
            return Ok(());
        }
        let is_digit = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_uppercase();
        if content.bytes().all(is_digit) && self.peek() == Some(b'_') && self.based(content) {
            return Ok(());
        }
        if matches!(content, "e" | "i" | "pi" | "x" | "y" | "z") {
            return self.symbol(content);
        }
        let unit = self.after_operand() && !content.contains(',');
        let mut words = content.split(|c: char| !c.is_ascii_alphabetic());
        let letters = words.all(|word| word.len() < 2 || word == "and" || word == "or");
        // A command's name is a longer word, so that this cannot nest.
        if letters && content.is_ascii() && !unit {
            if content.len() == 1 && content.bytes().all(|byte| byte.is_ascii_alphabetic()) {
                return self.symbol(content);
            }
            if let Ok(inner) = lex(content, self.commas_part_thousands) {
                self.tokens.extend(inner.tokens);
                return Ok(());
            }
        }
        if let Some(function) = Function::named(content) {
            self.tokens.push(Token::Function(function));
        } else if matches!(bare.as_str(), "percent" | "pct" | "percentage") {
            self.tokens.push(Token::Percent);
        } else {
            self.tokens.push(Token::Text(content.to_owned()));
        }
        Ok(())
    }
}

/// A braced argument at the beginning, or else one character: its content and its length.
fn argument(text: &str) -> Option<(&str, usize)> {
    let trimmed = text.trim_start();
    let skipped = text.len() - trimmed.len();
    if !trimmed.starts_with('{') {
        let width = trimmed.chars().next().filter(|c| c.is_alphanumeric())?.len_utf8();
        return Some((&trimmed[..width], skipped + width));
    }
    braced(trimmed).map(|(content, length)| (content, skipped + length))
}

/// A subscript's content and length; digits without braces are read together (`4210_11` is written by models, not by TeX).
fn subscript(text: &str) -> Option<(&str, usize)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if digits > 0 { Some((&text[..digits], digits)) } else { argument(text) }
}

const GREEK: [&str; 34] = [
    "pi",
    "alpha",
    "beta",
    "gamma",
    "delta",
    "epsilon",
    "varepsilon",
    "zeta",
    "eta",
    "theta",
    "vartheta",
    "iota",
    "kappa",
    "lambda",
    "mu",
    "nu",
    "xi",
    "rho",
    "sigma",
    "tau",
    "upsilon",
    "phi",
    "varphi",
    "chi",
    "psi",
    "omega",
    "Gamma",
    "Delta",
    "Theta",
    "Lambda",
    "Sigma",
    "Phi",
    "Psi",
    "Omega",
];
