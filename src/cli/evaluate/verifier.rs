//! The net of `process` and `votes`, and the text in which it is asked.

use anyhow::{Result, anyhow};
use clap::Args;

use crate::arguments::{
    PolicyArguments, RecipeArguments, UsageError, environment_without_steps, policy_error, unescape,
};
use espalier::environment::AnyEnvironment;
use espalier::policy::Policy;
use espalier::policy::prm::Judged;
use espalier::recipe::Recipe;
use espalier::verifier::Template;

#[derive(Debug, Args)]
pub struct VerifierArguments {
    #[command(flatten)]
    pub recipe: RecipeArguments,
    #[command(flatten)]
    pub policy: PolicyArguments,
    /// The text before the first step; `{question}` is the question, `\n` a line end [default: what the recipe's environment trains nets
    /// on].
    #[arg(long, value_name = "TEMPLATE")]
    prompt: Option<String>,
    /// The end of every step, at whose last token the value is read [default: the environment's ends of a step and of the last step].
    #[arg(long, value_name = "TEXT")]
    step_delimiter: Option<String>,
}

/// A net that is asked about solutions.
pub struct Verifier<'a> {
    /// The text in which it is asked.
    pub template: Template<'a>,
    /// The environment's own; none where the text is a reward model's.
    own: Option<Template<'a>>,
    load: &'a dyn Fn() -> Result<Policy>,
}

impl VerifierArguments {
    /// Does the work with the recipe's environment. Nothing is loaded before the work asks for it. A reward model's value is of what is
    /// `judged`.
    pub fn with_verifier<T>(
        &self,
        judged: Judged,
        recipe: &Recipe,
        work: impl FnOnce(&Verifier<'_>) -> Result<T>,
    ) -> Result<T> {
        let (_, environment) =
            self.policy.start_by(environment_without_steps, recipe.clone(), &self.recipe)?;
        let template = self.template(&environment)?;
        let policy = self.policy.policy(recipe)?;
        if let Some(prm) = policy.prm() {
            if self.prompt.is_some() {
                let message = "--prompt: the reward model's form says how it is asked";
                return Err(UsageError(anyhow!("{message}")).into());
            }
            return work(&Verifier {
                template: template.as_written(),
                own: None,
                load: &|| prm.verifier(judged, &recipe.compute).map_err(policy_error),
            });
        }
        work(&Verifier {
            template,
            own: Some(Template::of_environment(&environment)),
            load: &|| self.policy.load(&environment, recipe),
        })
    }

    fn template<'a>(&self, environment: &'a AnyEnvironment) -> Result<Template<'a>> {
        let mut template = Template::of_environment(environment);
        if let Some(delimiter) = &self.step_delimiter {
            template = template.with_step_end(&unescape("--step-delimiter", delimiter)?);
        }
        if let Some(prompt) = &self.prompt {
            let prompt = unescape("--prompt", prompt)?;
            template = template
                .with_prompt(&prompt)
                .map_err(|error| UsageError(anyhow!("--prompt: {error}")))?;
        }
        Ok(template)
    }
}

impl Verifier<'_> {
    /// Loads the net. Where options replace the environment's text by another, it says so, shown on the first question.
    pub fn load(&self, first_question: Option<&str>) -> Result<Policy> {
        for difference in first_question.map(|question| self.differences(question)).iter().flatten()
        {
            tracing::warn!("{difference}");
        }
        (self.load)()
    }

    fn differences(&self, question: &str) -> Vec<String> {
        let mut differences = Vec::new();
        let Some(own) = &self.own else { return differences };
        match (self.template.prompt(question), own.prompt(question)) {
            (Ok(prompt), Ok(own)) if prompt != own => differences
                .push(format!("--prompt asks {prompt:?} where the environment asks {own:?}")),
            (Ok(_), Err(error)) => differences
                .push(format!("--prompt cannot be compared with the environment's own: {error:#}")),
            _ => {}
        }
        if self.template.ends() != own.ends() {
            differences.push(format!(
                "--step-delimiter {:?} where the environment ends steps by {:?} and the last one by {:?}",
                self.template.ends()[0],
                own.ends()[0],
                own.ends()[1]
            ));
        }
        differences
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use espalier::environment::countdown::Countdown;

    #[test]
    fn a_text_that_is_not_the_environment_s_is_told() {
        let countdown = AnyEnvironment::from(Countdown::default());
        let load = || anyhow::bail!("no net");
        let own = || Template::of_environment(&countdown);
        let told = |template: Template<'_>, question: &str| {
            Verifier { template, own: Some(own()), load: &load }.differences(question)
        };
        assert!(told(own(), "26: 3 5 7").is_empty());
        assert!(told(own().with_prompt("{question}\n").unwrap(), "26:3 5 7").is_empty());
        let other = told(own().with_prompt("Q {question}\n").unwrap(), "26:3 5 7");
        assert!(other.len() == 1 && other[0].contains("26:3 5 7\\n"), "{other:?}");
        let other = told(own().with_prompt("{question}\n").unwrap(), "1+1?");
        assert!(other.len() == 1 && other[0].contains("cannot be compared"), "{other:?}");
        assert!(told(own().with_step_end("\n\n"), "26: 3 5 7")[0].contains("--step-delimiter"));
    }
}
