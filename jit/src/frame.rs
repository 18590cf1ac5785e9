//! Frames whose bytes are not in one piece, or are to be seen without their VLAN tags; and what
//! machine code calls for what it does not do itself. Layouts are those of `csrc/frame.h`.

use crate::instruction::{TAG_LENGTH, TAG_OFFSET};
use crate::tables::{NumberSet, WideSet};
use memchr::memmem::Finder;

/// `struct fc_frame`.
#[repr(C)]
#[derive(Debug)]
pub struct Frame {
    /// The captured bytes, less the tag where that is apart.
    pub bytes: *const u8,
    /// Captured length, the tag's 4 bytes included.
    pub captured: u32,
    /// Length on the wire, likewise.
    pub wire: u32,
    /// 1: the tag lies in `tag`, not in `bytes`; then at least 16 bytes were captured.
    pub tagged: u8,
    /// TPID and TCI.
    pub tag: [u8; 4],
}

/// `struct fc_frame_tags`: the tags that are to be skipped.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Tags {
    /// Where they begin.
    pub at: u32,
    /// How many of their bytes were captured,
    pub captured: u32,
    /// and how many there were on the wire.
    pub wire: u32,
}

impl Frame {
    /// # Safety
    /// `offset` is below the captured length, and `bytes` holds what `captured` says.
    unsafe fn byte(&self, offset: u64) -> u8 {
        let at = if self.tagged == 0 || offset < TAG_OFFSET {
            offset
        } else if offset < TAG_OFFSET + TAG_LENGTH {
            return self.tag[(offset - TAG_OFFSET) as usize];
        } else {
            offset - TAG_LENGTH
        };
        // SAFETY: the caller's promise; a tag that is apart is not in `bytes`.
        unsafe { *self.bytes.add(at as usize) }
    }

    /// The bytes in one piece, of what is not in the tag or before it.
    ///
    /// # Safety
    /// `bytes` holds what `captured` says.
    unsafe fn rest(&self, from: usize, length: usize) -> &[u8] {
        if length == 0 {
            return &[];
        }
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts(self.bytes.add(from), length) }
    }
}

impl Tags {
    /// A byte's place in the whole frame.
    fn place(&self, offset: u64) -> u64 {
        if offset < u64::from(self.at) { offset } else { offset + u64::from(self.captured) }
    }
}

/// What `load_apart` gives where bytes are missing.
pub const MISSING: i64 = -1;

/// `size` bytes at an offset of a frame without `tags` as a big-endian number, or [`MISSING`].
///
/// # Safety
/// The frame's `bytes` hold what it says, and the tags are its own.
pub unsafe extern "C" fn load_apart(frame: &Frame, tags: &Tags, offset: u64, size: u64) -> i64 {
    let captured = u64::from(frame.captured - tags.captured);
    if offset > captured || size > captured - offset {
        return MISSING;
    }
    (offset..offset + size).fold(0, |value, at| {
        // SAFETY: below the captured length, as was checked; the caller's promise for the rest.
        value << 8 | i64::from(unsafe { frame.byte(tags.place(at)) })
    })
}

/// Whether the number at an offset of a frame without `tags` is in a set.
///
/// # Safety
/// As for [`load_apart`].
pub unsafe extern "C" fn wide_apart(set: &WideSet, frame: &Frame, tags: &Tags, offset: u64) -> u32 {
    let width = set.width as u64;
    let captured = u64::from(frame.captured - tags.captured);
    if offset > captured || width > captured - offset {
        return 0;
    }
    let mut bytes = [0; crate::program::WIDEST];
    for (byte, at) in bytes.iter_mut().zip(offset..offset + width) {
        // SAFETY: below the captured length, as was checked; the caller's promise for the rest.
        *byte = unsafe { frame.byte(tags.place(at)) };
    }
    set.has(&bytes[..set.width]).into()
}

/// Whether a frame, with its tag, holds a pattern.
///
/// # Safety
/// As for [`load_apart`].
pub unsafe extern "C" fn contains_apart(pattern: &Finder<'static>, frame: &Frame) -> u32 {
    let (needle, captured) = (pattern.needle(), u64::from(frame.captured));
    let behind = TAG_OFFSET + TAG_LENGTH;
    if frame.tagged == 0 {
        // SAFETY: the caller's promise.
        return pattern.find(unsafe { frame.rest(0, captured as usize) }).is_some().into();
    }
    for start in 0..behind {
        if start > captured || needle.len() as u64 > captured - start {
            return 0;
        }
        // SAFETY: the whole pattern lies below the captured length.
        let holds = |(i, byte): (usize, &u8)| unsafe { frame.byte(start + i as u64) } == *byte;
        if needle.iter().enumerate().all(holds) {
            return 1;
        }
    }
    // SAFETY: without the tag there are so many bytes; at least 16 were captured.
    let rest = unsafe { frame.rest(TAG_OFFSET as usize, (captured - behind) as usize) };
    pattern.find(rest).is_some().into()
}

/// Whether the number at an offset of bytes in one piece is in a set.
///
/// # Safety
/// There are `captured` bytes.
pub unsafe extern "C" fn wide_whole(
    set: &WideSet,
    bytes: *const u8,
    captured: u64,
    offset: u64,
) -> u32 {
    if offset > captured || set.width as u64 > captured - offset {
        return 0;
    }
    // SAFETY: as was checked.
    let number = unsafe { std::slice::from_raw_parts(bytes.add(offset as usize), set.width) };
    set.has(number).into()
}

/// Whether bytes in one piece hold a pattern.
///
/// # Safety
/// There are `captured` bytes.
pub unsafe extern "C" fn contains_whole(
    pattern: &Finder<'static>,
    bytes: *const u8,
    captured: u64,
) -> u32 {
    if captured == 0 {
        return 0;
    }
    // SAFETY: the caller's promise.
    let whole = unsafe { std::slice::from_raw_parts(bytes, captured as usize) };
    pattern.find(whole).is_some().into()
}

/// Whether a number is in a set.
pub extern "C" fn number_in(set: &NumberSet, value: u32) -> u32 {
    set.has(value).into()
}
