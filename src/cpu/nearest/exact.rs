//! Correctly rounded results from integers alone, one at a time.
//!
//! The vector code of [`nearest`](super) rounds a result that has a small error. If the exact value lies so
//! close to the middle between two numbers that this error could decide the rounding, this module computes the value
//! again with more bits:
//!
//! ```text
//! t = input_scale * |x|                     exact: the product of two significands
//! t = k ln 2 + r                            k is an integer, 0 <= r <= ln 2
//! g = (1 - exp(-r)) / r                     by its Taylor series, in fixed point
//! exp(-t)     = 2^-k (1 - r g)
//! 1 - exp(-t) = t g                         for k = 0, so that a small t loses no digit
//!             = 1 - 2^-k (1 - r g)          else
//! result = the significands of all factors, multiplied as integers, rounded once
//! ```
//!
//! The fixed-point numbers have 192 bits after the point for arithmetic in `f32`, and 352 for `f64`. docs/numerics.md
//! says why these suffice. A value that is exactly in the middle between two numbers is possible only where no
//! exponential takes part; all digits are then exact.

use crate::{dtype::DType, factors::RoundedFactors};

/// The limbs of a [`Fixed`] number for arithmetic in `f32`: 192 bits after the point.
pub(super) const F32_LIMBS: usize = 7;
/// The limbs of a [`Fixed`] number for arithmetic in `f64`: 352 bits after the point.
pub(super) const F64_LIMBS: usize = 12;

/// Returns `negative * expm1(input_scale * x)` for a negative, finite `x`, rounded to `dtype`, as bits.
pub(super) fn forward<const N: usize>(dtype: DType, factors: RoundedFactors<f64>, x: f64) -> u64 {
    let constants = [factors.negative, factors.input_scale, x].map(Binary::from);
    let [negative, input_scale, x] = constants;
    let exponential = Exponential::<N>::new(input_scale, x);
    let is_negative = !negative.is_negative; // expm1 is negative
    if exponential.k == 0 {
        rounded_product(dtype, &exponential.quotient(), &constants, is_negative)
    } else {
        let one_minus_exp = exponential.one_minus_exp();
        rounded_product(dtype, &one_minus_exp, &[negative], is_negative)
    }
}

/// Returns `grad * negative * input_scale * exp(input_scale * x)` for a finite `x` that is not positive and a finite
/// `grad` that is not 0, rounded to `dtype`, as bits.
pub(super) fn backward<const N: usize>(
    dtype: DType,
    factors: RoundedFactors<f64>,
    x: f64,
    grad: f64,
) -> u64 {
    let constants = [grad, factors.negative, factors.input_scale].map(Binary::from);
    let [grad, negative, input_scale] = constants;
    let exp = if x == 0.0 {
        Value {
            fixed: one(),
            exponent: 0,
            is_exact: true,
        }
    } else {
        Exponential::<N>::new(input_scale, Binary::from(x)).exp()
    };
    let is_negative = grad.is_negative != negative.is_negative;
    rounded_product(dtype, &exp, &constants, is_negative)
}

/// Returns `grad * input_scale * (y + negative)` for a finite `y` that is not positive, a finite `grad` that is not 0,
/// and a positive `negative`, rounded to `dtype`, as bits. The sum must not be 0.
pub(super) fn backward_from_output<const N: usize>(
    dtype: DType,
    factors: RoundedFactors<f64>,
    y: f64,
    grad: f64,
) -> u64 {
    let constants = [grad, factors.input_scale].map(Binary::from);
    let (sum, is_negative) = difference::<N>(Binary::from(factors.negative), Binary::from(y));
    let is_negative = constants[0].is_negative != is_negative;
    rounded_product(dtype, &sum, &constants, is_negative)
}

// ---- Internals ----

/// The number `significand * 2^exponent`, with its sign apart. The significand of a number that is not 0 is odd.
#[derive(Clone, Copy, Debug)]
struct Binary {
    significand: u64,
    exponent: i32,
    is_negative: bool,
}

