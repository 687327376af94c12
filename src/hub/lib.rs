//! Files sent to repositories of a Hugging Face Hub, as one commit each.
//!
//! The client is the Hub's own crate. What is added here: a token goes over https or to this machine alone, nothing waits for ever, and
//! an error says what to do.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use hf_hub::repository::{CommitOperation, RepoType, RepoTypeDataset, RepoTypeModel};
use hf_hub::{HFClientBuilder, HFClientSync, HFError};

/// Where the public Hub is. The environment's `HF_ENDPOINT` names another.
const PUBLIC: &str = "https://huggingface.co";

/// What a repository holds: models and data sets are apart, and may have the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// A net.
    Model,
    /// Rows.
    Dataset,
}

/// A file of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Where it is to lie.
    pub path: String,
    /// What it is.
    pub content: Content,
}

/// What a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A file here.
    File(PathBuf),
    /// A text.
    Text(String),
}

/// A name of a repository: its owner's and its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    owner: String,
    name: String,
}

impl std::str::FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain = |part: &str| {
            let sign = |sign: char| sign.is_ascii_alphanumeric() || "-_.".contains(sign);
            let ends = |end: char| end.is_ascii_alphanumeric() || end == '_';
            (1..=96).contains(&part.len())
                && part.chars().all(sign)
                && part.starts_with(ends)
                && part.ends_with(ends)
                && !part.contains("..")
                && !part.contains("--")
        };
        match text.split_once('/') {
            Some((owner, name)) if plain(owner) && plain(name) && !name.ends_with(".git") => {
                Ok(Self { owner: owner.to_owned(), name: name.to_owned() })
            }
            _ => Err("write OWNER/NAME, of letters, digits, `-`, `_` and `.`".to_owned()),
        }
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

/// Why nothing was sent. No message holds the token.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// There is none.
    #[error("no token: set HF_TOKEN to one that may write, or let `hf auth login` write it down")]
    NoToken,
    /// The environment's address of the Hub.
    #[error(
        "HF_ENDPOINT must be an address of https, or of http on this machine, for a token goes there"
    )]
    Endpoint,
    /// The token does not hold, or may not write there.
    #[error("the Hub does not let this token write to {to}: {message}")]
    Refused {
        /// The repository.
        to: String,
        /// The server's words.
        message: String,
    },
    /// Anything else.
    #[error("cannot send to {to}: {message}")]
    Failed {
        /// The repository.
        to: String,
        /// The client's words.
        message: String,
    },
}

/// A Hub, and a token for it.
pub struct Hub {
    client: HFClientSync,
}

impl Hub {
    /// The environment's: `HF_ENDPOINT`, and `HF_TOKEN` or the file that a login wrote. Asks nobody.
    ///
    /// # Errors
    /// When there is no token, or it would go over an open line.
    pub fn of_environment() -> Result<Self, HubError> {
        let named = std::env::var("HF_ENDPOINT").ok().filter(|address| !address.is_empty());
        let endpoint = named.unwrap_or_else(|| PUBLIC.to_owned());
        if !is_safe(&endpoint) {
            return Err(HubError::Endpoint);
        }
        let token = token().ok_or(HubError::NoToken)?;
        let failed = |error: String| HubError::Failed { to: "the Hub".to_owned(), message: error };
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(20))
            .read_timeout(Duration::from_secs(120))
            .build()
            .map_err(|error| failed(error.to_string()))?;
        let client = HFClientBuilder::new()
            .endpoint(endpoint)
            .token(token)
            .client(http)
            .cache_enabled(false);
        let client = client.build_sync().map_err(|error| failed(error.to_string()))?;
        Ok(Self { client })
    }

    /// Makes a repository where there is none, and sends the files as one commit. Gives the repository's address.
    ///
    /// # Errors
    /// When the Hub refuses, or does not answer.
    pub fn send(
        &self,
        to: &Name,
        holds: Holds,
        private: bool,
        files: &[Sent],
        message: &str,
    ) -> Result<String, HubError> {
        match holds {
            Holds::Model => self.send_as(RepoTypeModel, to, private, files, message),
            Holds::Dataset => self.send_as(RepoTypeDataset, to, private, files, message),
        }
    }

    fn send_as<T: RepoType>(
        &self,
        holds: T,
        to: &Name,
        private: bool,
        files: &[Sent],
        message: &str,
    ) -> Result<String, HubError> {
        let name = to.to_string();
        let failed = |error: HFError| told(&name, &error);
        let operations = files.iter().map(|Sent { path, content }| match content {
            Content::File(file) => CommitOperation::add_file(path, file),
            Content::Text(text) => CommitOperation::add_bytes(path, text.clone().into_bytes()),
        });
        let made = self
            .client
            .create_repository()
            .repo_id(&name)
            .repo_type(holds)
            .private(private)
            .exist_ok(true)
            .send()
            .map_err(failed)?;
        self.client
            .repository(holds, &to.owner, &to.name)
            .create_commit()
            .operations(operations.collect())
            .commit_message(message)
            .send()
            .map_err(failed)?;
        Ok(made.url)
    }
}

