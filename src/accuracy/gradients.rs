//! The incoming gradients of a sample.

use std::f64::consts::LOG2_E;

use super::{
    format::{bits, smallest_normal, value},
    judge::Judge,
    sample::{all_bits, mix, sign_bit},
};
use crate::op::Op;

/// Creates gradients of all kinds, among them gradients that give results of every size.
#[derive(Debug)]
pub(super) struct Gradients {
    judge: Judge,
    /// The binary logarithms of the dtype's smallest positive number and of its largest.
    min_exponent: f64,
    max_exponent: f64,
    /// Magnitudes, as bits: the limits of the subnormal, normal and infinite numbers and of NaN, and a few others.
    edges: [u64; 12],
}

impl Gradients {
    pub(super) fn new(judge: Judge) -> Self {
        let dtype = judge.dtype;
        let infinity = bits(dtype, f64::INFINITY);
        let normal = bits(dtype, smallest_normal(dtype));
        let half_of_largest = infinity - 1 - normal;
        let edges = [
            0,
            1,
            2,
            normal - 1,
            normal,
            normal + 1,
            half_of_largest, // for larger ones, UnitBackward on the CPU uses the general formula
            half_of_largest + 1,
            infinity - 1,
            infinity,
            infinity + 1,
            bits(dtype, 1.0),
        ];
        Self {
            judge,
            min_exponent: value(dtype, 1).log2(),
            max_exponent: value(dtype, infinity - 1).log2(),
            edges,
        }
    }

    /// Returns the gradient for pair `i`, of one of four kinds: a moderate number, an edge, an arbitrary bit pattern,
    /// or (in half of all cases) a number that gives a result of an arbitrary size. One eighth of all cases aim at
    /// subnormal results.
    pub(super) fn gradient(&self, i: u64, x: u64) -> u64 {
        const MODERATE: [f64; 4] = [1.0, -0.37, 1234.567, 3e-5];
        let dtype = self.judge.dtype;
        let random = mix(i);
        let sign = if random >> 63 == 1 {
            sign_bit(dtype)
        } else {
            0
        };
        let (kind, random) = (random % 8, random >> 3);
        match kind {
            0 => bits(dtype, MODERATE[(random % 4) as usize]),
            1 => self.edges[(random % 12) as usize] | sign,
            2 | 3 => mix(random) & all_bits(dtype),
            _ => {
                let fraction = (mix(random) >> 11) as f64 * 0.5f64.powi(53);
                let max = if kind == 4 {
                    smallest_normal(dtype).log2()
                } else {
                    self.max_exponent
                };
                let min = self.min_exponent - 3.0;
                let exponent = min + fraction * (max + 2.0 - min);
                self.aimed_at(exponent, value(dtype, x), fraction) | sign
            }
        }
    }

    /// Returns the magnitude of the gradient that gives the result 2^`exponent` at `x`. If the dtype has no such
    /// number, returns its smallest number or, depending on `fraction`, one of its largest numbers.
    fn aimed_at(&self, exponent: f64, x: f64, fraction: f64) -> u64 {
        let factors = self.judge.rounded_factors();
        let log2_slope = if x > 0.0 {
            factors.positive.log2()
        } else if self.judge.op == Op::BackwardFromOutput {
            factors.input_scale.log2() + (x + factors.negative).abs().log2()
        } else {
            let log2_at_0 = factors.negative.abs().log2() + factors.input_scale.log2();
            log2_at_0 + factors.input_scale * x * LOG2_E
        };
        let max = self.max_exponent - 1e-6 - fraction;
        let log2_grad = (exponent - log2_slope).clamp(self.min_exponent, max);
        bits(self.judge.dtype, log2_grad.exp2())
    }
}
