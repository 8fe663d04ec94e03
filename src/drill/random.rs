//! Which snapshot and which files: another choice each time, so that in the end all have been tried.

use super::DrillError;

/// Numbers that nobody can foresee at their start (SplitMix64, <https://prng.di.unimi.it/splitmix64.c>).
pub(super) struct Random(u64);

impl Random {
    /// A new row of numbers.
    pub(super) fn new() -> Result<Self, DrillError> {
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).map_err(|error| DrillError::Place(format!("this machine gives no random numbers: {error}")))?;
        Ok(Self(u64::from_le_bytes(seed)))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `count`; 0 if that is 0. Even enough: the bias is at most `count` in 2^64.
    pub(super) fn below(&mut self, count: usize) -> usize {
        usize::try_from((u128::from(self.next()) * count as u128) >> 64).unwrap_or(0)
    }
}

/// So many of all that are offered, each as likely as any other (reservoir sampling).
pub(super) struct Sample<T> {
    most: usize,
    seen: usize,
    kept: Vec<T>,
}

impl<T> Sample<T> {
    pub(super) fn new(most: usize) -> Self {
        Self { most, seen: 0, kept: Vec::new() }
    }

    /// Offers one, which is made only if it is taken.
    pub(super) fn offer(&mut self, random: &mut Random, make: impl FnOnce() -> T) {
        self.seen = self.seen.saturating_add(1);
        if self.kept.len() < self.most {
            self.kept.push(make());
        } else if let Some(place) = self.kept.get_mut(random.below(self.seen)) {
            *place = make();
        }
    }

    /// Those that were taken.
    pub(super) fn taken(self) -> Vec<T> {
        self.kept
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_sample_has_so_many_and_each_comes_about_as_often() {
        let mut random = Random(7);
        let mut often = [0_u32; 20];
        for _ in 0..2000 {
            let mut sample = Sample::new(5);
            (0..20).for_each(|number| sample.offer(&mut random, || number));
            let taken: BTreeSet<usize> = sample.taken().into_iter().collect();
            assert_eq!(taken.len(), 5);
            taken.into_iter().for_each(|number| often[number] += 1);
        }
        assert!(often.iter().all(|count| (400..600).contains(count)), "500 each are expected: {often:?}");
    }

    #[test]
    fn of_few_all_are_taken() {
        let mut random = Random::new().unwrap();
        let mut sample = Sample::new(5);
        (0..3).for_each(|number| sample.offer(&mut random, || number));
        assert_eq!(sample.taken(), [0, 1, 2]);
        assert_eq!(random.below(0), 0);
        assert!((0..1000).all(|_| random.below(3) < 3));
    }
}
