//! What the steps of a path bind, change and pass on.

use std::collections::HashSet;

use ruff_python_ast::visitor::{Visitor, walk_expr, walk_parameter, walk_parameters, walk_stmt};
use ruff_python_ast::{Expr, Parameter, Parameters, Stmt};

use super::reader::{BUILT_IN, LAZY};

/// Methods that change what they are called on.
const CHANGE: [&str; 12] = [
    "append",
    "extend",
    "insert",
    "pop",
    "remove",
    "sort",
    "reverse",
    "clear",
    "update",
    "add",
    "discard",
    "setdefault",
];

/// Stands for a value without a name, which may be any.
const NAMELESS: &str = "?";

/// Methods of lists.
const LIST: [&str; 10] =
    ["append", "extend", "insert", "pop", "remove", "sort", "reverse", "index", "count", "copy"];

/// Built-ins that give back nothing of what they are given.
const NEW: [&str; 20] = [
    "print",
    "len",
    "str",
    "sum",
    "abs",
    "int",
    "float",
    "round",
    "range",
    "any",
    "all",
    "enumerate",
    "zip",
    "reversed",
    "sorted",
    "divmod",
    "pow",
    "bool",
    "ord",
    "chr",
];

/// Names of a path, wherever they stand: scopes are not told apart.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Assigned, imported, defined, parameters.
    pub bound: HashSet<String>,
    /// Functions of the path's own.
    pub functions: HashSet<String>,
    /// Modules that were imported whole.
    pub modules: HashSet<String>,
    /// Bound to something else than a list or dictionary made on the spot.
    stale: HashSet<String>,
    /// Given another name, or a place in another value.
    escaped: HashSet<String>,
    /// Whether a function of the path's own changes a value.
    functions_change: bool,
    /// Whether a step of the path has generators or their kin, whose values CPython makes later: an exception may come before another.
    pub lazy: bool,
    /// Whether it has others that CPython makes one by one, of values that are there.
    pub makes_all: bool,
    /// Whether a call's function may be missing while its arguments may fail.
    looked_up_late: bool,
    /// What methods of lists are called on while their arguments may fail.
    asked: HashSet<String>,
    /// Bound to a list that is made on the spot.
    lists: HashSet<String>,
    /// Bound to something else on the spot.
    others: HashSet<String>,
    /// Whether texts of the path may hold other characters than those of ASCII that are seen.
    pub odd_texts: bool,
}

impl Names {
    /// Adds those of a step.
    pub fn collect(&mut self, source: &str, body: &[Stmt]) {
        let escapes =
            ["chr", "\\x", "\\u", "\\U", "\\0", "\\1", "\\2", "\\3", "\\4", "\\5", "\\6", "\\7"];
        let is_odd = |char: char| !char.is_ascii() || char.is_control() && !"\n\t".contains(char);
        self.odd_texts |=
            source.contains(is_odd) || escapes.iter().any(|escape| source.contains(escape));
        for stmt in body {
            self.visit_stmt(stmt);
        }
    }

    /// Whether no other name stands for what `name` stands for.
    pub fn is_own(&self, name: &str) -> bool {
        name != NAMELESS && !self.stale.contains(name) && !self.escaped.contains(name)
    }

    /// Whether a call may fail because its function is missing where the embedded interpreter, which makes the arguments first, fails for
    /// another reason.
    pub fn are_looked_up_late(&self) -> bool {
        let is_list = |name: &String| {
            self.lists.contains(name) && !self.others.contains(name) && !self.stale.contains(name)
        };
        self.looked_up_late || !self.asked.iter().all(is_list)
    }

    /// Whether `body` names a function that may change what it does not own.
    pub fn calls_change(&self, body: &[Stmt]) -> bool {
        self.functions_change
            && self.calls_own(|calls| body.iter().for_each(|stmt| calls.visit_stmt(stmt)))
    }

    /// As [`Self::calls_change`], of an expression.
    pub fn changes(&self, value: &Expr) -> bool {
        let mut changed = HashSet::new();
        Changes { changed: &mut changed }.visit_expr(value);
        !changed.is_empty() || self.functions_change && self.calls_functions(value)
    }

    /// Whether an expression names a function of the path's own, or a lambda.
    pub fn calls_functions(&self, value: &Expr) -> bool {
        self.calls_own(|calls| calls.visit_expr(value))
    }