/// The token where the Hub's own tools look for it: `HF_TOKEN`, the file that `HF_TOKEN_PATH` names, `token` in `HF_HOME`.
fn token() -> Option<String> {
    let named = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    if let Some(token) = named("HF_TOKEN") {
        return Some(token.trim().to_owned());
    }
    let cache = || {
        let cache = named("XDG_CACHE_HOME").map(PathBuf::from);
        Some(
            cache
                .or_else(|| Some(PathBuf::from(named("HOME")?).join(".cache")))?
                .join("huggingface"),
        )
    };
    let home = named("HF_HOME").map(PathBuf::from).or_else(cache);
    let file = named("HF_TOKEN_PATH").map(PathBuf::from).or_else(|| Some(home?.join("token")))?;
    let token = std::fs::read_to_string(file).ok()?.trim().to_owned();
    (!token.is_empty()).then_some(token)
}

fn told(to: &str, error: &HFError) -> HubError {
    let to = to.to_owned();
    match error {
        HFError::AuthRequired { context } | HFError::Forbidden { context } => {
            let words = context.server_message.clone().filter(|words| !words.trim().is_empty());
            let message = words.unwrap_or_else(|| context.status.to_string());
            HubError::Refused { to, message }
        }
        error => {
            let mut message = error.to_string();
            let mut source = std::error::Error::source(error);
            while let Some(cause) = source {
                let words = cause.to_string();
                if !message.contains(&words) {
                    message = format!("{message}: {words}");
                }
                source = cause.source();
            }
            HubError::Failed { to, message }
        }
    }
}

/// Whether a token may go there: over https, or within this machine.
fn is_safe(endpoint: &str) -> bool {
    let Some((scheme, rest)) = endpoint.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.is_empty() || authority.contains('@') {
        return false;
    }
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    match scheme {
        "https" => true,
        "http" => {
            let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
            host == "localhost" || address.is_ok_and(|address| address.is_loopback())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_hub() {
        for name in ["me/countdown", "a_b/c-d.e1"] {
            assert_eq!(name.parse::<Name>().unwrap().to_string(), name);
        }
        for wrong in [
            "", "me", "me/", "/x", "me/a/b", "me/a b", "me/-a", "me/a--b", "me/a..b", "me/a.git",
            "../x",
        ] {
            assert!(wrong.parse::<Name>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_token_goes_over_https_or_stays_here() {
        for safe in [
            "https://huggingface.co",
            "https://hub.example:8443/x",
            "http://127.0.0.1:80",
            "http://localhost",
            "http://[::1]:9",
        ] {
            assert!(is_safe(safe), "{safe}");
        }
        for open in [
            "http://huggingface.co",
            "http://10.0.0.1",
            "ftp://x",
            "huggingface.co",
            "https://me:secret@x",
            "http://",
            "http://127.evil.example",
        ] {
            assert!(!is_safe(open), "{open}");
        }
    }
}
