//! What `elu check` tries: some bit patterns of a format, or all.

use wgpu_elu::DType;

use crate::judge::{bits, smallest_normal};

/// The bit patterns that are tried, in order.
pub(crate) struct Sample {
    dtype: DType,
    /// From one pattern to the next, round and round; 1 takes each of them.
    step: u64,
    pub(crate) count: u64,
    /// So many of the first are where the negative side bends: elsewhere almost all of float64 is.
    dense: u64,
}

impl Sample {
    pub(crate) fn new(dtype: DType, exhaustive: bool) -> Self {
        // 2^64 by the golden ratio, whose multiples leave no gap anywhere, and share no bits.
        const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
        let (step, count, dense) = match dtype {
            DType::F64 => (GOLDEN, 1 << 18, 1 << 17),
            DType::F16 | DType::BF16 => (1, 1 << 16, 0),
            _ if exhaustive => (1, 1 << 32, 0),
            _ => (97, (1u64 << 32).div_ceil(97), 0),
        };
        Self {
            dtype,
            step,
            count,
            dense,
        }
    }

    /// What is tried in one go: so much that the device has enough to do, in memory that does not grow.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = Vec<u64>> {
        let piece = if self.dtype == DType::F64 {
            1 << 12
        } else {
            1 << 21
        };
        let pieces = (0..self.count).step_by(piece).map(move |start| {
            let end = self.count.min(start + piece as u64);
            (start..end).map(|i| self.pattern(i)).collect()
        });
        // Where every pattern is tried, these are among them.
        pieces.chain((self.step > 1).then(|| self.specials()))
    }

    fn pattern(&self, i: u64) -> u64 {
        let anywhere = i.wrapping_mul(self.step);
        if i >= self.dense {
            return anywhere;
        }
        // As far between these as it is between 0 and 2^64.
        let [first, last] = [-0.5f64.powi(60), -40.0].map(f64::to_bits);
        let offset = (u128::from(anywhere) * u128::from(last - first)) >> 64;
        first + offset as u64
    }

    /// Where something changes: the ends of the format, of its subnormals, and of the ranges.
    fn specials(&self) -> Vec<u64> {
        let infinity = bits(self.dtype, f64::INFINITY);
        let sign = bits(self.dtype, -0.0);
        let normal = bits(self.dtype, smallest_normal(self.dtype));
        let ends = [
            0,
            1,
            normal - 1,
            normal,
            normal + 1,
            infinity - 1,
            infinity,
            infinity + 1,
        ];
        let inner = [
            17.4,
            1.0,
            0.1,
            1e-3,
            1e-7,
            18.0,
            0.346_573_6,
            std::f64::consts::LN_2,
        ];
        let inner = inner.map(|v| bits(self.dtype, v));
        ends.into_iter()
            .chain(inner)
            .flat_map(|bits| [bits, bits | sign])
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_of_a_float64_varies() {
        let sample = Sample::new(DType::F64, false);
        let patterns = |range: std::ops::Range<u64>| -> Vec<u64> {
            range.map(|i| sample.pattern(i)).collect()
        };
        let (dense, sparse) = (
            patterns(0..sample.dense),
            patterns(sample.dense..sample.count),
        );
        // A share of the numbers near 1/2, for every bit of the mantissa in one, and for all bits in the other.
        for (patterns, varying) in [(&dense, 0..52), (&sparse, 0..64)] {
            for bit in varying {
                let set = patterns.iter().filter(|&pattern| pattern >> bit & 1 == 1);
                let share = set.count() as f64 / patterns.len() as f64;
                assert!((0.49..0.51).contains(&share), "bit {bit}: {share}");
            }
        }
        let ends = -40.0..=-0.5f64.powi(60);
        assert!(
            dense
                .iter()
                .all(|&bits| ends.contains(&f64::from_bits(bits)))
        );
    }

    #[test]
    fn every_number_of_16_bits_once() {
        for dtype in [DType::F16, DType::BF16] {
            let sample = Sample::new(dtype, false);
            assert!(sample.pieces().flatten().eq(0..1 << 16));
        }
    }
}
