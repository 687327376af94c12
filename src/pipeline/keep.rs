//! What of finished rounds stays on the disk.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use espalier_model::folder;

use super::Rounds;

impl Rounds<'_> {
    /// Removes what `[rounds.keep]` does not keep when a round is done. Labels, summaries and the answers of the evaluation always stay.
    pub(super) fn remove_old(&self, round: usize) -> Result<()> {
        let Some(keep) = &self.recipe.rounds.keep else { return Ok(()) };
        let old = |kept: Option<usize>| 0..kept.map_or(0, |kept| (round + 1).saturating_sub(kept));
        // Rounds and branches begin from round 0's net, and the next one from the net that the gate kept.
        let needed = [0, self.kept(round)?];
        for earlier in old(keep.checkpoints).filter(|earlier| !needed.contains(earlier)) {
            remove_folder(&self.checkpoint(earlier))?;
        }
        for earlier in old(keep.trees) {
            let trees = self.run.round(earlier).join("trees.jsonl");
            if trees.exists() {
                fs::remove_file(&trees).with_context(|| cannot(&trees))?;
            }
        }
        Ok(())
    }

    /// Whether the net of a round is still there.
    pub(super) fn has_net(&self, round: usize) -> bool {
        folder::resolve(&self.checkpoint(round)).exists()
    }
}

/// Removes a folder that is there whole or not at all, also for a process that is killed here.
fn remove_folder(folder: &Path) -> Result<()> {
    let aside = aside(folder);
    if folder.exists() {
        fs::rename(folder, &aside).with_context(|| cannot(folder))?;
    }
    if aside.exists() {
        fs::remove_dir_all(&aside).with_context(|| cannot(&aside))?;
    }
    Ok(())
}

fn aside(folder: &Path) -> PathBuf {
    folder.with_extension("removed")
}

fn cannot(path: &Path) -> String {
    format!("cannot remove {}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removal_that_was_cut_short_is_ended() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("checkpoint");
        for name in [&folder, &aside(&folder)] {
            fs::create_dir(name).unwrap();
            remove_folder(&folder).unwrap();
            assert_eq!(dir.path().read_dir().unwrap().count(), 0);
        }
    }
}
