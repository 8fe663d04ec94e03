//! The plan: a pure decision over a survey.

use std::collections::BTreeMap;
use std::fmt;

use super::survey::{Known, Listed, MOST_CONDEMNED, PackUse, Survey};
use super::{Options, age};
use crate::model::human;
use crate::model::id::{MapId, PackId};
use crate::sealed::limits;
use crate::sealed::marks::{Condemned, Sentence};
use crate::sealed::pack::Class;
use crate::sealed::relocate::PACK_SIZE;
use crate::sealed::run_id::RunId;

/// Packs below this size are merged into larger ones.
const SMALL: u64 = PACK_SIZE / 4;
/// So many small packs of similar size make one merge. With sizes in powers of four, a byte is rewritten at most once
/// per power, and no more than a few dozen small packs remain.
const MERGE: usize = 8;
/// So many maps with room make one merge.
const MERGE_MAPS: usize = 16;

/// Why a pack is condemned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// No snapshot needs any of it.
    Dead,
    /// So much of it is not needed that the rest is worth copying.
    Sparse,
    /// It is small and is merged with others.
    Small,
}

impl Reason {
    /// The word for people and machines.
    pub fn word(self) -> &'static str {
        match self {
            Reason::Dead => "dead",
            Reason::Sparse => "sparse",
            Reason::Small => "small",
        }
    }
}

/// A pack that is condemned or deleted. Sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackFate {
    /// The pack.
    pub pack: PackId,
    /// Its size.
    pub size: u64,
    /// Sealed bytes in it that are still needed, so they are copied before it is deleted.
    pub needed: u64,
    /// Why it is condemned; of packs that were condemned before, why they would be now.
    pub reason: Reason,
}

/// What is to be condemned.
#[derive(Debug, Clone, Default)]
pub(super) struct Decision {
    /// What the condemned object will name, maps that are merged excepted.
    pub(super) condemned: Condemned,
    /// Maps to be merged into fewer.
    pub(super) merge_maps: Vec<MapId>,
}

/// What a prune will do. Printing it gives a summary for people; the figures are public for others.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Under which options.
    pub options: Options,
    /// Packs that are condemned now.
    pub condemn: Vec<PackFate>,
    /// Packs that are deleted now, being condemned for a grace period. With a grace period of zero these are also the
    /// ones in `condemn`.
    pub delete: Vec<PackFate>,
    /// Packs that were condemned a shorter time ago: a later prune deletes them.
    pub waiting: Vec<PackFate>,
    /// Lists (index, refs, maps, checkpoints) condemned now, a count.
    pub lists: u64,
    /// Forgotten snapshots that can be brought back until this prune, a count.
    pub expiring: u64,
    /// Size of all packs now, in bytes.
    pub stored: u64,
    /// Sealed bytes in packs that stay and are not needed, after all of this.
    pub unused: u64,
    /// What of it lies in packs that are younger than the grace period, which stay whatever is needed of them.
    pub unused_young: u64,
    /// Blocks that must stay, a count.
    pub blocks: u64,
    pub(super) run: RunId,
    pub(super) survey: Survey,
    pub(super) decision: Decision,
}

impl Plan {
    /// Bytes that this prune gives back.
    pub fn freed_now(&self) -> u64 {
        freed(&self.delete)
    }

    /// Bytes that later prunes give back, once the grace period is over.
    pub fn freed_later(&self) -> u64 {
        let mut later = freed(&self.waiting);
        if !self.options.grace.is_zero() {
            later += freed(&self.condemn);
        }
        later
    }

    /// Whether there is nothing to do at all.
    pub fn is_empty(&self) -> bool {
        self.condemn.is_empty() && self.delete.is_empty() && self.lists == 0 && self.expiring == 0
    }
}

fn freed(packs: &[PackFate]) -> u64 {
    packs.iter().map(|fate| fate.size.saturating_sub(fate.needed)).sum()
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |reason| self.condemn.iter().filter(|fate| fate.reason == reason).count();
        let sum = |packs: &[PackFate]| human::size(packs.iter().map(|fate| fate.needed).sum());
        writeln!(f, "packs stored      {}", human::size(self.stored))?;
        writeln!(
            f,
            "packs condemned   {} ({} dead, {} sparse, {} small), {} of them to be copied first",
            self.condemn.len(),
            count(Reason::Dead),
            count(Reason::Sparse),
            count(Reason::Small),
            sum(&self.condemn)
        )?;
        writeln!(f, "lists condemned   {}", self.lists)?;
        writeln!(f, "packs deleted     {}, {} of them copied first", self.delete.len(), sum(&self.delete))?;
        writeln!(f, "freed now         {}", human::size(self.freed_now()))?;
        writeln!(f, "freed later       {}", human::size(self.freed_later()))?;
        write!(f, "unused that stays {}", human::size(self.unused))
    }
}

/// Decides.
pub(super) fn decide(run: RunId, survey: Survey, options: Options) -> Plan {
    let condemn = choose_packs(&survey, &options);
    let decision = choose_lists(&survey, &options, &condemn);
    let (mut delete, waiting) = condemned_before(&survey, &options);
    if options.grace.is_zero() {
        delete.extend(condemn.iter().copied());
    }
    let staying = survey.packs.iter().filter(|(id, entry)| !entry.condemned && !decision.condemned.packs.contains(id));
    let (mut unused, mut unused_young) = (0, 0);
    for entry in staying.map(|(_, entry)| entry) {
        let dead = entry.known.map_or(0, |known| known.content.saturating_sub(known.needed));
        unused += dead;
        unused_young += if survey.age(entry.stored) < options.grace { dead } else { 0 };
    }
    let named = &decision.condemned;
    Plan {
        lists: (named.indexes.len() + named.refs.len() + named.checkpoints.len() + named.maps.len()) as u64,
        expiring: survey.roots.expired.len() as u64,
        stored: survey.packs.values().map(|entry| entry.size).sum(),
        blocks: survey.live.len() as u64,
        unused,
        unused_young,
        condemn,
        delete,
        waiting,
        options,
        run,
        survey,
        decision,
    }
}

