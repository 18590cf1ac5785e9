//! The same for C: for fuzzers, tests and benches, which have no Python.

use crate::code::{Code, Error};
use crate::instruction::Instruction;
use crate::program::Source;
use crate::translate::Kind;
use std::slice::from_raw_parts;

/// `struct fc_ranges`.
#[repr(C)]
pub struct Ranges {
    pairs: *const [u32; 2],
    count: u32,
}

/// `struct fc_wide_ranges`.
#[repr(C)]
pub struct WideRanges {
    pairs: *const u8,
    count: u32,
    width: u32,
}

/// `struct fc_pattern`.
#[repr(C)]
pub struct Pattern {
    bytes: *const u8,
    length: u32,
}

/// `struct fc_program_source`.
#[repr(C)]
pub struct ProgramSource {
    instructions: *const Instruction,
    count: usize,
    sets: *const Ranges,
    set_count: usize,
    wide_sets: *const WideRanges,
    wide_set_count: usize,
    patterns: *const Pattern,
    pattern_count: usize,
    tags_at: u32,
}

/// # Safety
/// A pointer that is not NULL leads to `count` of what it says.
unsafe fn all<'a, T>(pointer: *const T, count: usize) -> &'a [T] {
    // SAFETY: the caller's promise.
    if count == 0 { &[] } else { unsafe { from_raw_parts(pointer, count) } }
}

impl ProgramSource {
    /// # Safety
    /// Everything is there that the counts say.
    unsafe fn copy(&self) -> Source {
        // SAFETY: the caller's promise, for this and all below.
        let (sets, wide, patterns) = unsafe {
            (
                all(self.sets, self.set_count),
                all(self.wide_sets, self.wide_set_count),
                all(self.patterns, self.pattern_count),
            )
        };
        Source {
            // SAFETY: as above.
            instructions: unsafe { all(self.instructions, self.count) }.to_vec(),
            sets: sets
                .iter()
                // SAFETY: as above.
                .map(|set| unsafe { all(set.pairs, set.count as usize) })
                .map(|pairs| pairs.iter().map(|pair| (pair[0], pair[1])).collect())
                .collect(),
            wide_sets: wide
                .iter()
                .map(|set| {
                    let bytes = 2 * set.count as usize * set.width as usize;
                    // SAFETY: as above.
                    (set.width as usize, unsafe { all(set.pairs, bytes) }.to_vec())
                })
                .collect(),
            patterns: patterns
                .iter()
                // SAFETY: as above.
                .map(|p| unsafe { all(p.bytes, p.length as usize) }.to_vec())
                .collect(),
            tags_at: self.tags_at,
        }
    }
}

/// Machine code for programs, or NULL; why, where they are valid, is told on standard error. `judge`: for a group, else for one frame. `fc_jit_free`
/// frees it.
///
/// # Safety
/// `sources` leads to `count` of them, and all that they lead to is there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fc_jit_new(
    sources: *const ProgramSource,
    count: usize,
    judge: bool,
) -> *mut Code {
    // SAFETY: the caller's promise.
    let sources: Vec<Source> =
        unsafe { all(sources, count) }.iter().map(|source| unsafe { source.copy() }).collect();
    let kind = if judge { Kind::Judge } else { Kind::Run };
    match Code::new(&sources, kind) {
        Ok(code) => Box::into_raw(Box::new(code)),
        Err(Error::Invalid(..) | Error::Count) => std::ptr::null_mut(),
        Err(error) => {
            eprintln!("fastcap-jit: {error}");
            std::ptr::null_mut()
        }
    }
}

/// Where the function is.
///
/// # Safety
/// `code` is of `fc_jit_new`, and not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fc_jit_function(code: *const Code) -> *const () {
    // SAFETY: the caller's promise.
    unsafe { &*code }.address() as *const ()
}

/// Frees machine code that nobody runs. NULL is taken too.
///
/// # Safety
/// `code` is of `fc_jit_new`, and not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fc_jit_free(code: *mut Code) {
    if !code.is_null() {
        // SAFETY: the caller's promise.
        drop(unsafe { Box::from_raw(code) });
    }
}
