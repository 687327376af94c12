//! Reads a step: every part of it must be one that was compared with CPython.

mod calls;
mod expressions;
mod known;
mod loops;

use std::collections::HashSet;

use ruff_python_ast::token::Tokens;
use ruff_python_ast::{Expr, ExprName, Number, Parameters, Stmt, StmtAugAssign, StmtFunctionDef};
use ruff_text_size::{Ranged, TextRange, TextSize};

use super::names::Names;
pub(super) use known::{BUILT_IN, LAZY, is_built_in};
use known::{HOST, MATH, RAISED, annotation, hosted};

type Sure<T = ()> = Result<T, String>;

/// Reads one step, and notes what is to be written otherwise.
pub(super) struct Reader<'a> {
    source: &'a str,
    tokens: &'a Tokens,
    names: &'a Names,
    is_ascii: bool,
    edits: Vec<Edit>,
    /// How many functions, bodies of statements, loops and comprehensions the place lies in.
    inside: Inside,
}

/// Where a part of a step lies. CPython refuses some parts in some places, and what lies too deep.
#[derive(Debug, Clone, Default)]
struct Inside {
    functions: usize,
    bodies: usize,
    loops: usize,
    expressions: usize,
    /// Of which CPython makes a frame each.
    comprehensions: usize,
    /// Names that the function says are global.
    globals: Vec<String>,
}

/// Bodies in bodies: CPython has loops in at most 20 of each other.
const DEEPEST_BODY: usize = 15;
/// Expressions in expressions.
const DEEPEST_EXPRESSION: usize = 60;
/// Comprehensions in comprehensions: with 200 calls of functions they are fewer than CPython's 1,000 frames.
const DEEPEST_COMPREHENSION: usize = 3;

/// `text` in the place of `range`. At one place, what ends goes before what begins.
struct Edit {
    range: TextRange,
    begins: bool,
    text: String,
}

fn refuse<T>(what: impl Into<String>) -> Sure<T> {
    Err(what.into())
}

/// Whether a tuple would be several arguments where it is given to a function as it stands.
fn is_bare_tuple(value: &Expr) -> bool {
    matches!(value, Expr::Tuple(tuple) if !tuple.parenthesized)
}

impl<'a> Reader<'a> {
    pub fn new(source: &'a str, tokens: &'a Tokens, names: &'a Names) -> Self {
        Self {
            source,
            tokens,
            names,
            is_ascii: source.is_ascii() && !names.odd_texts,
            edits: Vec::new(),
            inside: Inside::default(),
        }
    }

    /// The step as it is to be run.
    pub fn read(mut self, body: &[Stmt]) -> Sure<String> {
        if self.names.bound.iter().any(|name| name.starts_with(HOST)) {
            return refuse(format!("names that begin with {HOST}"));
        }
        self.body(body)?;
        // Stable: outer ones begin first and end last, as they were noted.
        self.edits.sort_by_key(|edit| (edit.range.start(), edit.begins));
        let mut text = String::with_capacity(self.source.len() + 64);
        let mut at = TextSize::new(0);
        for Edit { range, text: replacement, .. } in &self.edits {
            text.push_str(&self.source[TextRange::new(at, range.start())]);
            text.push_str(replacement);
            at = range.end();
        }
        text.push_str(&self.source[at.to_usize()..]);
        Ok(text)
    }

    fn begin(&mut self, at: TextSize, mut text: String) {
        // `return(x) / 2`
        let before = self.source[..at.to_usize()].chars().next_back();
        if before.is_some_and(|char| char.is_alphanumeric() || char == '_') {
            text.insert(0, ' ');
        }
        self.edits.push(Edit { range: TextRange::empty(at), begins: true, text });
    }

    fn end(&mut self, at: TextSize) {
        self.edits.push(Edit { range: TextRange::empty(at), begins: false, text: ")".to_owned() });
    }

    fn body(&mut self, body: &[Stmt]) -> Sure {
        self.inside.bodies += 1;
        if self.inside.bodies > DEEPEST_BODY {
            return refuse("statements so deep in others");
        }
        body.iter().try_for_each(|stmt| self.stmt(stmt))?;
        self.inside.bodies -= 1;
        Ok(())
    }

