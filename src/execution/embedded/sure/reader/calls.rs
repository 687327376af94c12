//! Calls of built-ins, methods and the path's own functions.

use ruff_python_ast::visitor::{Visitor, walk_expr};
use ruff_python_ast::{Expr, ExprCall};
use ruff_text_size::Ranged;

use super::known::{ALIKE, HOST, HOSTED, MATH, METHODS, OF_ASCII, TAKE_ALL};
use super::loops::is_view;
use super::{Edit, Reader, Sure, refuse};

impl Reader<'_> {
    pub(super) fn arguments(&mut self, call: &ExprCall) -> Sure {
        let words: Vec<&str> =
            call.arguments.keywords.iter().filter_map(|word| word.arg.as_deref()).collect();
        if (1..words.len()).any(|at| words[..at].contains(&words[at])) {
            return refuse("an argument that is given twice");
        }
        self.exprs(&call.arguments.args)?;
        call.arguments.keywords.iter().try_for_each(|word| match word.arg {
            Some(_) => self.expr(&word.value),
            None => refuse("unpacked arguments"),
        })
    }

    pub(super) fn call(&mut self, call: &ExprCall) -> Sure {
        match &*call.func {
            Expr::Name(name) => {
                let name = name.id.as_str();
                let known = ALIKE.contains(&name) || HOSTED.contains(&name) || name == "set";
                match self.names.bound.contains(name) {
                    true if known => refuse(format!("{name}, which the path gave a meaning")),
                    true => self.arguments(call),
                    false if known => self.built_in(name, call),
                    false => {
                        self.name(name)?;
                        self.arguments(call)
                    }
                }
            }
            Expr::Attribute(method) => {
                let name = method.attr.as_str();
                if let Expr::Name(module) = &*method.value
                    && self.names.modules.contains(module.id.as_str())
                {
                    return match module.id == "math" && MATH.contains(&name) {
                        true => self.arguments(call),
                        false => refuse(format!("{}.{name}", module.id)),
                    };
                }
                if !METHODS.contains(&name) || (!self.is_ascii && OF_ASCII.contains(&name)) {
                    return refuse(format!("the method {name} here"));
                }
                self.expr(&method.value)?;
                match (&*call.arguments.args, name) {
                    ([texts], "join") => self.all_of(texts),
                    ([_, _, ..], "find" | "count" | "index" | "startswith" | "endswith") => {
                        refuse(format!("the bounds of {name}"))
                    }
                    _ if name == "sort" => self.keywords(call, &["key", "reverse"]),
                    _ => {
                        self.keywords(call, &[])?;
                        self.exprs(&call.arguments.args)
                    }
                }
            }
            _ => refuse("this form of a call"),
        }
    }

    pub(super) fn keywords(&mut self, call: &ExprCall, allowed: &[&str]) -> Sure {
        call.arguments.keywords.iter().try_for_each(|word| match word.arg.as_deref() {
            Some("key") if allowed.contains(&"key") => match &word.value {
                Expr::Name(name) if self.is_built_in(&name.id, &["len", "abs"]) => Ok(()),
                Expr::Name(name) if self.names.functions.contains(name.id.as_str()) => Ok(()),
                Expr::Lambda(function) => self.lambda(function),
                _ => refuse("this key"),
            },
            Some("reverse") if !word.value.is_boolean_literal_expr() => refuse("this order"),
            Some(name) if allowed.contains(&name) => self.expr(&word.value),
            _ => refuse("this argument"),
        })
    }

    pub(super) fn built_in(&mut self, name: &str, call: &ExprCall) -> Sure {
        let arguments = &*call.arguments.args;
        let allowed: &[&str] = match name {
            "print" => &["sep", "end"],
            "sorted" => &["key", "reverse"],
            "min" | "max" => &["key", "default"],
            _ => &[],
        };
        // CPython makes the values of a generator when the built-in asks for them: after the other arguments.
        let is_late = |value: &Expr| match value {
            Expr::Generator(_) => true,
            Expr::Call(call) => {
                matches!(&*call.func, Expr::Name(name) if ["map", "filter"].contains(&name.id.as_str()))
            }
            _ => false,
        };
        let words =
            call.arguments.keywords.iter().filter(|word| word.arg.as_deref() != Some("key"));
        let others =
            words.map(|word| &word.value).chain(arguments.iter().filter(|value| !is_late(value)));
        if arguments.iter().any(is_late) && !{ others }.all(Expr::is_literal_expr) {
            return refuse("a generator beside other arguments");
        }
        self.keywords(call, allowed)?;
        let keyed = call.arguments.keywords.iter().any(|word| word.arg.as_deref() == Some("key"));
        if HOSTED.contains(&name) {
            let range = call.func.range();
            self.edits.push(Edit { range, begins: true, text: format!("{HOST}{name}") });
        }
        match (name, arguments) {
            // Those of a set, in an order that is none of the set's.
            ("len" | "sorted", [Expr::Call(set)]) if self.is_set(set) && !keyed => {
                set.arguments.args.iter().try_for_each(|value| self.all_of(value))
            }
            ("len" | "sorted", [Expr::Set(set)]) if !keyed => self.exprs(&set.elts),
            ("len" | "sorted", [Expr::SetComp(set)]) if !keyed => {
                self.comprehension(&set.generators, &[&set.elt], |reader| reader.expr(&set.elt))
            }
            ("set", _) => refuse("sets, whose order is that of hashes"),
            ("len", [Expr::Call(view)]) if is_view(view) => self.iterable(&arguments[0]),
            ("len", [value]) => self.expr(value),
            ("any" | "all", [Expr::Generator(generator)]) => {
                // CPython stops at the first that tells: later ones show nothing, and a step that has generators does not fail.
                let mut calm = Calm(true);
                let parts = generator
                    .generators
                    .iter()
                    .flat_map(|each| [&each.iter].into_iter().chain(&each.ifs));
                for part in parts.chain([&*generator.elt]) {
                    calm.visit_expr(part);
                }
                match calm.0 {
                    true => self.all_of(&arguments[0]),
                    false => refuse(format!("{name} of values that may show something")),
                }
            }
            ("print", _) => arguments.iter().try_for_each(|value| match value {
                Expr::Starred(all) => self.expr(&all.value),
                value => self.expr(value),
            }),
            ("str", [value]) => self.shown(value),
            ("min" | "max" | "sorted", [values]) if keyed => self.iterable(values),
            (name, [values]) if TAKE_ALL.contains(&name) => self.all_of(values),
            ("sum", [values, start]) => {
                self.all_of(values)?;
                self.expr(start)
            }
            _ => self.exprs(arguments),
        }
    }

    pub(super) fn is_set(&self, call: &ExprCall) -> bool {
        matches!(&*call.func, Expr::Name(name) if self.is_built_in(&name.id, &["set"]))
            && call.arguments.keywords.is_empty()
    }
}

/// Whether to compute an expression shows nothing.
struct Calm(bool);

impl<'a> Visitor<'a> for Calm {
    fn visit_expr(&mut self, expr: &'a Expr) {
        self.0 &= match expr {
            Expr::Call(call) => {
                matches!(&*call.func, Expr::Name(name) if ["range", "len", "abs"].contains(&name.id.as_str()))
            }
            Expr::Generator(_) | Expr::ListComp(_) | Expr::Lambda(_) => false,
            _ => true,
        };
        walk_expr(self, expr);
    }
}
