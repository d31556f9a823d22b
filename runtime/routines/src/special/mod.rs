//! Special functions that are computed by iterations or long case distinctions, in double precision.

mod airy;
mod bessel;
mod gamma;
mod modified_bessel;
mod orthogonal;
mod series;

pub use airy::*;
pub use bessel::*;
pub use gamma::*;
pub use modified_bessel::*;
pub use orthogonal::*;