    /// The body of a loop.
    fn repeated_body(&mut self, body: &[Stmt]) -> Sure {
        self.inside.loops += 1;
        self.body(body)?;
        self.inside.loops -= 1;
        Ok(())
    }

    fn function(&mut self, function: &StmtFunctionDef) -> Sure {
        if function.is_async || !function.decorator_list.is_empty() {
            return refuse("decorated and asynchronous functions");
        }
        if function.type_params.is_some() {
            return refuse("type parameters");
        }
        self.parameters(&function.parameters)?;
        function.returns.as_deref().map_or(Ok(()), annotation)?;
        // Where a name is said to be global when it was used already, or is a parameter, CPython refuses the step.
        let first = |stmt: &&Stmt| matches!(stmt, Stmt::Global(_));
        let globals = function.body.iter().take_while(first);
        let globals: Vec<String> = globals
            .filter_map(Stmt::as_global_stmt)
            .flat_map(|stmt| stmt.names.iter().map(ToString::to_string))
            .collect();
        let parameters = function.parameters.iter_non_variadic_params();
        if parameters.into_iter().any(|one| globals.iter().any(|name| *name == *one.parameter.name))
        {
            return refuse("parameters that are global");
        }
        let rest =
            function.body.iter().position(|stmt| !first(&stmt)).unwrap_or(function.body.len());
        let outer = self.inside.clone();
        self.inside = Inside { functions: outer.functions + 1, loops: 0, globals, ..outer.clone() };
        self.body(&function.body[rest..])?;
        self.inside = outer;
        Ok(())
    }

    fn stmt(&mut self, stmt: &Stmt) -> Sure {
        match stmt {
            Stmt::Expr(value) => self.expr(&value.value),
            Stmt::Pass(_) => Ok(()),
            Stmt::Break(_) | Stmt::Continue(_) if self.inside.loops > 0 => Ok(()),
            Stmt::Break(_) | Stmt::Continue(_) => refuse("the end of a loop outside of one"),
            Stmt::Global(_) => refuse("global here"),
            Stmt::Return(_) if self.inside.functions == 0 => refuse("return outside of a function"),
            Stmt::Return(value) => value.value.as_deref().map_or(Ok(()), |value| self.expr(value)),
            Stmt::Assign(assign) => {
                assign.targets.iter().try_for_each(|target| self.target(target))?;
                match (&*assign.value, &*assign.targets) {
                    (Expr::Lambda(function), [Expr::Name(_)]) => self.lambda(function),
                    (value, _) => self.expr(value),
                }
            }
            Stmt::AnnAssign(assign) => {
                let is_global =
                    |name: &ExprName| self.inside.globals.iter().any(|one| *one == *name.id);
                if assign.value.is_none() || assign.target.as_name_expr().is_some_and(is_global) {
                    return refuse("this annotation");
                }
                annotation(&assign.annotation)?;
                self.target(&assign.target)?;
                assign.value.as_deref().map_or(Ok(()), |value| self.expr(value))
            }
            Stmt::AugAssign(assign) => self.augmented(assign),
            Stmt::If(choice) => {
                self.expr(&choice.test)?;
                self.body(&choice.body)?;
                choice.elif_else_clauses.iter().try_for_each(|clause| {
                    clause.test.as_ref().map_or(Ok(()), |test| self.expr(test))?;
                    self.body(&clause.body)
                })
            }
            Stmt::While(repeat) => {
                self.expr(&repeat.test)?;
                self.repeated_body(&repeat.body)?;
                self.body(&repeat.orelse)
            }
            Stmt::For(each) => self.each(each),
            Stmt::FunctionDef(function) => self.function(function),
            Stmt::Raise(raise) => match (raise.exc.as_deref(), &raise.cause) {
                (Some(Expr::Call(call)), None) => match &*call.func {
                    Expr::Name(name) if RAISED.contains(&name.id.as_str()) => self.arguments(call),
                    _ => refuse("this exception"),
                },
                _ => refuse("this form of raise"),
            },
            Stmt::Assert(assert) => {
                self.expr(&assert.test)?;
                assert.msg.as_deref().map_or(Ok(()), |message| self.expr(message))
            }
            Stmt::Import(import) => {
                let plain = |alias: &ruff_python_ast::Alias| {
                    alias.name.as_str() == "math" && alias.asname.is_none()
                };
                match import.names.iter().all(plain) {
                    true => Ok(()),
                    false => refuse("modules but math"),
                }
            }
            Stmt::ImportFrom(import) => {
                let math = import.module.as_deref() == Some("math") && import.level == 0;
                let known = |alias: &ruff_python_ast::Alias| {
                    MATH.contains(&alias.name.as_str()) && alias.asname.is_none()
                };
                match math && import.names.iter().all(known) {
                    true => Ok(()),
                    false => refuse("modules but math, and some of its functions"),
                }
            }
            Stmt::ClassDef(_) => refuse("classes"),
            Stmt::Try(_) => refuse("try"),
            Stmt::Delete(_) => refuse("del"),
            Stmt::With(_) => refuse("with"),
            Stmt::Match(_) => refuse("match"),
            Stmt::Nonlocal(_) => refuse("nonlocal"),
            Stmt::TypeAlias(_) | Stmt::IpyEscapeCommand(_) => refuse("this statement"),
        }
    }

