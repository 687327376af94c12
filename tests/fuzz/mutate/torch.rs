//! PyTorch's archives: read into their entries, changed, and written again with sums that are right.

use super::bytes;
use crate::random::Random;

/// Pieces of pickles that mean something.
const PIECES: [&[u8]; 14] = [
    b"(",
    b"t",
    b"R",
    b"Q",
    b"}",
    b"u",
    b"h\x02",
    b"\x85",
    b"K\x00",
    b"M\xff\xff",
    b"J\xff\xff\xff\x7f",
    b"\x8a\x07\0\0\0\0\0\0\x40",
    b"cos\nsystem\n",
    b"ctorch\nDoubleStorage\n",
];

/// A whole archive, all of whose entries are stored as they are.
#[derive(Clone)]
pub struct Torch {
    entries: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Torch {
    /// # Panics
    /// When it is no valid file.
    pub fn read(file: &[u8]) -> Self {
        let number = |at: usize, width: usize| {
            let mut whole = [0; 8];
            whole[..width].copy_from_slice(&file[at..at + width]);
            u64::from_le_bytes(whole) as usize
        };
        let end = file.windows(4).rposition(|part| part == b"PK\x05\x06").unwrap();
        let (count, mut at) = (number(end + 10, 2), number(end + 16, 4));
        let mut entries = Vec::new();
        for _ in 0..count {
            let (size, name, local) = (number(at + 24, 4), number(at + 28, 2), number(at + 42, 4));
            let data = local + 30 + number(local + 26, 2) + number(local + 28, 2);
            entries
                .push((file[at + 46..at + 46 + name].to_vec(), file[data..data + size].to_vec()));
            at += 46 + name + number(at + 30, 2) + number(at + 32, 2);
        }
        Self { entries }
    }

    /// Changes the pickle mostly, and what lies beside it seldom.
    pub fn change(&mut self, random: &mut Random) {
        for _ in 0..1 + random.below(3) {
            let pickle = self.entries.iter().position(|(name, _)| name.ends_with(b"data.pkl"));
            let other = random.below(self.entries.len());
            match (random.below(10), pickle) {
                (0, _) => bytes::damage(&mut self.entries[other].1, random),
                (1, _) if random.once_in(3) => bytes::damage(&mut self.entries[other].0, random),
                (2..6, Some(pickle)) => {
                    let code = &mut self.entries[pickle].1;
                    let at = random.below(code.len() + 1);
                    let end = (at + random.below(3)).min(code.len());
                    let times = random.times();
                    code.splice(at..end, random.pick(&PIECES).repeat(times));
                }
                (_, Some(pickle)) => bytes::damage(&mut self.entries[pickle].1, random),
                _ => {}
            }
        }
    }

    pub fn write(&self) -> Vec<u8> {
        let (mut file, mut directory) = (Vec::new(), Vec::new());
        for (name, data) in &self.entries {
            let size = (data.len() as u32).to_le_bytes();
            let mut about =
                [&[20, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], &sum(data).to_le_bytes(), &size, &size]
                    .concat();
            about.extend((name.len() as u16).to_le_bytes());
            about.extend([0; 2]);
            directory.extend(b"PK\x01\x02\x14\0");
            directory.extend(&about);
            directory.extend([0; 10]);
            directory.extend((file.len() as u32).to_le_bytes());
            directory.extend(name);
            file.extend(b"PK\x03\x04");
            file.extend(&about);
            file.extend(name);
            file.extend(data);
        }
        let count = (self.entries.len() as u16).to_le_bytes();
        let place = [directory.len() as u32, file.len() as u32].map(u32::to_le_bytes).concat();
        file.extend(directory);
        file.extend([&b"PK\x05\x06\0\0\0\0"[..], &count, &count, &place, &[0, 0]].concat());
        file
    }
}

/// The sum of an entry (CRC-32).
fn sum(data: &[u8]) -> u32 {
    let step = |sum: u32, _| (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg());
    !data.iter().fold(u32::MAX, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), step))
}
