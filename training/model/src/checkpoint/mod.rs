//! A policy-value net on disk: a Hugging Face model folder with the value head beside it.

mod companions;
pub(crate) mod fused;
mod open;
pub(crate) mod weights;

pub use companions::FORM;
pub use open::{Source, read_form};

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::chat::ChatTemplate;
use crate::config::{Family, ModelConfig, NetConfig};
use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::folder::{self, CONFIG, Content, Folder, VALUE_HEAD};
use crate::lora::Adapter;
use crate::parameters::{Parameter, Parameters, is_value_head, tensor_file};
use crate::tokenizer::{self, Tokenizer, beside};

/// Largest weights file, in bytes; a larger net is saved in shards.
pub(crate) const SHARD_BYTES: usize = 5_000_000_000;

/// A whole policy-value net: what a folder with `config.json`, `model.safetensors` (or shards and
/// `model.safetensors.index.json`), `value_head.safetensors`, `tokenizer.json` and `checksums.json` holds.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// Shape of the net.
    pub config: ModelConfig,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// Its tensors, the value head's included.
    pub parameters: Parameters,
    /// Small files that travel with the net unchanged, by name: `generation_config.json`, `tokenizer_config.json`,
    /// `special_tokens_map.json`, `added_tokens.json`, `chat_template.jinja`, `chat_template.json` and [`FORM`], those that there are.
    pub companions: BTreeMap<String, Vec<u8>>,
}

/// What `config.json` of every family has.
#[derive(Deserialize)]
struct Kind {
    model_type: String,
}

impl Checkpoint {
    /// A fresh net: a function of its arguments.
    ///
    /// # Errors
    /// [`Error::Model`] when the sizes do not fit each other.
    pub fn initialise(net: &NetConfig, tokenizer: Tokenizer, seed: u64) -> Result<Self> {
        let config = net.model_config(&tokenizer)?;
        let parameters = Parameters::initialise(&config, seed);
        Ok(Self { config, tokenizer, parameters, companions: BTreeMap::new() })
    }

    /// SHA-256 of shape and numbers, in hexadecimal: two nets with the same one give the same answers.
    ///
    /// # Errors
    /// When the configuration cannot be written as JSON.
    pub fn fingerprint(&self) -> Result<String> {
        let config = serde_json::to_vec(&self.config)
            .map_err(|error| Error::format(Path::new(CONFIG), error))?;
        Ok(tensor_file::fingerprint(Sha256::new_with_prefix(config), self.parameters.iter()))
    }

    /// Tokens that end a text: those of `config.json`, then further ones of `generation_config.json`.
    ///
    /// # Errors
    /// When `generation_config.json` is not what it should be.
    pub fn eos_token_ids(&self) -> Result<Vec<u32>> {
        let mut ids = self.config.eos_token_id.clone();
        for id in companions::generation_eos(&self.companions)? {
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        Ok(ids)
    }

    /// The text of the token that begins a text, where `tokenizer_config.json` names one.
    ///
    /// # Errors
    /// When `tokenizer_config.json` is no JSON.
    pub fn bos_token(&self) -> Result<Option<String>> {
        companions::bos_token(&self.companions)
    }

    /// How the net wants to be asked, when its makers wrote that down.
    ///
    /// # Errors
    /// When a companion file is not what it should be, or the template is not valid.
    pub fn chat_template(&self) -> Result<Option<ChatTemplate>> {
        companions::chat_template(&self.companions)
    }

    /// As [`Self::load`], from a checkpoint's folder that the caller goes on reading.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_from(folder: &Folder) -> Result<Self> {
        let mut shell = Self::shell(folder, Self::read_config(folder)?)?;
        let mut tensors = weights::read(folder)?;
        if folder.contains(VALUE_HEAD) {
            tensors.extend(folder.tensors(VALUE_HEAD)?);
        }
        Parameters::settle_head(&mut shell.config, &mut tensors);
        shell.filled(tensors)
    }

    /// A folder's configuration, unchecked.
    ///
    /// # Errors
    /// When it cannot be read, or is of a family that is not supported.
    pub(crate) fn read_config(folder: &Folder) -> Result<ModelConfig> {
        // Of a family that is not supported, files may lack what the others have.
        let Kind { model_type } = folder.json(CONFIG)?;
        Family::of_model_type(&model_type)?;
        folder.json(CONFIG)
    }

    /// A folder's configuration with the family's own class, whatever the file names: of a net whose blocks alone are read.
    ///
    /// # Errors
    /// As [`Self::read_config`].
    pub(crate) fn read_config_of_blocks(folder: &Folder) -> Result<ModelConfig> {
        let mut config = Self::read_config(folder)?;
        config.architectures = vec![config.family()?.class().to_owned()];
        Ok(config)
    }

