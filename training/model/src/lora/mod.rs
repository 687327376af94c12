//! Low-rank adapters (LoRA; Hu et al., arXiv 2106.09685) in PEFT's layout.
//!
//! A linear layer with weight `W` computes `W x + scale * B A x`; `A` is `[rank, in]`, `B` is `[out, rank]`. An adapter may
//! hold more: see [`Adapter::merge_into`].

mod adapter_config;
mod check;
mod fields;
mod merge;
mod parts;
mod pattern;
mod subspace;
mod tridiagonal;

use std::collections::BTreeMap;
use std::path::Path;

use rand_chacha::ChaCha8Rng;

use crate::config::LoraConfig;
use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::folder::{self, ADAPTER_CONFIG, Content, Folder, VALUE_HEAD};
use crate::parameters::{Parameter, Parameters, is_value_head};
use crate::random::{stream, uniform};
use adapter_config::AdapterConfig;
pub use merge::add_product;
use parts::Part;
use pattern::{Patterns, Scale};

const ADAPTER_MODEL: &str = "adapter_model.safetensors";
/// The same in Python's own form, which can run code when it is read.
const PICKLED_MODEL: &str = "adapter_model.bin";
/// What PEFT puts before a module's own name.
pub const PREFIX: &str = "base_model.model.";
/// The embedding's module.
const EMBEDDING: &str = "model.embed_tokens";
/// The head's module.
const HEAD: &str = "lm_head";
/// Distinguishes this use of the seed from others.
const PURPOSE: u64 = u64::from_le_bytes(*b"lora\0\0\0\0");

/// A low-rank adapter, with the value head that was trained beside it when there is one.
#[derive(Debug, Clone, PartialEq)]
pub struct Adapter {
    config: AdapterConfig,
    /// By PEFT's names, and the value head's tensors.
    tensors: BTreeMap<String, Parameter>,
    /// Of every module with a pair.
    scales: BTreeMap<String, Scale>,
}

/// PEFT's names of a module's pair.
#[must_use]
pub fn pair_names(module: &str) -> [String; 2] {
    [Part::A, Part::B].map(|part| parts::name(module, part))
}

/// The base model that the adapter of a folder names.
///
/// # Errors
/// When the adapter is of a kind that this crate has no code for.
pub(crate) fn base_model(folder: &Folder) -> Result<Option<String>> {
    let config = read_config(folder)?;
    Ok(config.base_model().map(str::to_owned))
}

fn read_config(folder: &Folder) -> Result<AdapterConfig> {
    AdapterConfig::read(folder.json(ADAPTER_CONFIG)?, &folder.file(ADAPTER_CONFIG))
}

impl Adapter {
    /// A fresh adapter, which changes nothing yet: `A` is uniform in `±1/sqrt(in)` as in PEFT, `B` is 0.
    ///
    /// # Errors
    /// [`Error::Setting`] when a setting is out of range.
    pub fn initialise(base: &Parameters, lora: &LoraConfig, seed: u64) -> Result<Self> {
        lora.validate()?;
        let mut rng: ChaCha8Rng = stream(seed, [PURPOSE, 0]);
        let (mut tensors, mut modules) = (BTreeMap::new(), Vec::new());
        for (name, weight) in base.iter() {
            let Some(module) = name.strip_suffix(".weight") else {
                continue;
            };
            let last = module.rsplit('.').next().unwrap_or_default();
            if !lora.target_modules.iter().any(|target| target == last) {
                continue;
            }
            let (out, input) = (weight.shape[0], weight.shape[1]);
            let bound = (input as f32).sqrt().recip();
            let mut draw = || bound * (2.0 * uniform(&mut rng) - 1.0);
            let a = (0..lora.rank * input).map(|_| draw()).collect();
            let [a_name, b_name] = pair_names(module);
            tensors.insert(a_name, Parameter { shape: vec![lora.rank, input], values: a });
            let b = Parameter { shape: vec![out, lora.rank], values: vec![0.0; out * lora.rank] };
            tensors.insert(b_name, b);
            modules.push(module.to_owned());
        }
        let scale = Scale { rank: lora.rank, factor: lora.alpha / lora.rank as f64 };
        let scales = modules.into_iter().map(|module| (module, scale)).collect();
        Ok(Self { config: AdapterConfig::new(lora), tensors, scales })
    }

