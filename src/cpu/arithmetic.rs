//! The formulas, over a vector of floats. `f32` and `f64` have the same, with constants of their own.
//!
//! With t = n ln 2 + r and |r| <= ln 2 / 2: exp(t) = 2^n (1 + expm1(r)) and expm1(t) = 2^n expm1(r) + (2^n - 1), where
//! expm1(r) = r + r^2 / 2 + r^3 p(r). The coefficients of p come from `scripts/expm1-coefficients`.
//!
//! The functions have the names that they have in `shaders/primitives.wgsl` and `shaders/exponential.wgsl`, and do the same.
//! Three things are simpler here, since Rust keeps floating point as it is written: nothing has to be hidden from the compiler,
//! subnormal numbers are numbers as all others, and exponents are whole floats.

use fearless_simd::prelude::*;

use super::fuses;
use crate::factors::{Products, Split};

/// Something done to every element: from `x` and, for a gradient, `grad`.
pub(super) trait Op<S: Simd, V>: Copy {
    fn apply(self, simd: S, x: V, grad: V) -> V;
}

macro_rules! arithmetic {
    (
        $float:ident, $bits:ident, $floats:ident, $uints:ident,
        mantissa: $mantissa:literal, exponent_bias: $bias:literal, leading: $leading:literal,
        expm1_smallest: $expm1_smallest:literal, expm1_smallest_power: $expm1_smallest_power:literal,
        expm1_small: $expm1_small:literal,
        exp_smallest: $exp_smallest:literal, exp_underflows: $exp_underflows:literal, exp_normal: $exp_normal:literal,
        largest_power: $largest_power:literal,
        unit_expm1_smallest: $unit_expm1_smallest:literal,
        ln_2_for_unit: [$($ln_2_part:expr),+], ln_2: $ln_2:expr,
        p: $p:ident, q: $q:ident, lean: $lean:literal, q_leant: $q_leant:ident,
    ) => {
        pub(super) mod $float {
            use super::*;

            /// ELU with alpha = 1.
            #[derive(Clone, Copy)]
            pub(in super::super) struct UnitForward;

            impl<S: Simd> Op<S, S::$floats> for UnitForward {
                #[inline(always)]
                fn apply(self, simd: S, x: S::$floats, _: S::$floats) -> S::$floats {
                    let splat = |v: $float| S::$floats::splat(simd, v);
                    let bounded = x.max(splat($unit_expm1_smallest)); // of x > 0, the result is thrown away
                    let rounder = bounded.mul_add(splat(LOG2_E), splat(ROUNDER));
                    let power = (rounder.bitcast::<S::$uints>() << $mantissa).bitcast::<S::$floats>();
                    let n = rounder - ROUNDER;
                    // 2^n makes the error of n ln 2 small where n is large.
                    let r = bounded;
                    $(let r = n.mul_add(splat(-$ln_2_part), r);)+
                    let y = power.mul_add((r * r).mul_add(super::$q(simd, r), r), power - 1.0);
                    x.simd_lt(splat(0.0)).select(y, x)
                }
            }

            /// ELU with any factors that are not degenerate, for an `input_scale` of 1.
            #[derive(Clone, Copy)]
            pub(in super::super) struct Forward<S: Simd> {
                negative: Factor<S>,
                /// 2 to the power of `negative`'s exponent.
                power: S::$floats,
                negative_value: S::$floats,
                positive: Positive<S>,
            }

            impl<S: Simd> Forward<S> {
                #[inline(always)]
                pub(in super::super) fn new(simd: S, products: Products<$float>) -> Self {
                    let mut negative = Factor::new(simd, products.split_negative());
                    let splat = |v: $float| S::$floats::splat(simd, v);
                    // Even the smallest subnormal number is a power of two.
                    let mut power = products.negative / (negative.high[0] + negative.low[0]);
                    if power >= 1.0 {
                        // Nothing underflows on the way to the result that does not underflow in it.
                        negative.high *= power;
                        negative.low *= power;
                        power = 1.0;
                    }
                    Self {
                        negative,
                        power: splat(power),
                        negative_value: splat(products.negative),
                        positive: Positive::new(simd, products.positive),
                    }
                }
            }

            impl<S: Simd> Op<S, S::$floats> for Forward<S> {
                #[inline(always)]
                fn apply(self, simd: S, x: S::$floats, _: S::$floats) -> S::$floats {
                    let splat = |v: $float| S::$floats::splat(simd, v);
                    let bounded = x.max(splat($expm1_smallest));
                    let y = if fuses(simd.level()) {
                        let curve = expm1_of_float(simd, bounded);
                        // `high` is all of the factor.
                        let factor = self.negative.high;
                        factor.mul_add(curve.high, factor * curve.low) * self.power
                    } else {
                        let curve = expm1_of(simd, Pair::from(simd, bounded));
                        let y = product(self.negative.pair(), curve) * self.power;
                        // Parts of a small number may be subnormal.
                        x.simd_gt(splat(-$expm1_small))
                            .select(x * self.negative_value, y)
                    };
                    x.simd_lt(splat(0.0)).select(y, self.positive.times(x))
                }
            }

            /// ELU with any factors that are not degenerate and any `input_scale`.
            #[derive(Clone, Copy)]
            pub(in super::super) struct ScaledForward<S: Simd> {
                negative: Factor<S>,
                slope: Factor<S>,
                positive: Positive<S>,
                input_scale: Scale<S>,
                /// Where x is above this, the result is linear.
                small: S::$floats,
            }

            impl<S: Simd> ScaledForward<S> {
                #[inline(always)]
                pub(in super::super) fn new(simd: S, products: Products<$float>) -> Self {
                    let small = -$expm1_small / products.input_scale;
                    Self {
                        negative: Factor::new(simd, products.split_negative()),
                        slope: Factor::new(simd, products.split_slope()),
                        positive: Positive::new(simd, products.positive),
                        input_scale: Scale::new(simd, products, $expm1_smallest),
                        small: S::$floats::splat(simd, small),
                    }
                }
            }

            impl<S: Simd> Op<S, S::$floats> for ScaledForward<S> {
                #[inline(always)]
                fn apply(self, simd: S, x: S::$floats, _: S::$floats) -> S::$floats {
                    let zero = S::$floats::splat(simd, 0.0);
                    let is_small = x.simd_gt(self.small);
                    let curve = expm1_of(simd, self.input_scale.times(simd, x));
                    let normalized = normalize(simd, x);
                    let line = split(simd, Pair::from(simd, normalized.significand));
                    let curve = line.or(curve, is_small);
                    let factor = self.slope.pair().or(self.negative.pair(), is_small);
                    let exponent = is_small
                        .select(normalized.exponent + self.slope.exponent, self.negative.exponent);
                    let y = scale_by_power(simd, product(factor, curve), exponent);
                    x.simd_lt(zero).select(y, self.positive.times(x))
                }
            }

            /// With a `negative` that is zero, infinite or NaN, every product with a negative number is `-negative`.
            #[derive(Clone, Copy)]
            pub(in super::super) struct DegenerateForward<S: Simd> {
                negated: S::$floats,
                positive: Positive<S>,
            }

            impl<S: Simd> DegenerateForward<S> {
                #[inline(always)]
                pub(in super::super) fn new(simd: S, products: Products<$float>) -> Self {
                    Self {
                        negated: S::$floats::splat(simd, -products.negative),
                        positive: Positive::new(simd, products.positive),
                    }
                }
            }

            impl<S: Simd> Op<S, S::$floats> for DegenerateForward<S> {
                #[inline(always)]
                fn apply(self, simd: S, x: S::$floats, _: S::$floats) -> S::$floats {
                    let zero = S::$floats::splat(simd, 0.0);
                    x.simd_lt(zero).select(self.negated, self.positive.times(x))
                }
            }

            /// The gradient from the input: `grad * positive` where `x > 0`, else `grad * slope * exp(input_scale * x)`.
            #[derive(Clone, Copy)]
            pub(in super::super) struct Backward<S: Simd> {
                input_scale: Scale<S>,
                slope: Factor<S>,
                gradient: Gradient<S>,
            }

            impl<S: Simd> Backward<S> {
                #[inline(always)]
                pub(in super::super) fn new(simd: S, products: Products<$float>) -> Self {
                    Self {
                        input_scale: Scale::new(simd, products, $exp_smallest),
                        slope: Factor::new(simd, products.split_slope()),
                        gradient: Gradient::new(simd, products),
                    }
                }
            }

            impl<S: Simd> Op<S, S::$floats> for Backward<S> {
                #[inline(always)]
                fn apply(self, simd: S, x: S::$floats, grad: S::$floats) -> S::$floats {
                    let zero = S::$floats::splat(simd, 0.0);
                    let t = self.input_scale.times(simd, x.min(zero));
                    let exponential = exp_of(simd, t);
                    let underflows = t.high.simd_le(S::$floats::splat(simd, $exp_underflows));
                    let sign = underflows.select(self.gradient.negative * 0.0, self.gradient.negative);
                    let slope = Normalized {
                        significand: exponential.significand,
                        exponent: exponential.exponent + self.slope.exponent,
                    };
                    self.gradient.apply(simd, x, grad, self.slope.pair(), slope, sign)
                }
            }

            /// The gradient from the input for ELU with alpha = 1. Only where `mul_add` rounds once: two roundings would add
            /// up to more than an ULP.
            #[derive(Clone, Copy)]
            pub(in super::super) struct UnitBackward<S: Simd>(Backward<S>);

            impl<S: Simd> UnitBackward<S> {
                #[inline(always)]
                pub(in super::super) fn new(simd: S, products: Products<$float>) -> Self {
                    Self(Backward::new(simd, products))
                }
            }

            impl<S: Simd> Op<S, S::$floats> for UnitBackward<S> {
                #[inline(always)]
                fn apply(self, simd: S, x: S::$floats, grad: S::$floats) -> S::$floats {
                    let splat = |v: $float| S::$floats::splat(simd, v);
                    // In `f32`, so that exp(r) is between 0.75 and 1.5: what is added to 1 then has the smallest error.
                    let leant = x - splat($lean);
                    let biased = leant.mul_add(splat(LOG2_E), splat(ROUNDER));
                    let s = (biased.bitcast::<S::$uints>() << $mantissa).bitcast::<S::$floats>();
                    let n = biased - ROUNDER;
                    // r = high + low, of which high is exact: rounded, it would cost a quarter of an ULP.
                    let [ln_2_high, ln_2_low] = LN2;
                    let high = n.mul_add(splat(-ln_2_high), x);
                    let low = n * splat(-ln_2_low);
                    let r = high + low;
                    let e = high + (r * r).mul_add(super::$q_leant(simd, r), low);
                    // A sum drops the sign of zero.
                    let product = (grad.mul_add(e, grad) * s).copysign(grad);

                    // Not where s is subnormal or the product overflows on the way. Chosen by lane, not by vector: the
                    // bits must not depend on the neighbours.
                    let is_moderate = x.simd_ge(splat($exp_normal))
                        & grad.abs().simd_le(splat(0.5 * <$float>::MAX));
                    let is_negative = x.simd_le(splat(0.0));
                    let is_other = is_negative & !is_moderate;
                    let product = if is_other.any_true() {
                        is_other.select(self.0.apply(simd, x, grad), product)
                    } else {
                        product
                    };
                    is_negative.select(product, x.simd_eq(x).select(grad, x))
                }
            }

            /// The gradient from the output: `grad * positive` where `y > 0`, else `grad * input_scale * (y + negative)`.
            #[derive(Clone, Copy)]
            pub(in super::super) struct BackwardFromOutput<S: Simd> {
                /// The significand of `negative`, and 2 to the power of its exponent with the sign changed, in two factors.
                negative: S::$floats,
                powers: [S::$floats; 2],
                exponent: S::$floats,
                input_scale: Factor<S>,
                gradient: Gradient<S>,
            }

            impl<S: Simd> BackwardFromOutput<S> {
                #[inline(always)]
                pub(in super::super) fn new(simd: S, products: Products<$float>) -> Self {
                    let negative = Factor::new(simd, products.split_negative());
                    let input_scale = Factor::new(simd, products.split_input_scale());
                    Self {
                        negative: negative.high + negative.low,
                        powers: powers_of_two(simd, S::$floats::splat(simd, 0.0) - negative.exponent),
                        exponent: negative.exponent + input_scale.exponent,
                        input_scale,
                        gradient: Gradient::new(simd, products),
                    }
                }
            }

            impl<S: Simd> Op<S, S::$floats> for BackwardFromOutput<S> {
                #[inline(always)]
                fn apply(self, simd: S, y: S::$floats, grad: S::$floats) -> S::$floats {
                    let splat = |v: $float| S::$floats::splat(simd, v);
                    // The sum is made of numbers near 1. No output is below -negative.
                    let [power, rest] = self.powers;
                    let scaled = (y * power * rest).max(splat(-4.0)).min(splat(0.0));
                    let sum = two_sum(scaled, self.negative);
                    let slope = Normalized {
                        significand: split(simd, sum),
                        exponent: self.exponent,
                    };
                    let is_zero = sum.high.simd_eq(splat(0.0));
                    let sign = is_zero.select(splat(0.0), splat(1.0).copysign(sum.high));
                    self.gradient.apply(simd, y, grad, self.input_scale.pair(), slope, sign)
                }
            }

            /// The penalty `l1 * |y|`. As the sum of both with an `l2` of 0, an infinite `y` would make NaN of it.
            #[derive(Clone, Copy)]
            pub(in super::super) struct L1<S: Simd>(S::$floats);

            impl<S: Simd> L1<S> {
                #[inline(always)]
                pub(in super::super) fn new(simd: S, l1: $float) -> Self {
                    Self(S::$floats::splat(simd, l1))
                }
            }

            impl<S: Simd> Op<S, S::$floats> for L1<S> {
                #[inline(always)]
                fn apply(self, _: S, y: S::$floats, _: S::$floats) -> S::$floats {
                    y.abs() * self.0
                }
            }

            /// The penalty `l1 * |y| + l2 * y^2`, in an order in which nothing overflows that the penalty does not.
            #[derive(Clone, Copy)]
            pub(in super::super) struct L1L2<S: Simd> {
                l1: S::$floats,
                l2: S::$floats,
            }

            impl<S: Simd> L1L2<S> {
                #[inline(always)]
                pub(in super::super) fn new(simd: S, l1: $float, l2: $float) -> Self {
                    Self {
                        l1: S::$floats::splat(simd, l1),
                        l2: S::$floats::splat(simd, l2),
                    }
                }
            }

            impl<S: Simd> Op<S, S::$floats> for L1L2<S> {
                #[inline(always)]
                fn apply(self, _: S, y: S::$floats, _: S::$floats) -> S::$floats {
                    let magnitude = y.abs();
                    magnitude * magnitude.mul_add(self.l2, self.l1)
                }
            }

            // ---- Internals ----

            const LOG2_E: $float = std::$float::consts::LOG2_E;
            /// In two parts, of which the first has an exact product with n.
            const LN2: [$float; 2] = $ln_2;
            /// A sum with it rounds to an integer; the bias more makes the last bits a biased exponent.
            const ROUNDER: $float = (3u64 << ($mantissa - 1)) as $float + $bias as $float;
            const FRACTION: $bits = (1 << $mantissa) - 1;

            /// high + low, where `low` is what `high` lost in rounding.
            #[derive(Clone, Copy)]
            struct Pair<S: Simd> {
                high: S::$floats,
                low: S::$floats,
            }

            impl<S: Simd> Pair<S> {
                #[inline(always)]
                fn from(simd: S, high: S::$floats) -> Self {
                    Self {
                        high,
                        low: S::$floats::splat(simd, 0.0),
                    }
                }

                /// `self` where the condition holds, else `other`.
                #[inline(always)]
                fn or(self, other: Self, condition: <S::$floats as SimdBase<S>>::Mask) -> Self {
                    Self {
                        high: condition.select(self.high, other.high),
                        low: condition.select(self.low, other.low),
                    }
                }
            }

            /// significand * 2^exponent.
            #[derive(Clone, Copy)]
            struct Normalized<S: Simd, T> {
                significand: T,
                exponent: S::$floats,
            }

            /// So few bits that two such numbers have an exact product; where `mul_add` rounds once, all of them do as well.
            #[inline(always)]
            fn leading_bits<S: Simd>(simd: S, v: S::$floats) -> S::$floats {
                if fuses(simd.level()) {
                    return v;
                }
                (v.bitcast::<S::$uints>() & S::$uints::splat(simd, $leading)).bitcast()
            }

            /// Knuth's `TwoSum`: a + b exactly, whichever is larger.
            #[inline(always)]
            fn two_sum<S: Simd>(a: S::$floats, b: S::$floats) -> Pair<S> {
                let sum = a + b;
                let part = sum - a;
                Pair {
                    high: sum,
                    low: (a - (sum - part)) + (b - part),
                }
            }

            /// The same number, with so few bits in `high` that two such have an exact product.
            #[inline(always)]
            fn split<S: Simd>(simd: S, v: Pair<S>) -> Pair<S> {
                if fuses(simd.level()) {
                    return v;
                }
                let high = leading_bits(simd, v.high);
                Pair {
                    high,
                    low: (v.high - high) + v.low,
                }
            }

            /// a * b for split pairs, as a pair of about one and a half times a float's precision, which is split, too.
            #[inline(always)]
            fn split_product<S: Simd>(simd: S, a: Pair<S>, b: Pair<S>) -> Pair<S> {
                let product = a.high * b.high;
                let cross_terms = cross_terms(a, b);
                if fuses(simd.level()) {
                    let lost = a.high.mul_add(b.high, S::$floats::splat(simd, 0.0) - product);
                    return Pair {
                        high: product,
                        low: cross_terms + lost,
                    };
                }
                let high = leading_bits(simd, product + cross_terms);
                Pair {
                    high,
                    low: (product - high) + cross_terms,
                }
            }

            /// Dekker's `TwoProduct`: a * b for two floats, exactly in `f32`, and but for 2^-104 in `f64`.
            #[inline(always)]
            fn two_product<S: Simd>(simd: S, a: S::$floats, b: S::$floats) -> Pair<S> {
                let zero = S::$floats::splat(simd, 0.0);
                let high = a * b;
                if fuses(simd.level()) {
                    let low = a.mul_add(b, zero - high);
                    return Pair { high, low };
                }
                let (a, b) = (
                    split(simd, Pair::from(simd, a)),
                    split(simd, Pair::from(simd, b)),
                );
                let most = a.low.mul_add(b.high, a.high * b.high - high);
                Pair {
                    high,
                    low: a.low.mul_add(b.low, a.high.mul_add(b.low, most)),
                }
            }

            /// a * b for split factors, rounded once.
            #[inline(always)]
            fn product<S: Simd>(a: Pair<S>, b: Pair<S>) -> S::$floats {
                a.high.mul_add(b.high, cross_terms(a, b))
            }

            #[inline(always)]
            fn cross_terms<S: Simd>(a: Pair<S>, b: Pair<S>) -> S::$floats {
                a.high.mul_add(b.low, a.low * (b.high + b.low))
            }

            #[inline(always)]
            fn power_of_two<S: Simd>(simd: S, n: S::$floats) -> S::$floats {
                let rounder = n + S::$floats::splat(simd, ROUNDER);
                (rounder.bitcast::<S::$uints>() << $mantissa).bitcast()
            }

            /// 2^exponent in two factors, as far as it makes a difference.
            #[inline(always)]
            fn powers_of_two<S: Simd>(simd: S, exponent: S::$floats) -> [S::$floats; 2] {
                let splat = |v: $float| S::$floats::splat(simd, v);
                let bounded = exponent.max(splat(-$largest_power)).min(splat($largest_power));
                let half = bounded.mul_add(splat(0.5), splat(ROUNDER)) - ROUNDER;
                [power_of_two(simd, half), power_of_two(simd, bounded - half)]
            }

            /// v * 2^exponent, also where that is subnormal or overflows.
            #[inline(always)]
            fn scale_by_power<S: Simd>(simd: S, v: S::$floats, exponent: S::$floats) -> S::$floats {
                let [power, rest] = powers_of_two(simd, exponent);
                v * power * rest
            }

            /// The number's significand, with its sign, for any that is finite and not 0.
            #[inline(always)]
            fn normalize<S: Simd>(simd: S, v: S::$floats) -> Normalized<S, S::$floats> {
                let splat = |v: $float| S::$floats::splat(simd, v);
                let uints = |v: $bits| S::$uints::splat(simd, v);
                let unit = (1u64 << ($mantissa + 1)) as $float;
                let is_subnormal = v.abs().simd_lt(splat(<$float>::MIN_POSITIVE));
                let normal = is_subnormal.select(v * unit, v);
                let bits = normal.bitcast::<S::$uints>();
                let biased = ((bits >> $mantissa) & uints((1 << (<$bits>::BITS - 1 - $mantissa)) - 1))
                    + uints((ROUNDER - $bias as $float).to_bits());
                let exponent = biased.bitcast::<S::$floats>() - splat(ROUNDER);
                let significand = (bits & uints(FRACTION | 1 << (<$bits>::BITS - 1)))
                    | uints((1.0 as $float).to_bits());
                Normalized {
                    significand: significand.bitcast(),
                    exponent: is_subnormal
                        .select(exponent - splat(($mantissa + 1) as $float), exponent),
                }
            }

            /// t = n ln 2 + r, and expm1(r) = r + rest, where r is exact and the rest may be subject to errors.
            struct Reduced<S: Simd> {
                n: S::$floats,
                r: S::$floats,
                rest: S::$floats,
            }

            /// n is at least `smallest`.
            #[inline(always)]
            fn reduce<S: Simd>(simd: S, t: Pair<S>, smallest: $float) -> Reduced<S> {
                let splat = |v: $float| S::$floats::splat(simd, v);
                let [ln2_high, ln2_low] = LN2;
                let n = t.high.mul_add(splat(LOG2_E), splat(ROUNDER)) - ROUNDER;
                let n = n.max(splat(smallest));
                let r = n.mul_add(splat(-ln2_high), t.high);
                let r_low = n.mul_add(splat(-ln2_low), t.low);
                let square = r * r;
                let cube = r * square * super::$p(simd, r);
                // exp(r + r_low) = exp(r) (1 + r_low + r_low^2 / 2)
                let exp_of_r = splat(1.0) + (r + square.mul_add(splat(0.5), cube));
                let growth = r_low * r_low.mul_add(splat(0.5), splat(1.0));
                let smaller_terms = exp_of_r.mul_add(growth, cube);
                Reduced {
                    n,
                    r,
                    rest: square.mul_add(splat(0.5), smaller_terms),
                }
            }

            /// exp(t), with a split significand.
            #[inline(always)]
            fn exp_of<S: Simd>(simd: S, t: Pair<S>) -> Normalized<S, Pair<S>> {
                let Reduced { n, r, rest } = reduce(simd, t, -<$float>::MAX);
                let one = S::$floats::splat(simd, 1.0);
                let high = leading_bits(simd, one + r);
                let lost = r - (high - one);
                Normalized {
                    significand: Pair {
                        high,
                        low: lost + rest,
                    },
                    exponent: n,
                }
            }

            /// exp(t) - 1, split.
            #[inline(always)]
            fn expm1_of<S: Simd>(simd: S, t: Pair<S>) -> Pair<S> {
                let Reduced { n, r, rest } = reduce(simd, t, $expm1_smallest_power);
                let power = power_of_two(simd, n);
                let less = power - 1.0;
                // What `high` is does not matter, as long as it is near.
                let high = leading_bits(simd, power.mul_add(r + rest, less));
                let lost = power.mul_add(r, less - high);
                Pair {
                    high,
                    low: power.mul_add(rest, lost),
                }
            }

            /// exp(t) - 1, where `mul_add` rounds once: then r is exact where 2^n is not small, for fewer parts of ln 2 as well.
            #[inline(always)]
            fn expm1_of_float<S: Simd>(simd: S, t: S::$floats) -> Pair<S> {
                let splat = |v: $float| S::$floats::splat(simd, v);
                let rounder = t.mul_add(splat(LOG2_E), splat(ROUNDER));
                let rounder = rounder.max(splat(ROUNDER + $expm1_smallest_power));
                let power = (rounder.bitcast::<S::$uints>() << $mantissa).bitcast::<S::$floats>();
                let n = rounder - ROUNDER;
                let r = t;
                $(let r = n.mul_add(splat(-$ln_2_part), r);)+
                let square = r * r;
                let rest = square.mul_add(splat(0.5), r * square * super::$p(simd, r));
                let less = power - 1.0;
                let high = power.mul_add(r, less);
                let lost = power.mul_add(r, less - high);
                Pair {
                    high,
                    low: power.mul_add(rest, lost),
                }
            }

            /// A factor in every lane.
            #[derive(Clone, Copy)]
            struct Factor<S: Simd> {
                high: S::$floats,
                low: S::$floats,
                exponent: S::$floats,
            }

            impl<S: Simd> Factor<S> {
                #[inline(always)]
                fn new(simd: S, factor: Split<$float>) -> Self {
                    let Split { high, low, exponent } = factor;
                    // Without a need for few bits, the more there are in `high`, the less there is to do.
                    let all = if fuses(simd.level()) { high + low } else { high };
                    Self {
                        high: S::$floats::splat(simd, all),
                        low: S::$floats::splat(simd, low - (all - high)),
                        exponent: S::$floats::splat(simd, exponent as $float),
                    }
                }

                #[inline(always)]
                fn pair(self) -> Pair<S> {
                    Pair {
                        high: self.high,
                        low: self.low,
                    }
                }
            }

            /// `input_scale`.
            #[derive(Clone, Copy)]
            struct Scale<S: Simd> {
                /// Its significand, and 2 to the power of its exponent.
                factor: S::$floats,
                power: S::$floats,
                is_one: bool,
                smallest: S::$floats,
                small: S::$floats,
            }

            impl<S: Simd> Scale<S> {
                /// For products of `smallest` and more.
                #[inline(always)]
                fn new(simd: S, products: Products<$float>, smallest: $float) -> Self {
                    let factor = Factor::new(simd, products.split_input_scale());
                    let scale = products.input_scale;
                    Self {
                        factor: factor.high + factor.low,
                        power: power_of_two(simd, factor.exponent),
                        is_one: scale == 1.0,
                        smallest: S::$floats::splat(simd, smallest / scale),
                        small: S::$floats::splat(simd, -$expm1_small * $expm1_small / scale),
                    }
                }

                /// The product with an x <= 0, or with as much of it as makes a difference.
                #[inline(always)]
                fn times(self, simd: S, x: S::$floats) -> Pair<S> {
                    let bounded = x.max(self.smallest);
                    if self.is_one {
                        return Pair::from(simd, bounded);
                    }
                    let zero = S::$floats::splat(simd, 0.0);
                    let x = bounded.simd_gt(self.small).select(zero, bounded * self.power);
                    two_product(simd, x, self.factor)
                }
            }

            /// What both gradients share.
            #[derive(Clone, Copy)]
            struct Gradient<S: Simd> {
                positive: Positive<S>,
                /// `negative` where that is degenerate, else a 1 with its sign.
                negative: S::$floats,
                is_degenerate: <S::$floats as SimdBase<S>>::Mask,
            }

            impl<S: Simd> Gradient<S> {
                #[inline(always)]
                fn new(simd: S, products: Products<$float>) -> Self {
                    let is_degenerate = products.is_degenerate();
                    let negative = if is_degenerate {
                        products.negative
                    } else {
                        (1.0 as $float).copysign(products.negative)
                    };
                    let [one, other] = [1.0, if is_degenerate { 1.0 } else { 0.0 }];
                    Self {
                        positive: Positive::new(simd, products.positive),
                        negative: S::$floats::splat(simd, negative),
                        is_degenerate: S::$floats::splat(simd, one)
                            .simd_eq(S::$floats::splat(simd, other)),
                    }
                }

                /// `grad * positive` where `x > 0`, else `grad * factor * slope`, and `x` itself where it is NaN. `sign` is
                /// a number with the slope's sign that is 0, infinite or NaN where the slope is.
                #[inline(always)]
                fn apply(
                    self,
                    simd: S,
                    x: S::$floats,
                    grad: S::$floats,
                    factor: Pair<S>,
                    slope: Normalized<S, Pair<S>>,
                    sign: S::$floats,
                ) -> S::$floats {
                    let splat = |v: $float| S::$floats::splat(simd, v);
                    let normalized = normalize(simd, grad);
                    let grad_pair = split(simd, Pair::from(simd, normalized.significand));
                    let scaled = split_product(simd, grad_pair, factor);
                    let y = scale_by_power(
                        simd,
                        product(scaled, slope.significand),
                        normalized.exponent + slope.exponent,
                    );
                    // Zeros, infinities and NaN go as IEEE 754 says.
                    let is_number = grad.abs().simd_gt(splat(0.0))
                        & grad.abs().simd_le(splat(<$float>::MAX))
                        & slope.significand.high.abs().simd_gt(splat(0.0))
                        & !self.is_degenerate;
                    let otherwise = is_number.select(y, grad * sign);
                    let side = x.simd_gt(splat(0.0)).select(self.positive.times(grad), otherwise);
                    x.simd_eq(x).select(side, x)
                }
            }

            /// The side that is a mere product.
            #[derive(Clone, Copy)]
            pub(super) struct Positive<S: Simd> {
                scale: S::$floats,
                is_one: <S::$floats as SimdBase<S>>::Mask,
            }

            impl<S: Simd> Positive<S> {
                #[inline(always)]
                pub(super) fn new(simd: S, scale: $float) -> Self {
                    let (scale, one) = (S::$floats::splat(simd, scale), S::$floats::splat(simd, 1.0));
                    Self {
                        scale,
                        is_one: scale.simd_eq(one),
                    }
                }

                /// The very bits of `v` where the scale is 1 or `v` is NaN.
                #[inline(always)]
                pub(super) fn times(self, v: S::$floats) -> S::$floats {
                    let is_same = self.is_one | !v.simd_eq(v);
                    is_same.select(v, v * self.scale)
                }
            }
        }
    };
}

