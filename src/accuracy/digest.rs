//! A digest of a device's results, to compare devices bit by bit.

use sha2::{Digest as _, Sha256};

use super::{examination::to_bytes, judge::Judge};
use crate::{device::Device, dtype::DType, error::Result, tensor::Tensor};

/// Returns the SHA-256 of a device's results as little-endian bytes, in hexadecimal digits. With
/// [`Rounding::Nearest`](crate::Rounding::Nearest) it is the same on every device.
///
/// The inputs depend on the numbers n = 0, `step`, `2 * step`, ... below 2^16 for 16-bit dtypes, else below 2^32:
///
/// | number | its bits |
/// |---|---|
/// | `x` of `f32`, `f16` and `bf16` | n, so that with a `step` of 1 they are all numbers of the dtype, NaN included |
/// | `x` of `f64` | n * `0x9e3779b97f4a7c15` modulo 2^64 |
/// | the incoming gradient | the leading bits of n * `0xd1342543de82ef95` modulo 2^64 |
///
/// The first factor is 2^64 divided by the golden ratio; the second is from Steele and Vigna, "Computationally easy,
/// spectrally good multipliers for congruential pseudorandom number generators", table 6.
///
/// Calls `progress` after each piece with two numbers: the results that were computed so far, and those of the whole
/// digest.
///
/// # Errors
///
/// Returns the errors of [`Elu::apply`](crate::Elu::apply) and [`Tensor::to_bytes`].
pub async fn digest(
    device: &Device,
    judge: Judge,
    step: u64,
    mut progress: impl FnMut(u64, u64),
) -> Result<String> {
    const PIECE: u64 = 1 << 21;
    let Judge { op, dtype, elu } = judge;
    let step = step.max(1);
    let count = (1u64 << bits(dtype).min(32)).div_ceil(step);
    let mut hash = Sha256::new();
    for piece in 0..count.div_ceil(PIECE) {
        let (start, end) = (piece * PIECE, count.min((piece + 1) * PIECE));
        let numbers = (start..end).map(|i| i * step);
        let tensor = |bits: &[u64]| {
            let bytes = to_bytes(dtype, bits);
            Tensor::from_bytes(device, dtype, &bytes, &[bits.len()])
        };
        let x: Vec<u64> = numbers.clone().map(|n| x_bits(dtype, n)).collect();
        let grad: Vec<u64> = numbers.map(|n| grad_bits(dtype, n)).collect();
        let grad = op.has_grad().then(|| tensor(&grad)).transpose()?;
        let y = elu.apply(op, &tensor(&x)?, grad.as_ref())?;
        let mut bytes = y.to_bytes().await?;
        if cfg!(target_endian = "big") {
            bytes
                .chunks_exact_mut(dtype.size())
                .for_each(<[u8]>::reverse);
        }
        hash.update(&bytes);
        progress(end, count);
    }
    let digits = hash.finalize();
    Ok(digits.iter().map(|byte| format!("{byte:02x}")).collect())
}

// ---- Internals ----

/// Returns the number of bits of an element.
fn bits(dtype: DType) -> u32 {
    match dtype {
        DType::F16 | DType::BF16 => 16,
        DType::F32 => 32,
        DType::F64 => 64,
    }
}

fn x_bits(dtype: DType, n: u64) -> u64 {
    match dtype {
        DType::F64 => n.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        DType::F32 | DType::F16 | DType::BF16 => n,
    }
}

fn grad_bits(dtype: DType, n: u64) -> u64 {
    n.wrapping_mul(0xd134_2543_de82_ef95) >> (64 - bits(dtype))
}
