//! Stands for served policies in a build without the feature `served`: reads their settings, and refuses them.

use espalier_model::checkpoint::Source;
use espalier_search::ConfigError;

use super::config::{CompletionsRecipe, ValueRecipe};
use super::error::PolicyError;
use super::kind::{Policy, PolicyKind};
use crate::compute::ComputeRecipe;
use crate::environment::AnyEnvironment;

fn refusal() -> ConfigError {
    let requirement = "needs a program that was built with the feature `served`".to_owned();
    ConfigError { field: "kind", value: "\"completions\"".to_owned(), requirement }
}

impl PolicyKind for CompletionsRecipe {
    fn validate(&self) -> Result<(), ConfigError> {
        self.check()?;
        Err(refusal())
    }

    fn load(
        &self,
        _: &AnyEnvironment,
        _: &ComputeRecipe,
        _: Option<Source<'_>>,
    ) -> Result<Policy, PolicyError> {
        Err(PolicyError::Usage(format!("[policy] {}", refusal())))
    }

    fn value(&self) -> Option<&ValueRecipe> {
        Some(&self.value)
    }

    fn untrainable(&self) -> Option<&'static str> {
        Some("[policy] kind = \"completions\": this program was built without the feature `served`")
    }
}
