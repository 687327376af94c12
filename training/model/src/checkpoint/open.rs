//! Opens whatever holds a net: a checkpoint's folder, a GGUF file, or an adapter's folder that names its base.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Checkpoint, companions};
use crate::chat::ChatTemplate;
use crate::config::ModelConfig;
use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::folder::{ADAPTER_CONFIG, CONFIG, Folder};
use crate::gguf;
use crate::lora::Adapter;

impl Checkpoint {
    /// Reads a folder: one that [`Self::save`] wrote, or one from elsewhere without `checksums.json` or value head
    /// (then the value head is fresh). A GGUF file is read as by [`Self::load_gguf`], and
    /// a PEFT adapter whose base model is a folder here as that model with the adapter merged in.
    ///
    /// # Errors
    /// When a file is missing, damaged, or does not fit the configuration.
    pub fn load(dir: &Path) -> Result<Self> {
        if dir.is_file() {
            return Self::load_gguf(dir, Dtype::Float32);
        }
        let folder = Folder::open(dir)?;
        if folder.contains(ADAPTER_CONFIG) && !folder.contains(CONFIG) {
            return Self::load_adapted(&folder);
        }
        Self::load_from(&folder)
    }

    /// Reads a GGUF file (version 2 or 3; F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K and Q6_K). Quantised
    /// numbers are widened to what they stand for; [`Checkpoint::save`] will write them as `dtype`. The value head is
    /// fresh.
    ///
    /// # Errors
    /// When the file is damaged, of another family, or holds an element type or a tokenizer that is not supported; the
    /// message names the tensor or the metadata key.
    pub fn load_gguf(path: &Path, dtype: Dtype) -> Result<Self> {
        let gguf::Contents { config, mut tokenizer, parameters, tokenizer_config } =
            gguf::read(path, dtype)?;
        let companions = BTreeMap::from([(companions::TOKENIZER.to_owned(), tokenizer_config)]);
        companions::name_special_tokens(&mut tokenizer, &config, &companions)?;
        Ok(Self { config, tokenizer, parameters, companions })
    }

    /// A folder's configuration, tokenizer and companions without its numbers: what a served model's texts are made by.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_shell(dir: &Path) -> Result<Self> {
        let folder = Folder::open(dir)?;
        let mut config: ModelConfig = folder.json(CONFIG)?;
        config.architectures = vec![config.family()?.class().to_owned()];
        Self::open(&folder, config)
    }

    /// The base model of an adapter folder with the adapter merged in.
    fn load_adapted(folder: &Folder) -> Result<Self> {
        let adapter = Adapter::load_from(folder)?;
        let path = folder.file(ADAPTER_CONFIG);
        let Some(base) = adapter.base_model() else {
            let message = "base_model_name_or_path: missing, so there is no model to adapt";
            return Err(Error::format(&path, message));
        };
        let beside = folder.file(base);
        let found = [beside.as_path(), Path::new(base)].into_iter().find(|path| path.is_dir());
        let Some(found) = found else {
            let message = format!("base_model_name_or_path: {base:?} is not a folder here");
            return Err(Error::format(&path, message));
        };
        let mut checkpoint = Self::load(found)?;
        checkpoint.merge(&adapter)?;
        Ok(checkpoint)
    }
}

impl ChatTemplate {
    /// The template of a checkpoint's folder, if it has one, without the token that begins a text: encoding puts that there
    /// where the tokenizer calls for it.
    ///
    /// # Errors
    /// When a file is not what it should be, or the template is not valid.
    pub fn load(dir: &Path) -> Result<Option<Self>> {
        let template = companions::chat_template(&companions::read(&Folder::open(dir)?)?)?;
        Ok(template.map(|template| template.without_token("bos_token")))
    }
}