    /// The adapter with these tensors instead of its own, which are of the same modules.
    #[must_use]
    pub fn with_tensors(&self, tensors: BTreeMap<String, Parameter>) -> Self {
        Self { config: self.config.clone(), tensors, scales: self.scales.clone() }
    }

    /// What a module's `B A x` is multiplied by; `None` for a module without a pair.
    #[must_use]
    pub fn scale(&self, module: &str) -> Option<f64> {
        self.scales.get(module).map(|scale| scale.factor)
    }

    /// The base model that the adapter names, if it names one: a path, or a name on the Hugging Face hub.
    #[must_use]
    pub fn base_model(&self) -> Option<&str> {
        self.config.base_model()
    }

    /// All tensors in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Parameter)> {
        self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// Reads a PEFT folder: `adapter_config.json`, `adapter_model.safetensors` and, when it is there,
    /// `value_head.safetensors`.
    ///
    /// # Errors
    /// When a file is missing or damaged, or the adapter is of a kind that this crate has no code for.
    pub fn load(dir: &Path) -> Result<Self> {
        Self::load_from(&Folder::open(dir)?)
    }

    /// As [`Self::load`], from a folder that the caller goes on reading.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_from(folder: &Folder) -> Result<Self> {
        let path = folder.file(ADAPTER_CONFIG);
        let config = read_config(folder)?;
        let pickled = !folder.contains(ADAPTER_MODEL) && folder.contains(PICKLED_MODEL);
        let file = if pickled { PICKLED_MODEL } else { ADAPTER_MODEL };
        let mut tensors = folder.tensors(file)?;
        let modules = parts::modules(&tensors)?;
        if modules.is_empty() {
            return Err(Error::format(&folder.file(file), "holds no tensors"));
        }
        check::complete(&config, &modules)?;
        let in_config = |message: String| Error::format(&path, message);
        let patterns = Patterns::new(&config).map_err(in_config)?;
        let mut scales = BTreeMap::new();
        for (&module, parts) in &modules {
            if parts.contains_key(&Part::A) || parts.contains_key(&Part::EmbeddingA) {
                let scale = patterns.scale(module).map_err(in_config)?;
                scales.insert(module.to_owned(), scale);
            }
        }
        if folder.contains(VALUE_HEAD) {
            tensors.extend(folder.tensors(VALUE_HEAD)?);
        }
        for (name, tensor) in &tensors {
            tensor.check_finite(name)?;
        }
        Ok(Self { config, tensors, scales })
    }

    /// Writes a PEFT folder with the value head beside it, replacing one of the same name.
    ///
    /// # Errors
    /// When a file cannot be written, or the folder exists and is no adapter or checkpoint.
    pub fn save(&self, dir: &Path) -> Result<()> {
        self.save_with(dir, BTreeMap::new())
    }

    /// As [`Self::save`], with further files.
    ///
    /// # Errors
    /// As [`Self::save`].
    pub fn save_with<'a>(
        &'a self,
        dir: &Path,
        mut files: BTreeMap<String, Content<'a>>,
    ) -> Result<()> {
        files.extend(self.files("")?);
        folder::write(dir, &files)
    }

    /// The folder's files, each with `folder` before its name.
    ///
    /// # Errors
    /// When the configuration cannot be written as JSON.
    pub fn files(&self, folder: &str) -> Result<BTreeMap<String, Content<'_>>> {
        let config = self
            .config
            .to_bytes()
            .map_err(|error| Error::format(Path::new(ADAPTER_CONFIG), error))?;
        let half = |value_head: bool| Content::Tensors {
            tensors: self.iter().filter(|(name, _)| is_value_head(name) == value_head).collect(),
            dtype: Dtype::Float32,
        };
        let mut files = BTreeMap::from([
            (format!("{folder}{ADAPTER_CONFIG}"), Content::Bytes(config)),
            (format!("{folder}{ADAPTER_MODEL}"), half(false)),
        ]);
        if self.tensors.keys().any(|name| is_value_head(name)) {
            files.insert(format!("{folder}{VALUE_HEAD}"), half(true));
        }
        Ok(files)
    }
}
