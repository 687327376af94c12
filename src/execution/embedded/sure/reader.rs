//! Reads a step: every part of it must be one that was compared with CPython.

use std::collections::HashSet;

use ruff_python_ast::token::{TokenKind, Tokens};
use ruff_python_ast::visitor::{Visitor, walk_expr};
use ruff_python_ast::{
    CmpOp, Comprehension, ConversionFlag, Expr, ExprCall, InterpolatedStringElement, Number,
    Operator, Parameters, Stmt, StmtAugAssign, StmtFor,
};
use ruff_text_size::{Ranged, TextRange, TextSize};

use super::names::{Names, changed_in};

/// Built-ins that do in the embedded interpreter what they do in CPython.
const ALIKE: [&str; 15] = [
    "abs", "len", "min", "max", "sorted", "range", "str", "list", "tuple", "print", "any", "all",
    "bool", "chr", "ord",
];
/// Built-ins that the host does: [`super::super::host`].
const HOSTED: [&str; 6] = ["int", "float", "round", "sum", "pow", "divmod"];
/// Built-ins whose values CPython makes one by one when they are asked for, and the embedded interpreter at once.
const LAZY: [&str; 3] = ["enumerate", "zip", "reversed"];
/// Views of a dictionary, which follow it in CPython.
const VIEWS: [&str; 3] = ["keys", "values", "items"];
/// Built-ins that take all of their argument at once.
const TAKE_ALL: [&str; 7] = ["list", "tuple", "sorted", "sum", "min", "max", "len"];
/// Methods of lists, texts and dictionaries.
const METHODS: [&str; 27] = [
    "append",
    "extend",
    "insert",
    "pop",
    "remove",
    "sort",
    "reverse",
    "index",
    "count",
    "copy",
    "upper",
    "lower",
    "strip",
    "lstrip",
    "rstrip",
    "split",
    "join",
    "replace",
    "startswith",
    "endswith",
    "find",
    "isdigit",
    "isalpha",
    "title",
    "capitalize",
    "zfill",
    "get",
];
/// Those that were compared on ASCII alone.
const OF_ASCII: [&str; 11] = [
    "upper",
    "lower",
    "strip",
    "lstrip",
    "rstrip",
    "split",
    "isdigit",
    "isalpha",
    "title",
    "capitalize",
    "zfill",
];
/// What of `math` needs no library of functions that differ in their last digit.
const MATH: [&str; 10] =
    ["sqrt", "floor", "ceil", "gcd", "factorial", "comb", "isqrt", "pi", "e", "fabs"];
/// Types that a function's parameters may be said to have.
const ANNOTATIONS: [&str; 7] = ["int", "float", "str", "bool", "list", "dict", "tuple"];
/// CPython's built-in functions and types, which the embedded interpreter may lack.
const BUILT_IN: [&str; 77] = [
    "abs",
    "aiter",
    "all",
    "anext",
    "any",
    "ascii",
    "bin",
    "bool",
    "breakpoint",
    "bytearray",
    "bytes",
    "callable",
    "chr",
    "classmethod",
    "compile",
    "complex",
    "copyright",
    "credits",
    "delattr",
    "dict",
    "dir",
    "divmod",
    "enumerate",
    "eval",
    "exec",
    "exit",
    "filter",
    "float",
    "format",
    "frozenset",
    "getattr",
    "globals",
    "hasattr",
    "hash",
    "help",
    "hex",
    "id",
    "input",
    "int",
    "isinstance",
    "issubclass",
    "iter",
    "len",
    "license",
    "list",
    "locals",
    "map",
    "max",
    "memoryview",
    "min",
    "next",
    "object",
    "oct",
    "open",
    "ord",
    "pow",
    "print",
    "property",
    "quit",
    "range",
    "repr",
    "reversed",
    "round",
    "set",
    "setattr",
    "slice",
    "sorted",
    "staticmethod",
    "str",
    "sum",
    "super",
    "tuple",
    "type",
    "vars",
    "zip",
    "NotImplemented",
    "Ellipsis",
];
/// How the names of CPython's exceptions end.
const EXCEPTIONS: [&str; 7] =
    ["Error", "Exception", "Warning", "Exit", "Group", "Interrupt", "Iteration"];
/// Names that the host's functions have in the rewritten step.
const HOST: &str = "_e_";

