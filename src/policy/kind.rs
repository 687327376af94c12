//! The trait of every kind of policy that a recipe can name, and their list.

use espalier_inference::Meter;
use espalier_model::checkpoint::Source;
use espalier_search::{ConfigError, Evaluator};
use espalier_training::InferenceStats;
use serde::{Deserialize, Serialize};

use super::config::ValueRecipe;
use super::error::PolicyError;
use super::local::LocalRecipe;
use super::prm::PrmRecipe;
use crate::compute::ComputeRecipe;
use crate::environment::AnyEnvironment;
use crate::jsonl;

/// The settings of a kind of policy.
pub trait PolicyKind {
    /// Checks every field.
    ///
    /// # Errors
    /// Names the first key that is wrong, as it stands in the recipe.
    fn validate(&self) -> Result<(), ConfigError>;

    /// Loads the policy for an environment's steps. `checkpoint` is what the command line names.
    ///
    /// # Errors
    /// When settings and `checkpoint` do not fit together, or what the settings name cannot be read.
    fn load(
        &self,
        environment: &AnyEnvironment,
        compute: &ComputeRecipe,
        checkpoint: Option<Source<'_>>,
    ) -> Result<Policy, PolicyError>;

    /// Whether there is no policy without a checkpoint.
    fn needs_checkpoint(&self) -> bool {
        false
    }

    /// Why a run cannot train it, and what to do instead; `None` where it can.
    fn untrainable(&self) -> Option<&'static str>;

    /// Whether it draws the steps of a state without replacement where a search asks for it.
    fn draws_without_replacement(&self) -> bool {
        true
    }

    /// Who values states, where the settings say it; `None` (the default) where they cannot.
    fn value(&self) -> Option<&ValueRecipe> {
        None
    }

    /// How a local net writes steps; `None` (the default) where there is none.
    fn local(&self) -> Option<&LocalRecipe> {
        None
    }
}

/// What searches ask, with what it tells of itself.
pub trait Backend: Evaluator {
    /// What tells what a local net did so far; `None` (the default) for others.
    fn meter(&self) -> Option<Meter> {
        None
    }
}

/// A loaded policy.
pub struct Policy {
    backend: Box<dyn Backend>,
    fingerprint: String,
    source: String,
}

impl Policy {
    pub(super) fn new(
        backend: impl Backend + 'static,
        fingerprint: String,
        source: String,
    ) -> Self {
        Self { backend: Box::new(backend), fingerprint, source }
    }

    /// What searches ask.
    #[must_use]
    pub fn evaluator(&self) -> &dyn Evaluator {
        &*self.backend
    }

    /// What a local net did so far.
    #[must_use]
    pub fn inference(&self) -> Option<InferenceStats> {
        self.meter().and_then(|meter| meter())
    }

    /// What tells what a local net did so far, as long as it is loaded.
    #[must_use]
    pub fn meter(&self) -> Option<Meter> {
        self.backend.meter()
    }

    /// Names what the answers depend on: a checkpoint's content; or address, model, settings and value source of a server. Results
    /// of one fingerprint may be mixed.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Where it comes from, for a person: the checkpoint's whole path, or the server's model and address with the fingerprint.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }
}

/// Refuses a checkpoint where there is no net to load.
pub(super) fn refuse_checkpoint(
    kind: &str,
    checkpoint: Option<Source<'_>>,
) -> Result<(), PolicyError> {
    match checkpoint {
        None => Ok(()),
        Some(_) => {
            Err(PolicyError::Usage(format!("--checkpoint: [policy] kind = \"{kind}\" has no net")))
        }
    }
}

/// A hash of settings.
pub(super) fn identity(settings: &serde_json::Value) -> Result<String, PolicyError> {
    jsonl::identity(settings).map_err(|error| PolicyError::Settings(error.to_string()))
}

/// Makes the `[policy]` section's type from the list of kinds.
macro_rules! policies {
    ($($kind:ident($recipe:ty)),+ $(,)?) => {
        /// The `[policy]` section of a recipe: what proposes steps and values states.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind", rename_all = "snake_case")]
        pub enum PolicyRecipe {
            $(#[doc = concat!("See [`", stringify!($recipe), "`].")] $kind(Box<$recipe>),)+
        }

        impl PolicyRecipe {
            /// The settings of the kind that it is.
            #[must_use]
            pub fn kind(&self) -> &dyn PolicyKind {
                match self {
                    $(Self::$kind(recipe) => &**recipe,)+
                }
            }
        }
    };
}

policies! {
    Local(super::local::LocalRecipe),
    Completions(super::config::CompletionsRecipe),
    Uniform(super::uniform::UniformRecipe),
    Table(super::table::TableRecipe),
}

impl Default for PolicyRecipe {
    fn default() -> Self {
        Self::Local(Box::default())
    }
}

impl PolicyRecipe {
    /// Lets this process reward model value states.
    ///
    /// # Errors
    /// When it is a kind of policy whose values are its own.
    pub fn value_by(&mut self, prm: PrmRecipe) -> Result<(), PolicyError> {
        let value = ValueRecipe::Prm(Box::new(prm));
        match self {
            Self::Local(recipe) => recipe.value = value,
            Self::Completions(recipe) => recipe.value = value,
            Self::Uniform(_) | Self::Table(_) => {
                return Err(PolicyError::Usage(
                    "a reward model values the states of [policy] kind = \"local\" or \"completions\" alone".to_owned(),
                ));
            }
        }
        Ok(())
    }

    /// The process reward model that values states, if one does.
    #[must_use]
    pub fn prm(&self) -> Option<&PrmRecipe> {
        match self.kind().value() {
            Some(ValueRecipe::Prm(prm)) => Some(prm),
            _ => None,
        }
    }

    /// How a local net writes steps; the defaults where the policy is another.
    #[must_use]
    pub fn local(&self) -> LocalRecipe {
        self.kind().local().cloned().unwrap_or_default()
    }
}
