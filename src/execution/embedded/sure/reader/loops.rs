//! Loops and comprehensions, and what they go over.

use std::collections::HashSet;

use ruff_python_ast::visitor::{Visitor, walk_expr};
use ruff_python_ast::{Comprehension, Expr, ExprCall, Stmt, StmtFor};

use super::super::names::changed_in;
use super::known::{LAZY, VIEWS, is_built_in};
use super::{DEEPEST_COMPREHENSION, Reader, Sure, refuse};

impl Reader<'_> {
    pub(super) fn each(&mut self, each: &StmtFor) -> Sure {
        if each.is_async {
            return refuse("asynchronous loops");
        }
        self.target(&each.target)?;
        self.iterable(&each.iter)?;
        let mut changed = HashSet::new();
        changed_in(&each.body, &mut changed);
        let mut over = Named(HashSet::new());
        over.visit_expr(&each.iter);
        if changed.iter().any(|name| over.0.contains(name)) {
            return refuse("loops that change what they go over");
        }
        // A dictionary in a loop may not be changed either.
        let is_fixed = match &*each.iter {
            Expr::Call(call) => matches!(&*call.func, Expr::Name(name) if name.id == "range"),
            value => value.is_literal_expr(),
        };
        if !is_fixed
            && (changed.iter().any(|name| !self.names.is_own(name))
                || self.names.calls_change(&each.body))
        {
            return refuse("loops that may change what they go over");
        }
        // A later step may give the function another meaning.
        if is_lazy(&each.iter)
            && self.inside.functions > 0
            && each.body.iter().any(|stmt| self.calls_any(stmt))
        {
            return refuse("calls in a function's loop over lazy values");
        }
        self.repeated_body(&each.body)?;
        self.body(&each.orelse)
    }

    /// What a built-in takes all of at once, so that it does not matter when its values are made.
    pub(super) fn all_of(&mut self, value: &Expr) -> Sure {
        match value {
            Expr::Generator(generator) => {
                self.comprehension(&generator.generators, &[&generator.elt], |reader| {
                    reader.expr(&generator.elt)
                })
            }
            Expr::Call(call) => match &*call.func {
                Expr::Name(name) if self.is_built_in(&name.id, &["map", "filter"]) => {
                    self.mapped(name.id.as_str(), call)
                }
                _ => self.iterable(value),
            },
            value => self.iterable(value),
        }
    }

    /// What a loop goes over. Where CPython makes the values one by one, to make one shows nothing, cannot fail and does not read what the
    /// loop may change.
    pub(super) fn iterable(&mut self, value: &Expr) -> Sure {
        match value {
            Expr::Generator(_) => refuse("generators that are not taken whole"),
            Expr::Call(call) => match &*call.func {
                Expr::Name(name) if self.is_built_in(&name.id, &["map", "filter"]) => {
                    refuse("map and filter that are not taken whole")
                }
                Expr::Name(name) if self.is_built_in(&name.id, &LAZY) => {
                    self.lazy(name.id.as_str(), call)
                }
                Expr::Attribute(method) if is_view(call) => self.expr(&method.value),
                _ => self.expr(value),
            },
            value => self.expr(value),
        }
    }

    pub(super) fn lazy(&mut self, name: &str, call: &ExprCall) -> Sure {
        for word in &call.arguments.keywords {
            match (word.arg.as_deref(), &word.value) {
                (Some("start"), Expr::NumberLiteral(_)) if name == "enumerate" => {}
                _ => return refuse(format!("this argument of {name}")),
            }
        }
        if name == "enumerate"
            && let Some(start) = call.arguments.args.get(1)
            && !start.is_number_literal_expr()
        {
            return refuse("this start of enumerate");
        }
        call.arguments.args.iter().try_for_each(|value| self.iterable(value))
    }

    pub(super) fn mapped(&mut self, name: &str, call: &ExprCall) -> Sure {
        if !call.arguments.keywords.is_empty() {
            return refuse(format!("this argument of {name}"));
        }
        let mut values = call.arguments.args.iter();
        match values.next() {
            Some(Expr::Name(function)) if self.is_built_in(&function.id, &["int"]) => {
                // Of texts alone: what it makes of numbers is the host's.
                let texts = values.clone().all(|value| {
                    matches!(value, Expr::Call(call) if match &*call.func {
                        Expr::Name(name) => self.is_built_in(&name.id, &["str"]),
                        Expr::Attribute(method) => method.attr.as_str() == "split",
                        _ => false,
                    })
                });
                if !texts || name == "filter" {
                    return refuse("int of each of these");
                }
            }
            Some(Expr::Name(function))
                if self.is_built_in(&function.id, &["str", "len", "abs"]) => {}
            Some(Expr::Lambda(function)) => self.lambda(function)?,
            Some(Expr::Name(function)) if self.names.functions.contains(function.id.as_str()) => {}
            _ => return refuse("this function of each"),
        }
        values.try_for_each(|value| self.iterable(value))
    }

    /// The loops of a comprehension, and what it makes, which `read` reads.
    pub(super) fn comprehension(
        &mut self,
        comprehensions: &[Comprehension],
        made: &[&Expr],
        read: impl FnOnce(&mut Self) -> Sure,
    ) -> Sure {
        self.inside.comprehensions += 1;
        if self.inside.comprehensions > DEEPEST_COMPREHENSION {
            return refuse("comprehensions so deep in others");
        }
        let parts = comprehensions.iter().flat_map(|each| each.ifs.iter().chain([&each.iter]));
        if parts.chain(made.iter().copied()).any(|part| self.names.changes(part)) {
            return refuse("comprehensions that may change what they go over");
        }
        comprehensions.iter().try_for_each(|each| {
            if each.is_async {
                return refuse("asynchronous comprehensions");
            }
            self.target(&each.target)?;
            self.iterable(&each.iter)?;
            each.ifs.iter().try_for_each(|test| self.expr(test))
        })?;
        read(self)?;
        self.inside.comprehensions -= 1;
        Ok(())
    }

    /// Whether a statement calls something else than what is built in.
    fn calls_any(&self, stmt: &Stmt) -> bool {
        let mut calls = Called(false);
        calls.visit_stmt(stmt);
        calls.0
    }
}

/// Finds calls of names that are not built in.
struct Called(bool);

impl<'a> Visitor<'a> for Called {
    fn visit_expr(&mut self, expr: &'a Expr) {
        if let Expr::Call(call) = expr {
            self.0 |= matches!(&*call.func, Expr::Name(name) if !is_built_in(&name.id));
        }
        walk_expr(self, expr);
    }
}

/// Whether a call gives a view of a dictionary.
pub(super) fn is_view(call: &ExprCall) -> bool {
    matches!(&*call.func, Expr::Attribute(method) if VIEWS.contains(&method.attr.as_str()))
        && call.arguments.args.is_empty()
        && call.arguments.keywords.is_empty()
}

/// Whether CPython makes the values of a loop while it goes on.
fn is_lazy(value: &Expr) -> bool {
    matches!(value, Expr::Generator(_))
        || matches!(value, Expr::Call(call) if match &*call.func {
            Expr::Name(name) => LAZY.contains(&name.id.as_str()),
            Expr::Attribute(method) => VIEWS.contains(&method.attr.as_str()),
            _ => false,
        })
}

/// The names in an expression.
struct Named(HashSet<String>);

impl<'a> Visitor<'a> for Named {
    fn visit_expr(&mut self, expr: &'a Expr) {
        if let Expr::Name(name) = expr {
            self.0.insert(name.id.to_string());
        }
        walk_expr(self, expr);
    }
}
