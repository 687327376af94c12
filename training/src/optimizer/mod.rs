//! What turns gradients into updates.

mod adamw;
mod muon;
mod state;

use std::collections::BTreeMap;

use espalier_model::parameters::Parameter;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::net::{Gradients, PolicyValueNet};

use adamw::AdamW;
pub(crate) use adamw::{AdamWConfig, sum_and_norm};
use muon::Muon;

/// The rule of the update.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerKind {
    /// AdamW (arXiv 1711.05101) for all tensors.
    #[default]
    AdamW,
    /// Muon for the matrices of the blocks, with updates as large as AdamW's (arXiv 2502.16982), and AdamW for all other tensors.
    Muon,
}

/// An optimiser over a net's trainable tensors, with a state that can be saved and resumed bit for bit.
#[derive(Debug)]
pub(crate) struct Optimizer {
    muon: Option<Muon>,
    adam: AdamW,
}

impl Optimizer {
    pub fn new(kind: OptimizerKind, config: AdamWConfig, net: &PolicyValueNet) -> Self {
        match kind {
            OptimizerKind::AdamW => Self { muon: None, adam: AdamW::new(config, net, |_| true) },
            OptimizerKind::Muon => {
                let muon = Muon::new(config.weight_decay, net);
                let adam = AdamW::new(config, net, |index| !muon.has(index));
                Self { muon: Some(muon), adam }
            }
        }
    }

    /// One update of every tensor from its gradient, in the order of [`PolicyValueNet::trainable`], scaled by `scale`, on `threads`
    /// threads, whose number changes no bit. Gradients are overwritten.
    ///
    /// # Errors
    /// When libtorch refuses, as when memory runs out.
    pub fn step(
        &mut self,
        net: &PolicyValueNet,
        gradients: &Gradients,
        learning_rate: f64,
        scale: f64,
        threads: usize,
    ) -> Result<()> {
        if let Some(muon) = &self.muon {
            muon.step(net, gradients, learning_rate, scale, threads)?;
        }
        self.adam.step(net, gradients, learning_rate, scale, threads)
    }

    /// The state by name.
    pub fn tensors(&self) -> Result<BTreeMap<String, Parameter>> {
        let mut tensors = self.adam.tensors()?;
        if let Some(muon) = &self.muon {
            tensors.extend(muon.tensors()?);
        }
        Ok(tensors)
    }

    /// Puts a saved state back.
    pub fn restore(
        &mut self,
        mut tensors: BTreeMap<String, Parameter>,
        steps: usize,
    ) -> Result<()> {
        if let Some(muon) = &self.muon {
            muon.restore(&mut tensors)?;
        }
        self.adam.restore(tensors, steps)
    }
}