arithmetic! {
    f32, u32, f32s, u32s,
    mantissa: 23, exponent_bias: 127, leading: 0xffff_f000,
    expm1_smallest: -19.0, expm1_smallest_power: -24.0, expm1_small: 9.313_226e-10,
    exp_smallest: -330.0, exp_underflows: -103.972_084, exp_normal: -87.0, largest_power: 250.0,
    unit_expm1_smallest: -18.0,
    ln_2_for_unit: [std::f32::consts::LN_2],
    ln_2: [0.693_145_75, 1.428_606_8e-6],
    p: p_of_f32, q: q_of_f32, lean: 0.0589, q_leant: q_of_f32_leant,
}

arithmetic! {
    f64, u64, f64s, u64s,
    mantissa: 52, exponent_bias: 1023, leading: 0xffff_ffff_f800_0000,
    expm1_smallest: -39.0, expm1_smallest_power: -53.0, expm1_small: 8.673_617_379_884_035e-19,
    exp_smallest: -2240.0, exp_underflows: -745.133_219_101_941_2, exp_normal: -708.0, largest_power: 2040.0,
    unit_expm1_smallest: -40.0,
    ln_2_for_unit: [0.693_147_180_369_123_8, 1.908_214_929_270_587_7e-10],
    ln_2: [0.693_147_180_369_123_8, 1.908_214_929_270_587_7e-10],
    p: p_of_f64, q: q_of_f64, lean: 0.0, q_leant: q_of_f64,
}

