//! Process reward models as values of states and as verifiers: local ones, and those behind vLLM's `POST /pooling`.
//!
//! A reward model is asked in a text of its own, which [`FormRecipe`] describes, about a question and the steps of its solution. The number
//! of a step is read at one token, and depends on nothing behind it, so that the number of a state's last step is that of the same step
//! in the whole solution.

mod aggregation;
mod form;
mod presets;
mod reader;
#[cfg(feature = "served")]
mod served;
#[cfg(test)]
mod tests;

pub use aggregation::Aggregation;
pub use form::{ChatUse, FormRecipe, HeadRecipe, TagToken};
pub use presets::Preset;

use std::path::{Path, PathBuf};

use espalier_model::RewardModel;
use espalier_model::head::Head;
use espalier_search::{Cancel, ConfigError, Evaluation, Evaluator, EvaluatorError, Request};
use espalier_training::{Checkpoint, InferenceConfig, LocalEvaluator};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::config::HttpConfig;
use super::error::PolicyError;
use super::kind::{Backend, Policy, identity};
use super::local::LocalRecipe;
use crate::compute::ComputeRecipe;
use crate::environment::Written;
use reader::Reader;

/// `[policy.value] kind = "prm"`: a process reward model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PrmRecipe {
    /// The model's folder; of a served one the folder of its tokenizer and chat template.
    pub path: Option<PathBuf>,
    /// How it is asked and read.
    pub form: FormRecipe,
    /// Where it is served: the whole address of vLLM's `/pooling`; empty: it is not.
    pub url: String,
    /// The model as the server knows it.
    pub model: String,
    /// The HTTP client's settings; results do not depend on them.
    pub http: HttpConfig,
}

/// Reads a solution out of what a request gives as its context.
type Split = Box<dyn Fn(&str) -> Result<Written, String> + Send + Sync>;

/// A process reward model that values what it is asked about.
pub struct Prm {
    reader: Reader,
    aggregation: Aggregation,
    source: Source,
    split: Split,
}

/// Who computes the numbers.
enum Source {
    /// The model's own head.
    Local(Box<LocalEvaluator>),
    /// Two language models.
    Implicit { model: Box<LocalEvaluator>, reference: Box<LocalEvaluator>, beta: f64 },
    /// A server.
    #[cfg(feature = "served")]
    Served(Box<served::Pooled>),
}

