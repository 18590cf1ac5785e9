//! What holds for a program whatever its frames are: where A and X matter, where ways meet, and
//! which bytes are asked for later.

use crate::instruction::{Comparison, Operand, Operation, Register};
use std::collections::HashMap;

/// IPv4 headers have 20 bytes, as far as anybody counts on it.
pub const HEADER: u32 = 20;

/// See the module.
pub struct Analysis {
    /// A (X) is read before it is written, on some way from here.
    needs: Vec<(bool, bool)>,
    joins: Vec<bool>,
    back: Vec<bool>,
    loads: HashMap<u32, u32>,
    values: HashMap<u32, u32>,
    /// Words of memory that are read or written.
    pub memory: Vec<usize>,
    /// It has jumps back.
    pub turns: bool,
}

/// Where a run can go on behind an operation.
fn successors(operation: &Operation, at: u32) -> Vec<u32> {
    match *operation {
        Operation::Load { missing, .. } | Operation::LoadHeader { missing, .. } => {
            vec![at + 1, missing]
        }
        Operation::Divide { operand: Operand::X, by_zero, .. } => vec![at + 1, by_zero],
        Operation::Jump { to } | Operation::JumpBack { to } => vec![to],
        Operation::Compare { on_true, on_false, .. }
        | Operation::InSet { on_true, on_false, .. }
        | Operation::InWide { on_true, on_false, .. }
        | Operation::Contains { on_true, on_false, .. } => vec![on_true, on_false],
        Operation::Return { .. } | Operation::ReturnA => vec![],
        _ => vec![at + 1],
    }
}

fn reads(operation: &Operation) -> (bool, bool) {
    match *operation {
        Operation::Load { indexed, .. } => (false, indexed),
        Operation::Store { from, .. } => (from == Register::A, from == Register::X),
        Operation::Compute { operand, .. }
        | Operation::Divide { operand, .. }
        | Operation::Compare { operand, .. } => (true, operand == Operand::X),
        Operation::Negate
        | Operation::CopyToX
        | Operation::InSet { .. }
        | Operation::InWide { .. }
        | Operation::ReturnA => (true, false),
        Operation::CopyToA => (false, true),
        _ => (false, false),
    }
}

/// Whether it writes A (X) on its way to the next operation.
fn writes(operation: &Operation) -> (bool, bool) {
    match *operation {
        Operation::Load { .. } | Operation::LoadCaptured { .. } | Operation::CopyToA => {
            (true, false)
        }
        Operation::LoadHeader { .. } | Operation::CopyToX => (false, true),
        Operation::LoadWire { into, .. }
        | Operation::LoadConstant { into, .. }
        | Operation::LoadMemory { into, .. } => (into == Register::A, into == Register::X),
        _ => (false, false),
    }
}

fn find_needs(operations: &[Operation], turns: bool) -> Vec<(bool, bool)> {
    let mut needs = vec![(turns, turns); operations.len()];
    if turns {
        return needs; // a loop: everything may be read
    }
    for (at, operation) in operations.iter().enumerate().rev() {
        let (mut a, mut x) = reads(operation);
        let written = writes(operation);
        for (way, to) in successors(operation, at as u32).into_iter().enumerate() {
            let after = needs[to as usize];
            a |= after.0 && !(written.0 && way == 0);
            x |= after.1 && !(written.1 && way == 0);
        }
        needs[at] = (a, x);
    }
    needs
}

impl Analysis {
    /// Of the operations of a valid program.
    pub fn new(operations: &[Operation]) -> Analysis {
        let count = operations.len();
        let turns = operations.iter().any(|o| matches!(o, Operation::JumpBack { .. }));
        let mut made = Analysis {
            needs: find_needs(operations, turns),
            joins: vec![false; count],
            back: vec![false; count],
            loads: HashMap::new(),
            values: HashMap::new(),
            memory: Vec::new(),
            turns,
        };
        let mut ways = vec![0u8; count];
        for (at, operation) in operations.iter().enumerate() {
            let at = at as u32;
            for to in successors(operation, at) {
                ways[to as usize] = ways[to as usize].saturating_add(1);
                made.back[to as usize] |= to <= at;
            }
            made.note(operation, at);
        }
        for (at, ways) in ways.into_iter().enumerate() {
            made.joins[at] = ways > 1 || made.back[at];
        }
        made.memory.sort_unstable();
        made.memory.dedup();
        made
    }

    fn note(&mut self, operation: &Operation, at: u32) {
        match *operation {
            Operation::Load { offset, indexed, .. } => {
                let there = if indexed { offset.saturating_add(HEADER) } else { offset };
                self.loads.insert(there, at);
            }
            Operation::LoadHeader { offset, .. } => {
                self.loads.insert(offset, at);
                self.values.insert(HEADER / 4, at);
            }
            Operation::Compare { how: Comparison::Equal, operand: Operand::K(k), .. } => {
                self.values.insert(k, at);
            }
            Operation::Compare { how: Comparison::AnyBit, .. } => {
                self.values.insert(0, at);
            }
            Operation::LoadMemory { word, .. } | Operation::Store { word, .. } => {
                self.memory.push(word);
            }
            _ => {}
        }
    }

    /// Whether A, and X, are read before they are written, on some way from an operation on.
    pub fn needs(&self, at: u32) -> (bool, bool) {
        self.needs[at as usize]
    }

    /// Several ways lead to an operation.
    pub fn is_join(&self, at: u32) -> bool {
        self.joins[at as usize]
    }

    /// A jump back leads to it.
    pub fn is_back(&self, at: u32) -> bool {
        self.back[at as usize]
    }

    /// Bytes at an offset may be loaded from an operation on.
    pub fn loads_later(&self, offset: u32, at: u32) -> bool {
        self.loads.get(&offset).is_some_and(|last| *last >= at)
    }

    /// Something may be compared with a value from an operation on.
    pub fn asks_later(&self, value: u32, at: u32) -> bool {
        self.values.get(&value).is_some_and(|last| *last >= at)
    }
}