/// Whether a condemned object's time has come.
pub(super) fn is_due(survey: &Survey, options: &Options, sentence: &Sentence) -> bool {
    age(survey.now, sentence.stored) >= options.grace
}

fn condemned_before(survey: &Survey, options: &Options) -> (Vec<PackFate>, Vec<PackFate>) {
    let due = survey.sentences.iter().filter(|sentence| is_due(survey, options, sentence));
    let due: std::collections::HashSet<&PackId> = due.flat_map(|sentence| &sentence.condemned.packs).collect();
    let fates = survey.packs.iter().filter(|(_, entry)| entry.condemned).map(|(id, entry)| fate_of(*id, entry));
    fates.partition(|fate| due.contains(&fate.pack))
}

fn fate_of(pack: PackId, entry: &PackUse) -> PackFate {
    let (content, needed) = entry.known.map_or((entry.size, 0), |known| (known.content, known.needed));
    let reason = match needed {
        0 => Reason::Dead,
        _ if needed < content => Reason::Sparse,
        _ => Reason::Small,
    };
    PackFate { pack, size: entry.size, needed, reason }
}

/// A pack that may be condemned.
#[derive(Clone, Copy)]
struct Candidate {
    pack: PackId,
    size: u64,
    known: Known,
}

impl Candidate {
    fn dead(&self) -> u64 {
        self.known.content.saturating_sub(self.known.needed)
    }

    /// Dead bytes per 2^32 bytes, so that packs sort without rounding.
    fn dead_share(&self) -> u128 {
        (u128::from(self.dead()) << 32) / u128::from(self.known.content.max(1))
    }

    fn fate(&self, reason: Reason) -> PackFate {
        PackFate { pack: self.pack, size: self.size, needed: self.known.needed, reason }
    }
}

/// Dead packs always; then the sparsest until no more than the tolerated share of all packs is unused; then merges.
fn choose_packs(survey: &Survey, options: &Options) -> Vec<PackFate> {
    let staying = survey.packs.iter().filter(|(_, entry)| !entry.condemned);
    let (mut dead_left, mut needed_total) = (0, 0);
    let mut candidates = Vec::new();
    for (pack, entry) in staying {
        let Some(known) = entry.known else { continue };
        needed_total += known.needed;
        // What is unused in young packs may belong to a run that has not published its snapshot yet.
        if survey.age(entry.stored) >= options.grace {
            let candidate = Candidate { pack: *pack, size: entry.size, known };
            dead_left += candidate.dead();
            candidates.push(candidate);
        }
    }
    candidates.sort_by_key(|candidate| std::cmp::Reverse((candidate.dead_share(), candidate.pack)));
    let mut chosen = Vec::new();
    let mut rest = Vec::new();
    for candidate in candidates {
        let tolerated = options.max_unused * (needed_total + dead_left) as f64;
        let reason = match candidate.known.needed {
            0 => Some(Reason::Dead),
            _ => (candidate.dead() > 0 && dead_left as f64 > tolerated).then_some(Reason::Sparse),
        };
        match reason {
            Some(reason) if chosen.len() < MOST_CONDEMNED => {
                dead_left -= candidate.dead();
                chosen.push(candidate.fate(reason));
            }
            _ => rest.push(candidate),
        }
    }
    chosen.extend(choose_small(rest));
    chosen
}

fn choose_small(rest: Vec<Candidate>) -> Vec<PackFate> {
    let mut tiers: BTreeMap<(Class, u32), Vec<Candidate>> = BTreeMap::new();
    for candidate in rest.into_iter().filter(|candidate| candidate.known.needed < SMALL) {
        // Powers of four: below 64 KiB, 256 KiB, 1 MiB, 4 MiB, 16 MiB.
        let tier = (candidate.known.needed >> 16).checked_ilog(4).map_or(0, |power| power + 1);
        tiers.entry((candidate.known.class, tier)).or_default().push(candidate);
    }
    let merges = tiers.into_values().filter(|tier| tier.len() >= MERGE).flatten();
    merges.map(|candidate| candidate.fate(Reason::Small)).collect()
}

fn choose_lists(survey: &Survey, options: &Options, packs: &[PackFate]) -> Decision {
    fn unneeded<T: Copy + Ord>(survey: &Survey, options: &Options, list: &[Listed<T>]) -> std::collections::BTreeSet<T> {
        let old = list.iter().filter(|listed| !listed.needed && survey.age(listed.stored) >= options.grace);
        old.map(|listed| listed.id).take(MOST_CONDEMNED / 4).collect()
    }
    let (empty, filled): (Vec<_>, Vec<_>) = survey.maps.iter().partition(|map| map.blocks == 0);
    let roomy: Vec<MapId> = filled.iter().filter(|map| map.blocks <= limits::INDEX_BLOCKS / 2).map(|map| map.id).collect();
    Decision {
        condemned: Condemned {
            packs: packs.iter().map(|fate| fate.pack).collect(),
            indexes: unneeded(survey, options, &survey.indexes),
            refs: unneeded(survey, options, &survey.refs),
            checkpoints: unneeded(survey, options, &survey.checkpoints),
            maps: empty.iter().map(|map| map.id).collect(),
            needed: packs.iter().map(|fate| fate.needed).sum(),
        },
        merge_maps: if roomy.len() >= MERGE_MAPS { roomy } else { Vec::new() },
    }
}
