//! Names of repositories and branches, as the Hub takes them.

use std::fmt;
use std::str::FromStr;

use anyhow::{Error, Result, ensure};
use serde::Serialize;

/// The two kinds of repository. A model and a dataset may have the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// For checkpoints.
    Model,
    /// For labels.
    Dataset,
}

impl Kind {
    /// What stands before the name in the address of a page or of git.
    #[cfg(feature = "hub")]
    pub(super) fn prefix(self) -> &'static str {
        match self {
            Self::Model => "",
            Self::Dataset => "datasets/",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Model => "model",
            Self::Dataset => "dataset",
        })
    }
}

/// `OWNER/NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// A user or an organisation.
    pub owner: String,
    /// The name there.
    pub name: String,
}

impl FromStr for Name {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parts = text.split_once('/').filter(|(owner, name)| is_part(owner) && is_part(name));
        let fits = parts.filter(|(_, name)| text.len() <= 96 && !name.ends_with(".git"));
        let Some((owner, name)) = fits else {
            anyhow::bail!(
                "{text:?} is no repository: write OWNER/NAME with letters, digits, `-`, `_` and `.`, not begun or ended by `-` or `.`, \
                 without `--` and `..`, 96 characters at most"
            );
        };
        Ok(Self { owner: owner.to_owned(), name: name.to_owned() })
    }
}

fn is_part(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let edge = ['-', '.'];
    !text.is_empty()
        && text.chars().all(plain)
        && !text.starts_with(edge)
        && !text.ends_with(edge)
        && !text.contains("--")
        && !text.contains("..")
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

/// A branch of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Branch(String);

impl Branch {
    /// As a part of an address.
    #[cfg(feature = "hub")]
    pub(super) fn quoted(&self) -> String {
        self.0.replace('/', "%2F")
    }
}

impl Default for Branch {
    fn default() -> Self {
        Self("main".to_owned())
    }
}

impl FromStr for Branch {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
        let parts = text.split('/').all(|part| {
            !part.is_empty() && !part.starts_with(['.', '-']) && !part.ends_with(".lock")
        });
        ensure!(
            parts && text.chars().all(plain) && !text.contains("..") && !text.ends_with('.'),
            "{text:?} is no branch: write letters, digits, `-`, `_`, `.` and `/`, as in `main`"
        );
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A licence by the Hub's identifier, as in `apache-2.0`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Licence(String);

impl Default for Licence {
    fn default() -> Self {
        Self("unknown".to_owned())
    }
}

impl FromStr for Licence {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.+".contains(c);
        ensure!(
            !text.is_empty() && text.chars().all(plain),
            "{text:?} is no licence's identifier: write one as in `mit` or `apache-2.0`"
        );
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Licence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_the_hub_takes() {
        for good in ["a/b", "Foo-BAR/foo.bar_1", "1/2"] {
            assert_eq!(good.parse::<Name>().unwrap().to_string(), good);
        }
        let long = format!("a/{}", "b".repeat(95));
        for bad in [
            "", "a", "a/", "/b", "a/b/c", "a b/c", "a/b.git", "a/-b", "a/b.", "a/b--c", "a/..",
            "é/b", "a/b?c", "a/b#", &long,
        ] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
    }

    #[test]
    fn branches_and_licences_fit_an_address_and_a_card() {
        for good in ["main", "a/b", "v1.0", "round_3"] {
            good.parse::<Branch>().unwrap();
        }
        for bad in ["", "/a", "a/", "a//b", "a..b", "-a", ".a", "a b", "a?b", "a.lock", "a."] {
            assert!(bad.parse::<Branch>().is_err(), "{bad}");
        }
        for good in ["mit", "apache-2.0", "unknown"] {
            good.parse::<Licence>().unwrap();
        }
        for bad in ["", "MIT", "mit\nx: y", "a: b"] {
            assert!(bad.parse::<Licence>().is_err(), "{bad}");
        }
    }
}
