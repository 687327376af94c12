//! TensorFlow's records: a length, its sum, bytes, and their sum (CRC-32C, masked).

/// Bytes before and after those of a record.
const HEAD: usize = 12;
const TAIL: usize = 4;

/// A sum as records have it: rotated and moved, since sums of sums are weak.
fn masked(bytes: &[u8]) -> [u8; 4] {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

/// Appends a record.
pub(super) fn append(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = (bytes.len() as u64).to_le_bytes();
    for part in [&length[..], &masked(&length), bytes, &masked(bytes)] {
        out.extend_from_slice(part);
    }
}

/// The first record of `bytes` and what follows it; `None` where there is no whole one.
pub(super) fn read(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (head, rest) = bytes.split_at_checked(HEAD)?;
    let (length, sum) = head.split_first_chunk::<8>()?;
    if masked(length) != sum {
        return None;
    }
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let (record, rest) = rest.split_at_checked(length)?;
    let (sum, rest) = rest.split_at_checked(TAIL)?;
    (masked(record) == sum).then_some((record, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_as_they_were_written() {
        let mut bytes = Vec::new();
        append(&mut bytes, b"one");
        append(&mut bytes, b"");
        let (first, rest) = read(&bytes).unwrap();
        assert_eq!((first, read(rest)), (b"one".as_slice(), Some((&[][..], &[][..]))));
        for cut in 0..rest.len() {
            assert_eq!(read(&rest[..cut]), None);
        }
        for index in 0..bytes.len() - rest.len() {
            bytes[index] ^= 1;
            assert_eq!(read(&bytes), None, "byte {index}");
            bytes[index] ^= 1;
        }
    }

    #[test]
    fn a_sum_is_that_of_tensorflow() {
        // The first bytes of every file of events: the length 24 and its sum.
        assert_eq!(masked(&24u64.to_le_bytes()), [0xa3, 0x7f, 0x4b, 0x22]);
    }
}
