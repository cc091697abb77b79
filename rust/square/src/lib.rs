//! Kernels of the availability layer, bit-exact with Celestia: Leopard erasure coding over both of its fields, namespaced Merkle
//! trees, and the extended square that they make of 512-byte shares. Free of Python.
//!
//! Sources: rsmt2d (square, repair), nmt (trees), klauspost/reedsolomon `leopard*.go` and catid/leopard (code), celestia-app
//! `pkg/wrapper` (which cells carry which namespace).

pub mod axis;
mod bytes;
pub mod codeword;
mod cpu;
pub mod field;
pub mod leopard;
mod memory;
pub mod nmt;
pub mod repair;
pub mod sha;
pub mod square;
mod transform;

pub use axis::ExtendedAxis;
pub use codeword::axis_root;
pub use repair::{RepairError, Repaired, repair};
pub use square::{Axis, ExtendedSquare, SquareError};

/// Bytes of a share.
pub const SHARE: usize = 512;
/// Bytes of a namespace.
pub const NAMESPACE: usize = 29;
/// The widest original square.
pub const MAX_SQUARE_SIZE: usize = 512;
/// The namespace of every cell outside the original square.
pub const PARITY: [u8; NAMESPACE] = [0xff; NAMESPACE];
