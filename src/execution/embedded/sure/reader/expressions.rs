//! Expressions, and which of their operations the host does.

use ruff_python_ast::token::TokenKind;
use ruff_python_ast::{
    CmpOp, ConversionFlag, Expr, ExprLambda, InterpolatedStringElement, Number, Operator,
};
use ruff_text_size::{Ranged, TextRange};

use super::known::{BUILT_IN, EXCEPTIONS, HOST, hosted, is_plain_format};
use super::{DEEPEST_EXPRESSION, Edit, Reader, Sure, is_bare_tuple, refuse};

impl Reader<'_> {
    pub(super) fn exprs(&mut self, exprs: &[Expr]) -> Sure {
        exprs.iter().try_for_each(|expr| self.expr(expr))
    }

    pub(super) fn expr(&mut self, expr: &Expr) -> Sure {
        self.inside.expressions += 1;
        if self.inside.expressions > DEEPEST_EXPRESSION {
            return refuse("expressions so deep in others");
        }
        self.expression(expr)?;
        self.inside.expressions -= 1;
        Ok(())
    }

    fn expression(&mut self, expr: &Expr) -> Sure {
        match expr {
            Expr::NumberLiteral(number) => match number.value {
                Number::Complex { .. } => refuse("complex numbers"),
                // The host's integers are no longer either.
                _ if number.range().len().to_u32() > 300 => refuse("numbers of many digits"),
                Number::Float(value) if !value.is_finite() => refuse("what is no finite number"),
                Number::Int(_) | Number::Float(_) => Ok(()),
            },
            Expr::StringLiteral(_) | Expr::BooleanLiteral(_) | Expr::NoneLiteral(_) => Ok(()),
            Expr::FString(text) => text.value.elements().try_for_each(|part| self.part(part)),
            Expr::Name(name) => self.name(&name.id),
            Expr::List(list) => self.exprs(&list.elts),
            Expr::Tuple(tuple) => self.exprs(&tuple.elts),
            Expr::Dict(dict) => dict.items.iter().try_for_each(|item| {
                let Some(key) = &item.key else { return refuse("unpacked dictionaries") };
                self.key(key)?;
                self.expr(&item.value)
            }),
            Expr::ListComp(list) => {
                self.comprehension(&list.generators, &[&list.elt], |reader| reader.expr(&list.elt))
            }
            Expr::DictComp(dict) => {
                let Some(key) = dict.key.as_deref() else { return refuse("this comprehension") };
                self.comprehension(&dict.generators, &[key, &dict.value], |reader| {
                    reader.key(key)?;
                    reader.expr(&dict.value)
                })
            }
            Expr::BoolOp(choice) => self.exprs(&choice.values),
            Expr::UnaryOp(operation) => self.expr(&operation.operand),
            Expr::BinOp(operation) => {
                let (left, right) = (&*operation.left, &*operation.right);
                if operation.op == Operator::Mult && (is_sequence(left) || is_sequence(right)) {
                    return self.repeated(left, right);
                }
                let Some(function) = hosted(operation.op)? else {
                    self.expr(left)?;
                    return self.expr(right);
                };
                let between = TextRange::new(left.end(), right.start());
                let operator = self.operator(between)?;
                self.begin(operation.start(), format!("{HOST}{function}("));
                self.expr(left)?;
                self.edits.push(Edit { range: operator, begins: true, text: ",".to_owned() });
                self.expr(right)?;
                self.end(operation.end());
                Ok(())
            }
            Expr::If(choice) => {
                self.expr(&choice.test)?;
                self.expr(&choice.body)?;
                self.expr(&choice.orelse)
            }
            Expr::Compare(compare) => {
                self.expr(&compare.left)?;
                let pairs = compare.ops.iter().zip(&compare.comparators);
                pairs.into_iter().try_for_each(|(op, right)| self.compared(*op, right))
            }
            // CPython finds two functions equal where they are one.
            Expr::Lambda(_) => refuse("functions as values"),
            Expr::Subscript(part) => {
                self.expr(&part.value)?;
                match &*part.slice {
                    Expr::Slice(slice) => {
                        let parts = [&slice.lower, &slice.upper, &slice.step];
                        parts.into_iter().flatten().try_for_each(|part| self.expr(part))
                    }
                    index => self.expr(index),
                }
            }
            Expr::Attribute(attribute) => match &*attribute.value {
                Expr::Name(module)
                    if self.names.modules.contains(module.id.as_str())
                        && ["pi", "e"].contains(&attribute.attr.as_str()) =>
                {
                    Ok(())
                }
                _ => refuse("attributes"),
            },
            Expr::Call(call) => self.call(call),
            Expr::Set(_) | Expr::SetComp(_) => refuse("sets, whose order is that of hashes"),
            Expr::Generator(_) => refuse("generators that are kept"),
            Expr::Named(_) => refuse("assignment expressions"),
            Expr::Starred(_) => refuse("unpacked arguments"),
            Expr::Slice(_) => refuse("slices of slices"),
            Expr::Await(_) | Expr::Yield(_) | Expr::YieldFrom(_) => refuse("generators"),
            Expr::TString(_) | Expr::BytesLiteral(_) => refuse("this kind of text"),
            Expr::EllipsisLiteral(_) | Expr::IpyEscapeCommand(_) => refuse("this expression"),
        }
    }

    /// Where the operator stands between its operands: behind closing parentheses, comments and line ends.
    pub(super) fn operator(&self, between: TextRange) -> Sure<TextRange> {
        let token = self.tokens.iter().find(|token| {
            let kind = token.kind();
            between.contains_range(token.range()) && kind != TokenKind::Rpar && !kind.is_trivia()
        });
        token.map_or(refuse("this layout"), |token| Ok(token.range()))
    }

    /// A list or text that is written out, so many times.
    pub(super) fn repeated(&mut self, left: &Expr, right: &Expr) -> Sure {
        for side in [left, right] {
            if is_sequence(side) {
                self.expr(side)?;
            } else {
                self.handed(side, "count")?;
            }
        }
        Ok(())
    }

    pub(super) fn lambda(&mut self, function: &ExprLambda) -> Sure {
        function.parameters.as_deref().map_or(Ok(()), |all| self.parameters(all))?;
        self.expr(&function.body)
    }

    /// A value that the host looks at, and gives back.
    pub(super) fn handed(&mut self, value: &Expr, function: &str) -> Sure {
        if is_bare_tuple(value) {
            return refuse("a tuple without parentheses here");
        }
        self.begin(value.start(), format!("{HOST}{function}("));
        self.expr(value)?;
        self.end(value.end());
        Ok(())
    }

    /// A value that is made a text at once, so that the host may copy it: of functions and of what holds itself, CPython makes another.
    pub(super) fn shown(&mut self, value: &Expr) -> Sure {
        match value {
            Expr::FString(_) | Expr::Compare(_) | Expr::BinOp(_) => self.expr(value),
            value if value.is_literal_expr() => self.expr(value),
            value => self.handed(value, "shown"),
        }
    }

    pub(super) fn name(&self, name: &str) -> Sure {
        if name.starts_with(HOST) || name.starts_with("__") {
            return refuse(format!("the name {name}"));
        }
        // In a function the module may come later.
        if self.names.modules.contains(name) || name == "math" {
            return refuse("modules as values");
        }
        if self.names.functions.contains(name) {
            return refuse("functions as values");
        }
        // Others are not defined in CPython either.
        let built_in = BUILT_IN.contains(&name);
        let exception = EXCEPTIONS.iter().any(|end| name.ends_with(end));
        match !self.names.bound.contains(name) && (built_in || exception) {
            true => refuse(format!("the built-in {name} here")),
            false => Ok(()),
        }
    }

    pub(super) fn compared(&mut self, op: CmpOp, right: &Expr) -> Sure {
        match op {
            CmpOp::Is | CmpOp::IsNot => match right {
                Expr::NoneLiteral(_) | Expr::BooleanLiteral(_) => Ok(()),
                _ => refuse("identity"),
            },
            CmpOp::In | CmpOp::NotIn => match right {
                Expr::Set(set) => self.exprs(&set.elts),
                right => self.iterable(right),
            },
            CmpOp::Eq | CmpOp::NotEq | CmpOp::Lt | CmpOp::LtE | CmpOp::Gt | CmpOp::GtE => {
                self.expr(right)
            }
        }
    }

    pub(super) fn part(&mut self, part: &InterpolatedStringElement) -> Sure {
        let InterpolatedStringElement::Interpolation(part) = part else { return Ok(()) };
        if part.debug_text.is_some() || matches!(part.conversion, ConversionFlag::Ascii) {
            return refuse("this form of an f-string");
        }
        // Versions differ in what may stand behind it, and in what of other alphabets they show as it is.
        if !matches!(part.conversion, ConversionFlag::None) {
            let rest = &self.source[TextRange::new(part.expression.end(), part.end())];
            let mut rest =
                rest.trim_start_matches(|char: char| char == ')' || char.is_whitespace()).bytes();
            let is_plain = rest.next() == Some(b'!')
                && rest.next().is_some()
                && matches!(rest.next(), Some(b'}' | b':'));
            if !is_plain || !self.is_ascii {
                return refuse("this form of an f-string");
            }
        }
        let Some(spec) = &part.format_spec else { return self.shown(&part.expression) };
        let text = &self.source[spec.range()];
        if !is_plain_format(text.trim_start_matches(':'), self.is_ascii) {
            return refuse(format!("the format {text}"));
        }
        // What is no number and no text has no such formats.
        let value = &*part.expression;
        self.handed(value, "formatted")
    }
}

/// Whether a list or a text is written out.
fn is_sequence(value: &Expr) -> bool {
    matches!(
        value,
        Expr::List(_)
            | Expr::ListComp(_)
            | Expr::Tuple(_)
            | Expr::StringLiteral(_)
            | Expr::FString(_)
    )
}
