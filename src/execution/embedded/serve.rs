//! The worker's side: feeds steps to the interpreter and sends back what they showed with a dump of the state.

use std::borrow::Cow;
use std::io::{BufReader, Write};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use monty::{Dump, MontyRepl, ReplProgress, Session, SessionRef, dump};
use monty_types::{
    CompileOptions, ExcType, MontyException, MontyObject, NameLookupResult, PrintWriter,
    PrintWriterCallback, ResourceLimits, ResourceTracker,
};
use nix::sys::resource::{Resource, UsageWho, getrusage, setrlimit};

use super::super::Outcome;
use super::super::config::PRINT_LIMIT;
use super::super::observation::late;
use super::super::protocol::{Answer, Request};
use super::super::sandbox::{deny_all_but_computing, limit_memory};
use super::agreed::{are_agreed_words, is_agreed_error, is_agreed_value};
use super::host::{self, Done};
use espalier_process::{LONGEST_BLOB, read_message, write_message};

const NAME: &str = "step";
/// How the interpreter's own limit of time speaks.
const LATE: &str = "time limit exceeded";
/// The interpreter's own limit of recursion fits in it many times.
const STACK: usize = 256 << 20;

/// Reads steps from standard input until it ends.
///
/// # Errors
/// When the limits cannot be set, or what is read is no request.
pub fn serve(memory_megabytes: u64) -> Result<()> {
    let serving = std::thread::Builder::new().stack_size(STACK).spawn(move || {
        // What the allocator reserves for this thread is not the step's.
        _ = feed(fresh(), "[str(i) for i in range(1000)]", Duration::from_secs(1));
        limit_memory(memory_megabytes << 20)?;
        deny_all_but_computing()?;
        answer_all()
    })?;
    serving.join().map_err(|_| anyhow::anyhow!("the interpreter panicked"))?
}

fn answer_all() -> Result<()> {
    let mut input = BufReader::new(std::io::stdin());
    let mut output = std::io::stdout();
    writeln!(output, "{{}}")?;
    output.flush()?;
    while let Ok((line, blob)) = read_message(&mut input) {
        let request: Request = serde_json::from_slice(&line)?;
        let (answer, dump) = run(&request, &blob)?;
        write_message(&mut output, &answer, &dump)?;
    }
    Ok(())
}

fn run(request: &Request, blob: &[u8]) -> Result<(Answer, Vec<u8>)> {
    let timeout = Duration::try_from_secs_f64(request.timeout)?;
    limit_processor_time(timeout.saturating_mul(request.path.len() as u32 + 1))?;
    let mut repl = match blob {
        [] => fresh(),
        blob => match Dump::load(blob).map_err(|error| anyhow::anyhow!("{error:?}"))?.state {
            Session::Idle(repl) => *repl,
            Session::Suspended(_) | Session::Running(_) => bail!("not a state between steps"),
        },
    };
    for earlier in &request.path {
        (repl, _) = feed(repl, &earlier.code, timeout);
    }
    let start = Instant::now();
    let (repl, (outcome, observation)) = feed(repl, &request.code, timeout);
    let seconds = start.elapsed().as_secs_f64();
    let state = match outcome.leaves_state() {
        true => dump(NAME, None, SessionRef::Idle(&repl)).unwrap_or_default(),
        false => Vec::new(),
    };
    // A large state costs more to carry about than steps mostly do to run again.
    let state = if state.len() <= LONGEST_BLOB { state } else { Vec::new() };
    Ok((Answer { outcome, observation, seconds, lost: false, blob: state.len() }, state))
}

/// An interpreter that calls functions no deeper than CPython does, whose limit of 1,000 frames comprehensions count for too.
fn fresh() -> MontyRepl {
    let limits = ResourceLimits { max_recursion_depth: 200, ..ResourceLimits::default() };
    MontyRepl::new(NAME, ResourceTracker::new(limits), CompileOptions::default())
}

