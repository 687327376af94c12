use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::arguments::{print_json, print_line};
use espalier::hub::{Branch, Hub, Licence, Name, Sent, Target, Wanted, What, parcels};

/// Push a run's net and labels to the Hugging Face Hub, or a checkpoint, or a file of labels.
///
/// A net goes to a model repository, labels go to a dataset repository; of a run both do, to two repositories of one name. Each has a card
/// (README.md) made of the run. A repository that is not there is made; files that it has are not sent again; one commit brings what is
/// new.
///
/// The token is that of HF_TOKEN, or of `hf auth login`; HF_ENDPOINT names another server than huggingface.co.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  espalier push runs/countdown-s1 --to me/countdown --dry-run\n  espalier push runs/countdown-s1 \
    --to me/countdown --round 2 --what checkpoint --private\n  espalier push labels.jsonl --to me/steps --license cc-by-4.0"
)]
pub struct Arguments {
    /// A run directory, the folder of a checkpoint, or a file of labelled solutions.
    #[arg(value_name = "RUN|DIR|FILE")]
    place: PathBuf,
    /// The repository.
    #[arg(long, value_name = "OWNER/NAME")]
    to: Name,
    /// Of a run: that round's net, and the labels of the rounds up to it [default: the last finished one, and of the nets the one that the
    /// gate kept].
    #[arg(long, value_name = "N")]
    round: Option<usize>,
    /// Of a run: the net or the labels alone.
    #[arg(long, value_enum)]
    what: Option<What>,
    /// Make the repositories private; refused where they are there and are not.
    #[arg(long)]
    private: bool,
    /// The branch, made where it is not there.
    #[arg(long, value_name = "BRANCH", default_value_t)]
    revision: Branch,
    /// The licence that the cards name, by the Hub's identifier.
    #[arg(long, value_name = "ID", default_value_t)]
    license: Licence,
    /// Send nothing: say what would be.
    #[arg(long)]
    dry_run: bool,
    /// Print an object for each repository, with its files.
    #[arg(long)]
    json: bool,
}

pub fn main(arguments: &Arguments) -> Result<()> {
    let Arguments { place, to, round, what, private, revision, license, dry_run, json } = arguments;
    let wanted = Wanted { place, round: *round, what: *what, licence: license };
    let target = Target { name: to, branch: revision, private: *private };
    let parcels = parcels(&wanted)?;
    let hub = if *dry_run { None } else { Some(Hub::from_environment()?) };
    for parcel in &parcels {
        let sent = match &hub {
            None => Sent::planned(parcel, target),
            Some(hub) => hub.send(parcel, target)?,
        };
        if *json { print_json(&sent)? } else { print_line(&sent.line())? }
    }
    Ok(())
}
