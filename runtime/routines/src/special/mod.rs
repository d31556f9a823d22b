//! Special functions that are computed by iterations or long case distinctions, in double precision.

mod bessel;
mod gamma;
mod orthogonal;

pub use bessel::*;
pub use gamma::*;
pub use orthogonal::*;
