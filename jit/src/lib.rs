//! fastcap's filter programs as machine code.
//!
//! A [`program::Source`] is what fastcap's core has as `struct fc_program_source`; [`code::Code`] is
//! a function of machine code that does what the core's interpreter does. fastcap needs none of it.

pub mod analysis;
pub mod code;
pub mod frame;
pub mod instruction;
pub mod interface;
pub mod program;
#[cfg(feature = "python")]
mod python;
pub mod state;
pub mod tables;
pub mod translate;
