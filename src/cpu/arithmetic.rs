//! The formulas, over a vector of floats. `f32` and `f64` have the same, with constants of their own.
//!
//! With t = n ln 2 + r and |r| <= ln 2 / 2: exp(t) = s (1 + e) and expm1(t) = s e + (s - 1), where s = 2^n and
//! e = expm1(r) = r + r^2 q(r). The coefficients of q are a minimax fit from `scripts/expm1-coefficients`.
//!
//! Where one rounding must not follow another, a value is kept as high + low. The bits of two high parts have an exact
//! product, so that it makes no difference whether `mul_add` is fused or not, nor whether it is there at all.

use fearless_simd::prelude::*;

use crate::factors::Products;

/// Something done to every element: from `x` and, for a gradient, `grad`.
pub(super) trait Op<S: Simd, V>: Copy {
    fn apply(self, simd: S, x: V, grad: V) -> V;
}

macro_rules! arithmetic {
    (
        $float:ident, $bits:ident, $floats:ident, $uints:ident,
        mantissa: $mantissa:literal, exponent_bias: $bias:literal, high_bits: $high_bits:literal,
        one_below: $one_below:literal, zero_below: $zero_below:literal, linear_above: $linear_above:literal,
        normal_above: $normal_above:literal,
        ln_2_for_expm1: [$($ln_2_part:expr),+], ln_2_for_exp: $ln_2:expr,
        grow: $grow:expr, small: $small:expr, deep: $deep:expr,
        q: $q:ident, lean: $lean:literal, q_leant: $q_leant:ident,
    ) => {
        pub(super) mod $float {
            use super::*;

            /// ELU with alpha = 1.
            #[derive(Clone, Copy)]
            pub(in super::super) struct Elu;

            impl<S: Simd> Op<S, S::$floats> for Elu {
                #[inline(always)]
                fn apply(self, simd: S, x: S::$floats, _: S::$floats) -> S::$floats {
                    let zero = S::$floats::splat(simd, 0.0);
                    let (s, r) = reduce(simd, x);
                    let y = s.mul_add((r * r).mul_add(super::$q(simd, r), r), s - 1.0);
                    x.simd_lt(zero).select(y, x)
                }
            }

            /// ELU with any other alpha that is finite and not zero.
            #[derive(Clone, Copy)]
            pub(in super::super) struct Alpha<S: Simd> {
                alpha: Split<S>,
                rescale: S::$floats,
            }

            impl<S: Simd> Alpha<S> {
                #[inline(always)]
                pub(in super::super) fn new(simd: S, alpha: $float) -> Self {
                    // A small one grows, so that what is left of it within the sums is not subnormal.
                    let grow = if alpha.abs() < GROW.recip() { GROW } else { 1.0 };
                    Self {
                        alpha: Split::of(simd, alpha * grow),
                        rescale: S::$floats::splat(simd, grow.recip()),
                    }
                }

                #[inline(always)]
                fn times_expm1(self, simd: S, t: S::$floats) -> S::$floats {
                    let (s, r) = reduce(simd, t);
                    let rest = r * r * super::$q(simd, r);
                    let less = s - 1.0;
                    let high = leading_bits(simd, s.mul_add(r + rest, less));
                    let low = s.mul_add(rest, s.mul_add(r, less - high));
                    let inner = self.alpha.all.mul_add(low, self.alpha.low * high);
                    self.alpha.high.mul_add(high, inner) * self.rescale
                }
            }

            impl<S: Simd> Op<S, S::$floats> for Alpha<S> {
                #[inline(always)]
                fn apply(self, simd: S, x: S::$floats, _: S::$floats) -> S::$floats {
                    let zero = S::$floats::splat(simd, 0.0);
                    x.simd_lt(zero).select(self.times_expm1(simd, x), x)
                }
            }

            /// All three factors.
            #[derive(Clone, Copy)]
            pub(in super::super) struct Family<S: Simd> {
                negative: Alpha<S>,
                positive: Positive<S>,
                input_scale: S::$floats,
                slope: S::$floats,
            }

            impl<S: Simd> Family<S> {
                #[inline(always)]
                pub(in super::super) fn new(simd: S, products: Products<$float>) -> Self {
                    Self {
                        negative: Alpha::new(simd, products.negative),
                        positive: Positive::new(simd, products.positive),
                        input_scale: S::$floats::splat(simd, products.input_scale),
                        slope: S::$floats::splat(simd, products.slope),
                    }
                }
            }

            impl<S: Simd> Op<S, S::$floats> for Family<S> {
                #[inline(always)]
                fn apply(self, simd: S, x: S::$floats, _: S::$floats) -> S::$floats {
                    let zero = S::$floats::splat(simd, 0.0);
                    let t = x * self.input_scale;
                    // Where expm1(t) rounds to t, the factors make one product, and t may be too small for one of two.
                    let y = t
                        .simd_gt(S::$floats::splat(simd, $linear_above))
                        .select(x * self.slope, self.negative.times_expm1(simd, t));
                    x.simd_lt(zero).select(y, self.positive.times(x))
                }
            }

            /// With a `negative` that is zero, infinite or NaN, every product with a negative number is `-negative`.
            #[derive(Clone, Copy)]
            pub(in super::super) struct Odd<S: Simd> {
                negated: S::$floats,
                positive: Positive<S>,
            }

            impl<S: Simd> Odd<S> {
                #[inline(always)]
                pub(in super::super) fn new(simd: S, products: Products<$float>) -> Self {
                    Self {
                        negated: S::$floats::splat(simd, -products.negative),
                        positive: Positive::new(simd, products.positive),
                    }
                }
            }

            impl<S: Simd> Op<S, S::$floats> for Odd<S> {
                #[inline(always)]
                fn apply(self, simd: S, x: S::$floats, _: S::$floats) -> S::$floats {
                    let zero = S::$floats::splat(simd, 0.0);
                    x.simd_lt(zero).select(self.negated, self.positive.times(x))
                }
            }

            /// The gradient from the input: `grad * positive` where `x > 0`, else `grad * slope * exp(input_scale * x)`.
            #[derive(Clone, Copy)]
            pub(in super::super) struct Backward<S: Simd> {
                positive: Positive<S>,
                input_scale: Split<S>,
                slope: Split<S>,
            }

            impl<S: Simd> Backward<S> {
                #[inline(always)]
                pub(in super::super) fn new(simd: S, products: Products<$float>) -> Self {
                    Self {
                        positive: Positive::new(simd, products.positive),
                        input_scale: Split::of(simd, products.input_scale),
                        slope: Split::of(simd, products.slope),
                    }
                }
            }

            impl<S: Simd> Op<S, S::$floats> for Backward<S> {
                #[inline(always)]
                fn apply(self, simd: S, x: S::$floats, grad: S::$floats) -> S::$floats {
                    let splat = |v: $float| S::$floats::splat(simd, v);
                    let scale = self.input_scale;
                    let t = x * scale.all;
                    // Below, not even the largest grad makes more than zero of it.
                    let clamped = t.max(splat($zero_below)).min(splat(0.0));
                    let n = clamped.mul_add(splat(LOG2_E), splat(MAGIC)) - MAGIC;
                    let [ln_2_high, ln_2_low] = LN_2;
                    let r = n.mul_add(splat(-ln_2_low), n.mul_add(splat(-ln_2_high), clamped));
                    // What the product lost: exp would magnify it.
                    let x_high = leading_bits(simd, x);
                    let lost = x_high.mul_add(scale.high, splat(0.0) - t)
                        + (x - x_high).mul_add(scale.all, x_high * scale.low);
                    let r = r + clamped.simd_eq(t).select(lost, splat(0.0));
                    let rest = r * r * super::$q(simd, r);
                    let high = leading_bits(simd, splat(1.0) + (r + rest));
                    let low = rest + (r + (splat(1.0) - high));
                    // In three factors, since 2^n may be smaller than any number.
                    let third = (n * splat(1.0 / 3.0)).ceil();
                    let first = power_of_two(simd, third);
                    let rest = [first, power_of_two(simd, n - third - third)];
                    let product = self.slope.product(simd, grad, high * first, low * first, rest);
                    self.positive.by_side(simd, x, grad, product)
                }
            }

            /// The gradient from the input for ELU with alpha = 1. Only where `mul_add` rounds once: two roundings would add
            /// up to more than an ULP.
            #[derive(Clone, Copy)]
            pub(in super::super) struct BackwardElu<S: Simd>(Backward<S>);

            impl<S: Simd> BackwardElu<S> {
                #[inline(always)]
                pub(in super::super) fn new(simd: S, products: Products<$float>) -> Self {
                    Self(Backward::new(simd, products))
                }
            }

            impl<S: Simd> Op<S, S::$floats> for BackwardElu<S> {
                #[inline(always)]
                fn apply(self, simd: S, x: S::$floats, grad: S::$floats) -> S::$floats {
                    let splat = |v: $float| S::$floats::splat(simd, v);
                    // In `f32`, so that exp(r) is between 0.75 and 1.5: what is added to 1 then has the smallest error.
                    let leant = x - splat($lean);
                    let biased = leant.mul_add(splat(LOG2_E), splat(MAGIC));
                    let s = (biased.bitcast::<S::$uints>() << $mantissa).bitcast::<S::$floats>();
                    let n = biased - MAGIC;
                    // r = high + low, of which high is exact: rounded, it would cost a quarter of an ULP.
                    let [ln_2_high, ln_2_low] = LN_2;
                    let high = n.mul_add(splat(-ln_2_high), x);
                    let low = n * splat(-ln_2_low);
                    let r = high + low;
                    let e = high + (r * r).mul_add(super::$q_leant(simd, r), low);
                    // A sum drops the sign of zero.
                    let product = (grad.mul_add(e, grad) * s).copysign(grad);

                    // Not where s is subnormal or the product overflows on the way. Chosen by lane, not by vector: the
                    // bits must not depend on the neighbours.
                    let is_moderate = x.simd_ge(splat($normal_above))
                        & grad.abs().simd_le(splat(0.5 * $float::MAX));
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
                positive: Positive<S>,
                negative: S::$floats,
                input_scale: Split<S>,
            }

            impl<S: Simd> BackwardFromOutput<S> {
                #[inline(always)]
                pub(in super::super) fn new(simd: S, products: Products<$float>) -> Self {
                    Self {
                        positive: Positive::new(simd, products.positive),
                        negative: S::$floats::splat(simd, products.negative),
                        input_scale: Split::of(simd, products.input_scale),
                    }
                }
            }

            impl<S: Simd> Op<S, S::$floats> for BackwardFromOutput<S> {
                #[inline(always)]
                fn apply(self, simd: S, y: S::$floats, grad: S::$floats) -> S::$floats {
                    let sum = y + self.negative;
                    // Knuth's TwoSum: what the sum lost, whichever of the two is larger.
                    let part = sum - self.negative;
                    let lost = (y - part) + (self.negative - (sum - part));
                    let high = leading_bits(simd, sum);
                    let low = (sum - high) + lost;
                    let one = S::$floats::splat(simd, 1.0);
                    let product = self.input_scale.product(simd, grad, high, low, [one; 2]);
                    self.positive.by_side(simd, y, grad, product)
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
            const LN_2: [$float; 2] = $ln_2;
            /// A sum with it rounds to an integer; the bias more makes the last bits a biased exponent.
            const MAGIC: $float = (3u64 << ($mantissa - 1)) as $float + $bias as $float;
            const GROW: $float = $grow;
            const SMALL: $float = $small;

            #[inline(always)]
            fn leading_bits<S: Simd>(simd: S, v: S::$floats) -> S::$floats {
                (v.bitcast::<S::$uints>() & S::$uints::splat(simd, $high_bits)).bitcast()
            }

            #[inline(always)]
            fn power_of_two<S: Simd>(simd: S, n: S::$floats) -> S::$floats {
                let biased = n + S::$floats::splat(simd, MAGIC);
                (biased.bitcast::<S::$uints>() << $mantissa).bitcast()
            }

            /// s and r for expm1(t), where s makes the error of r small if n is large. Of `t > 0` the result means nothing.
            #[inline(always)]
            fn reduce<S: Simd>(simd: S, t: S::$floats) -> (S::$floats, S::$floats) {
                let splat = |v: $float| S::$floats::splat(simd, v);
                let clamped = t.max(splat($one_below)); // below, expm1(t) rounds to -1
                let biased = clamped.mul_add(splat(LOG2_E), splat(MAGIC));
                let s = (biased.bitcast::<S::$uints>() << $mantissa).bitcast();
                let n = biased - MAGIC;
                let r = clamped;
                $(let r = n.mul_add(splat(-$ln_2_part), r);)+
                (s, r)
            }

            /// A factor in every lane, and its parts.
            #[derive(Clone, Copy)]
            struct Split<S: Simd> {
                all: S::$floats,
                high: S::$floats,
                low: S::$floats,
            }

            impl<S: Simd> Split<S> {
                #[inline(always)]
                fn of(simd: S, all: $float) -> Self {
                    let high = $float::from_bits(all.to_bits() & $high_bits);
                    let splat = |v: $float| S::$floats::splat(simd, v);
                    Self {
                        all: splat(all),
                        high: splat(high),
                        low: splat(all - high),
                    }
                }

                /// `grad * self * (high + low) * middle * last`, rounded about once.
                #[inline(always)]
                fn product(
                    self,
                    simd: S,
                    grad: S::$floats,
                    high: S::$floats,
                    low: S::$floats,
                    [middle, last]: [S::$floats; 2],
                ) -> S::$floats {
                    let splat = |v: $float| S::$floats::splat(simd, v);
                    // What is lost of a small product would count in the sums below, and a large one may overflow.
                    let size = (grad * self.all).abs();
                    let is_small = size.simd_lt(splat(SMALL));
                    let is_large = size.simd_gt(splat(SMALL.recip()));
                    let (up, down, one) = (splat(GROW), splat(GROW.recip()), splat(1.0));
                    let g = grad * is_small.select(up, is_large.select(down, one));
                    // Taken back where nothing overflows or underflows on the way.
                    let is_deep = middle.simd_lt(splat($deep));
                    let early = (is_large & is_deep).select(up, one);
                    let late = is_small.select(down, (is_large & !is_deep).select(up, one));
                    let c = g * self.all;
                    let c_high = leading_bits(simd, c);
                    let g_high = leading_bits(simd, g);
                    let c_low = g_high.mul_add(self.high, splat(0.0) - c_high)
                        + (g - g_high).mul_add(self.all, g_high * self.low);
                    let product = c_high.mul_add(high, c_low.mul_add(high, c * low));
                    let product = product * early * middle * last * late;
                    // A sum drops the sign of zero. Infinity and NaN have no parts, and go as IEEE 754 says.
                    let plain = c * high;
                    plain
                        .abs()
                        .simd_le(splat($float::MAX))
                        .select(product.copysign(plain), c * (high * middle * last))
                }
            }

            /// The side that is a mere product.
            #[derive(Clone, Copy)]
            struct Positive<S: Simd> {
                scale: S::$floats,
                is_one: <S::$floats as SimdBase<S>>::Mask,
            }

            impl<S: Simd> Positive<S> {
                #[inline(always)]
                fn new(simd: S, scale: $float) -> Self {
                    let (scale, one) = (S::$floats::splat(simd, scale), S::$floats::splat(simd, 1.0));
                    Self {
                        scale,
                        is_one: scale.simd_eq(one),
                    }
                }

                /// The very bits of `v` where the scale is 1 or `v` is NaN.
                #[inline(always)]
                fn times(self, v: S::$floats) -> S::$floats {
                    let is_same = self.is_one | !v.simd_eq(v);
                    is_same.select(v, v * self.scale)
                }

                /// `grad * scale` where `x > 0`, `otherwise` where `x <= 0`, and `x` itself where it is NaN.
                #[inline(always)]
                fn by_side(
                    self,
                    simd: S,
                    x: S::$floats,
                    grad: S::$floats,
                    otherwise: S::$floats,
                ) -> S::$floats {
                    let zero = S::$floats::splat(simd, 0.0);
                    let side = x.simd_gt(zero).select(self.times(grad), otherwise);
                    x.simd_eq(x).select(side, x)
                }
            }
        }
    };
}

arithmetic! {
    f32, u32, f32s, u32s,
    mantissa: 23, exponent_bias: 127, high_bits: 0xffff_f000,
    one_below: -18.0, zero_below: -240.0, linear_above: -3e-8,
    normal_above: -87.0,
    ln_2_for_expm1: [std::f32::consts::LN_2],
    ln_2_for_exp: [0.693_145_75, 1.428_606_8e-6],
    grow: (1u128 << 64) as f32, small: 1e-12, deep: 2e-10,
    q: q_of_f32, lean: 0.0589, q_leant: q_of_f32_leant,
}

arithmetic! {
    f64, u64, f64s, u64s,
    mantissa: 52, exponent_bias: 1023, high_bits: 0xffff_ffff_f800_0000,
    one_below: -40.0, zero_below: -1500.0, linear_above: -5e-17,
    normal_above: -708.0,
    ln_2_for_expm1: [0.693_147_180_369_123_8, 1.908_214_929_270_587_7e-10],
    ln_2_for_exp: [0.693_147_180_369_123_8, 1.908_214_929_270_587_7e-10],
    grow: (1u128 << 100) as f64 * (1u128 << 100) as f64, small: 1e-100, deep: 1e-102,
    q: q_of_f64, lean: 0.0, q_leant: q_of_f64,
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
    let q01 = r.mul_add(splat(0.166_666_666_666_666_77), splat(0.5));
    let q23 = r.mul_add(
        splat(0.008_333_333_333_321_476),
        splat(0.041_666_666_666_666_71),
    );
    let q45 = r.mul_add(
        splat(0.000_198_412_698_860_898_08),
        splat(0.001_388_888_888_884_100_2),
    );
    let q67 = r.mul_add(
        splat(2.755_724_527_444_641e-6),
        splat(2.480_158_745_093_505e-5),
    );
    let q89 = r.mul_add(
        splat(2.510_637_673_856_828_8e-8),
        splat(2.755_714_298_100_746e-7),
    );
    let q8 = r2.mul_add(splat(2.101_320_093_346_527e-9), q89);
    let q4 = r4.mul_add(q8, r2.mul_add(q67, q45));
    r4.mul_add(q4, r2.mul_add(q23, q01))
}
