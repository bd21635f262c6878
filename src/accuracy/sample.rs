//! The sample of inputs and incoming gradients that results are judged for.
//!
//! 1. Critical numbers, and their neighbours: those at which the code takes another branch, the result becomes
//!    constant, subnormal or infinite, or the dtype has a limit.
//! 2. Strided patterns: bit patterns from the whole range of the dtype, at equal distances from each other.
//!
//! Nothing is random: every run judges the same sample.

use std::f64::consts::LN_2;

use super::{
    format::{bits, smallest_normal, value},
    gradients::Gradients,
    judge::Judge,
};
use crate::{dtype::DType, op::Op};

/// The size of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Extent {
    /// Some of the critical numbers and some strided patterns: several hundred `float64`, or a few thousand numbers
    /// of another dtype.
    Few,
    /// All critical numbers, and about a hundred thousand strided patterns.
    Many,
    /// All critical numbers, and every 97th bit pattern of `float32`, all patterns of a 16-bit dtype, or 131,072
    /// patterns of `float64`.
    Default,
    /// All bit patterns of the dtype, with more gradients. For `float64`, the sample is that of [`Extent::Default`].
    Exhaustive,
}

/// Pairs of `x` (for [`Op::BackwardFromOutput`], the output) and incoming gradient, as bits.
///
/// The critical numbers come first, then the strided patterns.
#[derive(Debug)]
pub struct Sample {
    judge: Judge,
    critical: Vec<u64>,
    /// The number of gradients for each critical number.
    critical_rounds: u64,
    strided: Strided,
    /// The number of gradients for each of the strided patterns.
    strided_rounds: u64,
    gradients: Gradients,
}

impl Sample {
    /// Creates the sample for a judge.
    pub fn new(judge: Judge, extent: Extent) -> Self {
        let Judge { op, dtype, .. } = judge;
        let is_wide = dtype == DType::F64; // judging a float64 result takes a hundred times as long
        let is_half = dtype.size() == 2;
        let strided = Strided::new(dtype, extent);
        let mut critical = critical(judge);
        let rounds = |wide, half, single| match op {
            Op::Forward => 1,
            _ if is_wide => wide,
            _ if is_half => half,
            _ => single,
        };
        let (critical_rounds, strided_rounds) = match extent {
            Extent::Few => (1, 1),
            Extent::Many => (rounds(2, 8, 8), 1),
            Extent::Default => (rounds(2, 8, 8), rounds(1, 16, 1)),
            Extent::Exhaustive => (rounds(2, 64, 64), rounds(1, 256, 1)),
        };
        if extent == Extent::Few {
            // Takes every `step`th critical number, and different ones for different alphas.
            let step = if is_wide { 61 } else { 5 };
            let first = mix(judge.elu.alpha().to_bits()) % step;
            let chosen = critical.into_iter().skip(index(first));
            critical = chosen.step_by(index(step)).collect();
        } else if strided.is_everything() && op == Op::Forward {
            critical.clear(); // they are among the strided patterns
        }
        Self {
            judge,
            critical,
            critical_rounds,
            strided,
            strided_rounds,
            gradients: Gradients::new(judge),
        }
    }

    /// Returns the number of pairs.
    pub fn len(&self) -> u64 {
        self.critical_len() + self.strided.count * self.strided_rounds
    }

    /// Returns whether there are no pairs, which never happens.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the judge that the sample is for.
    pub fn judge(&self) -> Judge {
        self.judge
    }

    /// Returns the pair with the index `i`, which must be less than [`Sample::len`].
    pub fn pair(&self, i: u64) -> (u64, u64) {
        let x = match i.checked_sub(self.critical_len()) {
            None => self.critical[index(i / self.critical_rounds)],
            Some(i) => self.strided.pattern(i / self.strided_rounds),
        };
        let grad = match self.judge.op {
            Op::Forward => 0,
            _ => self.gradients.gradient(i, x),
        };
        (x, grad)
    }

    fn critical_len(&self) -> u64 {
        self.critical.len() as u64 * self.critical_rounds
    }
}

// ---- Patterns from the whole range ----

/// Bit patterns at equal distances. They wrap around at the end of the range, so a large distance passes through it
/// many times.
#[derive(Debug)]
struct Strided {
    dtype: DType,
    /// The distance between two patterns; 1 selects every pattern.
    step: u64,
    count: u64,
    /// The number of patterns, counted from the first, that are taken from the range between -2^-60 and -40, where ELU
    /// is curved. Only a small share of all `float64` lies there.
    dense: u64,
}

