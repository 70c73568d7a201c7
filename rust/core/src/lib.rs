#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod corrupt;
mod error;
mod geometry;
pub mod math;
mod noise;
mod pixel;
mod pool;
mod range;
mod region;
mod render;
pub mod rng;
mod simd;
mod spec;
#[cfg(test)]
#[path = "../tests/common/statistics.rs"]
mod statistics;

pub use corrupt::Corruption;
pub use error::Error;
pub use geometry::{BoxDraw, Index, Kinds, Patch};
pub use pixel::Pixel;
pub use pool::available_threads;
pub use range::sampled_range;
pub use region::Region;
pub use render::{Images, Marks, Rendered, mark_places};
pub use simd::Level;
pub use spec::{
    AreaSplit, Base, Mode, Noise, Overlap, Placement, Plan, PoissonMode, RatioPer, RatioSampling, Shape, Spec,
    TableArrays,
};
