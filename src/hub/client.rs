//! Requests to the Hub and to where it keeps large files, and what is said of those that fail.

use std::io::Read;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, LOCATION, RETRY_AFTER,
};
use ureq::http::{Method, Request};
use ureq::{Agent, SendBody};

use super::account::{Account, is_private};
use super::parcel::Item;
use crate::report::one_line::one_line;

/// For what is small: a commit of many files takes the Hub a minute.
const PATIENCE: Duration = Duration::from_secs(180);
const CONNECT: Duration = Duration::from_secs(30);
/// The slowest line that is waited for, in bytes a second.
const SLOWEST: u64 = 1 << 15;
/// Longest answer that is read, in bytes.
const LONGEST_ANSWER: u64 = 64 << 20;
/// Characters of an answer that a message quotes.
const EXCERPT: usize = 300;
/// How often a request is sent that may be repeated.
const TRIES: u32 = 6;
/// Before the first repetition; the wait doubles.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Git LFS's JSON.
pub(super) const LFS: &str = "application/vnd.git-lfs+json";

/// Speaks to the Hub.
pub(super) struct Client {
    agent: Agent,
    pub account: Account,
}

/// A request.
pub(super) struct Call<'a> {
    pub method: Method,
    pub url: String,
    /// Of the body and of the answer.
    pub form: &'a str,
    pub headers: Vec<(String, String)>,
    pub body: Body<'a>,
    /// Whether the token may go with it, where the address is the endpoint's.
    pub token: bool,
    /// Whether sending it twice does what sending it once does.
    pub again: bool,
}

/// What is sent.
pub(super) enum Body<'a> {
    None,
    Bytes(&'a [u8]),
    /// So many bytes of a file from a place on.
    Part {
        item: &'a Item,
        from: u64,
        length: u64,
    },
}

/// What came back.
pub(super) struct Answer {
    pub url: String,
    pub status: u16,
    pub headers: HeaderMap,
    body: Vec<u8>,
}

impl<'a> Call<'a> {
    pub fn get(url: String) -> Self {
        // Nothing has been done yet: what is away is told at once.
        Self {
            method: Method::GET,
            url,
            form: "application/json",
            headers: Vec::new(),
            body: Body::None,
            token: true,
            again: false,
        }
    }

    pub fn post(url: String, body: &'a [u8]) -> Self {
        Self { method: Method::POST, body: Body::Bytes(body), ..Self::get(url) }
    }
}

impl Answer {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The answer's JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body).with_context(|| {
            format!("{} answers what this program does not know", shown(&self.url))
        })
    }
}

impl Client {
    pub fn new(account: Account) -> Self {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            // The token is for the endpoint, and not for where it leads.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(CONNECT))
            .user_agent(concat!("espalier/", env!("CARGO_PKG_VERSION")));
        if !account.endpoint.starts_with("https:") {
            // Nor for a proxy, which would read it: what is not encrypted stays on this machine.
            config = config.proxy(None);
        }
        Self { agent: config.build().into(), account }
    }

    /// An address of the endpoint.
    pub fn at(&self, path: &str) -> String {
        format!("{}/{path}", self.account.endpoint)
    }

    /// Sends JSON to the endpoint until there is an answer, whatever it is.
    pub fn post(&self, url: String, body: &impl Serialize, again: bool) -> Result<Answer> {
        let body = serde_json::to_vec(body)?;
        self.send(&Call { again, ..Call::post(url, &body) })
    }

    /// Sends a request until there is an answer, whatever it is.
    ///
    /// Sent again, where that may be: what did not arrive or was cut short, and the statuses 408, 429 and 5xx but 501.
    ///
    /// # Errors
    /// When nobody answers, the address is not encrypted, or a file cannot be read.
    pub fn send(&self, call: &Call<'_>) -> Result<Answer> {
        ensure!(
            is_private(&call.url),
            "the Hub names {}, which is not encrypted: nothing is sent there",
            shown(&call.url)
        );
        let (mut wait, mut tries) = (FIRST_WAIT, 0);
        loop {
            tries += 1;
            let last = tries >= TRIES || !call.again;
            match self.try_once(call) {
                Ok(answer) if last || !may_pass(answer.status) => return Ok(answer),
                Ok(answer) => {
                    let asked = answer.header(RETRY_AFTER.as_str()).and_then(|s| s.parse().ok());
                    wait = asked.map_or(wait, Duration::from_secs).min(LONGEST_WAIT);
                    tracing::warn!("{}; trying again", self.refusal(&answer));
                }
                // What is wrong here stays so.
                Err(error) if last || !error.is::<ureq::Error>() => return Err(error),
                Err(error) => tracing::warn!("{error:#}; trying again"),
            }
            thread::sleep(wait);
            wait *= 2;
        }
    }

