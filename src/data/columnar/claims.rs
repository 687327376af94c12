//! What a Parquet file says of itself, held against its length before the reader goes as deep, or takes memory for it.
//!
//! Footer and page headers are structs of Thrift's compact protocol: fields by number, each with its type.

use super::{most_bytes, most_values};

/// Groups in groups of a schema, for each of which the reader calls itself.
const DEEPEST: usize = 64;
/// Structs in structs that are passed over.
const DEEPEST_SKIP: usize = 64;

const BYTE: u8 = 3;
const INTEGERS: std::ops::RangeInclusive<u8> = 4..=6;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
const STRUCT: u8 = 12;

/// Checks that a file claims nothing that it cannot hold. One without a footer is left to the reader, which says what it is instead.
///
/// # Errors
/// Says what is wrong.
pub(super) fn check(file: &[u8]) -> Result<(), &'static str> {
    let Some(footer) = footer(file) else { return Ok(()) };
    let mut chunks = Vec::new();
    // Readers take a field by its number, whatever type it says that it has: one of another type is damage.
    Cursor(footer)
        .fields(|cursor, id, kind| match id {
            2 => schema(cursor, kind),
            4 => row_groups(cursor, kind, &mut chunks),
            _ => cursor.skip(kind, 0),
        })
        .ok_or("its footer is none, or goes too deep")?;
    let mut bytes: u64 = 0;
    for chunk in chunks {
        pages(file, chunk, &mut bytes).ok_or("a page's header is none, or claims too much")?;
    }
    Ok(())
}

fn footer(file: &[u8]) -> Option<&[u8]> {
    let (rest, length) = file.strip_suffix(b"PAR1")?.split_last_chunk()?;
    rest.get(rest.len().checked_sub(u32::from_le_bytes(*length) as usize)?..)
}

/// A schema is the list of its elements, each group before its children.
fn schema(cursor: &mut Cursor<'_>, kind: u8) -> Option<()> {
    let count = cursor.structs(kind)?;
    // Of each group that is open, the children that are still to come.
    let mut open: Vec<u64> = Vec::new();
    for _ in 0..count {
        let mut children = 0;
        cursor.fields(|cursor, id, kind| match id {
            5 => cursor.small(kind).map(|number| children = number),
            _ => cursor.skip(kind, 0),
        })?;
        while open.pop_if(|left| *left == 0).is_some() {}
        if let Some(left) = open.last_mut() {
            *left -= 1;
        }
        if children > 0 {
            open.push(children);
        }
        if children > count || open.len() > DEEPEST {
            return None;
        }
    }
    Some(())
}

/// The pages of a column in a row group; adds the bytes that they have once they are decompressed.
fn pages(file: &[u8], chunk: Chunk, bytes: &mut u64) -> Option<()> {
    let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let rest = file.get(size(chunk.start)..).unwrap_or_default();
    let mut rest = &rest[..rest.len().min(size(chunk.length))];
    while !rest.is_empty() {
        let mut cursor = Cursor(rest);
        let (mut unpacked, mut packed, mut values) = (0, 0, 0);
        cursor.fields(|cursor, id, kind| match id {
            2 => cursor.small(kind).map(|number| unpacked = number),
            3 => cursor.small(kind).map(|number| packed = number),
            // Of a page of data, of a dictionary, and of data in the second version.
            5 | 7 | 8 if kind == STRUCT => cursor.fields(|cursor, id, kind| match id {
                1 => cursor.small(kind).map(|number| values = number),
                _ => cursor.skip(kind, 1),
            }),
            5 | 7 | 8 => None,
            _ => cursor.skip(kind, 0),
        })?;
        *bytes = bytes.saturating_add(unpacked);
        if *bytes > most_bytes(file.len()) || values > most_values(file.len()) {
            return None;
        }
        rest = cursor.0.get(size(packed)..).unwrap_or_default();
    }
    Some(())
}

/// Where the pages of a column lie.
#[derive(Clone, Copy)]
struct Chunk {
    start: u64,
    length: u64,
}

fn row_groups(cursor: &mut Cursor<'_>, kind: u8, chunks: &mut Vec<Chunk>) -> Option<()> {
    for _ in 0..cursor.structs(kind)? {
        cursor.fields(|cursor, id, kind| match id {
            1 => {
                let columns = cursor.structs(kind)?;
                (0..columns).try_for_each(|_| column(cursor, chunks))
            }
            _ => cursor.skip(kind, 1),
        })?;
    }
    Some(())
}

fn column(cursor: &mut Cursor<'_>, chunks: &mut Vec<Chunk>) -> Option<()> {
    cursor.fields(|cursor, id, kind| match id {
        3 if kind == STRUCT => {
            let (mut data, mut dictionary, mut length) = (0, None, 0);
            cursor.fields(|cursor, id, kind| match id {
                7 => cursor.number(kind).map(|number| length = number),
                9 => cursor.number(kind).map(|number| data = number),
                11 => cursor.number(kind).map(|number| dictionary = Some(number)),
                _ => cursor.skip(kind, 3),
            })?;
            chunks.push(Chunk { start: dictionary.unwrap_or(data), length });
            Some(())
        }
        3 => None,
        _ => cursor.skip(kind, 2),
    })
}

