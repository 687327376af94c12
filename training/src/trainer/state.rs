//! The saved state of a run: net, optimiser and how far it has come.

use std::collections::BTreeMap;
use std::path::Path;

use espalier_model::checkpoint::Checkpoint;
use espalier_model::dtype::Dtype;
use espalier_model::error::Error as ModelError;
use espalier_model::folder::{ADAPTER_CONFIG, Content, Folder, resolve};
use espalier_model::lora::Adapter;
use espalier_model::parameters::Parameter;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Job, StepMetrics, TrainConfig, TrainReport};
use crate::error::Result;
use crate::net::PolicyValueNet;
use crate::optimizer::Optimizer;

const OPTIMIZER: &str = "optimizer.safetensors";
const STATE: &str = "trainer_state.json";
/// Files of a checkpoint that only an unfinished training reads.
pub const TRAINING_STATE: [&str; 2] = [OPTIMIZER, STATE];
/// Folder of the adapter inside a finished checkpoint.
const ADAPTER: &str = "adapter/";
const VERSION: u32 = 3;

/// `trainer_state.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct TrainerState {
    pub version: u32,
    /// What the run was given ([`fingerprint`]); a state is resumed only by the same run.
    pub fingerprint: String,
    /// Optimiser steps done.
    pub step: usize,
    /// The learning curve so far, thinned; it begins with the first step.
    pub curve: Vec<StepMetrics>,
    /// Set when the run has finished.
    pub report: Option<TrainReport>,
}

impl TrainerState {
    pub fn new(fingerprint: String, step: usize, curve: Vec<StepMetrics>) -> Self {
        Self { version: VERSION, fingerprint, step, curve, report: None }
    }

    /// Writes a checkpoint that carries this state, replacing the one before.
    pub fn save(
        &self,
        dir: &Path,
        base: &Checkpoint,
        net: &PolicyValueNet,
        optimizer: &Optimizer,
    ) -> Result<()> {
        let moments = optimizer.tensors()?;
        let tensors = moments.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        let state = serde_json::to_vec_pretty(self)
            .map_err(|error| ModelError::format(&dir.join(STATE), error))?;
        let mut files = BTreeMap::from([
            (OPTIMIZER.to_owned(), Content::Tensors { tensors, dtype: Dtype::Float32 }),
            (STATE.to_owned(), Content::Bytes(state)),
        ]);
        let finished = self.report.is_some();
        let adapter = net.adapter()?;
        if let Some(adapter) = &adapter {
            // The weights of an unfinished run are the base's.
            if !finished {
                return Ok(adapter.save_with(dir, files)?);
            }
            files.extend(adapter.files(ADAPTER)?);
        }
        let checkpoint = Checkpoint {
            config: base.config.clone(),
            tokenizer: base.tokenizer.clone(),
            parameters: net.parameters()?,
            companions: base.companions.clone(),
        };
        // An unfinished run goes on from here, so its numbers are not rounded to the net's element type.
        if finished {
            Ok(checkpoint.save_beside(dir, files)?)
        } else {
            Ok(checkpoint.save_exact(dir, files)?)
        }
    }
}

/// The trained tensors of a saved state.
pub(super) enum SavedNet {
    Whole(Box<Checkpoint>),
    Adapter(Box<Adapter>),
}

/// A state that was read back.
pub(super) struct SavedRun {
    pub net: SavedNet,
    pub state: TrainerState,
    pub moments: BTreeMap<String, Parameter>,
}

impl SavedRun {
    /// The state in a folder if it belongs to the run with this fingerprint. A damaged or foreign one is reported and
    /// left out, because training can always begin again.
    pub fn find(dir: &Path, fingerprint: &str) -> Option<Self> {
        if !resolve(dir).exists() {
            return None;
        }
        let path = dir.display();
        match Self::load(dir) {
            Ok(run) if run.state.version != VERSION => {
                tracing::warn!(%path, version = run.state.version, "trainer state of another version is ignored");
            }
            Ok(run) if run.state.fingerprint != fingerprint => {
                tracing::warn!(%path, "trainer state of other examples or settings is ignored");
            }
            Ok(run) => return Some(run),
            Err(error) => tracing::warn!(%path, %error, "trainer state cannot be read"),
        }
        None
    }

    fn load(dir: &Path) -> Result<Self> {
        let folder = Folder::open(dir)?;
        let net = if folder.contains(ADAPTER_CONFIG) {
            SavedNet::Adapter(Box::new(Adapter::load_from(&folder)?))
        } else {
            SavedNet::Whole(Box::new(Checkpoint::load_from(&folder)?))
        };
        let state = folder.json(STATE)?;
        let moments = folder.tensors(OPTIMIZER)?;
        Ok(Self { net, state, moments })
    }
}

/// SHA-256 of everything that the result depends on.
pub(super) fn fingerprint(job: &Job<'_>) -> Result<String> {
    let mut hash = Sha256::new();
    // How often a state is saved does not change the result.
    let config = TrainConfig { save_every: 1, ..job.config.clone() };
    let config =
        serde_json::to_vec(&config).map_err(|error| ModelError::format(Path::new(STATE), error))?;
    hash.update(config);
    hash.update(format!("{:?}", job.objective));
    hash.update(job.base.fingerprint()?);
    hash.update(job.seed.to_le_bytes());
    for index in 0..job.examples.len() {
        job.examples.get(index)?.hash_into(&mut hash);
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
