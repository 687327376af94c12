//! What a pass's rows look at, as indices that a device can work with: padded to rectangles, with a mask.

use std::collections::BTreeMap;

use espalier_torch::error::Result;
use tch::{Device, Kind, Tensor};

use super::pages::{NOBODY, row};
use super::to_device;
use crate::kernel::PANEL;
use crate::model::Pass;
use crate::pages::Table;

/// Sequences of fewer rows, and of fewer positions, are padded to one size: they cost little, and another size is
/// another set of operations in every layer.
const ROWS: usize = 8;
const POSITIONS: usize = 1024;
/// Positions are padded to a multiple of this, which attention's kernels want of a mask's rows.
const ALIGNMENT: usize = 16;
/// Not a position: no row sees it.
const NOWHERE: i64 = i64::MAX;
/// Seen by all rows of the entry that may see its position.
const ALL: i64 = -1;

/// Rows that are scored together against the same positions: those of a context, or the samples of a group, whose own
/// positions stand behind those that they share.
struct Entry {
    /// Rows of the pass, and their positions.
    rows: Vec<(i64, i64)>,
    /// Page row, position and owner (a row's number in the entry, or [`ALL`]) of everything that some row sees.
    seen: Vec<[i64; 3]>,
}

impl Entry {
    fn see(&mut self, table: &Table, positions: std::ops::Range<usize>, owner: i64) {
        self.seen.extend(positions.map(|position| {
            let block = table.block(position / PANEL).number();
            [row(block, position), position as i64, owner]
        }));
    }

    /// Entries of one size are padded into one rectangle, to less than twice their rows and positions each.
    fn size(&self) -> (usize, usize) {
        let size = |count: usize, least: usize| count.next_power_of_two().max(least);
        (size(self.rows.len(), ROWS), size(self.seen.len(), POSITIONS))
    }
}

/// Entries of about one size.
pub(super) struct Batch {
    /// Entries, rows of each, and positions of each.
    pub shape: [i64; 3],
    /// Row of the pass and its head, counted as in [`Heads`], `[entries * key/value heads * rows * heads of a group]`.
    pub queries: Tensor,
    /// Row of the pages, `[entries * positions]`.
    pub seen: Tensor,
    /// What is added to the scores, `[entries, 1, rows * heads of a group, positions]`: 0, or minus infinity. One for each
    /// window that some layers have.
    pub masks: Vec<Tensor>,
}

/// A net's heads, as they follow one another in what a row is projected to: queries, keys, values.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heads {
    pub queries: usize,
    pub keys: usize,
}

impl Heads {
    pub fn all(self) -> usize {
        self.queries + 2 * self.keys
    }

    /// Query heads that share a key/value head.
    pub fn group(self) -> usize {
        self.queries / self.keys
    }
}

/// A pass as tensors. There are as many batches as sizes, a handful, whatever the number of sequences.
pub(super) struct Plan {
    /// Token and position of each row.
    pub tokens: Tensor,
    pub positions: Tensor,
    /// Row of the pages that each row's keys and values go to.
    pub targets: Tensor,
    pub batches: Vec<Batch>,
    /// Where each row's heads stand in what the batches come to, one after the other.
    pub places: Tensor,
    /// Rows whose final state is wanted.
    pub wanted: Tensor,
}

impl Plan {
    /// `kind` is that of the queries.
    pub fn new(
        pass: &Pass<'_>,
        heads: Heads,
        windows: &[Option<usize>],
        (kind, device): (Kind, Device),
    ) -> Result<Self> {
        let tokens: Vec<i64> = pass.tokens.iter().map(|&token| i64::from(token)).collect();
        let (mut positions, mut targets) = (vec![0; tokens.len()], vec![NOBODY; tokens.len()]);
        for sequence in &pass.sequences {
            for (index, position) in sequence.rows.clone().zip(sequence.position..) {
                positions[index] = position as i64;
                targets[index] = row(sequence.table.block(position / PANEL).number(), position);
            }
        }
        let mut sizes: BTreeMap<(usize, usize), Vec<Entry>> = BTreeMap::new();
        for entry in entries(pass) {
            sizes.entry(entry.size()).or_default().push(entry);
        }
        let mut places = vec![0; tokens.len() * heads.queries];
        let (mut batches, mut first) = (Vec::new(), 0);
        for entries in sizes.values() {
            let batch = Batch::new(entries, heads, windows, (kind, device))?;
            let [count, rows, _] = batch.shape;
            for (index, entry) in entries.iter().enumerate() {
                for (place, &(row, _)) in entry.rows.iter().enumerate() {
                    // Attention leaves a row's heads in the order of the group, then of the keys.
                    let start = (first + index as i64 * rows + place as i64) * heads.queries as i64;
                    let places = &mut places[row as usize * heads.queries..][..heads.queries];
                    for (head, place) in places.iter_mut().enumerate() {
                        let (key, member) = (head / heads.group(), head % heads.group());
                        *place = start + (member * heads.keys + key) as i64;
                    }
                }
            }
            first += count * rows;
            batches.push(batch);
        }
        let wanted: Vec<i64> = pass.wanted().into_iter().map(|row| row as i64).collect();
        Ok(Self {
            tokens: to_device(&tokens, device)?,
            positions: to_device(&positions, device)?,
            targets: to_device(&targets, device)?,
            batches,
            places: to_device(&places, device)?,
            wanted: to_device(&wanted, device)?,
        })
    }
}

