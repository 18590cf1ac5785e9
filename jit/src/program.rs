//! Filter programs: their parts, and the rules that every one must keep before it is translated.
//! The rules are those of `csrc/program.c`, and the tests of both read the same vectors.

use crate::instruction::{Comparison, Instruction, MEMORY, Operand, Operation, SKIPS_TAGS};
use crate::tables::{NumberSet, Patterns, WideSet};

/// Instructions of the longest program that is valid.
pub const LONGEST: usize = 16_777_216;
/// Sets of each kind, and patterns.
pub const MOST_SETS: usize = 65_536;
/// Bytes.
pub const LONGEST_PATTERN: usize = 1024;
/// Tests for equality that a set replaces.
const MANY: usize = 8;
/// Bytes of a number in a wide set.
pub const WIDEST: usize = 16;

/// What a program is made of.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// The instructions.
    pub instructions: Vec<Instruction>,
    /// Ranges of each set, first and last, ascending and apart.
    pub sets: Vec<Vec<(u32, u32)>>,
    /// Width in bytes, and first and last of each range, big-endian, one behind the other.
    pub wide_sets: Vec<(usize, Vec<u8>)>,
    /// What is searched for.
    pub patterns: Vec<Vec<u8>>,
    /// Where the first VLAN tag would begin; 0: these frames have none.
    pub tags_at: u32,
}

/// A program that keeps all rules.
pub struct Program {
    pub(crate) operations: Vec<Operation>,
    pub(crate) sets: Vec<NumberSet>,
    pub(crate) wide_sets: Vec<WideSet>,
    pub(crate) patterns: Patterns,
}

/// The number of the first bad instruction, or how many there are where the fault is in none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid(pub usize);

/// `left` is how many instructions stand behind this one.
fn is_valid(source: &Source, i: &Instruction, operation: &Operation, left: usize) -> bool {
    let inside = |target: u32| (target as usize) < left;
    let has_next = left > 0;
    if i.flags != 0 && (i.flags != SKIPS_TAGS || !operation.can_skip_tags()) {
        return false;
    }
    match operation {
        Operation::LoadMemory { word, .. } | Operation::Store { word, .. } => {
            has_next && *word < MEMORY
        }
        Operation::Divide { operand: Operand::K(k), .. } => has_next && *k != 0,
        Operation::Load { .. } | Operation::LoadHeader { .. } | Operation::Divide { .. } => {
            has_next && inside(i.on_false)
        }
        Operation::Compare { .. } => inside(i.on_true) && inside(i.on_false),
        Operation::InSet { set, .. } => {
            inside(i.on_true) && inside(i.on_false) && *set < source.sets.len()
        }
        Operation::InWide { set, .. } => {
            inside(i.on_true) && inside(i.on_false) && *set < source.wide_sets.len()
        }
        Operation::Contains { pattern, .. } => {
            inside(i.on_true) && inside(i.on_false) && *pattern < source.patterns.len()
        }
        Operation::Jump { .. } => inside(i.on_true),
        Operation::JumpBack { .. } => i.k > 0 && i.k as usize <= source.instructions.len() - left,
        Operation::Return { .. } | Operation::ReturnA => true,
        Operation::LoadWire { .. }
        | Operation::LoadCaptured { .. }
        | Operation::LoadConstant { .. }
        | Operation::Compute { .. }
        | Operation::Negate
        | Operation::CopyToX
        | Operation::CopyToA => has_next,
    }
}

fn ascends<T: PartialOrd>(ranges: &[(T, T)]) -> bool {
    ranges.iter().all(|range| range.0 <= range.1)
        && ranges.windows(2).all(|two| two[0].1 < two[1].0)
}

fn wide_is_valid(width: usize, pairs: &[u8]) -> bool {
    if width == 0 || width > WIDEST || !pairs.len().is_multiple_of(2 * width) {
        return false;
    }
    let ranges: Vec<_> = pairs.chunks(2 * width).map(|pair| pair.split_at(width)).collect();
    ascends(&ranges)
}

fn tables_are_valid(source: &Source) -> bool {
    source.sets.len() <= MOST_SETS
        && source.wide_sets.len() <= MOST_SETS
        && source.patterns.len() <= MOST_SETS
        && source.sets.iter().all(|set| ascends(set))
        && source.wide_sets.iter().all(|(width, pairs)| wide_is_valid(*width, pairs))
        && source.patterns.iter().all(|p| !p.is_empty() && p.len() <= LONGEST_PATTERN)
}

/// The constant, and both targets, of a test for equality.
fn equal(operation: &Operation) -> Option<(u32, u32, u32)> {
    match *operation {
        Operation::Compare {
            how: Comparison::Equal,
            operand: Operand::K(k),
            on_true,
            on_false,
        } => Some((k, on_true, on_false)),
        _ => None,
    }
}

/// Tests for equality one behind the other that lead to one place, as libpcap makes them of many
/// hosts, become one look-up; those inside stay, for jumps that lead to them.
fn join_equals(operations: &mut [Operation], sets: &mut Vec<NumberSet>) {
    let mut at = 0;
    while at < operations.len() {
        let mut values = Vec::new();
        let mut end = at;
        let goal = equal(&operations[at]).map(|first| first.1);
        let mut last = 0;
        while let Some((k, on_true, on_false)) = operations.get(end).and_then(equal) {
            if Some(on_true) != goal || (end > at && last as usize != end) {
                break;
            }
            values.push(k);
            last = on_false;
            end += 1;
        }
        if values.len() >= MANY {
            values.sort_unstable();
            values.dedup();
            let ranges: Vec<_> = values.into_iter().map(|value| (value, value)).collect();
            let on_true = goal.expect("there are some");
            operations[at] = Operation::InSet { set: sets.len(), on_true, on_false: last };
            sets.push(NumberSet::new(&ranges));
        }
        at = end.max(at + 1);
    }
}

impl Program {
    /// Checks a source, by the same rules as `fc_program_new`.
    pub fn new(source: &Source) -> Result<Program, Invalid> {
        let count = source.instructions.len();
        if count == 0 || count > LONGEST || !tables_are_valid(source) {
            return Err(Invalid(count));
        }
        let mut operations = Vec::with_capacity(count);
        for (at, instruction) in source.instructions.iter().enumerate() {
            let operation = Operation::read(instruction, at as u32).ok_or(Invalid(at))?;
            if !is_valid(source, instruction, &operation, count - 1 - at) {
                return Err(Invalid(at));
            }
            operations.push(operation);
        }
        let mut sets = source.sets.iter().map(|ranges| NumberSet::new(ranges)).collect();
        join_equals(&mut operations, &mut sets);
        Ok(Program {
            operations,
            sets,
            wide_sets: source.wide_sets.iter().map(|(w, p)| WideSet::new(*w, p)).collect(),
            patterns: Patterns::new(&source.patterns),
        })
    }
}
