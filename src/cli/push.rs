use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use clap::Args;
use serde_json::json;

use super::arguments::{UsageError, print_json, print_line};
use espalier::publish::{Parcel, Published, parcel};

/// Send a run's net and step labels to a Hugging Face Hub: the net to the model repository OWNER/NAME, the labels to the data set of the
/// same name, each with a card that has the recipe and the table.
///
/// The token is `HF_TOKEN`, or what `hf auth login` wrote down; `HF_ENDPOINT` names another Hub. A repository that is not there is made,
/// private unless --public is given; in one that is, the files take the place of those of the same names.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  espalier push runs/countdown-s1 --to me/countdown\n  \
    espalier push runs/countdown-s1 --to me/countdown --round 2 --what labels --dry-run")]
pub struct Arguments {
    /// The run directory.
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// The repository.
    #[arg(long, value_name = "OWNER/NAME")]
    to: String,
    /// What is sent.
    #[arg(
        long,
        value_name = "WHAT",
        value_enum,
        value_delimiter = ',',
        default_value = "checkpoint,labels"
    )]
    what: Vec<Published>,
    /// Of which round [default: the last that is trained].
    #[arg(long, value_name = "N")]
    round: Option<usize>,
    /// Everybody may read a repository that is made.
    #[arg(long)]
    public: bool,
    /// Send nothing: say what would be sent. Needs no token.
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object a repository.
    #[arg(long)]
    json: bool,
}

pub fn main(arguments: &Arguments) -> Result<()> {
    let target = Target::new(&arguments.to, !arguments.public)?;
    let mut what = arguments.what.clone();
    what.sort_unstable();
    what.dedup();
    // All is packed before anything is sent.
    let parcels = what
        .into_iter()
        .map(|published| parcel(&arguments.run, arguments.round, published))
        .collect::<Result<Vec<_>>>()?;
    let hub = if arguments.dry_run { None } else { Some(target.hub()?) };
    for parcel in &parcels {
        let address = hub.as_ref().map(|hub| target.send(hub, parcel)).transpose()?;
        told(arguments, parcel, address.as_deref())?;
    }
    Ok(())
}

fn told(arguments: &Arguments, parcel: &Parcel, address: Option<&str>) -> Result<()> {
    let names = parcel.files.iter().map(|(name, _)| name.as_str()).chain(["README.md"]);
    let names: Vec<&str> = names.collect();
    let kind = match parcel.published {
        Published::Checkpoint => "model",
        Published::Labels => "dataset",
    };
    if arguments.json {
        return print_json(&json!({
            "schema": "espalier.push/1",
            "to": arguments.to,
            "kind": kind,
            "round": parcel.round,
            "files": names,
            "url": address,
        }));
    }
    let Parcel { round, .. } = parcel;
    let files = names.join(", ");
    match address {
        Some(address) => print_line(&format!("{kind} {address}: round {round}, {files}")),
        None => print_line(&format!("{kind} {} would get of round {round}: {files}", arguments.to)),
    }
}

/// Sends what a finished run gave.
pub fn send_run(run: &Path, target: &Target) -> Result<()> {
    let hub = target.hub()?;
    for published in [Published::Checkpoint, Published::Labels] {
        let address = target.send(&hub, &parcel(run, None, published)?)?;
        tracing::info!("sent to {address}");
    }
    Ok(())
}

pub use with_or_without::Target;

#[cfg(feature = "hub")]
mod with_or_without {
    use espalier_hub::{Content, Holds, Hub, Name, Sent};

    use super::*;

    /// Where to, as the command line names it.
    #[derive(Debug, Clone)]
    pub struct Target {
        name: Name,
        private: bool,
    }

    impl Target {
        pub fn new(name: &str, private: bool) -> Result<Self> {
            let name =
                name.parse().map_err(|why| UsageError(anyhow!("repository {name:?}: {why}")))?;
            Ok(Self { name, private })
        }

        /// The Hub, with a token for it. Asks nobody.
        pub fn hub(&self) -> Result<Hub> {
            Hub::of_environment().map_err(|error| UsageError(error.into()).into())
        }

        pub fn send(&self, hub: &Hub, parcel: &Parcel) -> Result<String> {
            let holds = match parcel.published {
                Published::Checkpoint => Holds::Model,
                Published::Labels => Holds::Dataset,
            };
            let file = |(path, file): &(String, PathBuf)| {
                let (path, content) = (path.clone(), Content::File(file.clone()));
                Sent { path, content }
            };
            let mut files: Vec<Sent> = parcel.files.iter().map(file).collect();
            let content = Content::Text(parcel.card.clone());
            files.push(Sent { path: "README.md".to_owned(), content });
            Ok(hub.send(&self.name, holds, self.private, &files, &parcel.message)?)
        }
    }
}

#[cfg(not(feature = "hub"))]
mod with_or_without {
    use super::*;

    /// No build without the feature has one.
    #[derive(Debug, Clone)]
    pub enum Target {}

    /// Nor a Hub.
    #[derive(Debug)]
    pub enum NoHub {}

    impl Target {
        pub fn new(_: &str, _: bool) -> Result<Self> {
            Err(UsageError(anyhow!(
                "this program was built without the feature that sends to a Hub: make build FEATURES=hub"
            ))
            .into())
        }

        pub fn hub(&self) -> Result<NoHub> {
            match *self {}
        }

        pub fn send(&self, _: &NoHub, _: &Parcel) -> Result<String> {
            match *self {}
        }
    }
}
