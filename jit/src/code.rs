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
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What functions and structures mean to their callers; `csrc/code.h` has the same number.
pub const ABI: u32 = 1;
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

fn target(long: bool) -> Result<OwnedTargetIsa, Error> {
    let told = |error: String| Error::Unsupported(error);
    let mut flags = settings::builder();
    let chosen = [
        ("opt_level", if long { "none" } else { "speed" }),
        ("regalloc_algorithm", if long { "single_pass" } else { "backtracking" }),
        ("enable_verifier", if cfg!(debug_assertions) { "true" } else { "false" }),
        ("unwind_info", "false"),
    ];
    for (name, value) in chosen {
        flags.set(name, value).map_err(|error| told(error.to_string()))?;
    }
    let builder = cranelift_native::builder().map_err(|error| told(error.to_string()))?;
    builder.finish(settings::Flags::new(flags)).map_err(|error| told(error.to_string()))
}

fn compile(programs: &[&Program], kind: Kind) -> Result<Vec<u8>, Error> {
    let operations: usize = programs.iter().map(|program| program.operations.len()).sum();
    let isa = target(operations > LONG)?;
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
    Ok(compiled.code_buffer().to_vec())
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
            let bytes = compile(&borrowed, kind)?;
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

/// A panic becomes an error.
fn guarded(work: impl FnOnce() -> Result<Code, Error>) -> Result<Code, Error> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().cloned();
        let said = said.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_string()));
        Err(Error::Panic(said.unwrap_or_default()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error() {
        let made = guarded(|| panic!("on purpose"));
        assert!(matches!(made, Err(Error::Panic(said)) if said == "on purpose"));
    }
}
