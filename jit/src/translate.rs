//! Programs into Cranelift's intermediate code.
//!
//! A program is followed with what is known on the way: that A holds certain bytes of the frame,
//! that X is 20, that bytes are IPv4's type. A place in a program becomes a block for each state in
//! which it is reached; what is known needs no test. So ten filters in one function ask once whether
//! a frame is IPv4 and TCP, and each adds little more than its comparison with an address. States
//! are limited: behind so many of them a place is translated once, with nothing known.
//!
//! Three ways through a program are translated: `Fast` for frames that have all bytes at constant
//! offsets (one test), `Slow` with a test for each load, `Apart` for frames with tags that are apart
//! or are to be skipped, whose bytes are fetched by calls.

mod arithmetic;
mod around;
mod decisions;
mod loads;
mod look_ups;
mod operations;
mod values;

use crate::analysis::{Analysis, HEADER};
use crate::frame;
use crate::instruction::{
    Arithmetic, Comparison, MEMORY, MOST_TURNS, Operand, Operation, Register,
};
use crate::program::Program;
use crate::state::{Bytes, Facts, Known, State};
use crate::tables::{LookUp, SPREAD};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I8, I16, I32, I64};
use cranelift_codegen::ir::{self, AbiParam, Block, InstBuilder, MemFlags, SigRef, Value};
use cranelift_codegen::isa::CallConv;
use cranelift_frontend::{FunctionBuilder, Variable};
use std::collections::HashMap;
use std::mem::offset_of;

/// Frames with so many bytes, or fewer if the programs ask for fewer, go the fast way.
const REACH: u64 = 128;
/// States of one place in a program, and of all places, where specialisation goes on.
const MOST_STATES: usize = 16;
const MOST_BLOCKS: usize = 3000;
/// Operations of programs that are not specialised: it would take longer than it gains.
pub const LONG: usize = 512;
/// Before a program's first operation, and where its run ends with 0.
const ENTRY: u32 = u32::MAX;
const REJECT: u32 = u32::MAX - 1;

/// What is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `fn(frame: &Frame, tags: &Tags) -> u32`: what one program returns.
    Run,
    /// `fn(group: &Group, frames: u64, taken: *mut u64)`: which frames of a group each takes.
    Judge,
}

/// `struct fc_code_group`: frames in one piece, without tags that are to be skipped.
#[repr(C)]
pub struct Group {
    /// Of each place.
    pub bytes: *const *const u8,
    /// Before it is cut at `snaplen`.
    pub captured: *const u32,
    /// Length on the wire.
    pub wire: *const u32,
    /// A frame ends there at the latest.
    pub snaplen: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Way {
    Fast,
    Slow,
    Apart,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Node {
    way: Way,
    program: usize,
    at: u32,
    state: State,
}

/// Values that hold for one frame.
#[derive(Clone, Copy)]
struct View {
    bytes: Value,
    captured: Value,
    place: Value, // Judge: of the frame in its group
}

enum Step {
    Next,
    To(u32),
    Done,
}

struct Signatures {
    number: SigRef,       // (set, i32) -> i32
    wide: SigRef,         // (set, bytes or frame, length or tags, i64) -> i32
    search: SigRef,       // (finder, bytes, i64) -> i32
    search_apart: SigRef, // (finder, frame) -> i32
    load: SigRef,         // (frame, tags, i64, i64) -> i64
}

/// What is between machine code and the frames of a call.
struct Caller {
    group: Option<Value>, // Judge: the lengths on the wire
    taken: Option<Value>, // Judge: where bits go, of more than one program
    frame: Option<Value>, // Run
    tags: Option<Value>,
}

static NO_TAGS: frame::Tags = frame::Tags { at: 0, captured: 0, wire: 0 };

/// See the module. `build` makes the body of one function.
pub struct Translator<'a, 'b> {
    b: &'b mut FunctionBuilder<'a>,
    programs: &'b [&'b Program],
    analyses: Vec<Analysis>,
    kind: Kind,
    reach: u64,
    is_long: bool,
    nodes: HashMap<Node, Block>,
    counts: HashMap<(Way, usize, u32), usize>,
    pending: Vec<(Block, Node)>,
    edges: Vec<(Block, State, Node)>,
    a: Variable,
    x: Variable,
    turns: Variable,
    memory: [Option<Variable>; MEMORY],
    frames: Variable,
    bits: Variable,
    signatures: Signatures,
    caller: Caller,
    view: Option<View>,
    next_frame: Option<Block>,
}

fn flags() -> MemFlags {
    MemFlags::new().with_notrap()
}

fn signatures(b: &mut FunctionBuilder, call_conv: CallConv) -> Signatures {
    let mut make = |params: &[ir::Type], result| {
        let mut made = ir::Signature::new(call_conv);
        made.params.extend(params.iter().map(|kind| AbiParam::new(*kind)));
        made.returns.push(AbiParam::new(result));
        b.import_signature(made)
    };
    Signatures {
        number: make(&[I64, I32], I32),
        wide: make(&[I64, I64, I64, I64], I32),
        search: make(&[I64, I64, I64], I32),
        search_apart: make(&[I64, I64], I32),
        load: make(&[I64, I64, I64, I64], I64),
    }
}

/// The bytes at constant offsets that a program may ask for, X being a header without options.
fn reach_of(programs: &[&Program]) -> u64 {
    let end = |operation: &Operation| match *operation {
        Operation::Load { size, offset, indexed, .. } => {
            u64::from(offset) + u64::from(size) + if indexed { u64::from(HEADER) } else { 0 }
        }
        Operation::LoadHeader { offset, .. } => u64::from(offset) + 1,
        _ => 0,
    };
    let ends = programs.iter().flat_map(|program| program.operations.iter().map(end));
    ends.filter(|end| *end <= REACH).max().unwrap_or(0)
}

fn full(size: u8) -> u32 {
    u32::MAX >> (32 - 8 * u32::from(size))
}

impl<'a, 'b> Translator<'a, 'b> {
    /// Translates programs into the function of a builder, which has no block yet.
    pub fn build(b: &'b mut FunctionBuilder<'a>, programs: &'b [&'b Program], kind: Kind) {
        let call_conv = b.func.signature.call_conv;
        let variables = [I32, I32, I64, I64, I64].map(|kind| b.declare_var(kind));
        let signatures = signatures(b, call_conv);
        let is_long = programs.iter().map(|one| one.operations.len()).sum::<usize>() > LONG;
        let mut made = Translator {
            analyses: programs.iter().map(|program| Analysis::new(&program.operations)).collect(),
            b,
            programs,
            kind,
            reach: if is_long { 0 } else { reach_of(programs) },
            is_long,
            nodes: HashMap::new(),
            counts: HashMap::new(),
            pending: Vec::new(),
            edges: Vec::new(),
            a: variables[0],
            x: variables[1],
            turns: variables[2],
            memory: [None; MEMORY],
            frames: variables[3],
            bits: variables[4],
            signatures,
            caller: Caller { group: None, taken: None, frame: None, tags: None },
            view: None,
            next_frame: None,
        };
        match kind {
            Kind::Run => made.begin_run(),
            Kind::Judge => made.begin_judge(),
        }
        made.follow();
        made.b.seal_all_blocks();
    }

