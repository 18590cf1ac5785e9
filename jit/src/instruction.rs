//! Instructions of filter programs, as fastcap's core has them (`csrc/instruction.h`), and what
//! they are once their codes are read.

/// One instruction as it is handed over; targets count instructions, from the next one on.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Instruction {
    /// Classic BPF's code, or one of ours.
    pub code: u16,
    /// [`SKIPS_TAGS`], or 0.
    pub flags: u16,
    /// The constant.
    pub k: u32,
    /// Jumps: taken when the test holds.
    pub on_true: u32,
    /// Jumps: when not; loads: bytes missing; div and mod by X: X is 0.
    pub on_false: u32,
}

/// The flag of what sees the frame as it would be without its VLAN tags.
pub const SKIPS_TAGS: u16 = 1;
/// Words of memory, as `BPF_MEMWORDS`.
pub const MEMORY: usize = 16;
/// Jumps back in one run; then the program rejects the frame.
pub const MOST_TURNS: i64 = 65_536;
/// A VLAN tag behind both MAC addresses: 4 bytes from here on.
pub const TAG_OFFSET: u64 = 12;
/// Bytes of a VLAN tag.
pub const TAG_LENGTH: u64 = 4;

/// A register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Register {
    /// The accumulator.
    A,
    /// The index register.
    X,
}

/// What A is combined or compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// A constant.
    K(u32),
    /// The index register.
    X,
}

/// Arithmetic that cannot fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    /// A + operand.
    Add,
    /// A - operand.
    Subtract,
    /// A * operand.
    Multiply,
    /// A | operand.
    Or,
    /// A & operand.
    And,
    /// A ^ operand.
    Xor,
    /// A << operand; 0 by 32 and more.
    ShiftLeft,
    /// A >> operand; 0 by 32 and more.
    ShiftRight,
}

/// A comparison of A, unsigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// A == operand.
    Equal,
    /// A > operand.
    Greater,
    /// A >= operand.
    AtLeast,
    /// A & operand is not 0.
    AnyBit,
}

/// An instruction that was checked; targets are numbers of instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[rustfmt::skip] // what a field is, beside it
pub enum Operation {
    /// A = bytes of the frame, big-endian.
    Load {
        /** 1, 2 or 4. */ size: u8,
        /** From the frame's start, */ offset: u32,
        /** plus X. */ indexed: bool,
        /** Without tags. */ bare: bool,
        /** Where to go without them. */ missing: u32,
    },
    /// X = 4 * the lower half of a byte: the length of an IPv4 header.
    LoadHeader {
        /** Of the byte. */ offset: u32,
        /** Without tags. */ bare: bool,
        /** Where to go without them. */ missing: u32,
    },
    /// The length on the wire.
    LoadWire { /** A or X. */ into: Register, /** Without tags. */ bare: bool },
    /// A = the captured length.
    LoadCaptured { /** Without tags. */ bare: bool },
    /// A number.
    LoadConstant { /** A or X. */ into: Register, /** The number. */ value: u32 },
    /// What `Store` left there, or 0.
    LoadMemory { /** A or X. */ into: Register, /** Below `MEMORY`. */ word: usize },
    /// Into a word of memory.
    Store { /** A or X. */ from: Register, /** Below `MEMORY`. */ word: usize },
    /// A = A and the operand.
    Compute { /** How. */ what: Arithmetic, /** X or a number. */ operand: Operand },
    /// A = A / operand, unsigned.
    Divide {
        /** X or a number. */ operand: Operand,
        /** A % operand instead. */ remainder: bool,
        /** Where to go when the operand is 0. */ by_zero: u32,
    },
    /// A = -A.
    Negate,
    /// X = A.
    CopyToX,
    /// A = X.
    CopyToA,
    /// Forward.
    Jump { /** Where to. */ to: u32 },
    /// A test of A.
    Compare {
        /** How. */ how: Comparison,
        /** X or a number. */ operand: Operand,
        /** Where to go when it holds. */ on_true: u32,
        /** And when not. */ on_false: u32,
    },
    /// Is A in a set of numbers?
    InSet {
        /** Its number in the program. */ set: usize,
        /** Where to go when it is. */ on_true: u32,
        /** And when not. */ on_false: u32,
    },
    /// Are the bytes from offset A on in a set of numbers wider than A?
    InWide {
        /** Its number in the program. */ set: usize,
        /** Without tags. */ bare: bool,
        /** Where to go when they are. */ on_true: u32,
        /** And when not. */ on_false: u32,
    },
    /// Do the captured bytes contain a pattern?
    Contains {
        /** Its number in the program. */ pattern: usize,
        /** Where to go when they do. */ on_true: u32,
        /** And when not. */ on_false: u32,
    },
    /// The one jump that goes back; behind `MOST_TURNS` of them the frame is rejected.
    JumpBack { /** Where to. */ to: u32 },
    /// Ends the run.
    Return { /** 0 rejects the frame. */ value: u32 },
    /// Ends the run with A.
    ReturnA,
}