fn entries(pass: &Pass<'_>) -> Vec<Entry> {
    let mut entries = Vec::new();
    for sequence in &pass.sequences[..pass.contexts] {
        let end = sequence.position + sequence.rows.len();
        let rows = sequence.rows.clone().zip(sequence.position..);
        let rows = rows.map(|(row, position)| (row as i64, position as i64)).collect();
        let mut entry = Entry { rows, seen: Vec::with_capacity(end) };
        entry.see(sequence.table, 0..end, ALL);
        entries.push(entry);
    }
    let mut rest = &pass.sequences[pass.contexts..];
    for &(size, common) in &pass.groups {
        let (members, later) = rest.split_at(size);
        rest = later;
        let mut entry = Entry { rows: Vec::new(), seen: Vec::new() };
        let shared = common * PANEL;
        entry.see(members[0].table, 0..shared, ALL);
        for (owner, sequence) in members.iter().enumerate() {
            entry.rows.push((sequence.rows.start as i64, sequence.position as i64));
            entry.see(sequence.table, shared..sequence.position + 1, owner as i64);
        }
        entries.push(entry);
    }
    entries
}

impl Batch {
    fn new(
        entries: &[Entry],
        heads: Heads,
        windows: &[Option<usize>],
        (kind, device): (Kind, Device),
    ) -> Result<Self> {
        let rows = entries.iter().map(|entry| entry.rows.len()).max().unwrap_or(0);
        let length = entries.iter().map(|entry| entry.seen.len()).max().unwrap_or(0);
        let length = length.next_multiple_of(ALIGNMENT);
        let mut queries = vec![(0, 0); entries.len() * rows];
        let mut seen = vec![[NOBODY, NOWHERE, ALL]; entries.len() * length];
        for (index, entry) in entries.iter().enumerate() {
            queries[index * rows..][..entry.rows.len()].copy_from_slice(&entry.rows);
            seen[index * length..][..entry.seen.len()].copy_from_slice(&entry.seen);
        }
        let shape = [entries.len(), rows, length].map(|size| size as i64);
        let [count, rows, length] = shape;
        let column = |which: usize| -> Vec<i64> { seen.iter().map(|place| place[which]).collect() };
        let (rows_of_pass, positions): (Vec<i64>, Vec<i64>) = queries.into_iter().unzip();

        let position = to_device(&positions, device)?.f_view([count, rows, 1])?;
        let owner = to_device(&column(2), device)?.f_view([count, 1, length])?;
        let number = Tensor::f_arange(rows, (Kind::Int64, device))?.f_view([1, rows, 1])?;
        let places = to_device(&column(1), device)?.f_view([count, 1, length])?;
        let past = places.f_le_tensor(&position)?;
        let own = owner.f_eq_tensor(&number)?.f_logical_or(&owner.f_eq(ALL)?)?;
        let seen_by_all = past.f_logical_and(&own)?;
        let group = heads.group() as i64;
        let mask = |window: &Option<usize>| -> Result<Tensor> {
            let sees = match *window {
                None => seen_by_all.shallow_clone(),
                Some(window) => {
                    let oldest = position.f_sub_scalar(window as i64)?;
                    seen_by_all.f_logical_and(&places.f_gt_tensor(&oldest)?)?
                }
            };
            let mask = Tensor::f_zeros(shape, (kind, device))?;
            let mask = mask.f_masked_fill(&sees.f_logical_not()?, f64::NEG_INFINITY)?;
            let mask = mask.f_unsqueeze(2)?.f_expand([count, rows, group, length], false)?;
            Ok(mask.f_reshape([count, 1, rows * group, length])?)
        };
        let masks = windows.iter().map(mask).collect::<Result<_>>()?;
        let mut queries = Vec::with_capacity(rows_of_pass.len() * heads.queries);
        for entry in rows_of_pass.chunks(rows as usize) {
            for key in 0..heads.keys {
                for &row in entry {
                    let first = row * heads.all() as i64 + (key * heads.group()) as i64;
                    queries.extend(first..first + group);
                }
            }
        }
        let (queries, seen) = (to_device(&queries, device)?, to_device(&column(0), device)?);
        Ok(Self { shape, queries, seen, masks })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attention::Sequence;
    use crate::pages::{CacheShape, Pool};

    /// Tables of sequences of these lengths, the first `common` blocks of which are the same.
    fn tables(lengths: &[usize], common: usize) -> Vec<Table> {
        let pool = Pool::elsewhere(CacheShape { layers: 1, heads: 1, head_dim: 4 }, 1);
        let mut first = Table::default();
        first.reserve(&pool, common * PANEL);
        let blocks = first.freeze();
        let table = |&length: &usize| {
            let mut table = Table::continued(blocks.clone(), common * PANEL);
            table.reserve(&pool, length);
            table
        };
        lengths.iter().map(table).collect()
    }

    /// One row at the end of each sequence.
    fn last_rows<'a>(tables: &'a mut [Table], lengths: &[usize]) -> Vec<Sequence<'a>> {
        let rows = tables.iter_mut().zip(lengths).enumerate();
        rows.map(|(row, (table, &length))| Sequence {
            rows: row..row + 1,
            position: length - 1,
            wanted: 1,
            table,
        })
        .collect()
    }

    #[test]
    fn a_group_sees_what_it_shares_once_and_each_row_its_own() {
        let lengths = [18, 17];
        let mut tables = tables(&lengths, 1);
        let pass = Pass {
            tokens: vec![5, 6],
            sequences: last_rows(&mut tables, &lengths),
            contexts: 0,
            groups: vec![(2, 1)],
        };
        let (heads, kind) = (Heads { queries: 4, keys: 2 }, (Kind::Float, Device::Cpu));
        let plan = Plan::new(&pass, heads, &[None, Some(2)], kind).unwrap();
        let batch = &plan.batches[0];
        assert_eq!((plan.batches.len(), batch.shape), (1, [1, 2, 32]));
        let seen = Vec::<i64>::try_from(&batch.seen).unwrap();
        let block = |number: i64| 16 * (number + 1)..;
        let expected: Vec<i64> =
            block(0).take(16).chain(block(1).take(2)).chain(block(2).take(1)).collect();
        assert_eq!(seen[..19], expected);
        assert_eq!(seen[19..], [NOBODY; 13]);
        let [mask, windowed] =
            [0, 1].map(|index| Vec::<f32>::try_from(&batch.masks[index].view([-1])).unwrap());
        let queries = Vec::<i64>::try_from(&batch.queries).unwrap();
        assert_eq!(queries, [0, 1, 8, 9, 2, 3, 10, 11]);
        let places = Vec::<i64>::try_from(&plan.places).unwrap();
        assert_eq!(places, [0, 2, 1, 3, 4, 6, 5, 7]);
        for (row, mask) in mask.chunks(32).enumerate() {
            let own = if row < 2 { 16..18 } else { 18..19 };
            for (place, &mask) in mask.iter().enumerate() {
                let sees = place < 16 || own.contains(&place);
                assert_eq!(mask, if sees { 0.0 } else { f32::NEG_INFINITY }, "{row} {place}");
            }
        }
        // Positions 16 and 17 of the first, 15 and 16 of the second.
        for (row, mask) in windowed.chunks(32).enumerate() {
            let sees = |place: usize| if row < 2 { [16, 17] } else { [15, 18] }.contains(&place);
            for (place, &mask) in mask.iter().enumerate() {
                let expected = if sees(place) { 0.0 } else { f32::NEG_INFINITY };
                assert_eq!(mask, expected, "{row} {place}");
            }
        }
    }

    #[test]
    fn operations_do_not_grow_with_the_number_of_sequences() {
        let lengths: Vec<usize> = (0..200).map(|index| 20 + index).collect();
        let mut tables = tables(&lengths, 1);
        let sequences = last_rows(&mut tables, &lengths);
        let pass = Pass { tokens: vec![1; 200], sequences, contexts: 0, groups: vec![(1, 1); 200] };
        let (heads, kind) = (Heads { queries: 1, keys: 1 }, (Kind::Float, Device::Cpu));
        let plan = Plan::new(&pass, heads, &[None], kind).unwrap();
        assert_eq!(plan.batches.len(), 1);
        assert_eq!(plan.batches[0].shape, [200, 1, 224]);
    }
}