    fn try_once(&self, call: &Call<'_>) -> Result<Answer> {
        let Call { method, url, form, headers, body, token, .. } = call;
        let mut request = Request::builder().method(method).uri(url).header(ACCEPT, *form);
        // A storage may have given a permission of its own.
        let own = headers.iter().any(|(name, _)| AUTHORIZATION.as_str().eq_ignore_ascii_case(name));
        if *token && !own && self.account.owns(url) {
            request = request.header(AUTHORIZATION, self.account.authorization());
        }
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let mut none: &[u8] = &[];
        let mut part: Box<dyn Read + '_>;
        let (reader, length): (&mut dyn Read, u64) = match body {
            Body::None => (&mut none, 0),
            Body::Bytes(bytes) => {
                none = bytes;
                request = request.header(CONTENT_TYPE, *form);
                (&mut none, bytes.len() as u64)
            }
            Body::Part { item, from, length } => {
                let cannot = || format!("cannot read {}", item.shown());
                part = item.part(*from, *length).with_context(cannot)?;
                (&mut *part, *length)
            }
        };
        let limit = PATIENCE + Duration::from_secs(length / SLOWEST);
        let cannot = || format!("cannot reach {}", shown(url));
        let sent = if matches!(body, Body::None) {
            let request = request.body(()).with_context(cannot)?;
            let request = self.agent.configure_request(request).timeout_global(Some(limit));
            self.agent.run(request.build())
        } else {
            let request = request.header(CONTENT_LENGTH, length);
            let request = request.body(SendBody::from_reader(reader)).with_context(cannot)?;
            let request = self.agent.configure_request(request).timeout_global(Some(limit));
            self.agent.run(request.build())
        };
        let mut response = sent.with_context(cannot)?;
        let limited = response.body_mut().with_config().limit(LONGEST_ANSWER);
        let body = limited.read_to_vec().with_context(cannot)?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer { url: url.clone(), status, headers, body })
    }

    /// The answer where it is a success.
    ///
    /// # Errors
    /// What a refusal means, and what to do.
    pub fn success(&self, answer: Answer) -> Result<Answer> {
        if answer.is_success() { Ok(answer) } else { bail!(self.refusal(&answer)) }
    }

    /// What a refusal means, and what to do.
    pub fn refusal(&self, answer: &Answer) -> anyhow::Error {
        let Answer { url, status, .. } = answer;
        let source = &self.account.source;
        let meaning = match status {
            401 | 403 | 404 if !self.account.owns(url) => "refuses it; push again".to_owned(),
            300..=399 => {
                let there = answer.header(LOCATION.as_str()).unwrap_or("nothing");
                format!(
                    "leads to {}, where no token is sent: the repository has another name now, or HF_ENDPOINT does",
                    shown(there)
                )
            }
            401 => format!(
                "does not know the token of {source}; make one that may write, at settings/tokens"
            ),
            403 => format!(
                "does not let the token of {source} do this; make one that may write there, at settings/tokens"
            ),
            404 => format!("is not there, or not for the token of {source}"),
            409 => "is at odds with another change; push again".to_owned(),
            413 => "takes no file of that size".to_owned(),
            429 => "is asked too much; push again later".to_owned(),
            _ => "fails".to_owned(),
        };
        anyhow!("{} {meaning} ({status}{})", shown(url), self.quote(&answer.body))
    }

    /// What a server says of its refusal, without the token.
    fn quote(&self, body: &[u8]) -> String {
        let json: Value = serde_json::from_slice(body).unwrap_or_default();
        let said = ["error", "message"].iter().find_map(|key| json[*key].as_str());
        let text = String::from_utf8_lossy(body);
        let text = self.account.hide(said.unwrap_or(&text));
        // A whole page is not quoted.
        let text = if text.trim_start().starts_with('<') { "" } else { text.trim() };
        if text.is_empty() { String::new() } else { format!(": {}", one_line(text, EXCERPT)) }
    }
}

fn may_pass(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502..=599)
}

/// An address without its query, which may be a key to a file.
fn shown(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}
