//! Opens whatever holds a net: a checkpoint's folder, a GGUF file, or an adapter's folder with its base.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Checkpoint, companions, read_tokenizer};
use crate::chat::ChatTemplate;
use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::folder::{ADAPTER_CONFIG, CONFIG, Folder};
use crate::gguf;
use crate::lora::{Adapter, base_model};
use crate::tokenizer::{self, Tokenizer};

/// Adapters upon adapters; more are a circle.
const MOST_ADAPTERS: usize = 8;

/// Where a net is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source<'a> {
    /// A checkpoint's folder, a GGUF file, or an adapter's folder.
    pub path: &'a Path,
    /// The base of the adapter, where it is not where the adapter says: a folder or a GGUF file.
    pub base: Option<&'a Path>,
}

impl<'a> From<&'a Path> for Source<'a> {
    fn from(path: &'a Path) -> Self {
        Self { path, base: None }
    }
}

impl<'a> From<&'a PathBuf> for Source<'a> {
    fn from(path: &'a PathBuf) -> Self {
        path.as_path().into()
    }
}

impl Source<'_> {
    /// What the adapter, or the adapter's adapter, lies upon; the path itself where it is no adapter.
    ///
    /// # Errors
    /// When there is nothing at a path on the way, or an adapter does not tell its base.
    pub fn foundation(self) -> Result<PathBuf> {
        Ok(self.follow()?.1)
    }

    /// The folders of adapters, the outermost first, and what they lie upon.
    fn follow(self) -> Result<(Vec<Folder>, PathBuf)> {
        let (mut adapters, mut path) = (Vec::new(), self.path.to_owned());
        while !path.is_file() {
            let folder = Folder::open(&path)?;
            if !folder.contains(ADAPTER_CONFIG) || folder.contains(CONFIG) {
                break;
            }
            if adapters.len() == MOST_ADAPTERS {
                let message = "base_model_name_or_path: leads through too many adapters";
                return Err(Error::format(&folder.file(ADAPTER_CONFIG), message));
            }
            // An adapter that is not supported is told before its base is looked for.
            let named = base_model(&folder)?;
            path = match self.base.filter(|_| adapters.is_empty()) {
                Some(base) => base.to_owned(),
                None => find(&folder, named)?,
            };
            adapters.push(folder);
        }
        if adapters.is_empty() && self.base.is_some() {
            return Err(Error::format(self.path, "no adapter, so --base has nothing to name"));
        }
        Ok((adapters, path))
    }
}

/// The base that an adapter names: a path beside it, or from here.
fn find(folder: &Folder, named: Option<String>) -> Result<PathBuf> {
    let fail = |message: String| Err(Error::format(&folder.file(ADAPTER_CONFIG), message));
    let Some(name) = named else {
        return fail(
            "base_model_name_or_path: missing; name the base model's folder or GGUF file with --base"
                .to_owned(),
        );
    };
    match [folder.file(&name), PathBuf::from(&name)].into_iter().find(|path| path.exists()) {
        Some(path) => Ok(path),
        None => fail(format!(
            "base_model_name_or_path: {name:?} is no folder or GGUF file here; download the model and name its folder or \
             GGUF file with --base, as in espalier import ADAPTER --base PATH --out FOLDER"
        )),
    }
}