impl Strided {
    fn new(dtype: DType, extent: Extent) -> Self {
        // 2^64 divided by the golden ratio. Its multiples modulo 2^64 are all different and leave no large gap.
        const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
        let few = extent == Extent::Few;
        let (step, count, dense) = match dtype {
            DType::F64 if few => (GOLDEN, 400, 200),
            DType::F64 => (GOLDEN, 1 << 17, 1 << 16),
            DType::F16 | DType::BF16 if few => (31, (1 << 16) / 31, 0),
            DType::F16 | DType::BF16 => (1, 1 << 16, 0),
            _ if few => (GOLDEN >> 32 | 1, 1 << 11, 0),
            _ if extent == Extent::Many => (GOLDEN >> 32 | 1, 1 << 17, 0),
            _ if extent == Extent::Exhaustive => (1, 1 << 32, 0),
            _ => (97, (1u64 << 32).div_ceil(97), 0),
        };
        Self {
            dtype,
            step,
            count,
            dense,
        }
    }

    fn is_everything(&self) -> bool {
        self.step == 1
    }

    fn pattern(&self, i: u64) -> u64 {
        let position = i.wrapping_mul(self.step);
        if i >= self.dense {
            return position & all_bits(self.dtype);
        }
        // Scales the position, which is between 0 and 2^64, to the range between these two numbers.
        let [first, last] = [-0.5f64.powi(60), -40.0].map(f64::to_bits);
        let offset = (u128::from(position) * u128::from(last - first)) >> 64;
        first + offset as u64
    }
}

// ---- Critical numbers ----

/// Returns the critical numbers and their neighbours.
fn critical(judge: Judge) -> Vec<u64> {
    let Judge { op, dtype, .. } = judge;
    let factors = judge.rounded_factors();
    let is_wide = dtype == DType::F64;
    let mut all = Neighbours {
        dtype,
        numbers: Vec::new(),
    };

    // The range reduction of exp(t) writes t = n ln 2 + r with |r| <= ln 2 / 2. n changes at the odd multiples of
    // ln 2 / 2, and r is 0 at the even ones.
    let largest_t = match op {
        Op::Forward if is_wide => 120.0,
        Op::Forward => 60.0,
        // Beyond this, exp(-t) times the largest gradient and the largest slope rounds to 0.
        Op::Backward if is_wide => 2240.0,
        Op::Backward => 330.0,
        Op::BackwardFromOutput => 0.0,
    };
    let multiples = (1..).map(|n| f64::from(n) * (LN_2 / 2.0));
    for t in multiples.take_while(|&t| t <= largest_t) {
        all.add(-t / factors.input_scale, if is_wide { 1 } else { 4 });
    }
    for t in thresholds(dtype) {
        for x in [t, -t, t / factors.input_scale, -t / factors.input_scale] {
            all.add(x, 4);
        }
    }

    // Where the result becomes subnormal, or leaves the dtype's range.
    let slope = factors.negative * factors.input_scale;
    for edge in result_edges(dtype) {
        for factor in [factors.positive, -slope, slope] {
            all.add(edge / factor, 4);
        }
    }

    if op == Op::BackwardFromOutput {
        // Outputs near -negative, where the slope is a small difference.
        let precision = if is_wide { 53 } else { 24 };
        for i in 0..(precision + 4) * 40 {
            let fraction = 1.0 - 0.5f64.powf(f64::from(i) / 40.0);
            all.add(-factors.negative * fraction, 0);
        }
        all.add(-factors.negative, 16);
        // Outputs of much smaller magnitude.
        let exponents = if is_wide { 2200 } else { 300 };
        for k in 0..exponents {
            // Multiplies by 2^-k in two steps, because the power may be smaller than any number.
            let half = 0.5f64.powi(k / 2);
            all.add(-factors.negative * half * 0.5f64.powi(k - k / 2), 2);
        }
    }

    let infinity = bits(dtype, f64::INFINITY);
    let normal = bits(dtype, smallest_normal(dtype));
    // All powers of two, and the limits of the subnormal numbers and of the dtype.
    for exponent in 0..infinity / normal {
        all.add_bits(exponent * normal, if is_wide { 1 } else { 2 });
    }
    all.add_bits(infinity, 2);
    // Arbitrary subnormal numbers.
    for i in 0..256 {
        all.add_bits(mix(i) % normal, 0);
    }
    all.numbers.sort_unstable();
    all.numbers.dedup();
    all.numbers
}

