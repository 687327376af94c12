//! `POST` of JSON to one address, until it is answered or will not be.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use espalier_search::Cancel;
use serde::Serialize;
use ureq::Agent;
use ureq::config::Config;
use ureq::http::header::RETRY_AFTER;

use super::backoff;
use super::error::HttpError;
use super::gate::Gate;
use super::prompt_tokens::PromptTokens;
use crate::policy::config::HttpConfig;
use crate::policy::error::PolicyError;

/// Longest answer that is read, in bytes.
const LONGEST_ANSWER: u64 = 256 << 20;
/// Characters of an answer that a message quotes.
const EXCERPT: usize = 300;
/// A server that asks for a longer wait than this is not waited for.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// Speaks to one address. Any number of threads may call; connections are kept and used again.
pub(in crate::policy) struct Client {
    settings: Config,
    /// Those that no request uses now. Each has one connection, so that a request's can be cut without another's.
    idle: Mutex<Vec<Agent>>,
    url: String,
    config: HttpConfig,
    /// The whole `Authorization` header; never printed.
    authorization: Option<String>,
    gate: Gate,
    read: PromptTokens,
}

/// What came back.
struct Answer {
    status: u16,
    /// The `Retry-After` header.
    retry_after: Option<Duration>,
    body: Vec<u8>,
}

/// Why the body of a success cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::policy) enum Unreadable {
    /// It is damaged or unfinished: sent again, it may be whole.
    Damaged(String),
    /// It is whole and says something else: it would be the same again.
    Unusable(String),
}

/// One attempt's failure.
struct Failure {
    error: HttpError,
    /// Whether it may pass.
    passing: bool,
    /// What the server asks for.
    retry_after: Option<Duration>,
}