    fn parameters(&mut self, parameters: &Parameters) -> Sure {
        if parameters.vararg.is_some() || parameters.kwarg.is_some() {
            return refuse("functions of any number of arguments");
        }
        let names: HashSet<&str> =
            parameters.iter_non_variadic_params().map(|one| one.parameter.name.as_str()).collect();
        if names.len() < parameters.iter_non_variadic_params().count() {
            return refuse("parameters of one name");
        }
        parameters.iter_non_variadic_params().try_for_each(|parameter| {
            parameter.parameter.annotation.as_deref().map_or(Ok(()), annotation)?;
            parameter.default.as_deref().map_or(Ok(()), |value| self.expr(value))
        })
    }

    /// What is assigned to.
    fn target(&mut self, target: &Expr) -> Sure {
        match target {
            Expr::Name(_) => Ok(()),
            Expr::Tuple(tuple) => tuple.elts.iter().try_for_each(|target| self.target(target)),
            Expr::List(list) => list.elts.iter().try_for_each(|target| self.target(target)),
            Expr::Subscript(part) => {
                self.expr(&part.value)?;
                self.key(&part.slice)
            }
            _ => refuse("assignment to this"),
        }
    }

    /// A key, which must not equal another one of another type: the host looks at those that are not literals.
    fn key(&mut self, key: &Expr) -> Sure {
        match key {
            Expr::StringLiteral(_) => Ok(()),
            Expr::NumberLiteral(number) if matches!(number.value, Number::Int(_)) => Ok(()),
            Expr::Slice(_) => refuse("assignment to slices"),
            key => self.handed(key, "key"),
        }
    }

    fn augmented(&mut self, assign: &StmtAugAssign) -> Sure {
        let Some(function) = hosted(assign.op)? else {
            self.target(&assign.target)?;
            return self.expr(&assign.value);
        };
        match &*assign.target {
            Expr::Name(_) => {}
            // It is written twice: what stands on the right must not change what it is.
            Expr::Subscript(part)
                if part.value.is_name_expr()
                    && (part.slice.is_name_expr() || part.slice.is_literal_expr())
                    && !self.names.calls_functions(&assign.value) => {}
            _ => return refuse("this operation on a part"),
        }
        if is_bare_tuple(&assign.value) {
            return refuse("a tuple without parentheses here");
        }
        self.target(&assign.target)?;
        // `x /= y` becomes `x = _e_div(x, y)`.
        let between = TextRange::new(assign.target.end(), assign.value.start());
        let range = self.operator(between)?;
        let text = format!("= {HOST}{function}({},", &self.source[assign.target.range()]);
        self.edits.push(Edit { range, begins: true, text });
        self.expr(&assign.value)?;
        self.end(assign.end());
        Ok(())
    }

    fn is_built_in(&self, name: &str, which: &[&str]) -> bool {
        which.contains(&name) && !self.names.bound.contains(name)
    }
}
