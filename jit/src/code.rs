//! Machine code, and who owns it: a [`Code`] holds the memory that is executed and all tables that
//! it looks at, and frees both when it goes. Whoever runs it keeps it.

use crate::program::{Invalid, Program, Source};
use crate::translate::{Kind, LONG, Translator};
use cranelift_codegen::ir::types::{I32, I64};
use cranelift_codegen::ir::{AbiParam, Function, Signature, UserFuncName};
use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_codegen::settings::{self, Configurable};
use cranelift_codegen::{Context, control::ControlPlane};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use memmap2::{Mmap, MmapMut};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What functions and structures mean to their callers; `csrc/code.h` has the same number.
pub const ABI: u32 = 1;
/// Operations up to which the quick allocator's stack is mostly small enough.
const QUICK: usize = 4096;
/// Operations of programs that are translated: more take longer than most captures to filter.
const MOST_OPERATIONS: usize = 32_768;
/// Bytes of stack of a function; threads may have little.
const MOST_STACK: u32 = 16 << 10;
/// Outputs of one call.
pub const MOST_PROGRAMS: usize = 256;

/// Why there is no machine code.
#[derive(Debug)]
pub enum Error {
    /// A program breaks a rule: its number, and which instruction.
    Invalid(usize, Invalid),
    /// No programs, too many, or several where one is asked for.
    Count,
    /// The processor is none that Cranelift knows, or it failed.
    Unsupported(String),
    /// The system gives no memory that can be executed.
    Memory(std::io::Error),
    /// A defect of ours; what was said.
    Panic(String),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Error::Invalid(program, at) => {
                write!(f, "not a valid filter program: number {program}, instruction {}", at.0)
            }
            Error::Count => write!(f, "1 to {MOST_PROGRAMS} programs, and one to run alone"),
            Error::Unsupported(what) => write!(f, "no machine code for this: {what}"),
            Error::Memory(error) => write!(f, "memory that can be executed is refused: {error}"),
            Error::Panic(what) => write!(f, "a defect in the translation: {what}"),
        }
    }
}

/// See the module.
pub struct Code {
    memory: Mmap,
    size: usize,
    _programs: Vec<Program>,
}

fn signature(isa: &OwnedTargetIsa, kind: Kind) -> Signature {
    let mut made = Signature::new(isa.default_call_conv());
    let count = if kind == Kind::Run { 2 } else { 3 };
    made.params.extend([AbiParam::new(I64); 3].iter().take(count));
    if kind == Kind::Run {
        made.returns.push(AbiParam::new(I32));
    }
    made
}

/// How much is spent on the translation of so many operations.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effort {
    /// All optimisations.
    Full,
    /// None, and the allocator of registers that is quickest; it takes stack for each value.
    Quick,
    /// None, for programs whose values would take too much stack.
    Frugal,
}

impl Effort {
    fn of(operations: usize) -> Result<Effort, Error> {
        if operations > MOST_OPERATIONS {
            let why = format!("{operations} instructions are more than {MOST_OPERATIONS}");
            return Err(Error::Unsupported(why));
        }
        Ok(if operations <= LONG {
            Effort::Full
        } else if operations <= QUICK {
            Effort::Quick
        } else {
            Effort::Frugal
        })
    }
}

fn target(effort: Effort) -> Result<OwnedTargetIsa, Error> {
    let told = |error: String| Error::Unsupported(error);
    let mut flags = settings::builder();
    let chosen = [
        ("opt_level", if effort == Effort::Full { "speed" } else { "none" }),
        (
            "regalloc_algorithm",
            if effort == Effort::Quick { "single_pass" } else { "backtracking" },
        ),
        ("enable_probestack", "true"),
        ("probestack_strategy", "inline"),
        ("enable_verifier", if cfg!(feature = "verify") { "true" } else { "false" }),
        ("unwind_info", "false"),
    ];
    for (name, value) in chosen {
        flags.set(name, value).map_err(|error| told(error.to_string()))?;
    }
    let builder = cranelift_native::builder().map_err(|error| told(error.to_string()))?;
    builder.finish(settings::Flags::new(flags)).map_err(|error| told(error.to_string()))
}

