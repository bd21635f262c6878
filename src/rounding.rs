//! How results are rounded.

use std::fmt;

/// How the results of [`Elu`](crate::Elu) are rounded.
///
/// ```
/// use wgpu_elu::{Elu, Rounding, cpu};
///
/// let elu = Elu::new(0.5).with_rounding(Rounding::Nearest);
/// let mut y = [0.0f32];
/// cpu::forward(elu, &[-1.0f32], &mut y)?;
/// assert_eq!(y, [-0.31606027]); // no float is nearer to 0.5 * (exp(-1) - 1)
/// # Ok::<(), wgpu_elu::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum Rounding {
    /// The result is within 1 ULP of the exact value (`float64`: 2 ULP). Devices may differ in the last bit.
    #[default]
    Faithful,
    /// The result is the number nearest to the exact value, ties to even. It therefore has the same bits on every
    /// device. On a software adapter, forward takes 4 to 6 times as long, and gradients 2 to 3
    /// times (docs/benchmarks).
    ///
    /// The exact value is that of the formula of [`Factors`](crate::Factors) with the rounded factors. A NaN in `x` is
    /// returned with its bits. Where the result is NaN although `x` is not, it is the quiet NaN without a payload.
    ///
    /// A GPU computes it with integers only, which every device that follows the WGSL specification computes alike. It
    /// cannot compute it for `f64`: that is [`Error::Rounding`](crate::Error::Rounding).
    Nearest,
}

impl Rounding {
    /// Returns the name: `faithful` or `nearest`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Faithful => "faithful",
            Self::Nearest => "nearest",
        }
    }
}

impl fmt::Display for Rounding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