/// Returns magnitudes of `input_scale * x` or of x at which the code takes another branch, or the result becomes
/// constant. (`Factors32` and `Factors64` are in src/shader.rs.)
fn thresholds(dtype: DType) -> Vec<f64> {
    let power = |n| 0.5f64.powi(n);
    let mut all = match dtype {
        DType::F64 => vec![
            39.0,                    // EXPM1_LARGEST in float64.wgsl, expm1_smallest on the CPU
            40.0,                    // unit_expm1_smallest on the CPU
            power(60),               // EXPM1_SMALL in float64.wgsl, expm1_small on the CPU
            power(54),               // below it, expm1(x) rounds to x
            53.5 * LN_2,             // SMALLEST_EXPM1_POWER in float64.wgsl
            37.429_947_750_237_05,   // expm1 rounds to -1
            2240.0,                  // Factors64::largest of gradients, exp_smallest on the CPU
            power(80),               // Factors64::small of gradients
            power(120),              // InputScale::small on the CPU
            745.133_219_101_941_2,   // EXP_UNDERFLOWS in float64.wgsl, exp_underflows on the CPU
            708.0,                   // exp_normal on the CPU
            708.396_418_532_264_1,   // exp becomes subnormal
            0.346_523_035_665_058_3, // the largest errors of expm1 are near here
        ],
        _ => vec![
            19.0,          // EXPM1_LARGEST in float32.wgsl, expm1_smallest on the CPU
            18.0,          // UNIT_LOWEST in unit_forward.wgsl, unit_expm1_smallest on the CPU
            power(30),     // EXPM1_SMALL in float32.wgsl, expm1_small on the CPU
            power(25),     // UNIT_CURVE_START in unit_forward.wgsl: below it, expm1(x) rounds to x
            24.5 * LN_2,   // SMALLEST_EXPM1_POWER in float32.wgsl
            17.328_680,    // expm1 rounds to -1
            330.0,         // Factors32::largest of gradients, exp_smallest on the CPU
            power(40),     // Factors32::small of gradients
            power(60),     // InputScale::small on the CPU
            103.972_084,   // EXP_UNDERFLOWS in float32.wgsl, exp_underflows on the CPU
            87.0,          // exp_normal on the CPU
            87.336_55,     // exp becomes subnormal
            0.346_523_035, // the largest errors of expm1 are near here
        ],
    };
    if dtype != DType::F64 {
        // `center_shift` on the CPU (0.0589) moves the points at which n of the range reduction changes.
        all.extend((0..128).map(|n| (f64::from(n) + 0.5) * LN_2 - 0.0589));
    }
    all
}

/// Returns results at the limits of the subnormal and the normal numbers, and 1.
fn result_edges(dtype: DType) -> [f64; 5] {
    let largest = value(dtype, bits(dtype, f64::INFINITY) - 1);
    let smallest = value(dtype, 1);
    [
        0.5 * smallest,
        smallest,
        smallest_normal(dtype),
        1.0,
        largest,
    ]
}

/// Collects numbers and their neighbours.
struct Neighbours {
    dtype: DType,
    numbers: Vec<u64>,
}

impl Neighbours {
    /// Adds `v` and this many neighbours on each side, with the sign of `v`. Adds nothing if `v` is zero, infinite or
    /// NaN.
    fn add(&mut self, v: f64, neighbours: u64) {
        let middle = bits(self.dtype, v);
        if v.is_finite() && v != 0.0 {
            let sign = middle & sign_bit(self.dtype);
            let magnitude = middle & !sign;
            let first = magnitude.saturating_sub(neighbours);
            let around = first..=magnitude + neighbours;
            self.numbers
                .extend(around.map(|magnitude| magnitude | sign));
        }
    }

    /// Adds the bit pattern `magnitude` and this many neighbours on each side, with both signs.
    fn add_bits(&mut self, magnitude: u64, neighbours: u64) {
        let sign = sign_bit(self.dtype);
        let first = magnitude.saturating_sub(neighbours);
        let around = first..=magnitude + neighbours;
        self.numbers
            .extend(around.flat_map(|bits| [bits, bits | sign]));
    }
}

// ---- Bits ----

/// Converts an index into a slice. The slice is in memory, so the index fits in a `usize`.
fn index(i: u64) -> usize {
    usize::try_from(i).unwrap_or(usize::MAX)
}

/// Returns the mask of all bits of a number.
pub(super) fn all_bits(dtype: DType) -> u64 {
    u64::MAX >> (64 - 8 * dtype.size())
}

pub(super) fn sign_bit(dtype: DType) -> u64 {
    1 << (8 * dtype.size() - 1)
}

/// Returns bits that look random, computed from `i`: the finalizer of `SplitMix64`.
pub(super) fn mix(i: u64) -> u64 {
    let i = i.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let i = (i ^ i >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let i = (i ^ i >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    i ^ i >> 31
}
