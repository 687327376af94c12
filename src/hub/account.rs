//! Where the Hub is and who asks it, by the variables and files of Hugging Face's own programs.

use std::env;
use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, ensure};
use ureq::http::Uri;

use crate::address::check_url;
use crate::usage::UsageError;

const ENDPOINT: &str = "HF_ENDPOINT";
const DEFAULT_ENDPOINT: &str = "https://huggingface.co";
const TOKEN: &str = "HF_TOKEN";
const TOKEN_PATH: &str = "HF_TOKEN_PATH";

/// An account at an endpoint. Its token goes there alone, and is never printed.
pub(super) struct Account {
    /// Without a slash at the end.
    pub endpoint: String,
    token: String,
    /// Where the token comes from, for messages.
    pub source: String,
}

impl Account {
    /// By `HF_ENDPOINT`, and `HF_TOKEN` or the file that a login wrote: `HF_TOKEN_PATH`, or `token` in `HF_HOME`.
    ///
    /// # Errors
    /// When there is no token, or it would go unencrypted over a network.
    pub fn from_environment() -> Result<Self> {
        let endpoint = variable(ENDPOINT).unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned());
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        check_url(ENDPOINT, &endpoint, "a token comes from HF_TOKEN").map_err(usage)?;
        ensure!(
            is_private(&endpoint),
            usage(anyhow!(
                "{ENDPOINT}: {endpoint} is not encrypted, and a token would be there for all to read: write https://, or http:// with an \
                 address of the loopback"
            ))
        );
        let (token, source) = match variable(TOKEN) {
            Some(token) => (token, TOKEN.to_owned()),
            None => from_file()?,
        };
        let token = token.trim().to_owned();
        ensure!(
            !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()),
            usage(anyhow!("{source} holds no token for the Hub"))
        );
        Ok(Self { endpoint, token, source })
    }

    /// The header `Authorization`.
    pub fn authorization(&self) -> String {
        format!("Bearer {}", self.token)
    }

    /// Whether an address is one of the endpoint's, to which the token may go.
    pub fn owns(&self, url: &str) -> bool {
        let origin = |url: &str| {
            let url: Uri = url.parse().ok()?;
            let (scheme, authority) = (url.scheme()?.clone(), url.authority()?.clone());
            Some((scheme, authority))
        };
        origin(url).is_some_and(|there| origin(&self.endpoint) == Some(there))
    }

    /// A text without the token: some servers repeat it.
    pub fn hide(&self, text: &str) -> String {
        text.replace(&self.token, "[token]")
    }
}

/// Whether nobody on the way can read what goes to an address: it is encrypted, or stays on this machine.
pub(super) fn is_private(url: &str) -> bool {
    let Ok(url) = url.parse::<Uri>() else { return false };
    let loopback = |host: &str| {
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    };
    match url.scheme_str() {
        Some("https") => url.host().is_some(),
        Some("http") => url.host().is_some_and(loopback),
        _ => false,
    }
}

fn from_file() -> Result<(String, String)> {
    let path = token_path();
    let shown = path.as_ref().map_or_else(|| "~".to_owned(), |path| path.display().to_string());
    let read = path.filter(|path| path.exists()).map(fs::read_to_string);
    let token = read.transpose().with_context(|| format!("cannot read {shown}"))?;
    let token = token.with_context(|| {
        format!("there is no token for the Hub: set {TOKEN}, or log in with `hf auth login`, which writes {shown}")
    });
    Ok((token.map_err(usage)?, shown))
}

fn token_path() -> Option<PathBuf> {
    let place = |name| variable(name).map(PathBuf::from);
    let home = || {
        let cache = place("XDG_CACHE_HOME").or_else(|| Some(place("HOME")?.join(".cache")));
        place("HF_HOME").or_else(|| Some(cache?.join("huggingface")))
    };
    place(TOKEN_PATH).or_else(|| Some(home()?.join("token")))
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn usage(error: impl Into<anyhow::Error>) -> UsageError {
    UsageError(error.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_to_its_endpoint_alone_and_never_in_the_clear() {
        for good in [
            "https://a.b",
            "http://127.0.0.1:8",
            "http://localhost",
            "http://[::1]:8/x",
            "HTTPS://a",
        ] {
            assert!(is_private(good), "{good}");
        }
        for bad in [
            "http://a.b",
            "http://10.0.0.1",
            "http://127.0.0.1.a.b",
            "http://127.0.0.1@a.b",
            "http://localhost.a.b",
            "ftp://127.0.0.1",
            "127.0.0.1",
            "",
        ] {
            assert!(!is_private(bad), "{bad}");
        }
        let account = Account {
            endpoint: "https://hub.example".to_owned(),
            token: "hf_secret".to_owned(),
            source: String::new(),
        };
        assert!(account.owns("https://hub.example/a?b"));
        for other in [
            "https://hub.example.evil/a",
            "https://hub.example:444/",
            "http://hub.example/",
            "https://hub.example@evil/",
            "/a",
        ] {
            assert!(!account.owns(other), "{other}");
        }
        assert_eq!(account.hide("not hf_secret!"), "not [token]!");
    }
}