impl From<f64> for Binary {
    /// Converts a finite number.
    fn from(value: f64) -> Self {
        const FRACTION: u64 = (1 << 52) - 1;
        let bits = value.to_bits();
        let fraction = bits & FRACTION;
        let biased = ((bits >> 52) & 0x7ff) as i32;
        let (significand, exponent) = if biased == 0 {
            (fraction, -1074)
        } else {
            (fraction | 1 << 52, biased - 1075)
        };
        let zeros = significand.trailing_zeros() % u64::BITS; // 64 only for 0, which stays as it is
        Self {
            significand: significand >> zeros,
            exponent: exponent + zeros.cast_signed(),
            is_negative: value.is_sign_negative(),
        }
    }
}

impl Binary {
    /// The exponent of the leading bit.
    fn leading_exponent(self) -> i32 {
        self.exponent + self.significand.checked_ilog2().unwrap_or(0).cast_signed()
    }

    fn is_smaller_than(self, other: Self) -> bool {
        self.significand == 0
            || other.significand > 0 && {
                let aligned = |v: Self| v.significand << v.significand.leading_zeros();
                let key = |v: Self| (v.leading_exponent(), aligned(v));
                key(self) < key(other)
            }
    }
}

/// A number from 0 to 2^32 with `32 * (N - 1)` bits after the point. The last limb is the integer part.
type Fixed<const N: usize> = [u32; N];

const fn fraction_bits<const N: usize>() -> i32 {
    bits_before(N - 1)
}

/// Returns the number of bits in this number of limbs.
#[expect(clippy::cast_possible_truncation, reason = "a number has few limbs")]
const fn bits_before(limbs: usize) -> i32 {
    32 * limbs.cast_signed() as i32
}

const fn one<const N: usize>() -> Fixed<N> {
    let mut one = [0; N];
    one[N - 1] = 1;
    one
}

/// The largest number below 1.
fn below_one<const N: usize>() -> Fixed<N> {
    let mut number = [u32::MAX; N];
    number[N - 1] = 0;
    number
}

/// Returns a - b, which must not be negative.
fn subtract<const N: usize>(a: &Fixed<N>, b: &Fixed<N>) -> Fixed<N> {
    let mut borrow = false;
    std::array::from_fn(|i| {
        let (difference, first) = a[i].overflowing_sub(b[i]);
        let (difference, second) = difference.overflowing_sub(borrow.into());
        borrow = first | second;
        difference
    })
}

/// Returns a * b, rounded down.
fn multiply<const N: usize>(a: &Fixed<N>, b: &Fixed<N>) -> Fixed<N> {
    let mut product = [0; N];
    let mut carry = 0u128;
    for column in 0..2 * N - 1 {
        let first = column.saturating_sub(N - 1);
        let sum: u128 = (first..=column.min(N - 1))
            .map(|i| u128::from(u64::from(a[i]) * u64::from(b[column - i])))
            .sum();
        carry += sum;
        if column >= N - 1 {
            product[column - (N - 1)] = low(carry);
        }
        carry >>= 32;
    }
    product
}

/// Returns a / divisor, rounded down.
fn divide<const N: usize>(a: &Fixed<N>, divisor: u32) -> Fixed<N> {
    let mut quotient = *a;
    let mut rest = 0;
    for limb in quotient.iter_mut().rev() {
        let dividend = rest << 32 | u64::from(*limb);
        *limb = low((dividend / u64::from(divisor)).into());
        rest = dividend % u64::from(divisor);
    }
    quotient
}

/// Returns `significand * 2^exponent`, rounded down. The result must be less than 2^32.
fn fixed<const N: usize>(significand: u128, exponent: i32) -> Fixed<N> {
    let shift = exponent + fraction_bits::<N>();
    std::array::from_fn(|i| bits_from(significand, bits_before(i) - shift))
}

/// Returns 32 bits of a number, from this position on. Positions may be negative or beyond the end.
fn bits_from(number: u128, position: i32) -> u32 {
    match position {
        ..=-32 => 0,
        -31..=-1 => low(number << -position),
        0..=127 => low(number >> position),
        128.. => 0,
    }
}

/// Returns a / 2^shift, rounded down.
fn shift_right<const N: usize>(a: &Fixed<N>, shift: u32) -> Fixed<N> {
    let (limbs, bits) = ((shift / 32) as usize, shift % 32);
    let limb = |i: usize| u64::from(a.get(i).copied().unwrap_or(0));
    std::array::from_fn(|i| {
        let pair = limb(i + limbs + 1) << 32 | limb(i + limbs);
        low((pair >> bits).into())
    })
}