/// ELU with any factors that are not degenerate, for an `input_scale` of 1 and for results that are rounded to 16 bits: they have
/// room for some roundings.
#[derive(Clone, Copy)]
pub(super) struct NarrowForward<S: Simd> {
    negative: S::f32s,
    positive: f32::Positive<S>,
}

impl<S: Simd> NarrowForward<S> {
    #[inline(always)]
    pub(super) fn new(simd: S, products: Products<f32>) -> Self {
        Self {
            negative: S::f32s::splat(simd, products.negative),
            positive: f32::Positive::new(simd, products.positive),
        }
    }
}

impl<S: Simd> Op<S, S::f32s> for NarrowForward<S> {
    #[inline(always)]
    fn apply(self, simd: S, x: S::f32s, grad: S::f32s) -> S::f32s {
        let y = f32::UnitForward.apply(simd, x, grad) * self.negative;
        x.simd_lt(S::f32s::splat(simd, 0.0))
            .select(y, self.positive.times(x))
    }
}

/// In Estrin's order: the chain of dependent operations is what limits a core, not their number.
#[inline(always)]
fn p_of_f32<S: Simd>(simd: S, r: S::f32s) -> S::f32s {
    let splat = |v: f32| S::f32s::splat(simd, v);
    let r2 = r * r;
    let p01 = r.mul_add(splat(0.041_666_51), splat(0.166_666_36));
    let p23 = r.mul_add(splat(0.001_393_054), splat(0.008_341_51));
    r2.mul_add(r2.mul_add(splat(0.000_150_461_45), p23), p01)
}

