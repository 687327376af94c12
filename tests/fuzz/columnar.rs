//! Parquet and Arrow.

use std::path::Path;

use espalier::data::{Fields, Format, Paths, SourceRecipe, read_source};

use crate::harness::fuzz;
use crate::mutate::{bytes, thrift};
use crate::random::Random;
use crate::scratch::{Scratch, fixture, folder};

/// Reads the rows of a file; whether the reader came to them.
fn rows(path: &Path) -> bool {
    let fields = Fields { question: "problem".to_owned(), ..Fields::default() };
    let path = Paths::One(path.to_owned());
    let source = SourceRecipe { format: Format::Generic, path, fields };
    match read_source(&source, true) {
        Ok(_) => true,
        Err(error) => {
            let error = format!("{error:#}");
            !["cannot read it as", "neither UTF-8", "has no end"]
                .iter()
                .any(|form| error.contains(form))
        }
    }
}

/// A file's parts, and the places of its pages.
struct Parquet {
    /// All before the footer.
    body: Vec<u8>,
    footer: thrift::Value,
    pages: Vec<usize>,
}

impl Parquet {
    fn read(file: &[u8]) -> Self {
        let (rest, tail) = file.split_at(file.len() - 8);
        let length = u32::from_le_bytes(tail[..4].try_into().unwrap()) as usize;
        let (body, footer) = rest.split_at(rest.len() - length);
        let (footer, _) = thrift::read(footer);
        // FileMetaData.row_groups, RowGroup.columns, ColumnChunk.meta_data and its offsets of data and dictionary pages.
        let of = |value: &thrift::Value, id| {
            value.field(id).map_or(vec![], |list| list.items().to_vec())
        };
        let columns = of(&footer, 4).into_iter().flat_map(|group| of(&group, 1));
        let places = columns.flat_map(|column| {
            let metadata = column.field(3).cloned();
            [9, 11].map(|id| metadata.as_ref()?.field(id)?.int())
        });
        let pages = places.flatten().map(|place| place as usize).collect();
        Self { body: body.to_vec(), footer, pages }
    }

    fn changed(&self, random: &mut Random) -> Vec<u8> {
        let mut file = self.body.clone();
        let mut footer = self.footer.clone();
        for _ in 0..random.below(3) {
            match random.below(8) {
                0..3 => footer.change(random),
                3 => nest(&mut footer, random),
                4..7 => {
                    // The other pages stay where the footer says that they are: the last page's header alone may be longer.
                    let at = *random.pick(&self.pages);
                    if file.len() < self.body.len() {
                        continue;
                    }
                    let (mut header, length) = thrift::read(&self.body[at..]);
                    header.change(random);
                    let mut new = Vec::new();
                    header.write(&mut new);
                    footer.shift(at as i64, new.len() as i64 - length as i64);
                    file.splice(at..at + length, new);
                    break;
                }
                _ => {
                    let end = file.len();
                    bytes::damage_in(&mut file, 4..end, random);
                }
            }
        }
        let begin = file.len();
        footer.write(&mut file);
        let length = (file.len() - begin) as u32;
        let length =
            if random.once_in(24) { random.instead_of(length.into()) as u32 } else { length };
        file.extend(length.to_le_bytes());
        file.extend(b"PAR1");
        if random.once_in(24) {
            bytes::damage(&mut file, random);
        }
        file
    }
}

/// Makes the schema one of groups in groups, or of many leaves.
fn nest(footer: &mut thrift::Value, random: &mut Random) {
    let thrift::Value::Struct(fields) = footer else { return };
    let Some((_, thrift::Value::List { items, .. })) = fields.iter_mut().find(|(id, _)| *id == 2)
    else {
        return;
    };
    let Some(group) = items.iter().find(|element| element.field(5).is_some()).cloned() else {
        return;
    };
    let mut group = group;
    if let thrift::Value::Struct(fields) = &mut group {
        for (id, value) in fields {
            if *id == 5 {
                *value = thrift::Value::Int(5, 1);
            }
        }
    }
    let depth = *random.pick(&[3, 30, 300, 3000, 50_000]);
    let at = random.below(items.len());
    items.splice(at..at, std::iter::repeat_n(group, depth));
}

#[test]
fn parquet() {
    let files = folder("tests/data/parquet")
        .into_iter()
        .filter(|path| path.extension().is_some_and(|end| end == "parquet"));
    let seeds: Vec<Parquet> =
        files.map(|path| Parquet::read(&std::fs::read(path).unwrap())).collect();
    let scratch = Scratch::new();
    fuzz(
        "parquet",
        |random| random.pick(&seeds).changed(random),
        |input| rows(&scratch.write("rows.parquet", input)),
    );
}

/// The places of the messages' metadata and bodies in a stream, and of what stands before them.
fn messages(file: &[u8], start: usize) -> Vec<std::ops::Range<usize>> {
    let mut parts = Vec::new();
    let mut at = start;
    while file.get(at..at + 4) == Some(&[0xff; 4]) {
        let length = i32::from_le_bytes(file[at + 4..at + 8].try_into().unwrap()) as usize;
        if length == 0 {
            break;
        }
        let metadata = at + 8..at + 8 + length;
        // The next message begins behind the body, at a multiple of 8.
        let next =
            (metadata.end..file.len()).step_by(8).find(|at| file[*at..].starts_with(&[0xff; 4]));
        let next = next.unwrap_or(file.len());
        parts.push(metadata.clone());
        parts.push(metadata.end..next);
        at = next;
    }
    parts
}

#[test]
fn arrow() {
    let files = [
        "none.arrow",
        "lz4.feather",
        "zstd.feather",
        "stream.arrow",
        "saved/test/data-00000-of-00001.arrow",
    ];
    let seeds = files.map(|name| {
        let file = fixture(&format!("tests/data/arrow/{name}"));
        let start = if file.starts_with(b"ARROW1") { 8 } else { 0 };
        let parts: Vec<_> =
            messages(&file, start).into_iter().filter(|part| !part.is_empty()).collect();
        (file, parts)
    });
    let scratch = Scratch::new();
    fuzz(
        "arrow",
        |random| {
            let (file, parts) = random.pick(&seeds);
            let mut file = file.clone();
            for _ in 0..random.below(4) {
                // The first part is the schema's, with which the reader begins.
                let from = usize::from(!random.once_in(4)).min(parts.len() - 1);
                let part = parts[from + random.below(parts.len() - from)].clone();
                let width = *random.pick(&[2, 4, 8]);
                let at = part.start + random.below(part.len()) / width * width;
                if random.once_in(3) {
                    file[at] ^= 1 << random.below(8);
                } else {
                    bytes::overwrite(&mut file, at, width, random);
                }
            }
            if random.once_in(24) {
                bytes::damage(&mut file, random);
            }
            file
        },
        |input| rows(&scratch.write("rows.arrow", input)),
    );
}
