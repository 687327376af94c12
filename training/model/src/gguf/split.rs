//! Nets in several files, `NAME-00001-of-00003.gguf` and so on, as llama.cpp's `gguf-split` writes them: the first has the metadata, and
//! each says which it is.

use std::path::{Path, PathBuf};

use super::file::GgufFile;
use crate::error::{Error, Result};

const NUMBER: &str = "split.no";
const COUNT: &str = "split.count";
const TENSORS: &str = "split.tensors.count";

impl GgufFile {
    /// Reads everything of a net but its numbers. `path` is its file, or any one of its files.
    ///
    /// # Errors
    /// When a file is missing, cannot be read, is cut off, is of another form, or belongs to another net.
    pub fn open(path: &Path) -> Result<Self> {
        let named = Self::open_one(path)?;
        let Some((own, count)) = named.place()? else {
            return Ok(named);
        };
        let mut whole = Self::part(&named.path_of(own, 0, count)?, 0, count)?;
        for number in 1..count {
            let part = Self::part(&named.path_of(own, number, count)?, number, count)?;
            let place = whole.parts.len();
            whole.tensors.extend(part.tensors.into_iter().map(|mut tensor| {
                tensor.part = place;
                tensor
            }));
            whole.parts.extend(part.parts);
        }
        match whole.optional_integer(TENSORS)? {
            Some(told) if told != whole.tensors.len() as u64 => {
                let found = whole.tensors.len();
                whole.fail(format!("{TENSORS}: {told}, and the {count} parts have {found}"))
            }
            _ => Ok(whole),
        }
    }

    /// One of a net's `count` files.
    fn part(path: &Path, number: u64, count: u64) -> Result<Self> {
        let what = format!("part {} of {count} of a net in several files", number + 1);
        if !path.is_file() {
            return Err(Error::format(path, format!("missing: {what}")));
        }
        let part = Self::open_one(path)?;
        if part.place()? == Some((number, count)) {
            Ok(part)
        } else {
            part.fail(format!("{NUMBER}, {COUNT}: not {what}, as its name says"))
        }
    }

    /// The number of this file, from 0, and how many the net has where it has several.
    fn place(&self) -> Result<Option<(u64, u64)>> {
        match self.optional_integer(COUNT)? {
            None | Some(0 | 1) => Ok(None),
            Some(count) => match self.optional_integer(NUMBER)? {
                Some(number) if number < count => Ok(Some((number, count))),
                _ => self.fail(format!("{NUMBER}: must be a whole number below {COUNT} {count}")),
            },
        }
    }

    /// Where another of the net's files is, by the name of this one.
    fn path_of(&self, own: u64, number: u64, count: u64) -> Result<PathBuf> {
        let ending = |number: u64| format!("-{:05}-of-{count:05}.gguf", number + 1);
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        match name.strip_suffix(&ending(own)) {
            Some(stem) => Ok(self.path.with_file_name(stem.to_owned() + &ending(number))),
            None => self.fail(format!(
                "part {} of {count} of a net in several files: its name must end in {}",
                own + 1,
                ending(own)
            )),
        }
    }
}
