use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use clap::Args;

use super::arguments::{
    RecipeArguments, UsageError, check_training, print_json, print_line, start_environment,
};
use espalier::hub::{Branch, Hub, Licence, Name, Target, Wanted, parcels};
use espalier::live::Server;
use espalier::pipeline;
use espalier::run_dir::{Origin, RunDir};

/// Run the whole loop of a recipe: search, harvest, train, evaluate, round after round.
///
/// A run is a directory; killed at any moment and started again with the same command, it goes on where it was and loses no
/// finished problem. A finished run goes on with more rounds (`rounds.count`) or further measures (`evaluation.decodings`,
/// `evaluation.measures`, `evaluation.others`), and keeps all that it has. At its end it prints the table of accuracy by round and
/// decoding, which is also in the directory.
///
/// With `--from RUN@ROUND` it begins a branch: a new run whose rounds up to ROUND are those of RUN, and whose later rounds have other
/// settings.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  espalier run --seed 2\n  espalier run --config configs/countdown.toml \
    --set rounds.count=1 --run-dir runs/short\n  espalier run --config configs/countdown.toml --set rounds.count=3 \
    --run-dir runs/short\n  espalier run --from runs/short@2 --set search.c_puct=2.5 --set rounds.count=4 --run-dir runs/wider\n  \
    HF_TOKEN=... espalier run --push me/countdown"
)]
pub struct Arguments {
    #[command(flatten)]
    recipe: RecipeArguments,
    /// Begin a branch after a round of another run, or go on with it. Without --config, --set changes that run's recipe.
    #[arg(long, value_name = "RUN@ROUND")]
    from: Option<Origin>,
    /// The run directory [default: runs/NAME-sSEED; of a branch: RUN-from-ROUND].
    #[arg(long, value_name = "DIR")]
    run_dir: Option<PathBuf>,
    /// Serve a page of the run as it grows, at ADDRESS or a free port of the loopback; see `espalier watch`.
    #[arg(
        long,
        value_name = "ADDRESS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "127.0.0.1:0",
        conflicts_with = "dry_run"
    )]
    watch: Option<SocketAddr>,
    /// Push the last round's net and the labels to the Hugging Face Hub when the run is done, as `espalier push` does.
    #[arg(long, value_name = "OWNER/NAME", conflicts_with = "dry_run")]
    push: Option<Name>,
    /// Make the repositories private; refused where they are there and are not.
    #[arg(long, requires = "push")]
    private: bool,
    /// Run nothing: check the recipe and say what memory it takes and what its first batches look like. Neither the checkpoint nor the
    /// device need be there, if `[net]` gives the shape.
    #[arg(long)]
    dry_run: bool,
    /// Print the dry run as JSON.
    #[arg(long, requires = "dry_run")]
    json: bool,
}

pub fn main(arguments: &Arguments) -> Result<()> {
    let given = arguments.run_dir.clone();
    let (recipe, path) = match &arguments.from {
        None => {
            let recipe = arguments.recipe.load()?;
            let name = format!("{}-s{}", recipe.name, recipe.seed);
            (recipe, given.unwrap_or_else(|| PathBuf::from("runs").join(name)))
        }
        Some(origin) => {
            let path = given.unwrap_or_else(|| origin.run_dir());
            let file = origin.recipe(&path).map_err(UsageError)?;
            (arguments.recipe.load_over(Some(&file))?, path)
        }
    };
    recipe.check_old_log_probs().map_err(UsageError)?;
    if arguments.dry_run {
        let report = pipeline::dry_run(&recipe).map_err(UsageError)?;
        return if arguments.json { print_json(&report) } else { print_line(&report.to_string()) };
    }
    if let Some(reason) = recipe.policy.kind().untrainable() {
        return Err(UsageError(anyhow!(reason)).into());
    }
    check_training(&recipe)?;
    if let Some(origin) = arguments.from.as_ref().filter(|origin| !origin.is_begun(&path)) {
        origin.check(&recipe).map_err(UsageError)?;
    }
    // A run takes hours: that there is no token is known before.
    let hub = arguments.push.as_ref().map(|_| Hub::from_environment()).transpose()?;
    // The environment first: where it cannot be set up nothing is begun.
    let environment = start_environment(&recipe)?;
    let run = match &arguments.from {
        None => RunDir::open(&path, &recipe)?,
        Some(origin) => RunDir::branch(&path, &recipe, origin)?,
    };
    run.note_machine(environment.interpreter())?;
    let server = arguments.watch.map(|listen| Server::begin(run.path(), listen)).transpose()?;
    if let Some(server) = &server {
        tracing::info!("the run as it grows: {}", server.address());
    }
    let table = pipeline::run(&environment, &recipe, &run)?;
    print_line(&table.text())?;
    match hub.zip(arguments.push.as_ref()) {
        Some((hub, name)) => push(&hub, run.path(), name, arguments.private),
        None => Ok(()),
    }
}

fn push(hub: &Hub, run: &Path, name: &Name, private: bool) -> Result<()> {
    let (licence, branch) = (Licence::default(), Branch::default());
    let wanted = Wanted { place: run, round: None, what: None, licence: &licence };
    let target = Target { name, branch: &branch, private };
    let send = || -> Result<()> {
        for parcel in parcels(&wanted)? {
            tracing::info!("pushed: {}", hub.send(&parcel, target)?.line());
        }
        Ok(())
    };
    send().with_context(|| {
        let (run, private) = (run.display(), if private { " --private" } else { "" });
        format!(
            "the run is finished and kept in {run}, but was not pushed; `espalier push {run} --to {name}{private}` does that again"
        )
    })
}
