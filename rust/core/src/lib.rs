//! Blots images with random boxes of mixed noise, as the patent US 12387466 B2 describes (paragraphs 15 to 33).
//!
//! A [`Spec`] says what to draw and becomes a [`Plan`] once it is found valid; a [`Corruption`] draws the boxes of every image and fills
//! them. Everything random is indexed by (seed, image key, box, place in the box), see [`philox`]: the same image comes out
//! the same whatever the batch, the thread count, the memory layout or the processor.

#![forbid(unsafe_code)]

mod boxes;
mod corrupt;
mod error;
mod geometry;
mod level;
pub mod math;
mod noise;
mod overlay;
pub mod philox;
mod pixel;
mod poisson;
mod pool;
mod range;
mod region;
mod shape;
mod spec;
#[cfg(test)]
#[path = "../tests/common/statistics.rs"]
mod statistics;
mod tables;

pub use boxes::{BoxDraw, Kinds, Patch};
pub use corrupt::{Corruption, Images, Marks, mark_places};
pub use error::Error;
pub use geometry::Index;
pub use level::Level;
pub use pixel::Pixel;
pub use pool::available_threads;
pub use range::sampled_range;
pub use region::Region;
pub use spec::{
    AreaSplit, Base, Mode, Noise, Overlap, Placement, Plan, PoissonMode, RatioPer, RatioSampling, Shape, Spec,
};
pub use tables::TableArrays;