    fn calls_own(&self, visit: impl FnOnce(&mut Calls<'_>)) -> bool {
        let mut calls = Calls { names: self, found: false };
        visit(&mut calls);
        calls.found
    }

    /// Whether a call's function is surely there when the call is read.
    fn is_there(&self, function: &Expr) -> bool {
        match function {
            Expr::Name(name) => {
                let name = name.id.as_str();
                self.functions.contains(name) || BUILT_IN.contains(&name)
            }
            Expr::Attribute(part) => {
                matches!(&*part.value, Expr::Name(name) if self.modules.contains(name.id.as_str()))
            }
            _ => false,
        }
    }

    fn bind(&mut self, target: &Expr, fresh: bool) {
        match target {
            Expr::Name(name) => {
                self.bound.insert(name.id.to_string());
                if !fresh {
                    self.stale.insert(name.id.to_string());
                }
            }
            Expr::Tuple(tuple) => tuple.elts.iter().for_each(|target| self.bind(target, false)),
            Expr::List(list) => list.elts.iter().for_each(|target| self.bind(target, false)),
            Expr::Starred(starred) => self.bind(&starred.value, false),
            _ => {}
        }
    }

    /// Notes what kind of value is made on the spot for a name.
    fn note(&mut self, target: &Expr, value: &Expr) {
        if let Expr::Name(name) = target {
            let is_list = matches!(value, Expr::List(_) | Expr::ListComp(_));
            let names = if is_list { &mut self.lists } else { &mut self.others };
            names.insert(name.id.to_string());
        }
    }

    fn escape(&mut self, value: &Expr) {
        if let Expr::Name(name) = value {
            self.escaped.insert(name.id.to_string());
        }
    }
}

/// Whether the expression makes a value that nothing else holds, or one that cannot change.
fn is_fresh(value: &Expr) -> bool {
    value.is_literal_expr()
        || matches!(
            value,
            Expr::List(_)
                | Expr::ListComp(_)
                | Expr::Dict(_)
                | Expr::DictComp(_)
                | Expr::BinOp(_)
                | Expr::UnaryOp(_)
                | Expr::Compare(_)
                | Expr::FString(_)
        )
}

impl<'a> Visitor<'a> for Names {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        match stmt {
            Stmt::Assign(assign) => {
                if let (Expr::Lambda(_), [Expr::Name(name)]) = (&*assign.value, &*assign.targets) {
                    self.functions.insert(name.id.to_string());
                }
                for target in &assign.targets {
                    self.bind(target, is_fresh(&assign.value) && assign.targets.len() == 1);
                    self.note(target, &assign.value);
                }
                self.escape(&assign.value);
            }
            Stmt::AnnAssign(assign) => {
                self.bind(&assign.target, assign.value.as_deref().is_some_and(is_fresh));
                if let Some(value) = &assign.value {
                    self.escape(value);
                    self.note(&assign.target, value);
                }
            }
            Stmt::AugAssign(assign) => self.bind(&assign.target, true),
            Stmt::For(each) => self.bind(&each.target, false),
            Stmt::FunctionDef(function) => {
                self.bound.insert(function.name.to_string());
                self.functions.insert(function.name.to_string());
                let mut changed = HashSet::new();
                changed_in(&function.body, &mut changed);
                self.functions_change |= !changed.is_empty();
            }
            Stmt::Return(value) => {
                if let Some(value) = &value.value {
                    self.escape(value);
                }
            }
            Stmt::Import(import) => {
                for alias in &import.names {
                    let name = alias.asname.as_ref().unwrap_or(&alias.name);
                    self.bound.insert(name.to_string());
                    self.modules.insert(name.to_string());
                }
            }
            Stmt::ImportFrom(import) => {
                for alias in &import.names {
                    let name = alias.asname.as_ref().unwrap_or(&alias.name);
                    self.bound.insert(name.to_string());
                }
            }
            _ => {}
        }
        walk_stmt(self, stmt);
    }