#[expect(clippy::cast_possible_truncation, reason = "the low bits are wanted")]
fn low(number: u128) -> u32 {
    number as u32
}

/// ln 2, rounded down.
const LN_2: Fixed<F64_LIMBS> = [
    0x5595_52fb,
    0x6deb_ac98,
    0xe7b8_7620,
    0x8baa_fa2b,
    0x8a0d_175b,
    0x7298_b62d,
    0x40f3_4326,
    0x03f2_f6af,
    0xc9e3_b398,
    0xd1cf_79ab,
    0xb172_17f7,
    0x0000_0000,
];

/// 2^63 / ln 2, rounded down.
const INVERSE_LN_2: u64 = 0xb8aa_3b29_5c17_f0bb;

/// Returns ln 2, rounded down.
fn ln_2<const N: usize>() -> Fixed<N> {
    let unused = F64_LIMBS - N;
    std::array::from_fn(|i| LN_2[unused + i])
}

/// The number `fixed * 2^exponent`.
struct Value<const N: usize> {
    fixed: Fixed<N>,
    exponent: i32,
    /// Whether no digit is missing.
    is_exact: bool,
}

impl<const N: usize> Value<N> {
    /// Returns a number below 1 from an approximation. The exact number is never 1, so 1 is replaced by the number
    /// below it. A product that would be in the middle between two numbers is then rounded to the right side.
    fn below_one(fixed: &Fixed<N>, exponent: i32) -> Self {
        let is_one = fixed[N - 1] > 0;
        Self {
            fixed: if is_one { below_one() } else { *fixed },
            exponent,
            is_exact: false,
        }
    }
}

/// The parts of exp(-t) for t = `input_scale * |x|`, which is not 0.
struct Exponential<const N: usize> {
    /// The integer k in t = k ln 2 + r.
    k: u32,
    /// (1 - exp(-r)) / r.
    g: Fixed<N>,
    /// exp(-r).
    exp: Fixed<N>,
}

impl<const N: usize> Exponential<N> {
    /// The number of terms of the series. The next term is at most 0.7^45 / 45! < 2^-208, or 0.7^71 / 71! < 2^-374.
    const TERMS: u32 = if N == F32_LIMBS { 44 } else { 70 };
    /// If t can exceed 2 to this power, it is replaced by that power: exp(-t) is so small that no result depends on it.
    const LARGEST_EXPONENT: i32 = 12;

    fn new(input_scale: Binary, x: Binary) -> Self {
        let significand = u128::from(input_scale.significand) * u128::from(x.significand);
        let exponent = input_scale.exponent + x.exponent;
        let digits = (u128::BITS - significand.leading_zeros()).cast_signed();
        let t: Fixed<N> = if exponent + digits > Self::LARGEST_EXPONENT {
            fixed(1, Self::LARGEST_EXPONENT)
        } else {
            fixed(significand, exponent)
        };
        // Subtracts ln 2 times k, which is at most t / ln 2.
        let integer_and_fraction = u64::from(t[N - 1]) << 32 | u64::from(t[N - 2]);
        let k = low((u128::from(integer_and_fraction) * u128::from(INVERSE_LN_2)) >> 95);
        let multiple = multiply(&ln_2(), &fixed(k.into(), 0));
        let r = subtract(&t, &multiple);
        // g = 1 - r/2 (1 - r/3 (1 - r/4 (...)))
        let one = one();
        let mut g = one;
        for divisor in (2..=Self::TERMS).rev() {
            g = subtract(&one, &divide(&multiply(&r, &g), divisor));
        }
        let exp = subtract(&one, &multiply(&r, &g));
        Self { k, g, exp }
    }

    fn exp(&self) -> Value<N> {
        Value::below_one(&self.exp, -self.k.cast_signed())
    }

    /// Returns 1 - exp(-t) for k > 0.
    fn one_minus_exp(&self) -> Value<N> {
        Value::below_one(&subtract(&one(), &shift_right(&self.exp, self.k)), 0)
    }

    /// Returns (1 - exp(-t)) / t for k = 0.
    fn quotient(&self) -> Value<N> {
        Value::below_one(&self.g, 0)
    }
}