    /// The state in which a place is translated for somebody who comes with `state`.
    fn settle(&self, node: &mut Node) {
        let special = node.at == ENTRY || node.at == REJECT;
        let at = if special { 0 } else { node.at };
        let analysis = &self.analyses[node.program];
        let (a, x) = if special { (false, false) } else { analysis.needs(at) };
        let state = &mut node.state;
        if node.at == REJECT && self.kind == Kind::Run {
            state.facts = Facts::default();
        }
        let later = &self.analyses[node.program + 1..];
        let of_a = match state.a {
            Known::Bytes(bytes) if a => Some(bytes.offset),
            _ => None,
        };
        let from = if node.at == REJECT { REJECT } else { at };
        state.facts.keep(|bytes, value, is| {
            let here = analysis.loads_later(bytes.offset, from) || of_a == Some(bytes.offset);
            let asked = |analysis: &Analysis, at| is || analysis.asks_later(value, at);
            (here && asked(analysis, from))
                || later.iter().any(|next| next.loads_later(bytes.offset, 0) && asked(next, 0))
        });
        if !a {
            state.a = Known::Constant(0);
        }
        if !x {
            state.x = Some(0);
        }
        let many =
            self.counts.get(&(node.way, node.program, node.at)).is_some_and(|n| *n >= MOST_STATES)
                || self.nodes.len() >= MOST_BLOCKS;
        let back = !special && analysis.is_back(at);
        let plain = self.is_long || back || node.way != Way::Fast;
        if (many || plain) && !self.nodes.contains_key(node) {
            node.state.facts = Facts::default();
            if a {
                node.state.a = Known::Dynamic;
            }
            if x {
                node.state.x = None;
            }
        }
    }

    fn block_of(&mut self, node: Node) -> Block {
        if let Some(block) = self.nodes.get(&node) {
            return *block;
        }
        let block = self.b.create_block();
        *self.counts.entry((node.way, node.program, node.at)).or_default() += 1;
        self.nodes.insert(node.clone(), block);
        self.pending.push((block, node));
        block
    }