impl Operation {
    /// The instruction at number `at`, where its code is one of classic BPF's or of ours. Targets
    /// and constants are not checked, but never wrap to another meaning.
    pub fn read(instruction: &Instruction, at: u32) -> Option<Operation> {
        let Instruction { code, k, .. } = *instruction;
        let bare = instruction.flags == SKIPS_TAGS;
        let next = at.saturating_add(1);
        let on_true = next.saturating_add(instruction.on_true);
        let on_false = next.saturating_add(instruction.on_false);
        let load =
            |size, indexed| Operation::Load { size, offset: k, indexed, bare, missing: on_false };
        let operand = if code & 0x08 != 0 { Operand::X } else { Operand::K(k) };
        let compute = |what| Operation::Compute { what, operand };
        let divide = |remainder| Operation::Divide { operand, remainder, by_zero: on_false };
        let compare = |how| Operation::Compare { how, operand, on_true, on_false };
        let word = k as usize;
        Some(match code {
            0x20 => load(4, false),
            0x28 => load(2, false),
            0x30 => load(1, false),
            0x40 => load(4, true),
            0x48 => load(2, true),
            0x50 => load(1, true),
            0xb1 => Operation::LoadHeader { offset: k, bare, missing: on_false },
            0x80 => Operation::LoadWire { into: Register::A, bare },
            0x81 => Operation::LoadWire { into: Register::X, bare },
            0x100 => Operation::LoadCaptured { bare },
            0x00 => Operation::LoadConstant { into: Register::A, value: k },
            0x01 => Operation::LoadConstant { into: Register::X, value: k },
            0x60 => Operation::LoadMemory { into: Register::A, word },
            0x61 => Operation::LoadMemory { into: Register::X, word },
            0x02 => Operation::Store { from: Register::A, word },
            0x03 => Operation::Store { from: Register::X, word },
            0x04 | 0x0c => compute(Arithmetic::Add),
            0x14 | 0x1c => compute(Arithmetic::Subtract),
            0x24 | 0x2c => compute(Arithmetic::Multiply),
            0x34 | 0x3c => divide(false),
            0x44 | 0x4c => compute(Arithmetic::Or),
            0x54 | 0x5c => compute(Arithmetic::And),
            0x64 | 0x6c => compute(Arithmetic::ShiftLeft),
            0x74 | 0x7c => compute(Arithmetic::ShiftRight),
            0x84 => Operation::Negate,
            0x94 | 0x9c => divide(true),
            0xa4 | 0xac => compute(Arithmetic::Xor),
            0x07 => Operation::CopyToX,
            0x87 => Operation::CopyToA,
            0x05 => Operation::Jump { to: on_true },
            0x15 | 0x1d => compare(Comparison::Equal),
            0x25 | 0x2d => compare(Comparison::Greater),
            0x35 | 0x3d => compare(Comparison::AtLeast),
            0x45 | 0x4d => compare(Comparison::AnyBit),
            0x105 => Operation::InSet { set: word, on_true, on_false },
            0x115 => Operation::InWide { set: word, bare, on_true, on_false },
            0x125 => Operation::Contains { pattern: word, on_true, on_false },
            0x135 => Operation::JumpBack { to: next.saturating_sub(k) },
            0x06 => Operation::Return { value: k },
            0x16 => Operation::ReturnA,
            _ => return None,
        })
    }

    /// Whether it sees bytes or lengths of the frame, and so can be told to skip tags.
    pub fn can_skip_tags(&self) -> bool {
        matches!(
            self,
            Operation::Load { .. }
                | Operation::LoadHeader { .. }
                | Operation::LoadWire { .. }
                | Operation::LoadCaptured { .. }
                | Operation::InWide { .. }
        )
    }
}