/// Returns |a + b|, and whether the sum is negative. The signs of `a` and `b` must differ, or one must be 0.
fn difference<const N: usize>(a: Binary, b: Binary) -> (Value<N>, bool) {
    let (large, small) = if a.is_smaller_than(b) { (b, a) } else { (a, b) };
    let exponent = large.leading_exponent() + 1;
    let place = |v: Binary| fixed(v.significand.into(), v.exponent - exponent);
    let mut fixed = subtract(&place(large), &place(small));
    let is_exact = small.significand == 0 || small.exponent - exponent >= -fraction_bits::<N>();
    if !is_exact {
        // The digits of `small` were rounded down, and those of the result must be.
        let mut smallest = [0; N];
        smallest[0] = 1;
        fixed = subtract(&fixed, &smallest);
    }
    let value = Value {
        fixed,
        exponent,
        is_exact,
    };
    (value, large.is_negative)
}

/// The most limbs that a [`Fixed`] number and three significands have together.
const MOST_LIMBS: usize = F64_LIMBS + 5;

/// Returns `value` times the factors, rounded to `dtype`, as bits.
fn rounded_product<const N: usize>(
    dtype: DType,
    value: &Value<N>,
    factors: &[Binary],
    is_negative: bool,
) -> u64 {
    let mut limbs = [0; MOST_LIMBS];
    limbs[..N].copy_from_slice(&value.fixed);
    let mut exponent = value.exponent - fraction_bits::<N>();
    for factor in factors {
        limbs = times(&limbs, factor.significand);
        exponent += factor.exponent;
    }
    let format = Format::of(dtype);
    // The position of the leading bit, and that of the last bit that the format keeps. Position i has the weight
    // 2^(i + exponent).
    let Some(top) = limbs.iter().rposition(|&limb| limb != 0) else {
        return u64::from(is_negative) << format.sign_bit(); // only for a factor of 0
    };
    let leading = (bits_before(top) + 31) - limbs[top].leading_zeros().cast_signed();
    let normal = leading + exponent >= format.smallest_exponent;
    let last = if normal {
        leading
    } else {
        format.smallest_exponent - exponent
    } - format.fraction.cast_signed();
    let bit = |i: i32| {
        usize::try_from(i)
            .ok()
            .and_then(|i| Some(limbs.get(i / 32)? >> (i % 32) & 1))
            .unwrap_or(0)
    };
    let significand = (last..=leading)
        .rev()
        .fold(0, |kept, i| kept << 1 | u64::from(bit(i)));
    let has_rest = !value.is_exact || (0..last - 1).any(|i| bit(i) == 1);
    let up = bit(last - 1) == 1 && (has_rest || significand & 1 == 1);
    // The leading bit of a normal number adds 1 to the exponent bits.
    let exponent_bits = if normal {
        (leading + exponent - format.smallest_exponent) as u64
    } else {
        0
    };
    let magnitude = (exponent_bits << format.fraction) + significand + u64::from(up);
    magnitude.min(format.infinity()) | u64::from(is_negative) << format.sign_bit()
}

/// Returns `limbs` times `factor`. The product must fit.
fn times(limbs: &[u32; MOST_LIMBS], factor: u64) -> [u32; MOST_LIMBS] {
    let mut carry = 0;
    limbs.map(|limb| {
        carry += u128::from(limb) * u128::from(factor);
        let digit = low(carry);
        carry >>= 32;
        digit
    })
}

/// A binary floating-point format of IEEE 754.
struct Format {
    /// The number of bits of the fraction.
    fraction: u32,
    /// The exponent of the smallest normal number.
    smallest_exponent: i32,
    exponent_bits: u32,
}

impl Format {
    fn of(dtype: DType) -> Self {
        let (fraction, exponent_bits) = match dtype {
            DType::F16 => (10, 5),
            DType::BF16 => (7, 8),
            DType::F32 => (23, 8),
            DType::F64 => (52, 11),
        };
        Self {
            fraction,
            smallest_exponent: 2 - (1 << (exponent_bits - 1)),
            exponent_bits,
        }
    }

    fn sign_bit(&self) -> u32 {
        self.fraction + self.exponent_bits
    }

    fn infinity(&self) -> u64 {
        ((1 << self.exponent_bits) - 1) << self.fraction
    }
}
