//! What machine code looks things up in: sets of numbers, sets of wide numbers, patterns. They stay
//! where they are, for machine code holds their addresses, and are read-only once they are made.

use memchr::memmem::Finder;

/// Ranges that are compared one after the other, without a table.
pub const FEW: usize = 6;
const ROOTS: usize = 1024;
const MOST_IN_LIST: usize = 16;
const WORDS: usize = 1024;
/// Numbers of a set that has a bit for each, by a hash, and how many bits to choose from.
const MOST_HASHED: u64 = 1 << 16;
const BITS_EACH: u64 = 8;
/// Spreads a number over the upper bits (Knuth, TAOCP 3, 6.4).
pub const SPREAD: u32 = 0x9e37_79b1;

/// Which numbers below one upper half are in a set.
enum Part {
    All,
    Ranges(Vec<(u16, u16)>),
    Bits(Box<[u64; WORDS]>),
}

/// A set of numbers of up to 32 bits. As in `csrc/set.h`: a bit for each upper half says whether
/// any number below it is in the set, which answers most look-ups in 8 KiB.
pub struct NumberSet {
    ranges: Vec<(u32, u32)>,
    any: Box<[u64; ROOTS]>,
    before: Box<[u32; ROOTS]>,
    parts: Vec<Part>,
    low: Option<Box<[u64; WORDS]>>,
    hashed: Vec<u64>,
}

/// How machine code looks up a number.
pub enum LookUp<'a> {
    /// By comparisons with these ranges.
    Few(&'a [(u32, u32)]),
    /// By a bit for each number below 65,536; no other is in the set.
    Low(*const u64),
    /// By the bit of its hash, [`SPREAD`] times it, shifted right by so much, and where that is set
    /// by [`NumberSet::has`].
    Hashed(*const u64, u32),
    /// By a bit for each upper half, and where that is set by [`NumberSet::has`].
    Roots(*const u64),
}

impl NumberSet {
    /// Of ranges that are ascending and apart.
    pub fn new(ranges: &[(u32, u32)]) -> NumberSet {
        let mut set = NumberSet {
            ranges: ranges.to_vec(),
            any: Box::new([0; ROOTS]),
            before: Box::new([0; ROOTS]),
            parts: Vec::new(),
            low: None,
            hashed: Vec::new(),
        };
        if ranges.len() <= FEW {
            return set;
        }
        if ranges.last().is_some_and(|last| last.1 <= 0xffff) {
            let mut bits = Box::new([0; WORDS]);
            ranges.iter().for_each(|(first, last)| mark(&mut bits, *first as u16, *last as u16));
            set.low = Some(bits);
            return set;
        }
        set.make_parts();
        set.make_hashed();
        set
    }

    /// Where networks are in it they are too many, and their upper halves tell enough.
    fn make_hashed(&mut self) {
        let count = self.ranges.iter().map(|range| u64::from(range.1 - range.0) + 1).sum::<u64>();
        if count > MOST_HASHED {
            return;
        }
        let bits = (count * BITS_EACH).next_power_of_two().max(64);
        self.hashed = vec![0; (bits / 64) as usize];
        let shift = self.shift();
        for value in self.ranges.iter().flat_map(|range| range.0..=range.1) {
            let hash = value.wrapping_mul(SPREAD) >> shift;
            self.hashed[(hash >> 6) as usize] |= 1 << (hash & 63);
        }
    }

    fn shift(&self) -> u32 {
        32 - (64 * self.hashed.len()).trailing_zeros()
    }

    fn make_parts(&mut self) {
        let mut pieces: Vec<(u16, Vec<(u16, u16)>)> = Vec::new();
        for &(first, last) in &self.ranges {
            for upper in first >> 16..=last >> 16 {
                let low = if upper == first >> 16 { first as u16 } else { 0 };
                let high = if upper == last >> 16 { last as u16 } else { 0xffff };
                match pieces.last_mut() {
                    Some((same, list)) if u32::from(*same) == upper => list.push((low, high)),
                    _ => pieces.push((upper as u16, vec![(low, high)])),
                }
            }
        }
        for (upper, list) in pieces {
            self.any[usize::from(upper >> 6)] |= 1 << (upper & 63);
            self.parts.push(part_of(list));
        }
        let mut before = 0;
        for (root, word) in self.any.iter().enumerate() {
            self.before[root] = before;
            before += word.count_ones();
        }
    }