type Sure<T = ()> = Result<T, String>;

/// Reads one step, and notes what is to be written otherwise.
pub(super) struct Reader<'a> {
    source: &'a str,
    tokens: &'a Tokens,
    names: &'a Names,
    is_ascii: bool,
    edits: Vec<Edit>,
}

/// `text` in the place of `range`. At one place, what ends goes before what begins.
struct Edit {
    range: TextRange,
    begins: bool,
    text: String,
}

/// Whether calls of the built-in go to the host.
pub(super) fn is_hosted(name: &str) -> bool {
    HOSTED.contains(&name)
}

fn refuse<T>(what: impl Into<String>) -> Sure<T> {
    Err(what.into())
}

impl<'a> Reader<'a> {
    pub fn new(source: &'a str, tokens: &'a Tokens, names: &'a Names) -> Self {
        Self {
            source,
            tokens,
            names,
            is_ascii: source.is_ascii() && !names.odd_texts,
            edits: Vec::new(),
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
        body.iter().try_for_each(|stmt| self.stmt(stmt))
    }

    fn stmt(&mut self, stmt: &Stmt) -> Sure {
        match stmt {
            Stmt::Expr(value) => self.expr(&value.value),
            Stmt::Pass(_) | Stmt::Break(_) | Stmt::Continue(_) | Stmt::Global(_) => Ok(()),
            Stmt::Return(value) => value.value.as_deref().map_or(Ok(()), |value| self.expr(value)),
            Stmt::Assign(assign) => {
                assign.targets.iter().try_for_each(|target| self.target(target))?;
                self.expr(&assign.value)
            }
            Stmt::AnnAssign(assign) => {
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
                self.body(&repeat.body)?;
                self.body(&repeat.orelse)
            }
            Stmt::For(each) => self.each(each),
            Stmt::FunctionDef(function) => {
                if function.is_async || !function.decorator_list.is_empty() {
                    return refuse("decorated and asynchronous functions");
                }
                if function.type_params.is_some() {
                    return refuse("type parameters");
                }
                self.parameters(&function.parameters)?;
                function.returns.as_deref().map_or(Ok(()), annotation)?;
                self.body(&function.body)
            }
            Stmt::Raise(raise) => match (raise.exc.as_deref(), &raise.cause) {
                (Some(Expr::Call(call)), None) => self.arguments(call),
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
            Expr::Subscript(part)
                if part.value.is_name_expr()
                    && (part.slice.is_name_expr() || part.slice.is_literal_expr()) => {}
            _ => return refuse("this operation on a part"),
        }
        self.target(&assign.target)?;
        // `x /= y` becomes `x = _e_div(x, y)`.
        let kinds = [
            TokenKind::SlashEqual,
            TokenKind::DoubleSlashEqual,
            TokenKind::PercentEqual,
            TokenKind::DoubleStarEqual,
            TokenKind::StarEqual,
            TokenKind::LeftShiftEqual,
        ];
        let between = TextRange::new(assign.target.end(), assign.value.start());
        let range = self.operator(between, &kinds)?;
        let text = format!("= {HOST}{function}({},", &self.source[assign.target.range()]);
        self.edits.push(Edit { range, begins: true, text });
        self.expr(&assign.value)?;
        self.end(assign.end());
        Ok(())
    }

    fn each(&mut self, each: &StmtFor) -> Sure {
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
        if is_lazy(&each.iter)
            && (changed.iter().any(|name| !self.names.is_own(name))
                || self.names.calls_change(&each.body))
        {
            return refuse("loops over lazy values that may change them");
        }
        self.body(&each.body)?;
        self.body(&each.orelse)
    }

    /// What a built-in takes all of at once, so that it does not matter when its values are made.
    fn all_of(&mut self, value: &Expr) -> Sure {
        match value {
            Expr::Generator(generator) => {
                self.comprehensions(&generator.generators)?;
                self.expr(&generator.elt)
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
    fn iterable(&mut self, value: &Expr) -> Sure {
        match value {
            Expr::Generator(_) => refuse("generators that are not taken whole"),
            Expr::Call(call) => match &*call.func {
                Expr::Name(name) if self.is_built_in(&name.id, &["map", "filter"]) => {
                    refuse("map and filter that are not taken whole")
                }
                Expr::Name(name) if self.is_built_in(&name.id, &LAZY) => {
                    self.lazy(name.id.as_str(), call)
                }
                Expr::Attribute(method)
                    if VIEWS.contains(&method.attr.as_str())
                        && call.arguments.args.is_empty()
                        && call.arguments.keywords.is_empty() =>
                {
                    self.expr(&method.value)
                }
                _ => self.expr(value),
            },
            value => self.expr(value),
        }
    }

    fn lazy(&mut self, name: &str, call: &ExprCall) -> Sure {
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

    fn mapped(&mut self, name: &str, call: &ExprCall) -> Sure {
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
            Some(function @ Expr::Lambda(_)) => self.expr(function)?,
            Some(Expr::Name(function)) if self.names.functions.contains(function.id.as_str()) => {}
            _ => return refuse("this function of each"),
        }
        values.try_for_each(|value| self.iterable(value))
    }

    fn is_built_in(&self, name: &str, which: &[&str]) -> bool {
        which.contains(&name) && !self.names.bound.contains(name)
    }

    fn comprehensions(&mut self, comprehensions: &[Comprehension]) -> Sure {
        comprehensions.iter().try_for_each(|each| {
            if each.is_async {
                return refuse("asynchronous comprehensions");
            }
            self.target(&each.target)?;
            self.iterable(&each.iter)?;
            each.ifs.iter().try_for_each(|test| self.expr(test))
        })
    }

    fn exprs(&mut self, exprs: &[Expr]) -> Sure {
        exprs.iter().try_for_each(|expr| self.expr(expr))
    }

    fn expr(&mut self, expr: &Expr) -> Sure {
        match expr {
            Expr::NumberLiteral(number) => match number.value {
                Number::Complex { .. } => refuse("complex numbers"),
                // The host's integers are no longer either.
                _ if number.range().len().to_u32() > 300 => refuse("numbers of many digits"),
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
                self.comprehensions(&list.generators)?;
                self.expr(&list.elt)
            }
            Expr::DictComp(dict) => {
                let Some(key) = dict.key.as_deref() else { return refuse("this comprehension") };
                self.comprehensions(&dict.generators)?;
                self.key(key)?;
                self.expr(&dict.value)
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
                let kinds = [
                    TokenKind::Slash,
                    TokenKind::DoubleSlash,
                    TokenKind::Percent,
                    TokenKind::DoubleStar,
                    TokenKind::Star,
                    TokenKind::LeftShift,
                ];
                let between = TextRange::new(left.end(), right.start());
                let operator = self.operator(between, &kinds)?;
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
            Expr::Lambda(function) => {
                function.parameters.as_deref().map_or(Ok(()), |all| self.parameters(all))?;
                self.expr(&function.body)
            }
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

    /// Where the operator stands between its operands, beside parentheses, comments and line ends.
    fn operator(&self, between: TextRange, kinds: &[TokenKind]) -> Sure<TextRange> {
        let token = self
            .tokens
            .iter()
            .find(|token| between.contains_range(token.range()) && kinds.contains(&token.kind()));
        token.map_or(refuse("this layout"), |token| Ok(token.range()))
    }

    /// A list or text that is written out, so many times.
    fn repeated(&mut self, left: &Expr, right: &Expr) -> Sure {
        for side in [left, right] {
            if is_sequence(side) {
                self.expr(side)?;
            } else {
                self.handed(side, "count")?;
            }
        }
        Ok(())
    }

    /// A value that the host looks at, and gives back.
    fn handed(&mut self, value: &Expr, function: &str) -> Sure {
        self.begin(value.start(), format!("{HOST}{function}("));
        self.expr(value)?;
        self.end(value.end());
        Ok(())
    }

    /// A value that is made a text at once, so that the host may copy it: of functions and of what holds itself, CPython makes another.
    fn shown(&mut self, value: &Expr) -> Sure {
        match value {
            Expr::FString(_) | Expr::Compare(_) | Expr::BinOp(_) => self.expr(value),
            value if value.is_literal_expr() => self.expr(value),
            value => self.handed(value, "shown"),
        }
    }

    fn name(&self, name: &str) -> Sure {
        if name.starts_with(HOST) || name.starts_with("__") {
            return refuse(format!("the name {name}"));
        }
        if self.names.modules.contains(name) {
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

    fn compared(&mut self, op: CmpOp, right: &Expr) -> Sure {
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

    fn part(&mut self, part: &InterpolatedStringElement) -> Sure {
        let InterpolatedStringElement::Interpolation(part) = part else { return Ok(()) };
        if part.debug_text.is_some() || matches!(part.conversion, ConversionFlag::Ascii) {
            return refuse("this form of an f-string");
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

    fn arguments(&mut self, call: &ExprCall) -> Sure {
        self.exprs(&call.arguments.args)?;
        call.arguments.keywords.iter().try_for_each(|word| match word.arg {
            Some(_) => self.expr(&word.value),
            None => refuse("unpacked arguments"),
        })
    }

    fn call(&mut self, call: &ExprCall) -> Sure {
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

    fn keywords(&mut self, call: &ExprCall, allowed: &[&str]) -> Sure {
        call.arguments.keywords.iter().try_for_each(|word| match word.arg.as_deref() {
            Some("key") if allowed.contains(&"key") => match &word.value {
                Expr::Name(name) if self.is_built_in(&name.id, &["len", "abs"]) => Ok(()),
                Expr::Name(name) if self.names.functions.contains(name.id.as_str()) => Ok(()),
                function @ Expr::Lambda(_) => self.expr(function),
                _ => refuse("this key"),
            },
            Some("reverse") if !word.value.is_boolean_literal_expr() => refuse("this order"),
            Some(name) if allowed.contains(&name) => self.expr(&word.value),
            _ => refuse("this argument"),
        })
    }

    fn built_in(&mut self, name: &str, call: &ExprCall) -> Sure {
        let arguments = &*call.arguments.args;
        let allowed: &[&str] = match name {
            "print" => &["sep", "end"],
            "sorted" => &["key", "reverse"],
            "min" | "max" => &["key", "default"],
            _ => &[],
        };
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
                self.comprehensions(&set.generators)?;
                self.expr(&set.elt)
            }
            ("set", _) => refuse("sets, whose order is that of hashes"),
            ("len", [Expr::Generator(_)]) => refuse("the length of a generator"),
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

    fn is_set(&self, call: &ExprCall) -> bool {
        matches!(&*call.func, Expr::Name(name) if self.is_built_in(&name.id, &["set"]))
            && call.arguments.keywords.is_empty()
    }
}

/// The host's function for an operator; `None` where the interpreter's own is right.
fn hosted(operator: Operator) -> Sure<Option<&'static str>> {
    Ok(Some(match operator {
        Operator::Div => "div",
        Operator::FloorDiv => "floordiv",
        Operator::Mod => "mod",
        Operator::Pow => "pow",
        Operator::MatMult => return refuse("products of matrices"),
        Operator::Mult => "mul",
        Operator::LShift => "shl",
        Operator::Add
        | Operator::Sub
        | Operator::RShift
        | Operator::BitAnd
        | Operator::BitOr
        | Operator::BitXor => return Ok(None),
    }))
}

fn annotation(annotation: &Expr) -> Sure {
    match annotation {
        Expr::NoneLiteral(_) | Expr::StringLiteral(_) => Ok(()),
        Expr::Name(name) if ANNOTATIONS.contains(&name.id.as_str()) => Ok(()),
        _ => refuse("this annotation"),
    }
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

/// Formats that were compared: `[[<>^][0]width][,][.digits][f%d]`, digits with `f` or `%` alone; no widths where texts are not ASCII.
fn is_plain_format(spec: &str, is_ascii: bool) -> bool {
    let rest = spec.strip_prefix(['<', '>', '^']).unwrap_or(spec);
    let width = rest.bytes().take_while(u8::is_ascii_digit).count();
    let aligned = rest.len() < spec.len() || width > 0;
    let rest = &rest[width..];
    let rest = rest.strip_prefix(',').unwrap_or(rest);
    let (digits, rest) = match rest.strip_prefix('.') {
        Some(rest) => {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            (Some(digits), &rest[digits..])
        }
        None => (None, rest),
    };
    let kind = matches!((digits, rest), (Some(1 | 2), "f" | "%") | (None, "" | "d" | "f" | "%"));
    kind && width <= 2 && (is_ascii || !aligned)
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