impl Checkpoint {
    /// As [`Self::open`], of a path alone.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn load(dir: &Path) -> Result<Self> {
        Self::open(dir.into())
    }

    /// Reads a folder: one that [`Self::save`] wrote, or one from elsewhere without `checksums.json` or value head
    /// (then the value head is fresh). A GGUF file is read as by [`Self::load_gguf`], and a PEFT adapter as its base model
    /// with the adapter merged in; a tokenizer and a chat template that the adapter brings win over the base's.
    ///
    /// # Errors
    /// When a file is missing, damaged, or does not fit the configuration.
    pub fn open(source: Source<'_>) -> Result<Self> {
        let (adapters, base) = source.follow()?;
        let mut checkpoint = if base.is_file() {
            Self::load_gguf(&base, Dtype::Float32)?
        } else {
            Self::load_from(&Folder::open(&base)?)?
        };
        for folder in adapters.iter().rev() {
            checkpoint.adapt(folder)?;
        }
        Ok(checkpoint)
    }

    /// Reads a GGUF file (version 2 or 3), or a net in several of them by any one. Quantised numbers are widened to what
    /// they stand for; [`Checkpoint::save`] will write them as `dtype`. The value head is fresh.
    ///
    /// # Errors
    /// When the file is damaged, of another family, or holds an element type or a tokenizer that is not supported; the
    /// message names the tensor or the metadata key.
    pub fn load_gguf(path: &Path, dtype: Dtype) -> Result<Self> {
        let gguf::Contents { config, mut tokenizer, parameters, tokenizer_config } =
            gguf::read(path, dtype)?;
        let companions = BTreeMap::from([(companions::TOKENIZER.to_owned(), tokenizer_config)]);
        companions::name_special_tokens(&mut tokenizer, &config, &companions)?;
        tokenizer.limit(config.vocab_size).map_err(|error| Error::format(path, error))?;
        Ok(Self { config, tokenizer, parameters, companions })
    }

    /// A folder's configuration, tokenizer and companions without its numbers: what a served model's texts are made by.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_shell(dir: &Path) -> Result<Self> {
        let folder = Folder::open(dir)?;
        Self::shell(&folder, Self::read_config_of_blocks(&folder)?)
    }

    /// Merges the adapter of a folder, and takes over the tokenizer and the small files that it brings.
    fn adapt(&mut self, folder: &Folder) -> Result<()> {
        self.merge(&Adapter::load_from(folder)?)?;
        let own_tokenizer = folder.contains(tokenizer::FILE);
        companions::adapt(&mut self.companions, companions::read(folder)?, own_tokenizer)?;
        if own_tokenizer {
            self.tokenizer = read_tokenizer(folder, &self.config, &self.companions)?;
        } else {
            let unfit = |error| Error::format(&folder.file(ADAPTER_CONFIG), error);
            self.tokenizer.limit(self.config.vocab_size).map_err(unfit)?;
        }
        self.eos_token_ids().map(drop)
    }
}

impl ChatTemplate {
    /// The template of a checkpoint's or an adapter's folder, if it or an adapter's base has one. Its texts do not begin with the
    /// token that begins a text where encoding puts that there: by the folder's tokenizer, or by a server where the folder has
    /// none.
    ///
    /// # Errors
    /// When a file is not what it should be, or the template is not valid.
    pub fn load(dir: &Path) -> Result<Option<Self>> {
        let folder = Folder::open(dir)?;
        let own = Self::of_folder(&folder)?;
        if own.is_some() || !folder.contains(ADAPTER_CONFIG) || folder.contains(CONFIG) {
            return Ok(own);
        }
        let (adapters, base) = Source::from(dir).follow()?;
        for folder in adapters.iter().skip(1) {
            if let Some(template) = Self::of_folder(folder)? {
                return Ok(Some(template));
            }
        }
        if base.is_file() {
            let checkpoint = Checkpoint::load_gguf(&base, Dtype::Float32)?;
            let template = checkpoint.chat_template()?;
            return Ok(template.map(|template| template.beside(Some(&checkpoint.tokenizer))));
        }
        Self::of_folder(&Folder::open(&base)?)
    }

    fn of_folder(folder: &Folder) -> Result<Option<Self>> {
        let companions = companions::read(folder)?;
        let Some(template) = companions::chat_template(&companions)? else {
            return Ok(None);
        };
        let tokenizer = match folder.read_optional(tokenizer::FILE)? {
            None => None,
            Some(bytes) => {
                let path = folder.file(tokenizer::FILE);
                let tokenizer = Tokenizer::from_files(&bytes, &companions);
                Some(tokenizer.map_err(|error| Error::format(&path, error))?)
            }
        };
        Ok(Some(template.beside(tokenizer.as_ref())))
    }

    /// Without what the tokenizer puts before a text.
    fn beside(self, tokenizer: Option<&Tokenizer>) -> Self {
        let puts = |bos: &String| {
            tokenizer.is_none_or(|own| own.id(bos).is_some() && own.beginning() == own.id(bos))
        };
        let bos = self.special_token("bos_token").map(str::to_owned).filter(puts);
        self.after(bos)
    }
}

/// What a net says of how it was trained to be asked ([`companions::FORM`]); `None` where it says nothing, or is no folder.
/// An adapter that says nothing is asked as its base.
///
/// # Errors
/// When the file cannot be read, or is damaged; or when an adapter's base is not found.
pub fn read_form(source: Source<'_>) -> Result<Option<Vec<u8>>> {
    if !source.path.is_dir() {
        return Ok(None);
    }
    let (adapters, base) = source.follow()?;
    for folder in &adapters {
        if let Some(form) = folder.read_optional(companions::FORM)? {
            return Ok(Some(form));
        }
    }
    if base.is_dir() { Folder::open(&base)?.read_optional(companions::FORM) } else { Ok(None) }
}
