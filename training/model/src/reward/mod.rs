//! Reward models as their makers publish them: a family's blocks with a head of their own in place of, or beside, the language
//! model's.

mod export;

pub use export::save_token_classifier;

use std::collections::BTreeMap;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::checkpoint::{Checkpoint, weights};
use crate::error::{Error, Result};
use crate::folder::{CONFIG, Folder, VALUE_HEAD};
use crate::head::{Head, Linear, Reading};
use crate::parameters::{EMBEDDING, HEAD, Parameter, tensor_file};

/// What TRL's classes with a value head put before a language model's names.
const WRAPPED: &str = "pretrained_model.";
/// Names of heads, and what has them: `score` token and sequence classifiers and Qwen's PRMs, `v_head.summary` TRL's value heads
/// and Skywork's PRMs, `score_head` ReasonEval, `pred_scalar` and `reward_head` scalar heads of single models.
const HEADS: [&str; 5] = ["score", "v_head.summary", "score_head", "pred_scalar", "reward_head"];

/// A reward model: a net whose final states are read by a head that is not its value head.
#[derive(Debug, Clone)]
pub struct RewardModel {
    /// The blocks, with tokenizer and chat template. Its language model's head is the embedding, and means nothing.
    pub checkpoint: Checkpoint,
    /// The tensors of heads, the language model's included where it is one of its own.
    heads: BTreeMap<String, Parameter>,
    /// Whether the language model's head is the embedding where it is none of its own.
    tied: bool,
}

impl RewardModel {
    /// Reads a Hugging Face folder whatever the class is that its `architectures` names, as long as its blocks are those of a
    /// family. A GGUF file and an adapter's folder are read as the language models that they hold.
    ///
    /// # Errors
    /// As [`Checkpoint::load`].
    pub fn load(dir: &Path) -> Result<Self> {
        let folder = if dir.is_file() { None } else { Some(Folder::open(dir)?) };
        match folder.filter(|folder| folder.contains(CONFIG)) {
            Some(folder) => Self::load_from(&folder),
            None => Ok(Self::of_language_model(Checkpoint::load(dir)?)),
        }
    }

    fn load_from(folder: &Folder) -> Result<Self> {
        // The class says which head there is, and the tensors say it again.
        let mut config = Checkpoint::read_config_of_blocks(folder)?;
        let tied = config.tied();
        config.tie_word_embeddings = Some(true);
        let shell = Checkpoint::shell(folder, config)?;
        let mut tensors = BTreeMap::new();
        let mut heads = BTreeMap::new();
        for (name, tensor) in weights::read(folder)? {
            let name = name.strip_prefix(WRAPPED).map_or(name.clone(), str::to_owned);
            if is_head(&name) {
                heads.insert(name, tensor)
            } else {
                tensors.insert(name, tensor)
            };
        }
        if folder.contains(VALUE_HEAD) {
            tensors.extend(folder.tensors(VALUE_HEAD)?);
        }
        Ok(Self { checkpoint: shell.filled(tensors)?, heads, tied })
    }

    fn of_language_model(mut checkpoint: Checkpoint) -> Self {
        let tied = checkpoint.config.tied();
        checkpoint.config.tie_word_embeddings = Some(true);
        let head = checkpoint.parameters.take_head();
        let heads = head.map(|head| (HEAD.to_owned(), head)).into_iter().collect();
        Self { checkpoint, heads, tied }
    }

    /// SHA-256 of blocks and heads, in hexadecimal.
    ///
    /// # Errors
    /// As [`Checkpoint::fingerprint`].
    pub fn fingerprint(&self) -> Result<String> {
        let digest = Sha256::new_with_prefix(self.checkpoint.fingerprint()?);
        let heads = self.heads.iter().map(|(name, tensor)| (name.as_str(), tensor));
        Ok(tensor_file::fingerprint(digest, heads))
    }

    /// A head over the logits of classes, of which those with the indices `good` together say that a step is good: a linear layer,
    /// or two with `relu` between them (`score.0` and `score.2` in Qwen's PRMs).
    ///
    /// # Errors
    /// When there is no such head, or an index is none of its classes.
    pub fn classes(&self, good: &[usize]) -> Result<Head> {
        let (hidden, output, classes) = self.layers()?;
        if let Some(index) = good.iter().find(|index| **index >= classes) {
            let message =
                format!("the head has {classes} classes, so there is none with index {index}");
            return Err(Error::Setting { field: "head.good", message });
        }
        Ok(Head::new(hidden, output, Reading::Classes(good.to_vec())))
    }

    /// A head of one number, the logit of a good step.
    ///
    /// # Errors
    /// When there is no such head.
    pub fn scalar(&self) -> Result<Head> {
        let (hidden, output, results) = self.layers()?;
        if results != 1 {
            let message = format!(
                "the head gives {results} numbers and not one: it is one of kind \"classes\""
            );
            return Err(Error::Setting { field: "head.kind", message });
        }
        Ok(Head::new(hidden, output, Reading::Logit))
    }