impl PrmRecipe {
    /// Checks every field.
    ///
    /// # Errors
    /// Names the first key that is wrong.
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        self.form.validate()?;
        if self.url.is_empty() {
            let requirement = "must name the reward model's folder (or value.url its server)";
            return ConfigError::require(self.path.is_some(), "value.path", &"absent", requirement);
        }
        #[cfg(not(feature = "served"))]
        ConfigError::require(
            false,
            "value.url",
            &self.url,
            "needs a program that was built with the feature `served`",
        )?;
        super::config::check_server(&self.url, &self.model, &self.http)?;
        let form = self.form.resolve();
        let served = matches!(
            form.head,
            HeadRecipe::Classes { .. } | HeadRecipe::Tokens { .. } | HeadRecipe::Scalar
        );
        ConfigError::require(
            served,
            "value.form.head.kind",
            &json!(form.head)["kind"],
            "must be classes, tokens or scalar where the model is served",
        )?;
        let text = form.chat == ChatUse::None
            && !form.apart
            && form.shift == 0
            && form.tag_token != TagToken::First;
        ConfigError::require(
            text || self.path.is_some(),
            "value.path",
            &"absent",
            "must name the folder of the served model's tokenizer and chat template: this form is made of tokens or turns",
        )
    }

    /// Loads the model, and what its answers depend on.
    ///
    /// # Errors
    /// When it cannot be read, or the form does not fit it.
    pub(super) fn load(
        &self,
        split: Split,
        compute: &ComputeRecipe,
    ) -> Result<(Prm, serde_json::Value), PolicyError> {
        let form = self.form.resolve();
        let aggregation = form.aggregation;
        #[cfg(feature = "served")]
        if !self.url.is_empty() {
            let (reader, pooled) = served::Pooled::new(self, form)?;
            let identity = json!({ "url": self.url, "model": self.model, "form": reader.form });
            let source = Source::Served(Box::new(pooled));
            return Ok((Prm { reader, aggregation, source, split }, identity));
        }
        let path = self
            .path
            .as_deref()
            .ok_or_else(|| PolicyError::Usage("[policy] value.path: absent".to_owned()))?;
        let config = LocalRecipe::default().inference(compute, Vec::new());
        LocalEvaluator::check_device(&config).map_err(unreadable(path))?;
        if let HeadRecipe::Implicit { reference, beta } = form.head.clone() {
            let (model, fingerprint) = language_model(path, config.clone())?;
            let reader = Reader::new(form, &model.1)?;
            let (reference, of_reference) = language_model(&reference, config)?;
            let identity =
                json!({ "net": fingerprint, "reference": of_reference, "form": reader.form });
            let source = Source::Implicit {
                model: Box::new(model.0),
                reference: Box::new(reference.0),
                beta,
            };
            return Ok((Prm { reader, aggregation, source, split }, identity));
        }
        let model = RewardModel::load(path).map_err(unreadable(path))?;
        let reader = Reader::new(form, &model.checkpoint)?;
        let head = head(&model, &reader).map_err(|error| match error {
            Failure::Policy(error) => error,
            Failure::Model(error) => unreadable(path)(error),
        })?;
        let fingerprint = model.fingerprint().map_err(unreadable(path))?;
        let identity = json!({ "net": fingerprint, "form": reader.form });
        let net =
            LocalEvaluator::read_by(head, &model.checkpoint, fitting(config, &model.checkpoint));
        let net = net.map_err(unreadable(path))?;
        let source = Source::Local(Box::new(net));
        Ok((Prm { reader, aggregation, source, split }, identity))
    }

    /// Loads the model as a verifier of written solutions: a context is the JSON of a [`Written`].
    ///
    /// # Errors
    /// As for values.
    pub fn verifier(&self, judged: Judged, compute: &ComputeRecipe) -> Result<Policy, PolicyError> {
        let split =
            |context: &str| serde_json::from_str(context).map_err(|error| error.to_string());
        let (mut prm, settings) = self.load(Box::new(split), compute)?;
        if judged == Judged::Steps {
            prm.aggregation = Aggregation::Last;
        }
        let fingerprint = identity(&json!({ "prm": settings, "aggregation": prm.aggregation }))?;
        let place = match (&self.path, &*self.url) {
            (Some(path), "") => path.display().to_string(),
            (_, url) => format!("{} at {url}", self.model),
        };
        Ok(Policy::new(prm, fingerprint.clone(), format!("{place} ({fingerprint})")))
    }
}

/// What a verifier's value is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judged {
    /// The last step alone.
    Steps,
    /// The solution: its steps' values together.
    Solutions,
}

/// What stands in the way of a head.
enum Failure {
    Policy(PolicyError),
    Model(espalier_model::error::Error),
}

fn head(model: &RewardModel, reader: &Reader) -> Result<Head, Failure> {
    let words = reader.words().map_err(Failure::Policy)?;
    let head = match (&reader.form.head, words) {
        (HeadRecipe::Classes { good }, _) => model.classes(good),
        (HeadRecipe::Tokens { .. }, Some([good, bad])) => model.tokens(good, bad),
        (HeadRecipe::MeanLogit, _) => model.mean_logit(),
        _ => model.scalar(),
    };
    head.map_err(Failure::Model)
}

fn unreadable(path: &Path) -> impl Fn(espalier_model::error::Error) -> PolicyError {
    let path = path.to_owned();
    move |source| match source {
        espalier_model::error::Error::Setting { .. } => PolicyError::Usage(format!(
            "[policy.value] of the reward model {}: {source}",
            path.display()
        )),
        source => PolicyError::Checkpoint { path: path.clone(), source },
    }
}

/// Settings for a net that writes nothing.
fn fitting(config: InferenceConfig, checkpoint: &Checkpoint) -> InferenceConfig {
    let limit = checkpoint.config.max_position_embeddings;
    let max_step_tokens = config.max_step_tokens.min(limit.saturating_sub(1)).max(1);
    InferenceConfig { max_step_tokens, ..config }
}

