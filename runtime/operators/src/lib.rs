//! Picture operators: shared libraries that turn a grey picture into another of the same size, loaded by name at run time.
//!
//! ```text
//! operator crate (cdylib)                      host (`enhance`)
//!   impl Operator for Clahe                      Library::open(path)   handshake: magic, ABI version, struct sizes
//!   export_operator!(Clahe)  -- C ABI, v1 -->    library.create("clip_limit=3") -> Instance
//!                                                instance.run(&input, &mut output)
//! ```
//!
//! The ABI is C (`include/gantry_operator.h`), so operators may be written in any language; [`export_operator!`] makes one from
//! a safe Rust type. A panic is stopped at the boundary and comes back as [`OperatorError::Panicked`]; after it the instance is
//! not used again. Nothing can stop a library that breaks memory: a segmentation fault in an operator ends the process that
//! loaded it. That is why operators run in a node of their own and not in the reader's process.
//!
//! A library stays loaded as long as anything made from it lives.
//!
//! Two operators cannot be linked into one program as rlibs when both are used: each defines the symbol `gantry_operator_v1`.

#![allow(unsafe_code)] // The plug-in boundary: style.md section 8. Everything public is safe.

pub mod abi;
mod error;
mod instance;
mod library;
mod picture;
pub mod pixels;
#[doc(hidden)]
pub mod plugin;

pub use error::{LoadError, OperatorError};
pub use gantry_contract::{Param, Text, choice_param, f64_param, int_param, text};
pub use instance::Instance;
pub use library::{Library, library_file};
pub use picture::{Picture, PictureError, PictureMut};
pub use plugin::Operator;
