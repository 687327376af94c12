//! The `dataset` kind of a recipe's `[problems]`.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Fields, Format};

/// Problems from files of a data set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetRecipe {
    /// What the rows mean.
    pub format: Format,
    /// File, folder or list of them; relative paths start at the working directory.
    pub path: Paths,
    /// Where the parts of a problem stand (`generic` alone).
    #[serde(default)]
    pub fields: Fields,
    /// Leaves out rows that cannot be read, and says which, instead of refusing the file.
    #[serde(default)]
    pub skip_bad_rows: bool,
    /// Keeps the first of equal questions alone.
    #[serde(default)]
    pub deduplicate: bool,
    /// Takes out questions that test sets hold.
    pub decontaminate: Option<DecontaminateRecipe>,
    /// Where held-out problems come from. With it, the problems above are for training and validation alone; without it, a part of
    /// them is held out.
    pub test: Option<SourceRecipe>,
}

/// Files of one format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceRecipe {
    /// What the rows mean.
    pub format: Format,
    /// File, folder or list of them.
    pub path: Paths,
    /// Where the parts of a problem stand (`generic` alone).
    #[serde(default)]
    pub fields: Fields,
}

/// What is kept out of training.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DecontaminateRecipe {
    /// Test sets, beside `test` itself.
    pub against: Vec<SourceRecipe>,
    /// So many words in a row that a question shares with a test question take it out (GPT-3: 13). Shorter questions are compared whole.
    pub n: usize,
}

impl Default for DecontaminateRecipe {
    fn default() -> Self {
        Self { against: Vec::new(), n: 13 }
    }
}

/// One path or several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "`path` must be a path or a list of paths")]
pub enum Paths {
    /// One.
    One(PathBuf),
    /// Several, in their order.
    Many(Vec<PathBuf>),
}

impl Paths {
    /// Each path.
    pub fn iter(&self) -> impl Iterator<Item = &PathBuf> {
        match self {
            Self::One(path) => std::slice::from_ref(path).iter(),
            Self::Many(paths) => paths.iter(),
        }
    }
}

impl fmt::Display for Paths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths: Vec<String> = self.iter().map(|path| path.display().to_string()).collect();
        f.write_str(&paths.join(", "))
    }
}

impl DatasetRecipe {
    /// The files without what is done to them.
    #[must_use]
    pub fn source(&self) -> SourceRecipe {
        let Self { format, path, fields, .. } = self;
        SourceRecipe { format: *format, path: path.clone(), fields: fields.clone() }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// Names the first key that is wrong.
    pub fn validate(&self) -> Result<(), String> {
        self.source().validate("")?;
        if let Some(test) = &self.test {
            test.validate("test.")?;
        }
        let Some(decontaminate) = &self.decontaminate else { return Ok(()) };
        if decontaminate.n == 0 {
            return Err("decontaminate.n = 0 must be at least 1".into());
        }
        if decontaminate.against.is_empty() && self.test.is_none() {
            return Err("decontaminate needs `against`, or a `test` source".into());
        }
        decontaminate
            .against
            .iter()
            .try_for_each(|source| source.validate("decontaminate.against."))
    }
}

impl SourceRecipe {
    /// Checks every field; `prefix` stands before the keys' names.
    ///
    /// # Errors
    /// Names the first key that is wrong.
    pub fn validate(&self, prefix: &str) -> Result<(), String> {
        if self.path.iter().next().is_none()
            || self.path.iter().any(|path| path.as_os_str().is_empty())
        {
            return Err(format!("{prefix}path must name a file or a folder"));
        }
        if self.format != Format::Generic && self.fields != Fields::default() {
            let format = self.format.name();
            return Err(format!(
                "{prefix}fields are those of `generic`; the fields of `{format}` are known"
            ));
        }
        Ok(())
    }
}