    /// The language model's logits of two tokens.
    ///
    /// # Errors
    /// When there is no language model's head, or it has no row for a token.
    pub fn tokens(&self, good: u32, bad: u32) -> Result<Head> {
        let rows = [self.row(good)?, self.row(bad)?];
        Ok(Head::new(None, Linear::of_rows(&rows), Reading::Classes(vec![0])))
    }

    /// The mean of the first two logits of the language model's head, as a logit: Easy-to-Hard's form (arXiv 2403.09472), whose
    /// head of two rows is repeated over the vocabulary.
    ///
    /// # Errors
    /// As [`Self::tokens`].
    pub fn mean_logit(&self) -> Result<Head> {
        let (first, second) = (self.row(0)?, self.row(1)?);
        let mean: Vec<f32> = first.iter().zip(second).map(|(a, b)| (a + b) / 2.0).collect();
        Ok(Head::new(None, Linear::of_rows(&[&mean]), Reading::Logit))
    }

    /// A row of the language model's head.
    fn row(&self, id: u32) -> Result<&[f32]> {
        if self.checkpoint.config.architecture()?.final_cap.is_some() {
            let message =
                "this family caps its logits, which a head over tokens does not".to_owned();
            return Err(Error::Setting { field: "head.kind", message });
        }
        let width = self.checkpoint.config.hidden_size;
        let embedding = || self.checkpoint.parameters.get(EMBEDDING).filter(|_| self.tied);
        let head = self.heads.get(HEAD).or_else(embedding).ok_or_else(|| Error::MissingTensor {
            name: HEAD.to_owned(),
            expected: vec![self.checkpoint.config.vocab_size, width],
        })?;
        if head.shape.len() != 2 || head.shape[1] != width {
            let expected = vec![self.checkpoint.config.vocab_size, width];
            return Err(Error::Shape {
                name: HEAD.to_owned(),
                expected,
                found: head.shape.clone(),
            });
        }
        let row = head.values.chunks_exact(width).nth(id as usize).ok_or_else(|| {
            let message =
                format!("{HEAD} has {} rows, so there is none for token {id}", head.shape[0]);
            Error::Setting { field: "head", message }
        })?;
        match row.iter().enumerate().find(|(_, value)| !value.is_finite()) {
            Some((index, &value)) => Err(Error::NotFinite { name: HEAD.to_owned(), index, value }),
            None => Ok(row),
        }
    }

    /// The layers of the head, and how many numbers it gives.
    fn layers(&self) -> Result<(Option<Linear>, Linear, usize)> {
        let width = self.checkpoint.config.hidden_size;
        let stem = HEADS.iter().find(|stem| self.heads.keys().any(|name| of_head(name, stem)));
        let Some(stem) = stem else {
            let expected = vec![2, width];
            return Err(Error::MissingTensor { name: format!("{}.weight", HEADS[0]), expected });
        };
        if self.heads.contains_key(&format!("{stem}.weight")) {
            let (layer, results) = self.layer(stem, width)?;
            return Ok((None, layer, results));
        }
        let (hidden, inner) = self.layer(&format!("{stem}.0"), width)?;
        let (layer, results) = self.layer(&format!("{stem}.2"), inner)?;
        Ok((Some(hidden), layer, results))
    }

    /// A layer over `input` numbers, and how many it gives.
    fn layer(&self, stem: &str, input: usize) -> Result<(Linear, usize)> {
        let (weight_name, bias_name) = (format!("{stem}.weight"), format!("{stem}.bias"));
        let weight = self.heads.get(&weight_name).ok_or_else(|| Error::MissingTensor {
            name: weight_name.clone(),
            expected: vec![2, input],
        })?;
        let output = match weight.shape[..] {
            [output, found] if found == input && output > 0 => output,
            _ => {
                let found = weight.shape.clone();
                return Err(Error::Shape { name: weight_name, expected: vec![2, input], found });
            }
        };
        weight.check_finite(&weight_name)?;
        let bias = self.heads.get(&bias_name);
        if let Some(bias) = bias {
            if bias.shape != [output] {
                let found = bias.shape.clone();
                return Err(Error::Shape { name: bias_name, expected: vec![output], found });
            }
            bias.check_finite(&bias_name)?;
        }
        Ok((Linear::new(weight, bias), output))
    }
}

/// Whether a tensor is a head's, and not the blocks'.
fn is_head(name: &str) -> bool {
    name == HEAD || HEADS.iter().any(|stem| of_head(name, stem))
}

fn of_head(name: &str, stem: &str) -> bool {
    name.strip_prefix(stem).is_some_and(|rest| rest.starts_with('.'))
}
