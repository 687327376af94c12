//! The room that a run wants on its disk, asked for before a stage fills what is left.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use espalier_training::ModelConfig;
use nix::sys::statvfs::statvfs;

use super::Rounds;
use super::dry_run::{net, size};
use super::footprint::Saved;
use super::memory::Memory;

/// What every stage leaves free: for summaries, tables and whatever else the machine writes meanwhile.
const RESERVE: u64 = 16 << 20;

impl Rounds<'_> {
    /// Checks that the disk has room for the checkpoints that the run still has to write, and those that come and go meanwhile.
    ///
    /// # Errors
    /// When it has not.
    pub(super) fn check_room_for_run(&self) -> Result<()> {
        let to_come = (0..=self.recipe.rounds.count).filter(|&round| !self.is_trained(round));
        let kept = self.recipe.rounds.keep.as_ref().and_then(|keep| keep.checkpoints);
        // Round 0's stays, whatever is kept.
        let rounds = to_come.count().min(kept.map_or(usize::MAX, |kept| kept + 1));
        if rounds == 0 {
            return Ok(());
        }
        self.check_room(self.saved().map_or(0, |saved| saved.bytes(rounds)), || {
            format!("the checkpoints to come, of {rounds} rounds at a time, take")
        })
    }

    /// Checks that there is room for what a stage writes: of a checkpoint it is known, of trees those of the round before tell.
    ///
    /// # Errors
    /// When there is not.
    pub(super) fn check_room_for_stage(&self, round: usize, stage: &str) -> Result<()> {
        let written = match stage {
            "pretrain" | "train" => self.saved().map_or(0, |saved| saved.bytes(1)),
            "search" => {
                let before = self.run.round(round - 1);
                let of = |name: &str| fs::metadata(before.join(name)).map_or(0, |file| file.len());
                // In the log, and once more in their own files.
                2 * (of("trees.jsonl") + of("labels.jsonl"))
            }
            _ => 0,
        };
        self.check_room(written, || format!("round {round}, {stage}: it takes about"))
    }

    fn check_room(&self, wanted: u64, what: impl FnOnce() -> String) -> Result<()> {
        let (path, wanted) = (self.run.path(), wanted.saturating_add(RESERVE));
        let free = free(path)?;
        ensure!(
            free >= wanted,
            "{} {}, and the disk of {} has {} left: free some, or keep fewer rounds with rounds.keep; the same command goes on",
            what(),
            size(wanted as usize),
            path.display(),
            size(free as usize)
        );
        Ok(())
    }

    fn is_trained(&self, round: usize) -> bool {
        let stage = if round == 0 { "pretrain.json" } else { "train.json" };
        self.run.round(round).join(stage).exists()
    }

    /// What a checkpoint of the run takes; `None` where the shape of the net is not known yet.
    fn saved(&self) -> Option<Saved> {
        let there = fs::read(self.checkpoint(0).join("config.json")).ok();
        let there = there.and_then(|text| serde_json::from_slice::<ModelConfig>(&text).ok());
        let config = there.or_else(|| net(self.recipe).ok().map(|(config, ..)| config))?;
        Some(Saved::new(&Memory::of(&config, self.recipe).ok()?, self.recipe))
    }
}

/// Bytes that this user may still write.
fn free(path: &Path) -> Result<u64> {
    let disk =
        statvfs(path).with_context(|| format!("cannot ask for the disk of {}", path.display()))?;
    Ok(disk.blocks_available().saturating_mul(disk.fragment_size()))
}
