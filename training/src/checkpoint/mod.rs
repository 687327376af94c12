//! A policy-value net on disk: a Hugging Face model folder with the value head beside it.

mod directory;

use std::collections::BTreeMap;
use std::path::Path;

use crate::parameters::read_safetensors;
use crate::{Error, ModelConfig, NetConfig, Parameters, Result, Tokenizer, tokenizer};

pub(crate) use directory::{remove, resolve};

const CONFIG: &str = "config.json";
const MODEL: &str = "model.safetensors";
const VALUE_HEAD: &str = "value_head.safetensors";

/// A whole policy-value net: what a folder with `config.json`, `model.safetensors`, `value_head.safetensors`,
/// `tokenizer.json` and `checksums.json` holds.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// Shape of the net.
    pub config: ModelConfig,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// Its tensors, the value head's included.
    pub parameters: Parameters,
}

impl Checkpoint {
    /// A fresh net: a function of its arguments.
    ///
    /// # Errors
    /// [`Error::Model`] when the sizes do not fit each other.
    pub fn initialise(net: &NetConfig, tokenizer: Tokenizer, seed: u64) -> Result<Self> {
        let config = net.model_config(&tokenizer)?;
        let parameters = Parameters::initialise(&config, seed);
        Ok(Self { config, tokenizer, parameters })
    }

    /// SHA-256 of shape and numbers, in hexadecimal: two nets with the same one give the same answers.
    ///
    /// # Errors
    /// When the configuration cannot be written as JSON.
    pub fn fingerprint(&self) -> Result<String> {
        let mut bytes = serde_json::to_vec(&self.config)
            .map_err(|error| Error::format(Path::new(CONFIG), error))?;
        for (name, parameter) in self.parameters.iter() {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend(parameter.values.iter().flat_map(|value| value.to_le_bytes()));
        }
        Ok(directory::checksum(&bytes))
    }

    /// Reads a folder: one that [`Self::save`] wrote, or one from elsewhere without `checksums.json` or value head
    /// (then the value head is fresh).
    ///
    /// # Errors
    /// When a file is missing, damaged, or does not fit the configuration.
    pub fn load(dir: &Path) -> Result<Self> {
        Ok(Self::load_with(dir)?.0)
    }

    /// As [`Self::load`], with the content of the files that are not the net's own.
    pub(crate) fn load_with(dir: &Path) -> Result<(Self, BTreeMap<String, Vec<u8>>)> {
        let dir = resolve(dir);
        let mut files = directory::read(&dir)?;
        let mut take = |name: &str| {
            files.remove(name).ok_or_else(|| {
                let path = dir.join(name);
                Error::io(&path)(std::io::Error::from(std::io::ErrorKind::NotFound))
            })
        };
        let config: ModelConfig = serde_json::from_slice(&take(CONFIG)?)
            .map_err(|error| Error::format(&dir.join(CONFIG), error))?;
        config.validate()?;
        let tokenizer = Tokenizer::from_bytes(&take(tokenizer::FILE)?)
            .map_err(|error| Error::format(&dir.join(tokenizer::FILE), error))?;
        if tokenizer.vocab_size() > config.vocab_size {
            let message = format!(
                "{} tokens, but config.json has vocab_size = {}",
                tokenizer.vocab_size(),
                config.vocab_size
            );
            return Err(Error::format(&dir.join(tokenizer::FILE), message));
        }
        let mut tensors = read_safetensors(&dir.join(MODEL), &take(MODEL)?)?;
        if let Some(bytes) = files.remove(VALUE_HEAD) {
            tensors.extend(read_safetensors(&dir.join(VALUE_HEAD), &bytes)?);
        }
        let parameters = Parameters::from_tensors(&config, tensors)?;
        Ok((Self { config, tokenizer, parameters }, files))
    }

    /// Writes the folder, replacing one of the same name. Whenever the process is killed, [`Self::load`] finds
    /// either the old checkpoint or the new one, whole.
    ///
    /// # Errors
    /// When a file cannot be written, or the folder exists and is not a checkpoint.
    pub fn save(&self, dir: &Path) -> Result<()> {
        self.save_with(dir, BTreeMap::new())
    }

    /// As [`Self::save`], with further files.
    pub(crate) fn save_with(&self, dir: &Path, mut files: BTreeMap<String, Vec<u8>>) -> Result<()> {
        let config = serde_json::to_vec_pretty(&self.config)
            .map_err(|error| Error::format(&dir.join(CONFIG), error))?;
        let (model, value_head) = self.parameters.to_safetensors()?;
        files.insert(CONFIG.to_owned(), config);
        files.insert(MODEL.to_owned(), model);
        files.insert(VALUE_HEAD.to_owned(), value_head);
        files.insert(tokenizer::FILE.to_owned(), self.tokenizer.to_bytes()?);
        directory::write(dir, &files)
    }
}
