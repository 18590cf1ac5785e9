//! The module of Python.

use crate::code::{ABI, Code, Error, keep_panics};
use crate::instruction::Instruction;
use crate::program::Source;
use crate::translate::Kind;
use pyo3::exceptions::{PyException, PyValueError};
use pyo3::prelude::*;

pyo3::create_exception!(fastcap_jit, Unavailable, PyException, "No machine code, and why.");
pyo3::create_exception!(fastcap_jit, Defect, Unavailable, "The same, by a fault of this package.");

/// A program as `fastcap._native.program.NativeProgram` takes it.
type Packed = (Vec<u8>, Vec<Vec<u8>>, Vec<(usize, Vec<u8>)>, Vec<Vec<u8>>, u32);

const INSTRUCTION: usize = size_of::<Instruction>();

fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes([bytes[at], bytes[at + 1]])
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn instruction(bytes: &[u8]) -> Instruction {
    Instruction {
        code: half(bytes, 0),
        flags: half(bytes, 2),
        k: word(bytes, 4),
        on_true: word(bytes, 8),
        on_false: word(bytes, 12),
    }
}

fn source((code, sets, wide_sets, patterns, tags_at): Packed) -> PyResult<Source> {
    if code.len() % INSTRUCTION != 0 || sets.iter().any(|set| set.len() % 8 != 0) {
        return Err(PyValueError::new_err("packed instructions or ranges end inside one"));
    }
    Ok(Source {
        instructions: code.chunks_exact(INSTRUCTION).map(instruction).collect(),
        sets: sets
            .iter()
            .map(|set| set.chunks_exact(8).map(|pair| (word(pair, 0), word(pair, 4))).collect())
            .collect(),
        wide_sets,
        patterns,
        tags_at,
    })
}

/// Machine code for one program, or for several that judge a group of frames at once.
///
/// `programs`: packed, as NativeProgram takes them. With `judge` the function is an
/// `fc_code_judge` (csrc/code.h), else an `fc_code_run` of one program. It stays where it is as long as
/// this object lives: who calls it keeps the object. Any number of threads may call at once.
///
/// ValueError for what is no valid program, `Unavailable` where there can be no machine code.
#[pyclass(frozen, module = "fastcap_jit")]
struct MachineCode {
    code: Code,
    judge: bool,
    programs: usize,
}

#[pymethods]
impl MachineCode {
    #[new]
    fn new(py: Python<'_>, programs: Vec<Packed>, judge: bool) -> PyResult<MachineCode> {
        let sources = programs.into_iter().map(source).collect::<PyResult<Vec<_>>>()?;
        let kind = if judge { Kind::Judge } else { Kind::Run };
        match py.detach(|| Code::new(&sources, kind)) {
            Ok(code) => Ok(MachineCode { code, judge, programs: sources.len() }),
            Err(error @ (Error::Invalid(..) | Error::Count)) => {
                Err(PyValueError::new_err(error.to_string()))
            }
            Err(error @ Error::Panic(_)) => Err(Defect::new_err(error.to_string())),
            Err(error) => Err(Unavailable::new_err(error.to_string())),
        }
    }

    /// Where the function is.
    #[getter]
    fn address(&self) -> usize {
        self.code.address()
    }

    /// Bytes of machine code.
    #[getter]
    fn size(&self) -> usize {
        self.code.size()
    }

    /// An fc_code_judge, not an fc_code_run.
    #[getter]
    fn judge(&self) -> bool {
        self.judge
    }

    /// How many programs it is of.
    #[getter]
    fn programs(&self) -> usize {
        self.programs
    }
}

/// fastcap's filter programs as machine code.
#[pymodule]
fn fastcap_jit(module: &Bound<'_, PyModule>) -> PyResult<()> {
    // A panic is told once, by whom it comes to: not on standard error, in the middle of a status.
    keep_panics();
    module.add("ABI", ABI)?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("Unavailable", module.py().get_type::<Unavailable>())?;
    module.add("Defect", module.py().get_type::<Defect>())?;
    module.add_class::<MachineCode>()
}