    /// How to look up in it.
    pub fn look_up(&self) -> LookUp<'_> {
        if self.ranges.len() <= FEW {
            LookUp::Few(&self.ranges)
        } else if let Some(bits) = &self.low {
            LookUp::Low(bits.as_ptr())
        } else if !self.hashed.is_empty() {
            LookUp::Hashed(self.hashed.as_ptr(), self.shift())
        } else {
            LookUp::Roots(self.any.as_ptr())
        }
    }

    /// Whether a number is in the set.
    pub fn has(&self, value: u32) -> bool {
        match self.look_up() {
            LookUp::Few(ranges) => ranges.iter().any(|(low, high)| (*low..=*high).contains(&value)),
            LookUp::Low(_) => {
                let bits = self.low.as_ref().map_or(0, |bits| bits[(value as usize & 0xffff) >> 6]);
                value <= 0xffff && bits >> (value & 63) & 1 != 0
            }
            LookUp::Hashed(..) | LookUp::Roots(_) => self.part_has(value),
        }
    }

    fn part_has(&self, value: u32) -> bool {
        let root = (value >> 22) as usize;
        let bit = 1u64 << (value >> 16 & 63);
        if self.any[root] & bit == 0 {
            return false;
        }
        let number = self.before[root] + (self.any[root] & (bit - 1)).count_ones();
        let low = value as u16;
        match &self.parts[number as usize] {
            Part::All => true,
            Part::Bits(bits) => bits[usize::from(low >> 6)] >> (low & 63) & 1 != 0,
            Part::Ranges(list) => {
                list.iter().find(|range| low <= range.1).is_some_and(|range| low >= range.0)
            }
        }
    }
}

fn mark(bits: &mut [u64; WORDS], first: u16, last: u16) {
    for value in first..=last {
        bits[usize::from(value >> 6)] |= 1 << (value & 63);
    }
}

fn part_of(list: Vec<(u16, u16)>) -> Part {
    if list == [(0, 0xffff)] {
        return Part::All;
    }
    if list.len() <= MOST_IN_LIST {
        return Part::Ranges(list);
    }
    let mut bits = Box::new([0; WORDS]);
    list.iter().for_each(|(first, last)| mark(&mut bits, *first, *last));
    Part::Bits(bits)
}

/// A set of numbers of up to 16 bytes: single ones in a hash table, ranges by binary search.
pub struct WideSet {
    /// Bytes of a number.
    pub width: usize,
    slots: Vec<u32>,
    singles: Vec<u128>,
    ranges: Vec<(u128, u128)>,
}

const SLOTS_EACH: usize = 4;

fn number_of(bytes: &[u8]) -> u128 {
    bytes.iter().fold(0, |number, byte| number << 8 | u128::from(*byte))
}

/// A multiplication spreads each half over the upper bits (Knuth, TAOCP 3, 6.4).
fn slot_of(number: u128) -> usize {
    let mixed = ((number >> 64) as u64 ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 32 ^ number as u64).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed >> 32) as usize
}

impl WideSet {
    /// Of pairs as in [`crate::program::Source`].
    pub fn new(width: usize, pairs: &[u8]) -> WideSet {
        let mut set = WideSet { width, slots: Vec::new(), singles: Vec::new(), ranges: Vec::new() };
        for pair in pairs.chunks_exact(2 * width) {
            let (first, last) = (number_of(&pair[..width]), number_of(&pair[width..]));
            if first == last {
                set.singles.push(first);
            } else {
                set.ranges.push((first, last));
            }
        }
        let count = (set.singles.len() * SLOTS_EACH).next_power_of_two().max(16);
        set.slots = vec![0; count];
        for (index, number) in set.singles.iter().enumerate() {
            let mut slot = slot_of(*number) & (count - 1);
            while set.slots[slot] != 0 {
                slot = (slot + 1) & (count - 1);
            }
            set.slots[slot] = index as u32 + 1;
        }
        set
    }

    /// Whether the number is in the set whose bytes these are; `width` of them.
    pub fn has(&self, bytes: &[u8]) -> bool {
        let number = number_of(bytes);
        let mut slot = slot_of(number) & (self.slots.len() - 1);
        while self.slots[slot] != 0 {
            if self.singles[self.slots[slot] as usize - 1] == number {
                return true;
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        let behind = self.ranges.partition_point(|range| range.1 < number);
        self.ranges.get(behind).is_some_and(|range| range.0 <= number)
    }
}

/// What is searched for in frames.
pub struct Patterns(Vec<Finder<'static>>);

impl Patterns {
    /// Copies.
    pub fn new(patterns: &[Vec<u8>]) -> Patterns {
        Patterns(patterns.iter().map(|pattern| Finder::new(pattern).into_owned()).collect())
    }

    /// The finder of a pattern.
    pub fn get(&self, number: usize) -> &Finder<'static> {
        &self.0[number]
    }
}