/// Runs one step: the interpreter after it, how it ended and what it showed.
fn feed(mut repl: MontyRepl, code: &str, timeout: Duration) -> (MontyRepl, (Outcome, String)) {
    repl.tracker_mut().set_max_duration(timeout);
    let deadline = Instant::now() + timeout;
    let mut printed = Printed::default();
    let functions = host::FUNCTIONS.iter().filter(|name| code.contains(**name)).map(|name| {
        let function = MontyObject::Function { name: (*name).to_owned(), docstring: None };
        ((*name).to_owned(), function)
    });
    let mut refused = None;
    let mut progress = repl.feed_start(code, functions.collect(), printed.writer());
    // Ends: the interpreter's own time is limited, and that of its calls is looked at.
    let (repl, result) = loop {
        progress = match progress {
            Ok(ReplProgress::Complete { repl, value }) => break (repl, Ok(value)),
            Err(failed) => break (failed.repl, Err(failed.error)),
            Ok(ReplProgress::FunctionCall(call)) if Instant::now() > deadline => {
                let late = MontyException::new(ExcType::TimeoutError, Some(LATE.to_owned()));
                call.abort(late, printed.writer())
            }
            Ok(ReplProgress::FunctionCall(call)) => {
                match host::call(&call.function_name, &call.args) {
                    Done::Value(value) => call.resume(value, printed.writer()),
                    Done::DivisionByZero => {
                        let (kind, words) = (ExcType::ZeroDivisionError, "division by zero");
                        let error = MontyException::new(kind, Some(words.to_owned()));
                        call.resume(error, printed.writer())
                    }
                    Done::Refused(what) => {
                        refused = Some(what);
                        let kind = ExcType::NotImplementedError;
                        call.abort(MontyException::new(kind, None), printed.writer())
                    }
                }
            }
            Ok(ReplProgress::NameLookup(lookup)) => {
                lookup.resume(NameLookupResult::Undefined, printed.writer())
            }
            Ok(progress) => {
                refused = Some("calls of the system");
                break (progress.into_repl(), Ok(MontyObject::None));
            }
        }
    };
    let Printed { text, full, .. } = printed;
    let ending = match (result, refused) {
        _ if full => {
            let cause = "OutputLimitError: printed too much";
            (Outcome::OutputLimit, cause.to_owned())
        }
        (_, Some(what)) => unsupported(what),
        (Ok(value), None) if !is_agreed_value(&value) => unsupported("a value of this type"),
        (Ok(value), None) => {
            let text = match value {
                MontyObject::None => text,
                value => text + &shown(value),
            };
            match are_agreed_words(&text) {
                true => (Outcome::Ok, text),
                false => unsupported("what is shown otherwise"),
            }
        }
        (Err(error), None) => match outcome(&error) {
            Outcome::Timeout => (Outcome::Timeout, late(timeout)),
            outcome => (outcome, error.summary()),
        },
    };
    (repl, ending)
}

fn unsupported(what: &str) -> (Outcome, String) {
    (Outcome::Unsupported, super::not_run(what))
}

/// A value as `print` shows it. Outside the interpreter, tuples of one are shown without their comma.
fn shown(value: MontyObject) -> String {
    let plain = value.to_string();
    let mut printed = Printed::default();
    let value = vec![("value".to_owned(), value)];
    match fresh().feed_run("print(value, end='')", value, printed.writer()) {
        Ok(_) => printed.text,
        Err(_) => plain,
    }
}

fn outcome(error: &MontyException) -> Outcome {
    let message = error.message().unwrap_or_default();
    match error.exc_type() {
        ExcType::TimeoutError if message.starts_with(LATE) => Outcome::Timeout,
        ExcType::MemoryError => Outcome::Memory,
        kind if is_agreed_error(kind, message) => Outcome::Error,
        _ => Outcome::Unsupported,
    }
}

/// What a step prints.
#[derive(Default)]
struct Printed {
    text: String,
    characters: usize,
    full: bool,
}

impl Printed {
    fn writer(&mut self) -> PrintWriter<'_> {
        PrintWriter::Callback(self)
    }

    fn push(&mut self, text: &str) -> Result<(), MontyException> {
        self.characters += text.chars().count();
        self.full |= self.characters > PRINT_LIMIT;
        if self.full {
            return Err(MontyException::new(ExcType::OSError, Some("printed too much".into())));
        }
        self.text.push_str(text);
        Ok(())
    }
}

impl PrintWriterCallback for Printed {
    fn stdout_write(&mut self, output: Cow<'_, str>) -> Result<(), MontyException> {
        self.push(&output)
    }

    fn stdout_push(&mut self, end: char) -> Result<(), MontyException> {
        self.push(end.encode_utf8(&mut [0; 4]))
    }
}

/// Ends this process by itself if its parent is gone and cannot kill it.
fn limit_processor_time(more: Duration) -> Result<()> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let used = usage.user_time().tv_sec() + usage.system_time().tv_sec();
    let limit = u64::try_from(used)? + more.as_secs() + 5;
    let (_, hard) = nix::sys::resource::getrlimit(Resource::RLIMIT_CPU)?;
    setrlimit(Resource::RLIMIT_CPU, limit.min(hard), hard).context("setrlimit")
}
