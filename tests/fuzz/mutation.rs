//! Mutations as a fuzzer makes them, from a number, so that each can be made again.

/// Values at which lengths and counts go wrong.
const EDGES: [u32; 10] = [0, 1, 7, 8, 127, 4096, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff];

/// Words that make texts go wrong.
const WORDS: [&[u8]; 12] = [
    b"18446744073709551615",
    b"-1",
    b"1e400",
    b"null",
    b"[[[[[[[[",
    b"{\"b64\":\"\"}",
    b"\"..\"",
    b"\\ud800",
    b"\xff",
    b"\0",
    b"**/",
    "\u{202e}é".as_bytes(),
];

/// Draws mutations from a seed.
pub struct Mutator(u64);

impl Mutator {
    pub fn new(round: u64) -> Self {
        Self(round.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// One of the seeds, changed in one to four places.
    pub fn mutate(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = seeds[self.below(seeds.len())].clone();
        for _ in 0..=self.below(4) {
            self.change(&mut bytes, seeds);
        }
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        let at = self.below(bytes.len() + 1);
        let end = at + self.below((bytes.len() - at).min(64) + 1);
        match self.below(9) {
            0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
            1 if at < bytes.len() => bytes[at] = self.next().to_le_bytes()[0],
            2 if at + 4 <= bytes.len() => {
                let near = u32::try_from(bytes.len()).unwrap_or(0).wrapping_sub(u32::try_from(at).unwrap_or(0));
                let value = if self.below(4) == 0 { near } else { EDGES[self.below(EDGES.len())] };
                bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
            }
            3 => bytes.truncate(at),
            4 => drop(bytes.drain(at..end)),
            5 => drop(bytes.splice(at..at, bytes[at..end].to_vec())),
            6 => drop(bytes.splice(at..end, WORDS[self.below(WORDS.len())].iter().copied())),
            7 => self.change_number(bytes),
            _ => {
                let other = &seeds[self.below(seeds.len())];
                bytes.truncate(at);
                bytes.extend_from_slice(&other[self.below(other.len() + 1)..]);
            }
        }
    }

    /// Puts another number where a text has one.
    fn change_number(&mut self, bytes: &mut Vec<u8>) {
        let starts = |at: &usize| bytes[*at].is_ascii_digit() && (*at == 0 || !bytes[*at - 1].is_ascii_digit());
        let numbers: Vec<usize> = (0..bytes.len()).filter(starts).collect();
        if numbers.is_empty() {
            return;
        }
        let start = numbers[self.below(numbers.len())];
        let length = bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let value = [self.next(), u64::MAX, u64::from(u32::MAX), 1 << 63, 0][self.below(5)];
        bytes.splice(start..start + length, value.to_string().into_bytes());
    }

    /// A number below `bound`, which is not 0.
    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap_or(0)
    }

    /// xorshift64*
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}