#[inline(always)]
fn p_of_f64<S: Simd>(simd: S, r: S::f64s) -> S::f64s {
    let splat = |v: f64| S::f64s::splat(simd, v);
    let r2 = r * r;
    let r4 = r2 * r2;
    let p01 = r.mul_add(
        splat(0.041_666_666_666_666_664),
        splat(0.166_666_666_666_666_69),
    );
    let p23 = r.mul_add(
        splat(0.001_388_888_888_888_649_8),
        splat(0.008_333_333_333_329_985),
    );
    let p45 = r.mul_add(
        splat(2.480_158_731_741_724_6e-5),
        splat(0.000_198_412_698_634_355_5),
    );
    let p67 = r.mul_add(
        splat(2.755_728_254_697_946e-7),
        splat(2.755_726_786_826_200_7e-6),
    );
    let p89 = r.mul_add(
        splat(2.091_143_704_598_424_6e-9),
        splat(2.510_066_614_291_837_4e-8),
    );
    let p4 = r4.mul_add(p89, r2.mul_add(p67, p45));
    r4.mul_add(p4, r2.mul_add(p23, p01))
}

/// In Estrin's order: the chain of dependent operations is what limits a core, not their number.
#[inline(always)]
fn q_of_f32<S: Simd>(simd: S, r: S::f32s) -> S::f32s {
    let splat = |v: f32| S::f32s::splat(simd, v);
    let r2 = r * r;
    let q01 = r.mul_add(splat(0.166_666_36), splat(0.5));
    let q23 = r.mul_add(splat(0.008_341_51), splat(0.041_666_51));
    let q45 = r.mul_add(splat(0.000_150_461_45), splat(0.001_393_054));
    r2.mul_add(r2.mul_add(q45, q23), q01)
}