/// A language model that reads chats as they are.
fn language_model(
    path: &Path,
    config: InferenceConfig,
) -> Result<((LocalEvaluator, Checkpoint), String), PolicyError> {
    let mut checkpoint = Checkpoint::load(path).map_err(unreadable(path))?;
    checkpoint.tokenizer.set_add_special_tokens(false);
    let config = fitting(config, &checkpoint);
    let net = LocalEvaluator::new(&checkpoint, config).map_err(unreadable(path))?;
    let fingerprint = net.fingerprint().to_owned();
    Ok(((net, checkpoint), fingerprint))
}

impl Prm {
    /// Values in [-1, 1] of solutions, each at its last step.
    fn last_steps(
        &self,
        solutions: &[Written],
        cancel: &Cancel,
    ) -> Vec<Result<f64, EvaluatorError>> {
        let failed = EvaluatorError::Failed;
        match &self.source {
            Source::Local(net) => {
                let tokens: Vec<_> =
                    solutions.iter().map(|written| self.reader.tokens(written)).collect();
                let readable: Vec<Vec<u32>> =
                    tokens.iter().filter_map(|ids| ids.as_ref().ok().cloned()).collect();
                let mut values = net.values(&readable, cancel).into_iter();
                let missing = || failed("the reward model did not answer".to_owned());
                let value = |ids: Result<Vec<u32>, String>| match ids {
                    Ok(_) => values.next().unwrap_or_else(|| Err(missing())),
                    Err(message) => Err(failed(message)),
                };
                tokens.into_iter().map(value).collect()
            }
            Source::Implicit { model, reference, beta } => {
                let reward = |written: &Written| {
                    let (before, after) = self.reader.halves(written).map_err(failed)?;
                    let sum = |net: &LocalEvaluator| -> Result<f64, EvaluatorError> {
                        let mut scores = net.score(&[(&before, &after)]);
                        let score = scores.pop().ok_or(EvaluatorError::Cancelled)??;
                        Ok(score.log_probs.iter().sum())
                    };
                    // 2 sigmoid(x) - 1.
                    Ok((beta * (sum(model)? - sum(reference)?) / 2.0).tanh())
                };
                solutions.iter().map(reward).collect()
            }
            #[cfg(feature = "served")]
            Source::Served(pooled) => pooled.values(&self.reader, solutions, cancel),
        }
    }

    /// The value of each solution: that of its steps together, and 0, no opinion, of one without steps.
    fn values(&self, solutions: &[Written], cancel: &Cancel) -> Vec<Result<f64, EvaluatorError>> {
        let aggregation = self.aggregation;
        let mut parts = Vec::new();
        let mut counts = Vec::with_capacity(solutions.len());
        for solution in solutions {
            let before = parts.len();
            match aggregation.needs_all() {
                true => parts.extend(solution.prefixes()),
                false => parts.extend(solution.prefixes().next_back()),
            }
            counts.push(parts.len() - before);
        }
        let mut values = self.last_steps(&parts, cancel).into_iter();
        let whole = |count| {
            let steps: Result<Vec<f64>, _> = values.by_ref().take(count).collect();
            steps.map(|steps| aggregation.of(&steps))
        };
        counts.into_iter().map(whole).collect()
    }
}

impl Evaluator for Prm {
    /// Values alone: requests for steps get none.
    fn evaluate(
        &self,
        requests: &[Request],
        cancel: &Cancel,
    ) -> Vec<Result<Evaluation, EvaluatorError>> {
        let written: Vec<_> = requests.iter().map(|r| (self.split)(&r.context)).collect();
        let readable: Vec<Written> =
            written.iter().filter_map(|written| written.as_ref().ok().cloned()).collect();
        let mut values = self.values(&readable, cancel).into_iter();
        let evaluation = |written: Result<Written, String>| {
            written.map_err(EvaluatorError::Failed)?;
            let value = values.next().unwrap_or(Err(EvaluatorError::Cancelled))?;
            Ok(Evaluation { proposals: Vec::new(), value })
        };
        written.into_iter().map(evaluation).collect()
    }

    fn tokens_read(&self) -> Option<u64> {
        match &self.source {
            Source::Local(net) => net.tokens_read(),
            Source::Implicit { model, reference, .. } => {
                Some(model.tokens_read()? + reference.tokens_read()?)
            }
            #[cfg(feature = "served")]
            Source::Served(pooled) => pooled.tokens_read(),
        }
    }
}

impl Backend for Prm {}
