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

use crate::analysis::{Analysis, HEADER};
use crate::frame;
use crate::instruction::{
    Arithmetic, Comparison, MEMORY, MOST_TURNS, Operand, Operation, Register,
};
use crate::program::Program;
use crate::state::{Bytes, Facts, Known, State};
use crate::tables::LookUp;
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
    number: SigRef, // (set, i32) -> i32
    whole: SigRef,  // (table, bytes, i64, i64) -> i32
    load: SigRef,   // (frame, tags, i64, i64) -> i64
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
        whole: make(&[I64, I64, I64, I64], I32),
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

    // ---- What stands around the programs ------------------------------------------------------

    fn entry(&mut self) -> Vec<Value> {
        let block = self.b.create_block();
        self.b.append_block_params_for_function_params(block);
        self.b.switch_to_block(block);
        let zero = self.b.ins().iconst(I32, 0);
        self.b.def_var(self.a, zero);
        self.b.def_var(self.x, zero);
        let zero = self.b.ins().iconst(I64, 0);
        self.b.def_var(self.turns, zero);
        self.b.block_params(block).to_vec()
    }

    fn begin_run(&mut self) {
        let params = self.entry();
        let (frame, tags) = (params[0], params[1]);
        self.caller.frame = Some(frame);
        self.caller.tags = Some(tags);
        let bytes = self.field(I64, frame, offset_of!(frame::Frame, bytes));
        let captured = self.field(I32, frame, offset_of!(frame::Frame, captured));
        let tagged = self.field(I8, frame, offset_of!(frame::Frame, tagged));
        let tagged = self.b.ins().uextend(I32, tagged);
        let skipped = self.field(I32, tags, offset_of!(frame::Tags, wire));
        let apart = self.b.ins().bor(tagged, skipped);
        self.view = Some(View { bytes, captured, place: captured });
        let whole = self.b.create_block();
        let odd = self.edge(self.first(Way::Apart));
        self.b.set_cold_block(odd);
        self.b.ins().brif(apart, odd, &[], whole, &[]);
        self.b.switch_to_block(whole);
        self.choose_way();
    }

    fn begin_judge(&mut self) {
        let params = self.entry();
        let (group, frames, taken) = (params[0], params[1], params[2]);
        let all_bytes = self.field(I64, group, offset_of!(Group, bytes));
        let all_captured = self.field(I64, group, offset_of!(Group, captured));
        let snaplen = self.field(I32, group, offset_of!(Group, snaplen));
        self.caller.group = Some(group);
        self.caller.taken = (self.programs.len() > 1).then_some(taken);
        self.b.def_var(self.frames, frames);
        let zero = self.b.ins().iconst(I64, 0);
        self.b.def_var(self.bits, zero);
        let (head, body, end) =
            (self.b.create_block(), self.b.create_block(), self.b.create_block());
        self.next_frame = Some(head);
        self.b.ins().jump(head, &[]);

        self.b.switch_to_block(head);
        let left = self.b.use_var(self.frames);
        self.b.ins().brif(left, body, &[], end, &[]);

        self.b.switch_to_block(end);
        if self.caller.taken.is_none() {
            let bits = self.b.use_var(self.bits);
            self.b.ins().store(flags(), bits, taken, 0);
        }
        self.b.ins().return_(&[]);

        self.b.switch_to_block(body);
        let place = self.b.ins().ctz(left);
        let fewer = self.b.ins().iadd_imm(left, -1);
        let fewer = self.b.ins().band(left, fewer);
        self.b.def_var(self.frames, fewer);
        let bytes = self.element(I64, all_bytes, place, 3);
        let captured = self.element(I32, all_captured, place, 2);
        let captured = self.b.ins().umin(captured, snaplen);
        self.view = Some(View { bytes, captured, place });
        self.choose_way();
    }

    fn first(&self, way: Way) -> (State, Node) {
        let state = State::start(Facts::default());
        (state.clone(), Node { way, program: 0, at: ENTRY, state })
    }

    /// One test of the captured length for all constant offsets.
    fn choose_way(&mut self) {
        if self.reach == 0 {
            let (state, node) = self.first(Way::Fast);
            return self.go(&state, node);
        }
        let (_, captured) = self.piece();
        let fast = self.edge(self.first(Way::Fast));
        let slow = self.edge(self.first(Way::Slow));
        self.b.set_cold_block(slow);
        let enough =
            self.b.ins().icmp_imm(IntCC::UnsignedGreaterThanOrEqual, captured, self.reach as i64);
        self.b.ins().brif(enough, fast, &[], slow, &[]);
    }

    fn follow(&mut self) {
        loop {
            if let Some((block, state, node)) = self.edges.pop() {
                self.b.switch_to_block(block);
                self.go(&state, node);
            } else if let Some((block, node)) = self.pending.pop() {
                self.b.switch_to_block(block);
                self.run(node);
            } else {
                return;
            }
        }
    }

    // ---- Blocks -------------------------------------------------------------------------------

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

    // ---- Values -------------------------------------------------------------------------------

    fn field(&mut self, kind: ir::Type, base: Value, offset: usize) -> Value {
        self.b.ins().load(kind, flags(), base, offset as i32)
    }

    fn element(&mut self, kind: ir::Type, base: Value, place: Value, shift: i64) -> Value {
        let offset = self.b.ins().ishl_imm(place, shift);
        let at = self.b.ins().iadd(base, offset);
        self.b.ins().load(kind, flags(), at, 0)
    }

    fn view(&self) -> View {
        self.view.expect("a frame")
    }

    fn piece(&self) -> (Value, Value) {
        (self.view().bytes, self.view().captured)
    }

    fn captured_long(&mut self) -> Value {
        let captured = self.view().captured;
        self.b.ins().uextend(I64, captured)
    }

    fn address<T>(&mut self, of: &T) -> Value {
        self.b.ins().iconst(I64, std::ptr::from_ref(of).addr() as i64)
    }

    fn tags_for(&mut self, bare: bool) -> Value {
        match self.caller.tags {
            Some(tags) if bare => tags,
            _ => self.address(&NO_TAGS),
        }
    }

    fn wire(&mut self, way: Way, bare: bool) -> Value {
        let Some(group) = self.caller.group else {
            let frame = self.caller.frame.expect("a frame");
            let wire = self.field(I32, frame, offset_of!(frame::Frame, wire));
            if way != Way::Apart || !bare {
                return wire;
            }
            // a record may claim to have been shorter than its tags
            let tags = self.tags_for(bare);
            let tags = self.field(I32, tags, offset_of!(frame::Tags, wire));
            let longer = self.b.ins().umax(wire, tags);
            return self.b.ins().isub(longer, tags);
        };
        let wires = self.field(I64, group, offset_of!(Group, wire));
        let place = self.view().place;
        self.element(I32, wires, place, 2)
    }

    /// As they lie in the frame, in a value of their size.
    fn as_they_lie(&mut self, bytes: Bytes) -> Value {
        let kind = match bytes.size {
            1 => I8,
            2 => I16,
            _ => I32,
        };
        let base = self.view().bytes;
        if let Ok(offset) = i32::try_from(bytes.offset) {
            return self.b.ins().load(kind, flags(), base, offset);
        }
        let at = self.b.ins().iadd_imm(base, i64::from(bytes.offset));
        self.b.ins().load(kind, flags(), at, 0)
    }

    /// A loaded value of 1, 2 or 4 bytes as the number that it is in network byte order.
    fn as_number(&mut self, lies: Value, size: u8) -> Value {
        let big =
            if cfg!(target_endian = "big") || size == 1 { lies } else { self.b.ins().bswap(lies) };
        if size == 4 { big } else { self.b.ins().uextend(I32, big) }
    }

    fn number(&mut self, value: Known) -> Value {
        match value {
            Known::Constant(k) => self.b.ins().iconst(I32, i64::from(k)),
            Known::Dynamic => self.b.use_var(self.a),
            Known::Wire => self.wire(Way::Fast, false),
            Known::Bytes(bytes) => {
                let lies = self.as_they_lie(bytes);
                let number = self.as_number(lies, bytes.size);
                if bytes.mask == full(bytes.size) {
                    return number;
                }
                self.b.ins().band_imm(number, i64::from(bytes.mask))
            }
        }
    }

    fn index(&mut self, x: Option<u32>) -> Value {
        match x {
            Some(x) => self.b.ins().iconst(I32, i64::from(x)),
            None => self.b.use_var(self.x),
        }
    }

    fn operand(&mut self, operand: Operand, x: Option<u32>) -> Value {
        match operand {
            Operand::K(k) => self.b.ins().iconst(I32, i64::from(k)),
            Operand::X => self.index(x),
        }
    }

    fn set_a(&mut self, state: &mut State, value: Value) {
        self.b.def_var(self.a, value);
        state.a = Known::Dynamic;
    }

    fn set_x(&mut self, state: &mut State, value: Value) {
        self.b.def_var(self.x, value);
        state.x = None;
    }

    fn set(&mut self, into: Register, state: &mut State, value: Value) {
        match into {
            Register::A => self.set_a(state, value),
            Register::X => self.set_x(state, value),
        }
    }

    fn call(&mut self, signature: SigRef, function: usize, arguments: &[Value]) -> Value {
        let callee = self.b.ins().iconst(I64, function as i64);
        let call = self.b.ins().call_indirect(signature, callee, arguments);
        self.b.inst_results(call)[0]
    }

    // ---- Operations ---------------------------------------------------------------------------

    fn step(&mut self, node: &mut Node) -> Step {
        let operation = self.programs[node.program].operations[node.at as usize];
        match operation {
            Operation::Load { size, offset, indexed, bare, missing } => {
                return self.load(node, size, offset, indexed, bare, missing);
            }
            Operation::LoadHeader { offset, bare, missing } => {
                return self.load_header(node, offset, bare, missing);
            }
            Operation::LoadWire { into: Register::A, .. } if node.way != Way::Apart => {
                node.state.a = Known::Wire;
            }
            Operation::LoadWire { into, bare } => {
                let wire = self.wire(node.way, bare);
                self.set(into, &mut node.state, wire);
            }
            Operation::LoadCaptured { bare } => {
                let mut captured = self.view().captured;
                if node.way == Way::Apart && bare {
                    let tags = self.tags_for(true);
                    let tags = self.field(I32, tags, offset_of!(frame::Tags, captured));
                    captured = self.b.ins().isub(captured, tags);
                }
                self.set_a(&mut node.state, captured);
            }
            Operation::LoadConstant { into: Register::A, value } => {
                node.state.a = Known::Constant(value)
            }
            Operation::LoadConstant { into: Register::X, value } => node.state.x = Some(value),
            Operation::LoadMemory { into, word } => {
                let value = self.b.use_var(self.memory[word].expect("declared at the start"));
                self.set(into, &mut node.state, value);
            }
            Operation::Store { from, word } => {
                let value = match from {
                    Register::A => self.number(node.state.a),
                    Register::X => self.index(node.state.x),
                };
                self.b.def_var(self.memory[word].expect("declared at the start"), value);
            }
            Operation::Compute { what, operand } => self.compute(&mut node.state, what, operand),
            Operation::Divide { operand, remainder, by_zero } => {
                return self.divide(node, operand, remainder, by_zero);
            }
            Operation::Negate => match node.state.a {
                Known::Constant(a) => node.state.a = Known::Constant(a.wrapping_neg()),
                a => {
                    let a = self.number(a);
                    let negative = self.b.ins().ineg(a);
                    self.set_a(&mut node.state, negative);
                }
            },
            Operation::CopyToX => match node.state.a {
                Known::Constant(a) => node.state.x = Some(a),
                a => {
                    let a = self.number(a);
                    self.set_x(&mut node.state, a);
                }
            },
            Operation::CopyToA => match node.state.x {
                Some(x) => node.state.a = Known::Constant(x),
                None => {
                    let x = self.index(None);
                    self.set_a(&mut node.state, x);
                }
            },
            Operation::Jump { to } => return Step::To(to),
            Operation::JumpBack { to } => return self.jump_back(node, to),
            Operation::Compare { how, operand, on_true, on_false } => {
                return self.compare(node, how, operand, on_true, on_false);
            }
            Operation::InSet { set, on_true, on_false } => {
                return self.in_set(node, set, on_true, on_false);
            }
            Operation::InWide { set, bare, on_true, on_false } => {
                let found = self.in_wide(node, set, bare);
                return self.branch(node, found, on_true, on_false);
            }
            Operation::Contains { pattern, on_true, on_false } => {
                let found = self.contains(node, pattern);
                return self.branch(node, found, on_true, on_false);
            }
            Operation::Return { value } => {
                self.finish_with(node, Known::Constant(value));
                return Step::Done;
            }
            Operation::ReturnA => {
                let a = node.state.a;
                self.finish_with(node, a);
                return Step::Done;
            }
        }
        Step::Next
    }

    fn branch(&mut self, node: &Node, holds: Value, on_true: u32, on_false: u32) -> Step {
        let state = node.state.clone();
        let yes = self.edge_to(node, on_true, &state);
        let no = self.edge_to(node, on_false, &state);
        self.b.ins().brif(holds, yes, &[], no, &[]);
        Step::Done
    }

    // ---- Loads --------------------------------------------------------------------------------

    fn load(
        &mut self,
        node: &mut Node,
        size: u8,
        k: u32,
        indexed: bool,
        bare: bool,
        missing: u32,
    ) -> Step {
        if node.way == Way::Apart {
            return self.load_apart(node, size, k, indexed.then_some(node.state.x), bare, missing);
        }
        let constant = match (indexed, node.state.x) {
            (false, _) => u64::from(k),
            (true, Some(x)) => u64::from(k) + u64::from(x),
            (true, None) => return self.load_behind(node, size, k, missing),
        };
        if !self.is_there(node, constant, size, missing) {
            return Step::To(missing);
        }
        let bytes = Bytes { offset: constant as u32, size, mask: full(size) };
        node.state.a = match node.state.facts.value(bytes) {
            Some(value) => Known::Constant(value),
            None => Known::Bytes(bytes),
        };
        Step::Next
    }

    /// Goes to `missing` where bytes at a constant offset are not there; false: they never are.
    fn is_there(&mut self, node: &Node, offset: u64, size: u8, missing: u32) -> bool {
        let end = offset + u64::from(size);
        if node.way == Way::Fast && end <= self.reach {
            return true;
        }
        if end > u64::from(u32::MAX) {
            return false;
        }
        let otherwise = self.edge_to(node, missing, &node.state.clone());
        let (_, captured) = self.piece();
        let end = self.b.ins().iconst(I32, end as i64);
        let enough = self.b.ins().icmp(IntCC::UnsignedGreaterThanOrEqual, captured, end);
        self.unless(enough, otherwise);
        true
    }

    /// X is not known. Both are of 64 bits, so nothing wraps.
    fn load_behind(&mut self, node: &mut Node, size: u8, k: u32, missing: u32) -> Step {
        let x = self.index(None);
        let x = self.b.ins().uextend(I64, x);
        let offset = self.b.ins().iadd_imm(x, i64::from(k));
        let end = self.b.ins().iadd_imm(offset, i64::from(size));
        let captured = self.captured_long();
        let enough = self.b.ins().icmp(IntCC::UnsignedGreaterThanOrEqual, captured, end);
        let otherwise = self.edge_to(node, missing, &node.state.clone());
        self.unless(enough, otherwise);
        let kind = match size {
            1 => I8,
            2 => I16,
            _ => I32,
        };
        let base = self.view().bytes;
        let at = self.b.ins().iadd(base, offset);
        let lies = self.b.ins().load(kind, flags(), at, 0);
        let number = self.as_number(lies, size);
        self.set_a(&mut node.state, number);
        Step::Next
    }

    /// By a call; `x`: the index, where there is one.
    fn fetch(
        &mut self,
        node: &Node,
        size: u8,
        k: u32,
        x: Option<Option<u32>>,
        bare: bool,
        missing: u32,
    ) -> Value {
        let mut offset = self.b.ins().iconst(I64, i64::from(k));
        if let Some(x) = x {
            let x = self.index(x);
            let x = self.b.ins().uextend(I64, x);
            offset = self.b.ins().iadd(offset, x);
        }
        let frame = self.caller.frame.expect("a frame");
        let tags = self.tags_for(bare);
        let size = self.b.ins().iconst(I64, i64::from(size));
        let function = frame::load_apart as *const () as usize;
        let value = self.call(self.signatures.load, function, &[frame, tags, offset, size]);
        let there = self.b.ins().icmp_imm(IntCC::SignedGreaterThanOrEqual, value, 0);
        let otherwise = self.edge_to(node, missing, &node.state.clone());
        self.unless(there, otherwise);
        self.b.ins().ireduce(I32, value)
    }

    fn load_apart(
        &mut self,
        node: &mut Node,
        size: u8,
        k: u32,
        x: Option<Option<u32>>,
        bare: bool,
        missing: u32,
    ) -> Step {
        let value = self.fetch(node, size, k, x, bare, missing);
        self.set_a(&mut node.state, value);
        Step::Next
    }

    /// X = 4 * the lower half of a byte. Most IPv4 headers have no options: what is behind them is
    /// at constant offsets then, which is worth a test.
    fn load_header(&mut self, node: &mut Node, offset: u32, bare: bool, missing: u32) -> Step {
        if node.way == Way::Apart {
            let byte = self.fetch(node, 1, offset, None, bare, missing);
            let words = self.b.ins().band_imm(byte, 0xf);
            let length = self.b.ins().ishl_imm(words, 2);
            self.set_x(&mut node.state, length);
            return Step::Next;
        }
        if !self.is_there(node, u64::from(offset), 1, missing) {
            return Step::To(missing);
        }
        let words = Bytes { offset, size: 1, mask: 0xf };
        let next = node.at + 1;
        match node.state.facts.decide(words, HEADER / 4) {
            Some(true) => {
                node.state.x = Some(HEADER);
                return Step::Next;
            }
            None if node.way == Way::Fast => {
                let mut usual = node.state.clone();
                usual.x = Some(HEADER);
                usual.facts.learn(words, HEADER / 4, true);
                node.state.facts.learn(words, HEADER / 4, false);
                let is_usual = self.equals(words, HEADER / 4);
                let usual_block = self.edge_to(node, next, &usual);
                let other = self.b.create_block();
                self.b.set_cold_block(other);
                self.b.ins().brif(is_usual, usual_block, &[], other, &[]);
                self.b.switch_to_block(other);
            }
            _ => {}
        }
        let length = self.number(Known::Bytes(words));
        let length = self.b.ins().ishl_imm(length, 2);
        self.set_x(&mut node.state, length);
        Step::Next
    }

    // ---- Arithmetic ---------------------------------------------------------------------------

    fn compute(&mut self, state: &mut State, what: Arithmetic, operand: Operand) {
        let constant = match operand {
            Operand::K(k) => Some(k),
            Operand::X => state.x,
        };
        if let (Known::Constant(a), Some(k)) = (state.a, constant) {
            state.a = Known::Constant(folded(what, a, k));
            return;
        }
        if let (Known::Bytes(bytes), Arithmetic::And, Some(k)) = (state.a, what, constant) {
            let fewer = Bytes { mask: bytes.mask & k, ..bytes };
            state.a = if fewer.mask == 0 { Known::Constant(0) } else { Known::Bytes(fewer) };
            return;
        }
        let a = self.number(state.a);
        let by = self.operand(operand, state.x);
        let value = match what {
            Arithmetic::Add => self.b.ins().iadd(a, by),
            Arithmetic::Subtract => self.b.ins().isub(a, by),
            Arithmetic::Multiply => self.b.ins().imul(a, by),
            Arithmetic::Or => self.b.ins().bor(a, by),
            Arithmetic::And => self.b.ins().band(a, by),
            Arithmetic::Xor => self.b.ins().bxor(a, by),
            Arithmetic::ShiftLeft | Arithmetic::ShiftRight => self.shift(what, a, by),
        };
        self.set_a(state, value);
    }

    /// Shifts by 32 and more give 0.
    fn shift(&mut self, what: Arithmetic, a: Value, by: Value) -> Value {
        let shifted = match what {
            Arithmetic::ShiftLeft => self.b.ins().ishl(a, by),
            _ => self.b.ins().ushr(a, by),
        };
        let inside = self.b.ins().icmp_imm(IntCC::UnsignedLessThan, by, 32);
        let zero = self.b.ins().iconst(I32, 0);
        self.b.ins().select(inside, shifted, zero)
    }

    fn divide(&mut self, node: &mut Node, operand: Operand, remainder: bool, by_zero: u32) -> Step {
        let constant = match operand {
            Operand::K(k) => Some(k),
            Operand::X => node.state.x,
        };
        if constant == Some(0) {
            return Step::To(by_zero);
        }
        if let (Known::Constant(a), Some(k)) = (node.state.a, constant) {
            node.state.a = Known::Constant(if remainder { a % k } else { a / k });
            return Step::Next;
        }
        let by = self.operand(operand, node.state.x);
        if constant.is_none() {
            let otherwise = self.edge_to(node, by_zero, &node.state.clone());
            self.unless(by, otherwise);
        }
        let a = self.number(node.state.a);
        let value = if remainder { self.b.ins().urem(a, by) } else { self.b.ins().udiv(a, by) };
        self.set_a(&mut node.state, value);
        Step::Next
    }

    fn jump_back(&mut self, node: &Node, to: u32) -> Step {
        let turns = self.b.use_var(self.turns);
        let turns = self.b.ins().iadd_imm(turns, 1);
        self.b.def_var(self.turns, turns);
        let goes_on = self.b.ins().icmp_imm(IntCC::UnsignedLessThanOrEqual, turns, MOST_TURNS);
        let state = node.state.clone();
        let reject = self.edge_to(node, REJECT, &state);
        self.unless(goes_on, reject);
        self.go_to(node, to, &state);
        Step::Done
    }

    // ---- Tests --------------------------------------------------------------------------------

    /// Whether bytes are a value, without turning them into a number.
    fn equals(&mut self, bytes: Bytes, value: u32) -> Value {
        let (lies, wanted) = self.masked(bytes, value);
        self.b.ins().icmp(IntCC::Equal, lies, wanted)
    }

    fn masked(&mut self, bytes: Bytes, value: u32) -> (Value, Value) {
        let lies = self.as_they_lie(bytes);
        let (kind, mask, value) = match bytes.size {
            1 => (I8, i64::from(bytes.mask), i64::from(value)),
            2 => (I16, i64::from((bytes.mask as u16).to_be()), i64::from((value as u16).to_be())),
            _ => (I32, i64::from(bytes.mask.to_be()), i64::from(value.to_be())),
        };
        let mut masked = lies;
        if bytes.mask != full(bytes.size) {
            let mask = self.b.ins().iconst(kind, mask);
            masked = self.b.ins().band(lies, mask);
        }
        (masked, self.b.ins().iconst(kind, value))
    }

    fn compare(
        &mut self,
        node: &mut Node,
        how: Comparison,
        operand: Operand,
        on_true: u32,
        on_false: u32,
    ) -> Step {
        if on_true == on_false {
            return Step::To(on_true);
        }
        let constant = match operand {
            Operand::K(k) => Some(k),
            Operand::X => node.state.x,
        };
        match (node.state.a, constant) {
            (Known::Constant(a), Some(k)) => {
                Step::To(if holds(how, a, k) { on_true } else { on_false })
            }
            (Known::Bytes(bytes), Some(k)) if how == Comparison::Equal => {
                self.is_equal(node, bytes, k, on_true, on_false)
            }
            (Known::Bytes(bytes), Some(k)) if how == Comparison::AnyBit => {
                let some = Bytes { mask: bytes.mask & k, ..bytes };
                if some.mask == 0 {
                    return Step::To(on_false);
                }
                self.is_equal(node, some, 0, on_false, on_true)
            }
            (a, Some(k)) => {
                if let Some(step) = self.is_between(node, how, k, on_true, on_false) {
                    return step;
                }
                let a = self.number(a);
                let k = self.b.ins().iconst(I32, i64::from(k));
                let test = self.test(how, a, k);
                self.branch(node, test, on_true, on_false)
            }
            (a, None) => {
                let a = self.number(a);
                let x = self.index(None);
                let test = self.test(how, a, x);
                self.branch(node, test, on_true, on_false)
            }
        }
    }

    fn test(&mut self, how: Comparison, a: Value, b: Value) -> Value {
        match how {
            Comparison::Equal => self.b.ins().icmp(IntCC::Equal, a, b),
            Comparison::Greater => self.b.ins().icmp(IntCC::UnsignedGreaterThan, a, b),
            Comparison::AtLeast => self.b.ins().icmp(IntCC::UnsignedGreaterThanOrEqual, a, b),
            Comparison::AnyBit => self.b.ins().band(a, b),
        }
    }

    fn is_equal(
        &mut self,
        node: &Node,
        bytes: Bytes,
        value: u32,
        on_true: u32,
        on_false: u32,
    ) -> Step {
        if value & !bytes.mask != 0 {
            return Step::To(on_false);
        }
        if let Some(is) = node.state.facts.decide(bytes, value) {
            return Step::To(if is { on_true } else { on_false });
        }
        let test = self.equals(bytes, value);
        let (mut yes, mut no) = (node.state.clone(), node.state.clone());
        yes.facts.learn(bytes, value, true);
        no.facts.learn(bytes, value, false);
        let yes = self.edge_to(node, on_true, &yes);
        let no = self.edge_to(node, on_false, &no);
        self.b.ins().brif(test, yes, &[], no, &[]);
        Step::Done
    }

    /// `>= low` and then `> high`, with the same way out: one test in place of two, of which the
    /// first is a guess for ports.
    fn is_between(
        &mut self,
        node: &Node,
        how: Comparison,
        k: u32,
        on_true: u32,
        on_false: u32,
    ) -> Option<Step> {
        let low = match how {
            Comparison::AtLeast => k,
            Comparison::Greater => k.checked_add(1)?,
            _ => return None,
        };
        let operations = &self.programs[node.program].operations;
        let behind_jumps = |mut at: u32| {
            while let Operation::Jump { to } = operations[at as usize] {
                at = to;
            }
            at
        };
        let Operation::Compare { how, operand: Operand::K(k), on_true: beyond, on_false: inside } =
            operations[behind_jumps(on_true) as usize]
        else {
            return None;
        };
        let high = match how {
            Comparison::Greater => k,
            Comparison::AtLeast => k.checked_sub(1)?,
            _ => return None,
        };
        let out = behind_jumps(on_false);
        if behind_jumps(beyond) != out || high < low {
            return None;
        }
        let a = self.number(node.state.a);
        let above = self.b.ins().iadd_imm(a, -i64::from(low));
        let width = self.b.ins().iconst(I32, i64::from(high - low));
        let test = self.b.ins().icmp(IntCC::UnsignedLessThanOrEqual, above, width);
        Some(self.branch(node, test, inside, out))
    }

    // ---- Look-ups -----------------------------------------------------------------------------

    fn in_set(&mut self, node: &Node, set: usize, on_true: u32, on_false: u32) -> Step {
        let programs = self.programs;
        let set = &programs[node.program].sets[set];
        if let Known::Constant(a) = node.state.a {
            return Step::To(if set.has(a) { on_true } else { on_false });
        }
        let a = self.number(node.state.a);
        let state = node.state.clone();
        let no = self.edge_to(node, on_false, &state);
        let found = match set.look_up() {
            LookUp::Few(ranges) => self.in_few(a, ranges),
            LookUp::Low(bits) => {
                let low = self.b.ins().icmp_imm(IntCC::UnsignedLessThanOrEqual, a, 0xffff);
                self.unless(low, no);
                self.bit_of(bits, a)
            }
            LookUp::Roots(bits) => {
                let upper = self.b.ins().ushr_imm(a, 16);
                let any = self.bit_of(bits, upper);
                self.unless(any, no);
                let table = self.address(set);
                self.call(
                    self.signatures.number,
                    frame::number_in as *const () as usize,
                    &[table, a],
                )
            }
        };
        let yes = self.edge_to(node, on_true, &state);
        self.b.ins().brif(found, yes, &[], no, &[]);
        Step::Done
    }

    fn in_few(&mut self, a: Value, ranges: &[(u32, u32)]) -> Value {
        let mut found = self.b.ins().iconst(I8, 0);
        for (low, high) in ranges {
            let above = self.b.ins().iadd_imm(a, -i64::from(*low));
            let width = self.b.ins().iconst(I32, i64::from(high - low));
            let inside = self.b.ins().icmp(IntCC::UnsignedLessThanOrEqual, above, width);
            found = self.b.ins().bor(found, inside);
        }
        found
    }

    /// The bit of a number below 65,536.
    fn bit_of(&mut self, bits: *const u64, number: Value) -> Value {
        let base = self.b.ins().iconst(I64, bits.addr() as i64);
        let long = self.b.ins().uextend(I64, number);
        let word = self.b.ins().ushr_imm(long, 6);
        let word = self.element(I64, base, word, 3);
        let place = self.b.ins().band_imm(long, 63);
        let shifted = self.b.ins().ushr(word, place);
        self.b.ins().band_imm(shifted, 1)
    }

    fn in_wide(&mut self, node: &Node, set: usize, bare: bool) -> Value {
        let programs = self.programs;
        let table = self.address(&programs[node.program].wide_sets[set]);
        let offset = self.number(node.state.a);
        let offset = self.b.ins().uextend(I64, offset);
        if node.way == Way::Apart {
            let frame = self.caller.frame.expect("a frame");
            let tags = self.tags_for(bare);
            let function = frame::wide_apart as *const () as usize;
            return self.call(self.signatures.whole, function, &[table, frame, tags, offset]);
        }
        let captured = self.captured_long();
        let bytes = self.view().bytes;
        let function = frame::wide_whole as *const () as usize;
        self.call(self.signatures.whole, function, &[table, bytes, captured, offset])
    }

    fn contains(&mut self, node: &Node, pattern: usize) -> Value {
        let programs = self.programs;
        let finder = self.address(programs[node.program].patterns.get(pattern));
        let zero = self.b.ins().iconst(I64, 0);
        if node.way == Way::Apart {
            let frame = self.caller.frame.expect("a frame");
            let function = frame::contains_apart as *const () as usize;
            return self.call(self.signatures.whole, function, &[finder, frame, zero, zero]);
        }
        let captured = self.captured_long();
        let bytes = self.view().bytes;
        let function = frame::contains_whole as *const () as usize;
        self.call(self.signatures.whole, function, &[finder, bytes, captured, zero])
    }
}

fn folded(what: Arithmetic, a: u32, k: u32) -> u32 {
    match what {
        Arithmetic::Add => a.wrapping_add(k),
        Arithmetic::Subtract => a.wrapping_sub(k),
        Arithmetic::Multiply => a.wrapping_mul(k),
        Arithmetic::Or => a | k,
        Arithmetic::And => a & k,
        Arithmetic::Xor => a ^ k,
        Arithmetic::ShiftLeft => a.checked_shl(k).unwrap_or(0),
        Arithmetic::ShiftRight => a.checked_shr(k).unwrap_or(0),
    }
}

fn holds(how: Comparison, a: u32, k: u32) -> bool {
    match how {
        Comparison::Equal => a == k,
        Comparison::Greater => a > k,
        Comparison::AtLeast => a >= k,
        Comparison::AnyBit => a & k != 0,
    }
}
