//! The language model's tensors in a folder: one file, or shards with an index.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::folder::{Content, Folder};
use crate::parameters::Parameter;

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// PyTorch's own form, in which older models lie.
const TORCH_SINGLE: &str = "pytorch_model.bin";
const TORCH_INDEX: &str = "pytorch_model.bin.index.json";

/// `model.safetensors.index.json`, and PyTorch's.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Index {
    #[serde(default)]
    metadata: serde_json::Map<String, serde_json::Value>,
    /// File by tensor.
    weight_map: BTreeMap<String, String>,
}

/// Reads the tensors of a folder; a single file wins over an index, and safetensors over PyTorch's files, as in `transformers`.
///
/// # Errors
/// When a file is missing or damaged, or the index and its files do not agree.
pub(crate) fn read(folder: &Folder) -> Result<BTreeMap<String, Parameter>> {
    for (single, index) in [(SINGLE, INDEX), (TORCH_SINGLE, TORCH_INDEX)] {
        if folder.contains(single) {
            return folder.tensors(single);
        }
        if folder.contains(index) {
            return read_indexed(folder, index);
        }
    }
    let message = format!("missing, as are {INDEX}, {TORCH_SINGLE} and {TORCH_INDEX}");
    Err(Error::format(&folder.file(SINGLE), message))
}

/// The tensors of the files that an index names.
fn read_indexed(folder: &Folder, name: &str) -> Result<BTreeMap<String, Parameter>> {
    let index: Index = folder.json(name)?;
    let broken = |message: String| Err(Error::format(&folder.file(name), message));
    let mut tensors: BTreeMap<String, Parameter> = BTreeMap::new();
    for file in index.weight_map.values().collect::<BTreeSet<_>>() {
        // An index must not lead out of its folder.
        if file.contains(['/', '\\']) {
            return broken(format!("{file:?} is not a file name"));
        }
        for (name, tensor) in folder.tensors(file)? {
            if tensors.contains_key(&name) {
                return broken(format!("tensor {name}: in {file} and in another file"));
            }
            tensors.insert(name, tensor);
        }
    }
    match index.weight_map.iter().find(|(tensor, _)| !tensors.contains_key(*tensor)) {
        Some((tensor, file)) => {
            let message = format!("tensor {tensor}: {name} says that it is here, and it is not");
            Err(Error::format(&folder.file(file), message))
        }
        None => Ok(tensors),
    }
}

/// Adds tensors, each of the rows of some parameters, to the files of a folder, in shards of at most `shard_bytes` (a tensor that is
/// larger is a shard alone) when one file would be larger than that.
///
/// # Errors
/// When the index cannot be written as JSON.
pub(super) fn add<'a>(
    files: &mut BTreeMap<String, Content<'a>>,
    tensors: Vec<(String, Vec<&'a Parameter>)>,
    dtype: Dtype,
    shard_bytes: usize,
) -> Result<()> {
    let mut shards: Vec<Vec<(String, Vec<&Parameter>)>> = vec![Vec::new()];
    let (mut total, mut size) = (0, 0);
    for (name, rows) in tensors {
        let bytes = rows.iter().map(|part| part.values.len()).sum::<usize>() * dtype.size();
        if size > 0 && size + bytes > shard_bytes {
            shards.push(Vec::new());
            size = 0;
        }
        size += bytes;
        total += bytes;
        if let Some(shard) = shards.last_mut() {
            shard.push((name, rows));
        }
    }
    if shards.len() == 1 {
        let tensors = shards.pop().unwrap_or_default();
        files.insert(SINGLE.to_owned(), Content::Joined { tensors, dtype });
        return Ok(());
    }
    let mut index = Index::default();
    index.metadata.insert("total_size".to_owned(), total.into());
    let count = shards.len();
    for (number, tensors) in shards.into_iter().enumerate() {
        let file = format!("model-{:05}-of-{count:05}.safetensors", number + 1);
        let entries = tensors.iter().map(|(name, _)| (name.clone(), file.clone()));
        index.weight_map.extend(entries);
        files.insert(file, Content::Joined { tensors, dtype });
    }
    let index = serde_json::to_vec_pretty(&index)
        .map_err(|error| Error::format(std::path::Path::new(INDEX), error))?;
    files.insert(INDEX.to_owned(), Content::Bytes(index));
    Ok(())
}
