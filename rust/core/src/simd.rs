//! The processor's instructions, chosen once: every loop that counts is compiled for each level.

mod lanes;
#[cfg(target_arch = "x86_64")]
mod x86;

use pulp::Arch;

pub(crate) use lanes::{Lanes, Plain};

/// A set of processor instructions to compute with.
///
/// ```
/// use unblot_core::Level;
///
/// // Any level makes the same bits; the best one is the last.
/// assert_eq!(Level::all()[0].0, "scalar");
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Level(Arch);

impl Level {
    /// The best that this processor has.
    #[must_use]
    pub fn best() -> Self {
        Self(Arch::new())
    }

    /// Plain instructions of the build's target.
    #[must_use]
    pub fn scalar() -> Self {
        Self(Arch::Scalar)
    }

    /// Every level that this processor has, by name; the best comes last.
    #[must_use]
    pub fn all() -> Vec<(&'static str, Self)> {
        #[allow(unused_mut)]
        let mut levels = vec![("scalar", Self::scalar())];
        #[cfg(target_arch = "x86_64")]
        {
            levels.extend(pulp::x86::V3::try_new().map(|v3| ("avx2", Self(Arch::V3(v3)))));
            levels.extend(pulp::x86::V4::try_new().map(|v4| ("avx512", Self(Arch::V4(v4)))));
        }
        #[cfg(target_arch = "aarch64")]
        levels.extend(pulp::aarch64::Neon::try_new().map(|neon| ("neon", Self(Arch::Neon(neon)))));
        levels
    }

    /// Run `work`, compiled for this level as far as it is inlined.
    #[inline(always)]
    pub(crate) fn run<R>(self, work: impl FnOnce() -> R) -> R {
        self.0.dispatch(work)
    }

    /// The same for work that takes random words.
    #[inline(always)]
    pub(crate) fn run_with_words<W: Work>(self, work: W) -> W::Output {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Arch::V3(v3) => v3.vectorize(
                #[inline(always)]
                || work.run(v3),
            ),
            #[cfg(target_arch = "x86_64")]
            Arch::V4(v4) => v4.vectorize(
                #[inline(always)]
                || work.run(v4),
            ),
            other => other.dispatch(
                #[inline(always)]
                || work.run(Plain),
            ),
        }
    }
}

/// Work that takes random words; a closure cannot be generic over how they are made.
pub(crate) trait Work {
    /// What it returns.
    type Output;

    /// Do it; must be inlined.
    fn run<L: Lanes>(self, lanes: L) -> Self::Output;
}