    /// A folder's net of this configuration, without its numbers.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub(crate) fn shell(folder: &Folder, mut config: ModelConfig) -> Result<Self> {
        config.complete();
        config.validate()?;
        let companions = companions::read(folder)?;
        let tokenizer = read_tokenizer(folder, &config, &companions)?;
        let shell = Self { config, tokenizer, parameters: Parameters::default(), companions };
        shell.eos_token_ids()?;
        Ok(shell)
    }

    /// The net with its numbers.
    ///
    /// # Errors
    /// As [`Parameters::from_tensors`].
    pub(crate) fn filled(mut self, mut tensors: BTreeMap<String, Parameter>) -> Result<Self> {
        fused::split(&self.config, &mut tensors)?;
        self.parameters = Parameters::from_tensors(&self.config, tensors)?;
        Ok(self)
    }

    /// Puts an adapter into the net; see [`Adapter::merge_into`].
    ///
    /// # Errors
    /// When the adapter does not fit the net, which is then as it was; or when a number is beyond 32 bits.
    pub fn merge(&mut self, adapter: &Adapter) -> Result<()> {
        adapter.merge_into(&mut self.config, &mut self.parameters)
    }

    /// Writes the folder, replacing one of the same name, with the language model in the configuration's element type
    /// and the value head in `float32`. Whenever the process is killed, [`Self::load`] finds either the old checkpoint
    /// or the new one, whole.
    ///
    /// # Errors
    /// When a file cannot be written, a number is beyond the element type's range, or the folder exists and is not a
    /// checkpoint.
    pub fn save(&self, dir: &Path) -> Result<()> {
        self.save_with(dir, BTreeMap::new(), self.config.dtype()?, SHARD_BYTES)
    }

    /// As [`Self::save`], in weight files of at most `shard_bytes` bytes of tensors each.
    ///
    /// # Errors
    /// As [`Self::save`].
    pub fn save_sharded(&self, dir: &Path, shard_bytes: usize) -> Result<()> {
        self.save_with(dir, BTreeMap::new(), self.config.dtype()?, shard_bytes)
    }

    /// As [`Self::save`], with further files and in `float32`, so that a run can go on from exactly these numbers.
    ///
    /// # Errors
    /// As [`Self::save`].
    pub fn save_exact(&self, dir: &Path, files: BTreeMap<String, Content<'_>>) -> Result<()> {
        self.save_with(dir, files, Dtype::Float32, SHARD_BYTES)
    }

    /// As [`Self::save`], with further files.
    ///
    /// # Errors
    /// As [`Self::save`].
    pub fn save_beside(&self, dir: &Path, files: BTreeMap<String, Content<'_>>) -> Result<()> {
        self.save_with(dir, files, self.config.dtype()?, SHARD_BYTES)
    }

    fn save_with<'a>(
        &'a self,
        dir: &Path,
        mut files: BTreeMap<String, Content<'a>>,
        dtype: Dtype,
        shard_bytes: usize,
    ) -> Result<()> {
        let config = serde_json::to_vec_pretty(&self.config)
            .map_err(|error| Error::format(&dir.join(CONFIG), error))?;
        let tensors = self.parameters.iter().filter(|(name, _)| is_value_head(name)).collect();
        let value_head = Content::Tensors { tensors, dtype: Dtype::Float32 };
        files.insert(VALUE_HEAD.to_owned(), value_head);
        self.add_files(&mut files, config, &self.parameters, (dtype, shard_bytes))?;
        folder::write(dir, &files)
    }

    /// Adds the files of a class over these blocks: a `config.json`, its tensors but the value head's, the tokenizer and the
    /// companions.
    ///
    /// # Errors
    /// When the tokenizer or an index cannot be written as JSON.
    pub(crate) fn add_files<'a>(
        &self,
        files: &mut BTreeMap<String, Content<'a>>,
        config: Vec<u8>,
        parameters: &'a Parameters,
        (dtype, shard_bytes): (Dtype, usize),
    ) -> Result<()> {
        for (name, bytes) in &self.companions {
            files.insert(name.clone(), Content::Bytes(bytes.clone()));
        }
        weights::add(files, fused::join(&self.config, parameters), dtype, shard_bytes)?;
        files.insert(CONFIG.to_owned(), Content::Bytes(config));
        files.insert(tokenizer::FILE.to_owned(), Content::Bytes(self.tokenizer.to_bytes()?));
        Ok(())
    }
}

/// The tokenizer of a folder, which refuses texts whose tokens the net has no rows for.
///
/// # Errors
/// When it is missing or damaged.
fn read_tokenizer(
    folder: &Folder,
    config: &ModelConfig,
    companions: &BTreeMap<String, Vec<u8>>,
) -> Result<Tokenizer> {
    beside::check_there(&folder.file(""))?;
    let bytes = folder.read(tokenizer::FILE)?;
    let unfit = |error: Error| Error::format(&folder.file(tokenizer::FILE), error);
    let mut tokenizer = Tokenizer::from_files(&bytes, companions).map_err(unfit)?;
    companions::name_special_tokens(&mut tokenizer, config, companions)?;
    tokenizer.limit(config.vocab_size).map_err(unfit)?;
    Ok(tokenizer)
}
