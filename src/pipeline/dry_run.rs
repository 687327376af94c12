//! The memory and the first batches of a run, computed without running it.

use std::fmt;
use std::fs;

use anyhow::{Context, Result, bail};
use espalier_search::Environment;
use espalier_training::{ModelConfig, Parameters, Tokenizer};
use serde::Serialize;

use super::footprint::Footprint;
use super::memory::Memory;
use crate::environment::AnyEnvironment;
use crate::problems;
use crate::recipe::Recipe;

/// What a run of a recipe would take.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DryRun {
    /// Names this form and its version.
    pub schema: &'static str,
    /// The recipe's name.
    pub recipe: String,
    /// The local net; absent where the policy is no local net.
    pub net: Option<NetShape>,
    /// What the local net takes.
    pub memory: Option<Memory>,
    /// The most that the run takes of the host's memory and of the disk, where the policy is a local net.
    pub footprint: Option<Footprint>,
    /// The first round's problems.
    pub problems: FirstProblems,
    /// What the first round asks of the policy first.
    pub search: FirstSearch,
    /// What a training step reads.
    pub training: FirstTraining,
    /// What the probe does after every round, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe: Option<ProbeWork>,
}

/// What the probe asks of the policy after every round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProbeWork {
    /// Validation problems.
    pub problems: usize,
    /// Simulations of each tree, at most.
    pub simulations: u64,
    /// Solutions sampled of each problem.
    pub samples: usize,
}

/// The net of round 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NetShape {
    /// Where the shape is from: `[net]`, or a checkpoint.
    pub from: String,
    /// Family, as `model_type` of `config.json`.
    pub family: String,
    /// Decoder blocks.
    pub layers: usize,
    /// Width of the residual stream.
    pub width: usize,
    /// Rows of the embedding.
    pub vocabulary: usize,
    /// Longest sequence that it reads, in tokens.
    pub longest: usize,
    /// Element type of its weights.
    pub dtype: &'static str,
    /// Numbers in it, the value head's included.
    pub parameters: usize,
}

/// The first round's problems.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FirstProblems {
    /// How many there are, up to as many as the round wants; absent where they cannot be read here.
    pub found: Option<usize>,
    /// Why they cannot be read here.
    pub missing: Option<String>,
}

/// The policy's first batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FirstSearch {
    /// Problems at once.
    pub contexts: usize,
    /// Steps that are sampled for each.
    pub samples: usize,
    /// Steps that are written at once.
    pub slots: usize,
    /// Longest step, in tokens; absent where the policy is no local net.
    pub max_step_tokens: Option<usize>,
    /// Length of the shortest and the longest context, where there are problems.
    pub context: Option<[usize; 2]>,
    /// What `context` counts: `tokens` where a tokenizer is at hand, else `characters`.
    pub unit: &'static str,
}

/// A training step's batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FirstTraining {
    /// Tokens a step, padding included.
    pub tokens: usize,
    /// Rows and columns of a batch of the longest sequences that the net reads.
    pub longest: Option<[usize; 2]>,
}

/// Checks what can be checked without running anything, and estimates the rest. Starts no executor, opens no device, reads no weights.
///
/// # Errors
/// When a file that the recipe needs is damaged, or nothing tells the net's shape.
pub fn dry_run(recipe: &Recipe) -> Result<DryRun> {
    let (config, from, tokenizer) = match recipe.policy.kind().local().is_some() {
        true => net(recipe).map(|(config, from, tokenizer)| (Some(config), from, tokenizer))?,
        false => (None, String::new(), None),
    };
    let environment = recipe.environment.without_steps().context("[environment]")?;
    let (problems, lengths) = contexts(&environment, recipe, tokenizer.as_ref())?;
    let wanted = recipe.rounds.problems.min(recipe.compute.concurrent_problems);
    let tokens = recipe.training.batch_tokens;
    let longest = config.as_ref().map(ModelConfig::max_length);
    let memory = config.as_ref().map(|config| Memory::of(config, recipe)).transpose()?;
    Ok(DryRun {
        schema: "espalier.dry_run/1",
        recipe: recipe.name.clone(),
        net: config.as_ref().map(|config| shape(config, from)).transpose()?,
        footprint: memory.as_ref().map(|memory| Footprint::new(recipe, memory)),
        memory,
        search: FirstSearch {
            contexts: problems.found.unwrap_or(wanted).min(wanted),
            samples: recipe.search.settings().root_samples(),
            slots: recipe.compute.slots,
            max_step_tokens: longest.map(|_| recipe.policy.local().max_step_tokens),
            context: lengths,
            unit: if tokenizer.is_some() { "tokens" } else { "characters" },
        },
        problems,
        training: FirstTraining {
            tokens,
            longest: longest.map(|longest| [(tokens / longest).max(1), longest]),
        },
        probe: recipe.rounds.probe.as_ref().map(|probe| ProbeWork {
            problems: probe.problems,
            simulations: probe.search.simulations,
            samples: probe.pass_at_k.samples,
        }),
    })
}