    fn visit_expr(&mut self, expr: &'a Expr) {
        self.lazy |= matches!(expr, Expr::Generator(_))
            || matches!(expr, Expr::Call(call) if matches!(&*call.func, Expr::Name(name)
                if ["map", "filter", "any", "all"].contains(&name.id.as_str())));
        self.makes_all |= matches!(expr, Expr::Call(call) if matches!(&*call.func, Expr::Name(name)
            if LAZY.contains(&name.id.as_str())));
        match expr {
            Expr::Tuple(tuple) => tuple.elts.iter().for_each(|value| self.escape(value)),
            Expr::List(list) => list.elts.iter().for_each(|value| self.escape(value)),
            Expr::Dict(dict) => dict.items.iter().for_each(|item| self.escape(&item.value)),
            Expr::If(choice) => {
                self.escape(&choice.body);
                self.escape(&choice.orelse);
            }
            Expr::BoolOp(choice) => choice.values.iter().for_each(|value| self.escape(value)),
            Expr::Lambda(function) => {
                self.escape(&function.body);
                let mut changed = HashSet::new();
                Changes { changed: &mut changed }.visit_expr(&function.body);
                self.functions_change |= !changed.is_empty();
            }
            Expr::ListComp(list) => self.escape(&list.elt),
            Expr::Generator(generator) => self.escape(&generator.elt),
            Expr::DictComp(dict) => self.escape(&dict.value),
            Expr::Call(call) => {
                let may_fail = |value: &Expr| !value.is_literal_expr();
                let words = call.arguments.keywords.iter().map(|word| &word.value);
                let fails = call.arguments.args.iter().chain(words).any(may_fail);
                match &*call.func {
                    Expr::Attribute(method) if LIST.contains(&method.attr.as_str()) && fails => {
                        match &*method.value {
                            Expr::Name(name) => _ = self.asked.insert(name.id.to_string()),
                            _ => self.looked_up_late = true,
                        }
                    }
                    function => self.looked_up_late |= fails && !self.is_there(function),
                }
                let shows = matches!(&*call.func, Expr::Name(name)
                    if !self.functions.contains(name.id.as_str()) && NEW.contains(&name.id.as_str()));
                if !shows {
                    call.arguments.args.iter().for_each(|value| self.escape(value));
                    call.arguments.keywords.iter().for_each(|word| self.escape(&word.value));
                }
            }
            _ => {}
        }
        walk_expr(self, expr);
    }

    fn visit_comprehension(&mut self, comprehension: &'a ruff_python_ast::Comprehension) {
        self.bind(&comprehension.target, false);
        ruff_python_ast::visitor::walk_comprehension(self, comprehension);
    }

    fn visit_parameters(&mut self, parameters: &'a Parameters) {
        let defaults =
            parameters.iter_non_variadic_params().filter_map(|one| one.default.as_deref());
        defaults.for_each(|value| self.escape(value));
        walk_parameters(self, parameters);
    }

    fn visit_parameter(&mut self, parameter: &'a Parameter) {
        self.bound.insert(parameter.name.to_string());
        self.stale.insert(parameter.name.to_string());
        walk_parameter(self, parameter);
    }
}

/// Finds names of a path's own functions, and of values that may be functions and are called.
struct Calls<'n> {
    names: &'n Names,
    found: bool,
}

impl<'a> Visitor<'a> for Calls<'_> {
    fn visit_expr(&mut self, expr: &'a Expr) {
        self.found |= match expr {
            Expr::Call(call) => matches!(&*call.func, Expr::Name(name)
                if self.names.bound.contains(name.id.as_str())),
            Expr::Name(name) => self.names.functions.contains(name.id.as_str()),
            Expr::Lambda(_) => true,
            _ => false,
        };
        walk_expr(self, expr);
    }
}

/// The names whose values the statements change in place.
pub(super) fn changed_in(body: &[Stmt], changed: &mut HashSet<String>) {
    let mut changes = Changes { changed };
    body.iter().for_each(|stmt| changes.visit_stmt(stmt));
}

struct Changes<'n> {
    changed: &'n mut HashSet<String>,
}

impl Changes<'_> {
    fn target(&mut self, target: &Expr) {
        match target {
            Expr::Subscript(part) => self.base(&part.value),
            Expr::Attribute(part) => self.base(&part.value),
            Expr::Tuple(tuple) => tuple.elts.iter().for_each(|target| self.target(target)),
            Expr::List(list) => list.elts.iter().for_each(|target| self.target(target)),
            _ => {}
        }
    }

    /// Of `a[i]` and `a.b`, and of a value that has no name, which may be any.
    fn base(&mut self, value: &Expr) {
        match value {
            Expr::Name(name) => {
                self.changed.insert(name.id.to_string());
            }
            Expr::Subscript(part) => self.base(&part.value),
            Expr::Attribute(part) => self.base(&part.value),
            _ => {
                self.changed.insert(NAMELESS.to_owned());
            }
        }
    }
}

impl<'a> Visitor<'a> for Changes<'_> {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        match stmt {
            Stmt::Assign(assign) => assign.targets.iter().for_each(|target| self.target(target)),
            Stmt::AugAssign(assign) => {
                self.target(&assign.target);
                // `xs += [1]` changes the list itself.
                if let Expr::Name(name) = &*assign.target
                    && !matches!(&*assign.value, Expr::NumberLiteral(_) | Expr::FString(_))
                {
                    self.changed.insert(name.id.to_string());
                }
            }
            Stmt::For(each) => self.target(&each.target),
            _ => {}
        }
        walk_stmt(self, stmt);
    }

    fn visit_expr(&mut self, expr: &'a Expr) {
        if let Expr::Call(call) = expr
            && let Expr::Attribute(method) = &*call.func
            && CHANGE.contains(&method.attr.as_str())
        {
            self.base(&method.value);
        }
        walk_expr(self, expr);
    }
}