/// For r between ln 0.75 and ln 1.5: `scripts/expm1-coefficients leant`.
#[inline(always)]
fn q_of_f32_leant<S: Simd>(simd: S, r: S::f32s) -> S::f32s {
    let splat = |v: f32| S::f32s::splat(simd, v);
    let r2 = r * r;
    let q01 = r.mul_add(splat(0.166_666_69), splat(0.5));
    let q23 = r.mul_add(splat(0.008_332_329), splat(0.041_666_552));
    let q45 = r.mul_add(splat(0.000_207_901_32), splat(0.001_392_090_2));
    r2.mul_add(r2.mul_add(q45, q23), q01)
}

#[inline(always)]
fn q_of_f64<S: Simd>(simd: S, r: S::f64s) -> S::f64s {
    let splat = |v: f64| S::f64s::splat(simd, v);
    let r2 = r * r;
    let r4 = r2 * r2;
    let q01 = r.mul_add(splat(0.166_666_666_666_666_69), splat(0.5));
    let q23 = r.mul_add(
        splat(0.008_333_333_333_329_985),
        splat(0.041_666_666_666_666_664),
    );
    let q45 = r.mul_add(
        splat(0.000_198_412_698_634_355_5),
        splat(0.001_388_888_888_888_649_8),
    );
    let q67 = r.mul_add(
        splat(2.755_726_786_826_200_7e-6),
        splat(2.480_158_731_741_724_6e-5),
    );
    let q89 = r.mul_add(
        splat(2.510_066_614_291_837_4e-8),
        splat(2.755_728_254_697_946e-7),
    );
    let q8 = r2.mul_add(splat(2.091_143_704_598_424_6e-9), q89);
    let q4 = r4.mul_add(q8, r2.mul_add(q67, q45));
    r4.mul_add(q4, r2.mul_add(q23, q01))
}