/// What is left to read.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn pass(&mut self, count: u64) -> Option<()> {
        self.0 = self.0.get(usize::try_from(count).ok()?..)?;
        Some(())
    }

    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 127) << shift;
            if byte < 128 {
                return Some(number);
            }
        }
        None
    }

    /// An integer that is not negative.
    fn number(&mut self, kind: u8) -> Option<u64> {
        INTEGERS.contains(&kind).then_some(())?;
        let number = self.varint()?;
        (number & 1 == 0).then_some(number >> 1)
    }

    /// As [`Self::number`], of 32 bits: readers drop the others.
    fn small(&mut self, kind: u8) -> Option<u64> {
        self.number(kind).filter(|number| i32::try_from(*number).is_ok())
    }

    /// The type and the number of a list's elements.
    fn list(&mut self) -> Option<(u8, u64)> {
        let head = self.byte()?;
        let count = if head >> 4 == 15 { self.varint()? } else { u64::from(head >> 4) };
        Some((head & 15, count))
    }

    /// How many structs a list has.
    fn structs(&mut self, kind: u8) -> Option<u64> {
        (kind == LIST).then_some(())?;
        let (kind, count) = self.list()?;
        (kind == STRUCT || count == 0).then_some(count)
    }

    /// Gives every field of a struct to `each`, by number and type, which passes its value.
    fn fields(&mut self, mut each: impl FnMut(&mut Self, i16, u8) -> Option<()>) -> Option<()> {
        let mut id: i16 = 0;
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Some(());
            }
            id = match head >> 4 {
                0 => {
                    let number = self.varint()?;
                    ((number >> 1).cast_signed() ^ -(number & 1).cast_signed()) as i16
                }
                delta => id.checked_add(i16::from(delta))?,
            };
            each(self, id, head & 15)?;
        }
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Option<()> {
        if depth > DEEPEST_SKIP {
            return None;
        }
        match kind {
            // A truth is its type.
            1 | 2 => Some(()),
            BYTE => self.pass(1),
            kind if INTEGERS.contains(&kind) => self.varint().map(drop),
            DOUBLE => self.pass(8),
            BINARY => {
                let count = self.varint()?;
                self.pass(count)
            }
            LIST | SET => {
                let (kind, count) = self.list()?;
                (0..count).try_for_each(|_| self.element(kind, depth + 1))
            }
            MAP => {
                let count = self.varint()?;
                let kinds = if count == 0 { 0 } else { self.byte()? };
                (0..count).try_for_each(|_| {
                    self.element(kinds >> 4, depth + 1)?;
                    self.element(kinds & 15, depth + 1)
                })
            }
            STRUCT => self.fields(|cursor, _, kind| cursor.skip(kind, depth + 1)),
            _ => None,
        }
    }

    /// Passes an element of a list, where a truth is a byte.
    fn element(&mut self, kind: u8, depth: usize) -> Option<()> {
        if matches!(kind, 1 | 2) { self.pass(1) } else { self.skip(kind, depth) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_sound(file: &[u8]) -> bool {
        check(file).is_ok()
    }

    fn varint(mut number: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while number >= 128 {
            bytes.push(number as u8 | 128);
            number >>= 7;
        }
        bytes.push(number as u8);
        bytes
    }

    /// An integer that is not negative.
    fn integer(number: u64) -> Vec<u8> {
        varint(number << 1)
    }

    fn file(body: &[u8], footer: &[u8]) -> Vec<u8> {
        let length = (footer.len() as u32).to_le_bytes();
        [b"PAR1", body, footer, &length, b"PAR1"].concat()
    }

    /// A file whose schema is elements with so many children each.
    fn with_schema(children: impl Iterator<Item = u64> + Clone) -> Vec<u8> {
        let count = varint(children.clone().count() as u64);
        let mut footer = [vec![0x29, 0xfc], count].concat();
        for number in children {
            footer.push(0x55);
            footer.extend(integer(number));
            footer.push(0);
        }
        footer.push(0);
        file(b"", &footer)
    }

    #[test]
    fn a_schema_is_no_deeper_than_a_reader_goes_and_has_its_children() {
        let nested = |depth| with_schema(std::iter::repeat_n(1, depth).chain([0]));
        assert!(is_sound(&nested(10)) && is_sound(&nested(DEEPEST)));
        assert!(!is_sound(&nested(DEEPEST + 1)) && !is_sound(&nested(100_000)));
        assert!(is_sound(&with_schema([2, 0, 0].into_iter())));
        assert!(!is_sound(&with_schema([1 << 30, 0, 0].into_iter())));
        // Group beside group is wide, not deep.
        let wide = [1000].into_iter().chain([1, 0].into_iter().cycle().take(2000));
        assert!(is_sound(&with_schema(wide)));
    }

    #[test]
    fn a_page_claims_no_more_than_a_file_of_its_length_holds() {
        let with_page = |unpacked: u64, values: u64| {
            let header =
                [&[0x25][..], &integer(unpacked), &[0x15, 0, 0x2c, 0x15], &integer(values)];
            let page = [&header.concat()[..], &[0, 0]].concat();
            let chunk = [&[0x76][..], &integer(page.len() as u64), &[0x26], &integer(4)].concat();
            let footer = [&[0x49, 0x1c, 0x19, 0x1c, 0x3c][..], &chunk, &[0, 0, 0, 0]].concat();
            file(&page, &footer)
        };
        assert!(is_sound(&with_page(1 << 20, 1000)));
        assert!(!is_sound(&with_page(1 << 30, 1000)));
        assert!(!is_sound(&with_page(1 << 20, 1 << 30)));
        // A reader takes the lower 32 bits.
        assert!(!is_sound(&with_page(u64::from(u32::MAX) << 8 | 1, 1000)));
    }

    #[test]
    fn a_file_without_a_footer_is_left_to_the_reader() {
        for bytes in [&b""[..], b"PAR1", b"PAR1PAR1", b"PAR1\xff\xff\xff\xffPAR1"] {
            assert_eq!(check(bytes), Ok(()), "{bytes:?}");
        }
        for footer in [&b"\x29"[..], b"\x15\x02\x19", b"\x28\x01\x00\x00", b"\x1d\x00"] {
            assert!(!is_sound(&file(b"", footer)), "{footer:?}");
        }
    }
}
