//! How an instruction-tuned model wants to be asked: the chat template that its makers wrote in Jinja.

use std::io;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Value};
use minijinja::{Environment, ErrorKind};
use serde::{Deserialize, Serialize};
use serde_json::ser::{Formatter, PrettyFormatter};

use crate::error::{Error, Result};

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks; templates know `system`, `user` and `assistant`.
    pub role: String,
    /// What is said.
    pub content: String,
}

/// A chat template, rendered as `transformers` does (`apply_chat_template` with `tokenize=False`). The date
/// (`strftime_now`) is not offered to templates, so that a prompt is a function of its messages; templates that ask for
/// it have a date of their own for that case.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    /// Texts that every template may use, such as `bos_token`.
    special_tokens: Vec<(String, String)>,
    /// What encoding puts before a text.
    beginning: Option<String>,
}

const NAME: &str = "chat_template";

impl ChatTemplate {
    /// Reads a template. `special_tokens` are pairs such as `("bos_token", "<s>")`.
    ///
    /// # Errors
    /// [`Error::ChatTemplate`] when it is not valid Jinja, with the line.
    pub fn new(
        source: &str,
        special_tokens: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(refused)?);
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", raise_exception);
        environment.add_filter("tojson", to_json);
        environment.add_template_owned(NAME, without_marks(source)).map_err(refused)?;
        let special_tokens = special_tokens.into_iter().collect();
        Ok(Self { environment, special_tokens, beginning: None })
    }

    /// The text of a special token, such as `bos_token`.
    #[must_use]
    pub fn special_token(&self, name: &str) -> Option<&str> {
        self.special_tokens.iter().find(|(other, _)| other == name).map(|(_, text)| text.as_str())
    }

    /// The template for texts before which encoding puts `beginning`: they do not begin with it themselves.
    #[must_use]
    pub fn after(mut self, beginning: Option<String>) -> Self {
        self.beginning = beginning;
        self
    }

    /// The text of a conversation; with `add_generation_prompt` it ends where the assistant's answer begins. It holds
    /// its special tokens already: see
    /// [`Tokenizer::set_add_special_tokens`](crate::Tokenizer::set_add_special_tokens).
    ///
    /// # Errors
    /// [`Error::ChatTemplate`] when the template refuses the messages, with its own words.
    pub fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String> {
        let messages = messages.iter().map(|Message { role, content }| {
            Value::from_pairs([("role", role.as_str()), ("content", content.as_str())])
        });
        let messages: Vec<Value> = messages.collect();
        let mut context = vec![
            ("messages", Value::from(messages)),
            ("add_generation_prompt", Value::from(add_generation_prompt)),
            ("tools", Value::from(())),
            ("documents", Value::from(())),
        ];
        let tokens = self.special_tokens.iter();
        context.extend(tokens.map(|(name, text)| (name.as_str(), Value::from(text.as_str()))));
        let template = self.environment.get_template(NAME).map_err(refused)?;
        let text = template.render(Value::from_pairs(context)).map_err(refused)?;
        let rest = self.beginning.as_ref().and_then(|beginning| text.strip_prefix(beginning));
        Ok(rest.map(str::to_owned).unwrap_or(text))
    }
}

/// `transformers` lets templates mark what the assistant wrote, `{% generation %} .. {% endgeneration %}`. The marks change
/// no text; an `if` in their place keeps what they do to the blanks around them.
fn without_marks(source: &str) -> String {
    let mut kept = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let (before, tag) = rest.split_at(start);
        kept.push_str(before);
        let end = tag.find("%}").map_or(tag.len(), |end| end + 2);
        let (tag, after) = tag.split_at(end);
        match tag.trim_matches(|c: char| c.is_whitespace() || "{%-+}".contains(c)) {
            "generation" => kept.push_str(&tag.replace("generation", "if true")),
            "endgeneration" => kept.push_str(&tag.replace("endgeneration", "endif")),
            _ => kept.push_str(tag),
        }
        rest = after;
    }
    kept + rest
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn refused(error: minijinja::Error) -> Error {
    let message = error.detail().map_or_else(|| error.to_string(), str::to_owned);
    Error::ChatTemplate { line: error.line(), message }
}

/// What templates call to refuse a conversation.
fn raise_exception(message: String) -> Result<Value, minijinja::Error> {
    Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
}

/// Python's `json.dumps(value, ensure_ascii=False)`, with its blanks and without HTML's escapes.
#[expect(clippy::needless_pass_by_value, reason = "the shape that a filter has")]
fn to_json(value: &Value, options: Kwargs) -> Result<Value, minijinja::Error> {
    let indent: Option<usize> = options.get("indent")?;
    options.assert_all_used()?;
    let mut bytes = Vec::new();
    let written = match indent {
        Some(width) => {
            let blanks = " ".repeat(width.min(16));
            write_json(value, PrettyFormatter::with_indent(blanks.as_bytes()), &mut bytes)
        }
        None => write_json(value, Spaced, &mut bytes),
    };
    let failed = |message: String| minijinja::Error::new(ErrorKind::InvalidOperation, message);
    written.map_err(|error| failed(format!("tojson: {error}")))?;
    let text = String::from_utf8(bytes).map_err(|error| failed(format!("tojson: {error}")))?;
    Ok(Value::from_safe_string(text))
}

fn write_json(
    value: &Value,
    formatter: impl Formatter,
    bytes: &mut Vec<u8>,
) -> serde_json::Result<()> {
    let mut serializer = serde_json::Serializer::with_formatter(bytes, formatter);
    value.serialize(&mut serializer)
}

/// `{"a": 1, "b": [2, 3]}`.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        to: &mut W,
        first: bool,
    ) -> io::Result<()> {
        to.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        to: &mut W,
        first: bool,
    ) -> io::Result<()> {
        to.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, to: &mut W) -> io::Result<()> {
        to.write_all(b": ")
    }
}
