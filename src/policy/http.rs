//! `POST` of JSON to one address, until it is answered or will not be.

use std::time::{Duration, SystemTime};

use serde::Serialize;
use ureq::Agent;
use ureq::http::header::RETRY_AFTER;

use super::HttpConfig;
use super::backoff;
use super::error::{HttpError, PolicyError};
use super::gate::Gate;

/// Longest answer that is read, in bytes.
const LONGEST_ANSWER: u64 = 256 << 20;
/// Characters of an answer that a message quotes.
const EXCERPT: usize = 300;
/// A server that asks for a longer wait than this is not waited for.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// Speaks to one address. Any number of threads may call; connections are kept and used again.
pub(super) struct Client {
    agent: Agent,
    url: String,
    config: HttpConfig,
    /// The whole `Authorization` header; never printed.
    authorization: Option<String>,
    gate: Gate,
}

/// Why the body of a success cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// It is damaged: sent again, it may be whole.
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
    pub(super) fn new(url: &str, config: &HttpConfig) -> Result<Self, PolicyError> {
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
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            // A redirected POST would lose its body: the answer is shown instead.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(seconds(config.connect_seconds))
            .timeout_global(seconds(config.request_seconds))
            .max_idle_connections(config.max_in_flight)
            .max_idle_connections_per_host(config.max_in_flight)
            .user_agent(concat!("espalier/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        let gate = Gate::new(config.max_in_flight, config.requests_per_minute);
        Ok(Self { agent, url: url.to_owned(), config: config.clone(), authorization, gate })
    }

    /// Most requests in flight.
    pub(super) fn max_in_flight(&self) -> usize {
        self.config.max_in_flight
    }

    /// Sends `body` until it is answered with a success that `read` accepts, and returns what `read` makes of it. Waits between
    /// tries are drawn from `seed`.
    ///
    /// Sent again: what did not arrive or was cut short, time-outs, damaged answers, and the statuses 408, 425, 429 and 5xx but
    /// 501. `Retry-After` holds back every request to this address, not this one alone.
    ///
    /// # Errors
    /// The last try's failure.
    pub(super) fn post<T>(
        &self,
        body: &impl Serialize,
        seed: u64,
        read: impl Fn(&[u8]) -> Result<T, Unreadable>,
    ) -> Result<T, HttpError> {
        let body = serde_json::to_vec(body).map_err(|error| HttpError::Transport {
            url: self.url.clone(),
            cause: format!("the request cannot be written as JSON: {error}"),
            tries: 1,
        })?;
        let mut tries = 0;
        loop {
            tries += 1;
            let failure = match self.try_once(&body, &read, tries) {
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
                None => std::thread::sleep(backoff::wait(&self.config, tries - 1, seed)),
            }
        }
    }

    fn try_once<T>(
        &self,
        body: &[u8],
        read: impl Fn(&[u8]) -> Result<T, Unreadable>,
        tries: u32,
    ) -> Result<T, Failure> {
        let _pass = self.gate.enter();
        let url = || self.url.clone();
        let broken = |error: ureq::Error| {
            let passing = may_pass(&error);
            let error = HttpError::Transport { url: url(), cause: error.to_string(), tries };
            Failure { error, passing, retry_after: None }
        };
        let mut request = self.agent.post(&self.url).content_type("application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        let mut response = request.send(body).map_err(broken)?;
        let status = response.status();
        let header = response.headers().get(RETRY_AFTER).and_then(|header| header.to_str().ok());
        let retry_after = header.and_then(|header| backoff::retry_after(header, SystemTime::now()));
        // To its end, also when it is an error's: only then is the connection used again.
        let limited = response.body_mut().with_config().limit(LONGEST_ANSWER);
        let answer = limited.read_to_vec().map_err(broken)?;
        if !status.is_success() {
            let status = status.as_u16();
            let passing = matches!(status, 408 | 425 | 429 | 500 | 502..=599);
            let body = self.quote(&answer, usize::MAX);
            let excerpt = self.quote(&answer, EXCERPT);
            let error = HttpError::Status { url: url(), status, excerpt, body, tries };
            return Err(Failure { error, passing, retry_after });
        }
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
