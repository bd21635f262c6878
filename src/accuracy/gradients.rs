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
    /// The exponents of the format's smallest and largest numbers.
    least: f64,
    most: f64,
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
            half_of_largest, // the largest gradient that UnitBackward on the CPU multiplies by exp + 1
            half_of_largest + 1,
            infinity - 1,
            infinity,
            infinity + 1,
            bits(dtype, 1.0),
        ];
        Self {
            judge,
            least: value(dtype, 1).log2(),
            most: value(dtype, infinity - 1).log2(),
            edges,
        }
    }

    /// Returns a gradient of one of four kinds: of moderate size; near a threshold; an arbitrary bit pattern; or, for
    /// half of all cases, a gradient that gives a result of a chosen size, mostly subnormal.
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
                let part = (mix(random) >> 11) as f64 * 0.5f64.powi(53);
                let most = if kind == 4 {
                    smallest_normal(dtype).log2()
                } else {
                    self.most
                };
                let least = self.least - 3.0;
                let exponent = least + part * (most + 2.0 - least);
                self.aimed_at(exponent, value(dtype, x), part) | sign
            }
        }
    }

    /// Returns the gradient that gives the result 2^`exponent` at `x`. If the format has no such gradient, returns one
    /// of its largest numbers or the smallest.
    fn aimed_at(&self, exponent: f64, x: f64, part: f64) -> u64 {
        let products = self.judge.products();
        let slope = if x > 0.0 {
            products.positive.log2()
        } else if self.judge.op == Op::BackwardFromOutput {
            products.input_scale.log2() + (x + products.negative).abs().log2()
        } else {
            let slope = products.negative.abs().log2() + products.input_scale.log2();
            slope + products.input_scale * x * LOG2_E
        };
        let grad = (exponent - slope).clamp(self.least, self.most - 1e-6 - part);
        bits(self.judge.dtype, grad.exp2())
    }
}
