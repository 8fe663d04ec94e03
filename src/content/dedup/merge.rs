//! Merging sorted segments into one: at equal prefixes the newest record comes alone.

use super::segment::{Record, Segment};

/// How many of the newest segments to merge, so that each that stays is at least twice as large as the next: then there are
/// few segments to look into, and a record is copied only so often as the whole has doubled. Lengths come oldest first.
pub(super) fn mergeable(lengths: &[usize]) -> usize {
    let (mut merged, mut records) = (0, 0);
    for length in lengths.iter().rev() {
        if merged > 0 && *length >= 2 * records {
            break;
        }
        merged += 1;
        records += length;
    }
    merged
}

/// A segment being read.
struct Part<'a> {
    segment: &'a Segment,
    position: usize,
    next: Option<Record>,
}

impl Part<'_> {
    fn advance(&mut self) {
        self.position += 1;
        self.next = self.segment.get(self.position);
    }
}

/// The records of several segments in order, each with the rank of its segment and its position there.
pub(super) struct Merge<'a> {
    parts: Vec<Part<'a>>,
}

impl<'a> Merge<'a> {
    /// Merges segments, oldest first.
    pub(super) fn new(segments: &'a [Segment]) -> Self {
        Self { parts: segments.iter().map(|segment| Part { segment, position: 0, next: segment.get(0) }).collect() }
    }
}

impl Iterator for Merge<'_> {
    type Item = (usize, usize, Record);

    fn next(&mut self) -> Option<Self::Item> {
        let mut least: Option<Self::Item> = None;
        for (rank, part) in self.parts.iter().enumerate() {
            if let Some(record) = part.next
                && least.is_none_or(|(_, _, least)| record.prefix <= least.prefix)
            {
                least = Some((rank, part.position, record));
            }
        }
        let (_, _, record) = least?;
        for part in &mut self.parts {
            if part.next.is_some_and(|next| next.prefix == record.prefix) {
                part.advance();
            }
        }
        least
    }
}

#[cfg(test)]
mod tests {
    use super::super::segment::Prefix;
    use super::super::table::BlockOrdinal;
    use super::*;

    #[test]
    fn segments_of_similar_size_are_merged_and_much_larger_ones_left_alone() {
        assert_eq!(mergeable(&[]), 0);
        assert_eq!(mergeable(&[5]), 1);
        assert_eq!(mergeable(&[8, 4, 2]), 1);
        assert_eq!(mergeable(&[8, 1, 1]), 2);
        assert_eq!(mergeable(&[7, 2, 1, 1]), 4);
    }

    #[test]
    fn the_newest_record_of_a_prefix_comes_alone() {
        let dir = tempfile::tempdir().unwrap();
        let segments: Vec<_> = [&[1, 2, 5][..], &[2, 3], &[], &[1, 9]]
            .iter()
            .enumerate()
            .map(|(rank, firsts)| {
                let record = |first: &u8| Record { prefix: Prefix([*first; 20]), block: BlockOrdinal(rank as u32), length: 1 };
                Segment::write(&dir.path().join(rank.to_string()), firsts.iter().map(record)).unwrap()
            })
            .collect();
        let found: Vec<_> = Merge::new(&segments).map(|(rank, position, record)| (record.prefix.0[0], rank, position)).collect();
        assert_eq!(found, [(1, 3, 0), (2, 1, 0), (3, 1, 1), (5, 0, 2), (9, 3, 1)]);
    }
}
