//! Conversions between the bits of each dtype, held in a `u64`, and `f64`.

use half::{bf16, f16};

use crate::dtype::DType;

/// Returns the number with these bits. The numbers of every dtype fit in an `f64`.
pub fn value(dtype: DType, bits: u64) -> f64 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a narrower dtype uses only the lower bits"
    )]
    match dtype {
        DType::F16 => f16::from_bits(bits as u16).into(),
        DType::BF16 => bf16::from_bits(bits as u16).into(),
        DType::F32 => f32::from_bits(bits as u32).into(),
        DType::F64 => f64::from_bits(bits),
    }
}

/// Returns the bits of the number of `dtype` that is nearest to `value`.
pub fn bits(dtype: DType, value: f64) -> u64 {
    match dtype {
        // `from_f64` of the crate `half` drops 32 bits before it rounds, so it may round wrongly.
        DType::F16 => f16::from_f32(round_to_odd(value)).to_bits().into(),
        DType::BF16 => bf16::from_f32(round_to_odd(value)).to_bits().into(),
        DType::F64 => value.to_bits(),
        DType::F32 => round(value).to_bits().into(),
    }
}

/// Returns the bits of the quiet NaN without a payload.
pub(super) fn quiet_nan(dtype: DType) -> u64 {
    match dtype {
        DType::F16 => 0x7e00,
        DType::BF16 => 0x7fc0,
        DType::F32 => 0x7fc0_0000,
        DType::F64 => 0x7ff8_0000_0000_0000,
    }
}

/// Returns the smallest normal number of `dtype`.
pub fn smallest_normal(dtype: DType) -> f64 {
    match dtype {
        DType::F16 => f16::MIN_POSITIVE.into(),
        DType::F64 => f64::MIN_POSITIVE,
        _ => f32::MIN_POSITIVE.into(),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the conversion is meant to round"
)]
fn round(value: f64) -> f32 {
    value as f32
}

/// Rounds to `f32`, to odd: an inexact result gets 1 as its last bit. A second rounding to at most half the bits then
/// gives the same result as a single rounding.
fn round_to_odd(value: f64) -> f32 {
    let rounded = round(value);
    if f64::from(rounded) == value || !rounded.is_finite() {
        return rounded;
    }
    // Steps back towards 0 if the rounding went away from it, and sets the last bit.
    let away = f64::from(rounded).abs() > value.abs();
    f32::from_bits((rounded.to_bits() - u32::from(away)) | 1)
}

/// Returns the `f32` nearest to `value`, as an `f64`.
pub(super) fn to_f32(value: f64) -> f64 {
    round(value).into()
}