    /// Ends the block: goes to a place with what is known here.
    fn go(&mut self, state: &State, mut node: Node) {
        self.settle(&mut node);
        if node.state.a == Known::Dynamic && state.a != Known::Dynamic {
            let number = self.number(state.a);
            self.b.def_var(self.a, number);
        }
        if let (None, Some(x)) = (node.state.x, state.x) {
            let number = self.b.ins().iconst(I32, i64::from(x));
            self.b.def_var(self.x, number);
        }
        let block = self.block_of(node);
        self.b.ins().jump(block, &[]);
    }

    /// A block that does the same, for a branch.
    fn edge(&mut self, (state, node): (State, Node)) -> Block {
        let mut settled = node.clone();
        self.settle(&mut settled);
        let moves_a = settled.state.a == Known::Dynamic && state.a != Known::Dynamic;
        let moves_x = settled.state.x.is_none() && state.x.is_some();
        if !moves_a && !moves_x {
            return self.block_of(settled);
        }
        let block = self.b.create_block();
        self.edges.push((block, state, node));
        block
    }

    fn edge_to(&mut self, from: &Node, at: u32, state: &State) -> Block {
        let node = Node { at, state: state.clone(), ..from.clone() };
        self.edge((state.clone(), node))
    }

    fn go_to(&mut self, from: &Node, at: u32, state: &State) {
        let node = Node { at, state: state.clone(), ..from.clone() };
        self.go(state, node);
    }

    /// A branch, after which code goes on where the test holds.
    fn unless(&mut self, holds: Value, otherwise: Block) {
        let on = self.b.create_block();
        self.b.ins().brif(holds, on, &[], otherwise, &[]);
        self.b.switch_to_block(on);
    }

    /// Operations one behind the other, up to a jump or a place where ways meet. `node.state` is
    /// what is known as they go.
    fn run(&mut self, mut node: Node) {
        if node.at == REJECT {
            return self.finish(&node, None);
        }
        if node.at == ENTRY {
            self.enter(&node);
            node.at = 0;
            if self.analyses[node.program].is_join(0) {
                let state = node.state.clone();
                return self.go(&state, node);
            }
        }
        loop {
            let to = match self.step(&mut node) {
                Step::Next => node.at + 1,
                Step::To(at) => at,
                Step::Done => return,
            };
            if to == REJECT || self.analyses[node.program].is_join(to) {
                let state = node.state.clone();
                return self.go_to(&node, to, &state);
            }
            node.at = to;
        }
    }

    fn enter(&mut self, node: &Node) {
        let words = self.analyses[node.program].memory.clone();
        for word in words {
            let variable = match self.memory[word] {
                Some(variable) => variable,
                None => *self.memory[word].insert(self.b.declare_var(I32)),
            };
            let zero = self.b.ins().iconst(I32, 0);
            self.b.def_var(variable, zero);
        }
        if self.analyses[node.program].turns {
            let zero = self.b.ins().iconst(I64, 0);
            self.b.def_var(self.turns, zero);
        }
    }

    /// The end of a run of one program, with a value, or 0.
    fn finish(&mut self, node: &Node, value: Option<Value>) {
        if self.kind == Kind::Run {
            let value = match value {
                Some(value) => value,
                None => self.b.ins().iconst(I32, 0),
            };
            self.b.ins().return_(&[value]);
            return;
        }
        if value.is_some() {
            self.take(node.program);
        }
        let next = node.program + 1;
        if next == self.programs.len() {
            let head = self.next_frame.expect("a loop");
            self.b.ins().jump(head, &[]);
            return;
        }
        let state = State::start(node.state.facts.clone());
        let node = Node { way: node.way, program: next, at: ENTRY, state: state.clone() };
        self.go(&state, node);
    }

    fn take(&mut self, program: usize) {
        let place = self.view().place;
        let one = self.b.ins().iconst(I64, 1);
        let bit = self.b.ins().ishl(one, place);
        match self.caller.taken {
            None => {
                let bits = self.b.use_var(self.bits);
                let bits = self.b.ins().bor(bits, bit);
                self.b.def_var(self.bits, bits);
            }
            Some(taken) => {
                let offset = 8 * program as i32;
                let bits = self.b.ins().load(I64, flags(), taken, offset);
                let bits = self.b.ins().bor(bits, bit);
                self.b.ins().store(flags(), bits, taken, offset);
            }
        }
    }

    /// Of a value that decides by whether it is 0, in `Judge`.
    fn finish_with(&mut self, node: &Node, value: Known) {
        match value {
            Known::Constant(0) => self.finish(node, None),
            _ if self.kind == Kind::Run => {
                let value = self.number(value);
                self.finish(node, Some(value));
            }
            Known::Constant(_) => {
                let any = self.b.ins().iconst(I32, 1);
                self.finish(node, Some(any));
            }
            _ => {
                let number = self.number(value);
                let reject = self.edge_to(node, REJECT, &node.state.clone());
                self.unless(number, reject);
                self.finish(node, Some(number));
            }
        }
    }
}