impl Client {
    /// # Errors
    /// When the variable that is to hold the API key is not set, or holds what no header can.
    pub(in crate::policy) fn new(url: &str, config: &HttpConfig) -> Result<Self, PolicyError> {
        let authorization = match config.api_key_env.as_str() {
            "" => None,
            name => {
                let key = std::env::var(name).ok().filter(|key| {
                    !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic())
                });
                let message = || format!("api_key_env: ${name} is not set to an API key");
                Some(format!("Bearer {}", key.ok_or_else(|| PolicyError::Usage(message()))?))
            }
        };
        let seconds = |seconds| Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX));
        let settings = Agent::config_builder()
            .http_status_as_error(false)
            // A redirected POST would lose its body: the answer is shown instead.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(seconds(config.connect_seconds))
            .timeout_global(seconds(config.request_seconds))
            .max_idle_connections(1)
            .user_agent(concat!("espalier/", env!("CARGO_PKG_VERSION")))
            .build();
        let gate = Gate::new(config.max_in_flight, config.requests_per_minute);
        let (idle, url, config) = (Mutex::default(), url.to_owned(), config.clone());
        let read = PromptTokens::default();
        Ok(Self { settings, idle, url, config, authorization, gate, read })
    }

    /// Tokens of all prompts so far, as the server counts them; `None` where an answer did not say.
    pub(in crate::policy) fn tokens_read(&self) -> Option<u64> {
        self.read.count()
    }

    /// Most requests in flight.
    pub(in crate::policy) fn max_in_flight(&self) -> usize {
        self.config.max_in_flight
    }

    /// Sends `body` until it is answered with a success that `read` accepts, and returns what `read` makes of it. Waits between
    /// tries are drawn from `seed`.
    ///
    /// Sent again: what did not arrive or was cut short, time-outs, damaged and unfinished answers, and the statuses 408, 425, 429 and 5xx but
    /// 501. `Retry-After` holds back every request to this address, not this one alone.
    ///
    /// Once `cancel` is cancelled nothing is waited for and nothing more is sent; the connection is cut, by which servers know that
    /// they need not go on.
    ///
    /// # Errors
    /// The last try's failure, or [`HttpError::Cancelled`].
    pub(in crate::policy) fn post<T>(
        &self,
        body: &impl Serialize,
        seed: u64,
        cancel: &Cancel,
        read: impl Fn(&[u8]) -> Result<T, Unreadable>,
    ) -> Result<T, HttpError> {
        let body: Arc<[u8]> = serde_json::to_vec(body)
            .map_err(|error| HttpError::Transport {
                url: self.url.clone(),
                cause: format!("the request cannot be written as JSON: {error}"),
                tries: 1,
            })?
            .into();
        let mut tries = 0;
        loop {
            tries += 1;
            let failure = match self.try_once(&body, cancel, &read, tries) {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let wait = failure.retry_after;
            let patient = wait.is_none_or(|wait| wait <= LONGEST_PAUSE);
            if !failure.passing || !patient || tries > self.config.retries {
                return Err(failure.error);
            }
            tracing::warn!("{}; trying again", failure.error);
            match wait {
                Some(wait) => self.gate.pause(wait),
                None => rest(backoff::wait(&self.config, tries - 1, seed), cancel),
            }
        }
    }

    fn try_once<T>(
        &self,
        body: &Arc<[u8]>,
        cancel: &Cancel,
        read: impl Fn(&[u8]) -> Result<T, Unreadable>,
        tries: u32,
    ) -> Result<T, Failure> {
        let url = || self.url.clone();
        let last = |error| Failure { error, passing: false, retry_after: None };
        let cancelled = || last(HttpError::Cancelled { url: url() });
        let transport = |cause| HttpError::Transport { url: url(), cause, tries };
        let _pass = self.gate.enter(cancel).ok_or_else(cancelled)?;
        let agent = self.idle().pop().unwrap_or_else(|| self.settings.new_agent());
        let sent = self.send(&agent, body, cancel);
        let Answer { status, retry_after, body: answer } = match sent {
            // The agent is shut down.
            Ok(None) => return Err(cancelled()),
            Ok(Some(answer)) => {
                self.idle().push(agent);
                answer.map_err(|error| Failure {
                    passing: may_pass(&error),
                    ..last(transport(error.to_string()))
                })?
            }
            Err(error) => {
                return Err(last(transport(format!("no thread can be started: {error}"))));
            }
        };
        if !(200..300).contains(&status) {
            let passing = matches!(status, 408 | 425 | 429 | 500 | 502..=599);
            let body = self.quote(&answer, usize::MAX);
            let excerpt = self.quote(&answer, EXCERPT);
            let error = HttpError::Status { url: url(), status, excerpt, body, tries };
            return Err(Failure { error, passing, retry_after });
        }
        self.read.add(&answer);
        read(&answer).map_err(|unreadable| {
            let (cause, passing) = match unreadable {
                Unreadable::Damaged(cause) => (cause, true),
                Unreadable::Unusable(cause) => (cause, false),
            };
            let excerpt = self.quote(&answer, EXCERPT);
            let error = HttpError::Unreadable { url: url(), cause, excerpt, tries };
            Failure { error, passing, retry_after: None }
        })
    }

    /// Sends a request in a thread of its own and waits for the answer; `None` when it is cancelled before. Then the agent is shut
    /// down and the thread left to end by itself: at once, or when a connection that is being made is given up.
    ///
    /// # Errors
    /// When the thread cannot be started.
    fn send(
        &self,
        agent: &Agent,
        body: &Arc<[u8]>,
        cancel: &Cancel,
    ) -> std::io::Result<Option<Result<Answer, ureq::Error>>> {
        let mut request = agent.post(&self.url).content_type("application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        let (reply, answers) = channel();
        let body = Arc::clone(body);
        let exchange = move || {
            let mut response = request.send(&*body)?;
            let header = response.headers().get(RETRY_AFTER).and_then(|h| h.to_str().ok());
            let retry_after =
                header.and_then(|header| backoff::retry_after(header, SystemTime::now()));
            // To its end, also when it is an error's: only then is the connection used again.
            let limited = response.body_mut().with_config().limit(LONGEST_ANSWER);
            let body = limited.read_to_vec()?;
            Ok(Answer { status: response.status().as_u16(), retry_after, body })
        };
        // An answer that comes too late is nobody's.
        let thread = std::thread::Builder::new().name("request".to_owned());
        thread.spawn(move || _ = reply.send(exchange()))?;
        while !cancel.is_cancelled() {
            match answers.recv_timeout(cancel.patience()) {
                Ok(answer) => return Ok(Some(answer)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    let error = std::io::Error::other("the request's thread panicked");
                    return Ok(Some(Err(error.into())));
                }
            }
        }
        agent.clone().shutdown();
        Ok(None)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Agent>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The beginning of an answer, on one line, without the API key: some servers repeat it.
    fn quote(&self, answer: &[u8], longest: usize) -> String {
        let mut text = String::from_utf8_lossy(answer).into_owned();
        if let Some(key) = self.authorization.as_deref().and_then(|a| a.strip_prefix("Bearer ")) {
            text = text.replace(key, "[API key]");
        }
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if line.is_empty() {
            return "an empty body".to_owned();
        }
        match line.char_indices().nth(longest) {
            Some((end, _)) => format!("{}…", &line[..end]),
            None => line,
        }
    }
}

/// Sleeps for a time, or until it is cancelled.
fn rest(time: Duration, cancel: &Cancel) {
    let begun = Instant::now();
    while let Some(left) = time.checked_sub(begun.elapsed()).filter(|_| !cancel.is_cancelled()) {
        std::thread::sleep(left.min(cancel.patience()));
    }
}

/// Whether a failure of the connection may be gone the next time.
fn may_pass(error: &ureq::Error) -> bool {
    use ureq::Error;
    matches!(
        error,
        Error::Io(_)
            | Error::Timeout(_)
            | Error::Protocol(_)
            | Error::HostNotFound
            | Error::ConnectionFailed
            | Error::ConnectProxyFailed(_)
            | Error::BodyStalled
    )
}
