//! Low-rank adapters (LoRA; Hu et al., arXiv 2106.09685) in PEFT's layout.
//!
//! A linear layer with weight `W` computes `W x + scale * B A x`; `A` is `[rank, in]`, `B` is `[out, rank]`.

mod adapter_config;
mod merge;

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

const ADAPTER_MODEL: &str = "adapter_model.safetensors";
/// What PEFT puts before a module's own name.
pub const PREFIX: &str = "base_model.model.";
const A: &str = ".lora_A.weight";
const B: &str = ".lora_B.weight";
/// Distinguishes this use of the seed from others.
const PURPOSE: u64 = u64::from_le_bytes(*b"lora\0\0\0\0");

/// A low-rank adapter, with the value head that was trained beside it when there is one.
#[derive(Debug, Clone, PartialEq)]
pub struct Adapter {
    config: AdapterConfig,
    /// `A` and `B` of every adapted module, by PEFT's names, and the value head's tensors.
    tensors: BTreeMap<String, Parameter>,
}

/// PEFT's names of a module's pair.
#[must_use]
pub fn pair_names(module: &str) -> [String; 2] {
    [A, B].map(|suffix| format!("{PREFIX}{module}{suffix}"))
}

/// The module, such as `model.layers.0.self_attn.q_proj`, whose `A` has this name.
fn module_of_a(name: &str) -> Option<&str> {
    name.strip_prefix(PREFIX)?.strip_suffix(A)
}

impl Adapter {
    /// A fresh adapter, which changes nothing yet: `A` is uniform in `±1/sqrt(in)` as in PEFT, `B` is 0.
    ///
    /// # Errors
    /// [`Error::Setting`] when a setting is out of range.
    pub fn initialise(base: &Parameters, lora: &LoraConfig, seed: u64) -> Result<Self> {
        lora.validate()?;
        let mut rng: ChaCha8Rng = stream(seed, [PURPOSE, 0]);
        let mut tensors = BTreeMap::new();
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
        }
        Ok(Self { config: AdapterConfig::new(lora), tensors })
    }

    /// The adapter with these tensors instead of its own.
    #[must_use]
    pub fn with_tensors(&self, tensors: BTreeMap<String, Parameter>) -> Self {
        Self { config: self.config.clone(), tensors }
    }

    /// What `B A x` is multiplied by.
    #[must_use]
    pub fn scale(&self) -> f64 {
        self.config.scale()
    }

    /// The path of the base model that the adapter names, if it names one.
    #[must_use]
    pub fn base_model(&self) -> Option<&str> {
        self.config.base_model_name_or_path.as_deref()
    }

    /// Pairs and value head in the order of their names.
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
        let config: AdapterConfig = folder.json(ADAPTER_CONFIG)?;
        config.validate(&folder.file(ADAPTER_CONFIG))?;
        let mut tensors = folder.tensors(ADAPTER_MODEL)?;
        let mut expected = 0;
        for name in tensors.keys() {
            let Some(module) = module_of_a(name) else {
                continue;
            };
            let [_, b] = pair_names(module);
            if !tensors.contains_key(&b) {
                let message = format!("tensor {b}: missing beside {name}");
                return Err(Error::format(&folder.file(ADAPTER_MODEL), message));
            }
            expected += 2;
        }
        if expected != tensors.len() {
            let stranger = tensors.iter().find(|(name, _)| {
                let b = name.strip_suffix(B).map(|module| format!("{module}{A}"));
                module_of_a(name).is_none() && !b.is_some_and(|a| tensors.contains_key(&a))
            });
            if let Some((name, tensor)) = stranger {
                let found = tensor.shape.clone();
                return Err(Error::UnexpectedTensor { name: name.clone(), found });
            }
        }
        if folder.contains(VALUE_HEAD) {
            tensors.extend(folder.tensors(VALUE_HEAD)?);
        }
        for (name, tensor) in &tensors {
            tensor.check_finite(name)?;
        }
        Ok(Self { config, tensors })
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
        let config = serde_json::to_vec_pretty(&self.config)
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

    /// Checks that every pair has a weight that it fits.
    ///
    /// # Errors
    /// [`Error::MissingTensor`], [`Error::UnexpectedTensor`] or [`Error::Shape`] with the first that has none.
    pub fn check(&self, parameters: &Parameters) -> Result<()> {
        let rank = self.config.r;
        for (name, tensor) in self.iter() {
            let expected = if let Some(module) = module_of_a(name) {
                let weight = matrix(parameters, module)?;
                let [_, b_name] = pair_names(module);
                let expected = vec![weight.shape[0], rank];
                let found = self.tensors.get(&b_name).map_or(&[][..], |b| &b.shape);
                if found != expected {
                    let found = found.to_vec();
                    return Err(Error::Shape { name: b_name, expected, found });
                }
                vec![rank, weight.shape[1]]
            } else if is_value_head(name) {
                let Some(own) = parameters.get(name) else {
                    let found = tensor.shape.clone();
                    return Err(Error::UnexpectedTensor { name: name.to_owned(), found });
                };
                own.shape.clone()
            } else {
                continue;
            };
            if tensor.shape != expected {
                let (name, found) = (name.to_owned(), tensor.shape.clone());
                return Err(Error::Shape { name, expected, found });
            }
        }
        Ok(())
    }
}

/// The weight of a linear module.
fn matrix<'a>(parameters: &'a Parameters, module: &str) -> Result<&'a Parameter> {
    let name = format!("{module}.weight");
    match parameters.get(&name).filter(|weight| weight.shape.len() == 2) {
        Some(weight) => Ok(weight),
        None => Err(Error::MissingTensor { name, expected: Vec::new() }),
    }
}