/// The configuration of round 0's net, where it is from, and its tokenizer where that is at hand.
pub(super) fn net(recipe: &Recipe) -> Result<(ModelConfig, String, Option<Tokenizer>)> {
    let characters = Tokenizer::fresh(recipe.net.tokens)?;
    let Some(path) = &recipe.bootstrap.path else {
        let config = recipe.net.model_config(&characters).context("[net]")?;
        return Ok((config, "[net]".to_owned(), Some(characters)));
    };
    let file = path.join("config.json");
    if let Ok(text) = fs::read(&file) {
        let damaged = || format!("{}: damaged", file.display());
        let config: ModelConfig = serde_json::from_slice(&text).with_context(damaged)?;
        config.validate().with_context(damaged)?;
        return Ok((config, path.display().to_string(), Some(Tokenizer::load(path)?)));
    }
    if recipe.net.vocabulary == 0 {
        bail!(
            "[bootstrap] path: there is no {}, and [net] does not tell the net's shape: it has no `vocabulary`",
            file.display()
        );
    }
    let config = recipe.net.model_config(&characters).context("[net]")?;
    Ok((config, format!("[net], for {} is not there", file.display()), None))
}

fn shape(config: &ModelConfig, from: String) -> Result<NetShape> {
    Ok(NetShape {
        from,
        family: config.model_type.clone(),
        layers: config.num_hidden_layers,
        width: config.hidden_size,
        vocabulary: config.vocab_size,
        longest: config.max_length(),
        dtype: config.dtype()?.name(),
        parameters: Parameters::count_of(config),
    })
}

/// The first round's problems, and the shortest and the longest of their first batch's contexts.
fn contexts(
    environment: &AnyEnvironment,
    recipe: &Recipe,
    tokenizer: Option<&Tokenizer>,
) -> Result<(FirstProblems, Option<[usize; 2]>)> {
    let drawn = match problems::of_round(environment, recipe, 1) {
        Ok(problems) => problems,
        Err(error) => {
            let missing = Some(format!("{error:#}"));
            return Ok((FirstProblems { found: None, missing }, None));
        }
    };
    let environment = environment.for_net_of_round(0);
    let mut lengths: Option<[usize; 2]> = None;
    for problem in drawn.iter().take(recipe.compute.concurrent_problems) {
        let root = environment.root(problem)?;
        let context = environment.context(&root);
        let length = match tokenizer {
            Some(tokenizer) => tokenizer.encode(context)?.len(),
            None => context.chars().count(),
        };
        let [least, most] = lengths.unwrap_or([length; 2]);
        lengths = Some([least.min(length), most.max(length)]);
    }
    Ok((FirstProblems { found: Some(drawn.len()), missing: None }, lengths))
}

impl fmt::Display for DryRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "recipe     {}: all settings are in range", self.recipe)?;
        match (&self.net, &self.memory) {
            (Some(net), Some(memory)) => {
                let NetShape {
                    from,
                    family,
                    layers,
                    width,
                    vocabulary,
                    longest,
                    dtype,
                    parameters,
                } = net;
                writeln!(
                    f,
                    "net        {family}, {parameters} numbers of {dtype}: {layers} layers of width {width}, {vocabulary} tokens, \
                     reads {longest} ({from})"
                )?;
                writeln!(
                    f,
                    "searching  on {}: weights {}, keys and values {} ({} tokens)",
                    memory.device,
                    size(memory.weights),
                    size(memory.kv_cache),
                    memory.kv_cache_tokens
                )?;
                writeln!(
                    f,
                    "training   {} numbers: weights {}, gradients {}, AdamW {}; activations on top",
                    memory.trained_parameters,
                    size(memory.training_weights),
                    size(memory.gradients),
                    size(memory.optimizer)
                )?;
            }
            _ => writeln!(f, "net        none: the policy is no local net")?,
        }
        if let Some(footprint) = &self.footprint {
            writeln!(
                f,
                "host       at most {} while searching, {} while training; libtorch takes 1 to 2 GiB more",
                size(footprint.searching),
                size(footprint.training)
            )?;
            writeln!(
                f,
                "disk       at most {}: checkpoints {}, trees and labels {} if all were full",
                size(footprint.disk),
                size(footprint.disk_checkpoints),
                size(footprint.disk_trees)
            )?;
        }
        match (&self.problems.found, &self.problems.missing) {
            (Some(found), _) => writeln!(f, "problems   {found} for the first round")?,
            (None, missing) => {
                writeln!(f, "problems   not here: {}", missing.as_deref().unwrap_or_default())?;
            }
        }
        let FirstSearch { contexts, samples, slots, max_step_tokens, context, unit } = &self.search;
        write!(f, "search     {contexts} contexts")?;
        if let Some([least, most]) = context {
            write!(f, " of {least} to {most} {unit}")?;
        }
        write!(f, ", {samples} steps each")?;
        if let Some(tokens) = max_step_tokens {
            write!(f, " of up to {tokens} tokens")?;
        }
        writeln!(f, ", {slots} at once")?;
        write!(f, "training   {} tokens a step", self.training.tokens)?;
        if let Some([rows, columns]) = self.training.longest {
            write!(f, ": {rows} x {columns} of the longest")?;
        }
        match &self.probe {
            Some(ProbeWork { problems, simulations, samples }) => write!(
                f,
                "\nprobe      {problems} problems after every round: a tree of {simulations} simulations and {samples} sampled \
                 solutions each"
            ),
            None => Ok(()),
        }
    }
}

/// Bytes as one reads them.
pub(super) fn size(bytes: usize) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib < 1024.0 { format!("{mib:.1} MiB") } else { format!("{:.1} GiB", mib / 1024.0) }
}