/// Machine code of programs, and the bytes of stack that it takes.
fn compile(programs: &[&Program], kind: Kind, effort: Effort) -> Result<(Vec<u8>, u32), Error> {
    let isa = target(effort)?;
    let mut context = Context::for_function(Function::with_name_signature(
        UserFuncName::user(0, 0),
        signature(&isa, kind),
    ));
    let mut builders = FunctionBuilderContext::new();
    let mut builder = FunctionBuilder::new(&mut context.func, &mut builders);
    Translator::build(&mut builder, programs, kind);
    builder.finalize();
    let compiled = context
        .compile(&*isa, &mut ControlPlane::default())
        .map_err(|error| Error::Unsupported(format!("{:?}", error.inner)))?;
    if !compiled.buffer.relocs().is_empty() {
        return Err(Error::Unsupported("calls that nobody links".to_string()));
    }
    Ok((compiled.code_buffer().to_vec(), compiled.frame_size))
}

fn compile_all(programs: &[&Program], kind: Kind) -> Result<Vec<u8>, Error> {
    let operations = programs.iter().map(|program| program.operations.len()).sum();
    let effort = Effort::of(operations)?;
    let (mut bytes, mut stack) = compile(programs, kind, effort)?;
    if stack > MOST_STACK && effort == Effort::Quick {
        (bytes, stack) = compile(programs, kind, Effort::Frugal)?;
    }
    if stack > MOST_STACK {
        return Err(Error::Unsupported(format!("{stack} bytes of stack")));
    }
    Ok(bytes)
}

fn executable(bytes: &[u8]) -> Result<Mmap, Error> {
    let mut memory = MmapMut::map_anon(bytes.len()).map_err(Error::Memory)?;
    memory.copy_from_slice(bytes);
    memory.make_exec().map_err(Error::Memory)
}

impl Code {
    /// Checks sources, and translates them into one function.
    pub fn new(sources: &[Source], kind: Kind) -> Result<Code, Error> {
        guarded(|| {
            let most = if kind == Kind::Run { 1 } else { MOST_PROGRAMS };
            if sources.is_empty() || sources.len() > most {
                return Err(Error::Count);
            }
            let mut programs = Vec::with_capacity(sources.len());
            for (number, source) in sources.iter().enumerate() {
                programs.push(Program::new(source).map_err(|bad| Error::Invalid(number, bad))?);
            }
            let borrowed: Vec<&Program> = programs.iter().collect();
            let bytes = compile_all(&borrowed, kind)?;
            Ok(Code { memory: executable(&bytes)?, size: bytes.len(), _programs: programs })
        })
    }

    /// Where the function is; what it takes says [`Kind`].
    pub fn address(&self) -> usize {
        self.memory.as_ptr().addr()
    }

    /// Bytes of machine code.
    pub fn size(&self) -> usize {
        self.size
    }
}

thread_local! {
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// What a process does with panics that is not told of them on standard error: they are kept, with
/// their place, for the error that they become.
pub fn keep_panics() {
    std::panic::set_hook(Box::new(|panic| PANIC.set(panic.to_string())));
}

/// A panic becomes an error.
fn guarded(work: impl FnOnce() -> Result<Code, Error>) -> Result<Code, Error> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(Error::Panic(PANIC.take())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instruction::Instruction;

    #[test]
    fn a_panic_becomes_an_error_with_its_place() {
        keep_panics();
        let made = guarded(|| panic!("on purpose"));
        let _ = std::panic::take_hook();
        let Err(Error::Panic(said)) = made else { panic!("no error") };
        assert!(said.contains("on purpose") && said.contains("code.rs"), "{said}");
    }

    #[test]
    fn the_longest_programs_take_little_stack() {
        for count in [LONG - 1, QUICK - 1, QUICK + 1, MOST_OPERATIONS - 1] {
            let made = Code::new(&[long(count)], Kind::Run);
            assert!(
                made.is_ok(),
                "{count}: {}",
                made.err().map_or(String::new(), |e| e.to_string())
            );
        }
        let made = Code::new(&[long(MOST_OPERATIONS)], Kind::Run);
        assert!(matches!(made, Err(Error::Unsupported(_))));
    }

    /// Loads and tests one behind the other, and a return.
    fn long(count: usize) -> Source {
        let mut instructions = Vec::new();
        for at in 0..count {
            let even = at % 2 == 0;
            instructions.push(Instruction {
                code: if even { 0x20 } else { 0x25 },
                k: at as u32 % 60,
                ..Instruction::default()
            });
        }
        instructions.push(Instruction { code: 0x06, k: 1, ..Instruction::default() });
        Source { instructions, ..Source::default() }
    }
}
