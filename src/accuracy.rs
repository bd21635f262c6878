//! Checks whether a device's results are as accurate as documented, on a sample that contains the values at which
//! results are most likely to be wrong. `elu check` prints the [`Report`].
//!
//! You can test your own device in your own CI:
//!
//! ```
//! use wgpu_elu::{DType, Device, Op, accuracy::{self, Extent}};
//!
//! let device = Device::auto_blocking()?;
//! let report = accuracy::check_blocking(&device, Op::Forward, DType::F16, 1.0, Extent::Few)?;
//! assert!(report.is_kept(), "{report}");
//! # assert!(report.count() > 1000 && report.others().factors() > 100);
//! # Ok::<(), wgpu_elu::Error>(())
//! ```
//!
//! # The contract
//!
//! The contract is the documented error bound, and [`Judge`] decides whether a result keeps it. Every result is within
//! [`Judge::max_ulp`] ULP of the exact value: 1 ULP, or 2 ULP for `float64`. (A ULP, unit in the last place, is the
//! distance between two neighbouring numbers.) The exact value is computed in higher precision: in `f64` for `f32` and
//! the 16-bit formats, and with 160 bits for `f64`. If the exact result is a zero, an infinity or NaN, the result must
//! be the same, including the sign of zero. Forward must return a NaN input bit by bit; elsewhere any NaN is allowed.
//! For 16-bit formats, forward with alpha 1 must return the number nearest to the exact value. With
//! [`Rounding::Nearest`](crate::Rounding::Nearest), every result must be the nearest number; where the higher precision
//! does not show which number is nearest, the exact value is computed with 2,400 bits.

mod digest;
mod examination;
mod format;
mod gradients;
mod judge;
mod other_factors;
mod report;
mod sample;
mod tally;

use crate::{device::Device, dtype::DType, elu::Elu, error::Result, op::Op};
pub use digest::digest;
pub use examination::{compute, examine, examine_device, from_bytes, pieces, to_bytes};
pub use format::{bits, smallest_normal, value};
pub use judge::{Judge, RoundedFactors, Verdict};
pub use other_factors::other_judges;
pub use report::{Others, Report};
pub use sample::{Extent, Sample};
pub use tally::{Case, Findings, Tally, Worst};

/// Judges a device's results of one operation on one dtype, for `elu` (a number is alpha) and for about a hundred
/// other sets of factors: alphas from subnormal to infinite, SELU, CELU, and combinations of all three factors.
///
/// With [`Extent::Default`] it judges tens of millions of `float32` results, which takes some seconds.
///
/// # Errors
///
/// Returns [`Error::MissingFeature`](crate::Error::MissingFeature) if the device does not support `dtype`, and the
/// other errors of [`Elu::apply`]. A result that breaks the contract is not an error: see [`Report::is_kept`].
pub async fn check(
    device: &Device,
    op: Op,
    dtype: DType,
    elu: impl Into<Elu>,
    extent: Extent,
) -> Result<Report> {
    let elu = elu.into();
    let judge = Judge { op, dtype, elu };
    let empty = || Report::new(judge);
    let (report, others) = check_with(device, judge, extent, empty, |_, _| {}).await?;
    Ok(report.with_others(others))
}

/// Judges the results that [`check`] judges. Returns those for `judge` in the collection that `empty` creates, and
/// those for the other factors as [`Others`]. Calls `progress` after each piece with two numbers: the results that were
/// computed so far, and those of the whole check.
///
/// # Errors
///
/// Returns the errors of [`check`].
pub async fn check_with<F: Findings>(
    device: &Device,
    judge: Judge,
    extent: Extent,
    empty: impl Fn() -> F + Sync,
    mut progress: impl FnMut(u64, u64),
) -> Result<(F, Others)> {
    let sample = Sample::new(judge, extent);
    let other_samples = other_samples(judge, extent);
    let total = sample.len() + other_samples.iter().map(Sample::len).sum::<u64>();
    let mut done = 0;
    let mut advance = |count| {
        done += count;
        progress(done, total);
    };
    let findings = examine_device(device, &sample, empty, &mut advance).await?;
    let mut others = Others::default();
    for sample in other_samples {
        let empty = || Others::new(sample.judge());
        others = others.combine(examine_device(device, &sample, empty, &mut advance).await?);
    }
    Ok((findings, others))
}

/// The blocking version of [`check`].
///
/// # Errors
///
/// Returns the same errors as [`check`].
#[cfg(not(target_family = "wasm"))]
pub fn check_blocking(
    device: &Device,
    op: Op,
    dtype: DType,
    elu: impl Into<Elu>,
    extent: Extent,
) -> Result<Report> {
    pollster::block_on(check(device, op, dtype, elu, extent))
}

/// Returns a smaller sample for each of the other sets of factors that [`check`] judges with this extent.
pub fn other_samples(judge: Judge, extent: Extent) -> Vec<Sample> {
    let is_exhaustive = extent == Extent::Exhaustive;
    let other_extent = if is_exhaustive {
        Extent::Many
    } else {
        Extent::Few
    };
    let judges = other_judges(judge.op, judge.dtype, is_exhaustive).into_iter();
    let judges = judges.map(|other| Judge {
        elu: other.elu.with_rounding(judge.elu.rounding()),
        ..other
    });
    judges
        .map(|judge| Sample::new(judge, other_extent))
        .collect()
}
