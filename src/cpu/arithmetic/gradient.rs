//! The gradients: `grad * positive` on the positive side, else `grad` times the slope.
//!
//! 1. The slope is computed as two factors: a constant, `negative * input_scale`, and a variable, exp(t). In
//!    the gradient from the output they are `input_scale` and `y + negative`. Each significand is a pair, and the
//!    exponents are separate.
//! 2. `grad` is split into its significand and its exponent.
//! 3. The three significands are multiplied as pairs, and the product is rounded once.
//! 4. The result is scaled by the sum of the exponents.
//!
//! Steps 1 and 3 use pairs, because two roundings would exceed 1 ULP. Exponents are kept apart, because the factors may
//! be near the ends of the range although the result is not.

macro_rules! gradient {
    ($float:ident, $floats:ident, $uints:ident, exp_smallest: $exp_smallest:literal, exp_underflows: $exp_underflows:literal, center_shift: $center_shift:literal, mantissa: $mantissa:literal, q_centered: $q_centered:ident, exp_normal: $exp_normal:literal) => {
        /// The gradient from the input: `grad * positive` where `x > 0`, else `grad * slope * exp(input_scale * x)`,
        /// where `slope` is `negative * input_scale`.
        #[derive(Clone, Copy)]
        pub(in super::super) struct Backward<S: Simd> {
            input_scale: InputScale<S>,
            slope: Factor<S>,
            gradient: Gradient<S>,
        }

        impl<S: Simd> Backward<S> {
            #[inline(always)]
            pub(in super::super) fn new(simd: S, factors: RoundedFactors<$float>) -> Self {
                Self {
                    input_scale: InputScale::new(simd, factors, $exp_smallest),
                    slope: Factor::new(simd, factors.split_slope()),
                    gradient: Gradient::new(simd, factors),
                }
            }
        }

        impl<S: Simd> Formula<S, S::$floats> for Backward<S> {
            #[inline(always)]
            fn apply(self, simd: S, x: S::$floats, grad: S::$floats) -> S::$floats {
                let zero = S::$floats::splat(simd, 0.0);
                let t = self.input_scale.times(simd, x.min(zero));
                let exponential = exp_of(simd, t);
                let underflows = t.high.simd_le(S::$floats::splat(simd, $exp_underflows));
                let sign = underflows.select(self.gradient.negative * 0.0, self.gradient.negative);
                let variable = Normalized {
                    significand: exponential.significand,
                    exponent: exponential.exponent + self.slope.exponent,
                };
                self.gradient
                    .apply(simd, x, grad, self.slope.pair(), variable, sign)
            }
        }

        /// The gradient from the input for unit factors, on machines with FMA: `grad * (1 + e) * 2^n`, where
        /// e = expm1(r).
        ///
        /// `mul_add(grad, e, grad)` rounds once. With a second rounding, the error would exceed 1 ULP.
        #[derive(Clone, Copy)]
        pub(in super::super) struct UnitBackward<S: Simd>(Backward<S>);

        impl<S: Simd> UnitBackward<S> {
            #[inline(always)]
            pub(in super::super) fn new(simd: S, factors: RoundedFactors<$float>) -> Self {
                Self(Backward::new(simd, factors))
            }
        }

        impl<S: Simd> Formula<S, S::$floats> for UnitBackward<S> {
            #[inline(always)]
            fn apply(self, simd: S, x: S::$floats, grad: S::$floats) -> S::$floats {
                let splat = |v: $float| S::$floats::splat(simd, v);
                // In `f32`, the shift moves exp(r) to the range from 0.75 to 1.5, which minimizes the error of e
                // relative to exp(r).
                let centered = x - splat($center_shift);
                let rounder = centered.mul_add(splat(LOG2_E), splat(ROUNDER));
                let power = (rounder.bitcast::<S::$uints>() << $mantissa).bitcast::<S::$floats>();
                let n = rounder - ROUNDER;
                // r = high + low, and `high` is exact. Using the rounded r in place of the two would cost 0.25 ULP.
                let [ln_2_high, ln_2_low] = LN2;
                let high = n.mul_add(splat(-ln_2_high), x);
                let low = n * splat(-ln_2_low);
                let r = high + low;
                let e = high + (r * r).mul_add(super::$q_centered(simd, r), low);
                // The addition may lose the sign of a zero `grad`, so it is restored.
                let product = (grad.mul_add(e, grad) * power).copysign(grad);

                // Selects the general formula where 2^n may be subnormal or `grad * (1 + e)` may overflow. It selects
                // by lane and not by vector, because an element's bits must not depend on its neighbours.
                let is_moderate =
                    x.simd_ge(splat($exp_normal)) & grad.abs().simd_le(splat(0.5 * <$float>::MAX));
                let on_negative_side = x.simd_le(splat(0.0));
                let needs_general = on_negative_side & !is_moderate;
                let product = if needs_general.any_true() {
                    needs_general.select(self.0.apply(simd, x, grad), product)
                } else {
                    product
                };
                on_negative_side.select(product, x.simd_eq(x).select(grad, x))
            }
        }

        /// The gradient from the output: `grad * positive` where `y > 0`, else `grad * input_scale * (y + negative)`.
        #[derive(Clone, Copy)]
        pub(in super::super) struct BackwardFromOutput<S: Simd> {
            /// The significand of `negative`.
            negative: S::$floats,
            /// 2 to the power of minus the exponent of `negative`, as two factors.
            powers: [S::$floats; 2],
            /// The sum of the exponents of `negative` and `input_scale`.
            exponent: S::$floats,
            input_scale: Factor<S>,
            gradient: Gradient<S>,
        }

        impl<S: Simd> BackwardFromOutput<S> {
            #[inline(always)]
            pub(in super::super) fn new(simd: S, factors: RoundedFactors<$float>) -> Self {
                let negative = Factor::new(simd, factors.split_negative());
                let input_scale = Factor::new(simd, factors.split_input_scale());
                Self {
                    negative: negative.high + negative.low,
                    powers: powers_of_two(simd, S::$floats::splat(simd, 0.0) - negative.exponent),
                    exponent: negative.exponent + input_scale.exponent,
                    input_scale,
                    gradient: Gradient::new(simd, factors),
                }
            }
        }

        impl<S: Simd> Formula<S, S::$floats> for BackwardFromOutput<S> {
            #[inline(always)]
            fn apply(self, simd: S, y: S::$floats, grad: S::$floats) -> S::$floats {
                let splat = |v: $float| S::$floats::splat(simd, v);
                // Scales both summands so that `negative` is between 1 and 2. No output is below `-negative`, so the
                // lower bound -4 changes only a `y` that is not an output of ELU. It keeps the sum finite.
                let [power, rest] = self.powers;
                let scaled = (y * power * rest).max(splat(-4.0)).min(splat(0.0));
                let sum = two_sum(scaled, self.negative);
                let variable = Normalized {
                    significand: split_pair(simd, sum),
                    exponent: self.exponent,
                };
                let is_zero = sum.high.simd_eq(splat(0.0));
                let sign = is_zero.select(splat(0.0), splat(1.0).copysign(sum.high));
                self.gradient
                    .apply(simd, y, grad, self.input_scale.pair(), variable, sign)
            }
        }

        /// The part that both gradients share: the product of `grad` and the two factors of the slope, and the special
        /// values.
        #[derive(Clone, Copy)]
        struct Gradient<S: Simd> {
            positive: Positive<S>,
            /// `negative` if it is degenerate, else 1 with its sign.
            negative: S::$floats,
            is_degenerate: <S::$floats as SimdBase<S>>::Mask,
        }

        impl<S: Simd> Gradient<S> {
            #[inline(always)]
            fn new(simd: S, factors: RoundedFactors<$float>) -> Self {
                let is_degenerate = factors.is_degenerate();
                let negative = if is_degenerate {
                    factors.negative
                } else {
                    (1.0 as $float).copysign(factors.negative)
                };
                // The comparison turns the `bool` into a mask.
                let [one, other] = [1.0, if is_degenerate { 1.0 } else { 0.0 }];
                Self {
                    positive: Positive::new(simd, factors.positive),
                    negative: S::$floats::splat(simd, negative),
                    is_degenerate: S::$floats::splat(simd, one)
                        .simd_eq(S::$floats::splat(simd, other)),
                }
            }

            /// Returns `grad * positive` where `x > 0`, else `grad * constant * variable`, and `x` where it is NaN.
            ///
            /// `constant` and `variable` are the factors of the slope. The exponent of `variable` includes that of
            /// `constant`. `sign` is 0, infinite or NaN if the slope is, else a number with the slope's sign.
            #[inline(always)]
            fn apply(
                self,
                simd: S,
                x: S::$floats,
                grad: S::$floats,
                constant: Pair<S>,
                variable: Normalized<S, Pair<S>>,
                sign: S::$floats,
            ) -> S::$floats {
                let splat = |v: $float| S::$floats::splat(simd, v);
                let normalized = normalize(simd, grad);
                let grad_pair = split_pair(simd, Pair::from(simd, normalized.significand));
                let scaled = split_product(simd, grad_pair, constant);
                let y = scale_by_power(
                    simd,
                    rounded_product(scaled, variable.significand),
                    normalized.exponent + variable.exponent,
                );
                // If `grad` or the slope is 0, infinite or NaN, `grad * sign` gives the value that IEEE 754 requires.
                let is_ordinary = grad.abs().simd_gt(splat(0.0))
                    & grad.abs().simd_le(splat(<$float>::MAX))
                    & variable.significand.high.abs().simd_gt(splat(0.0))
                    & !self.is_degenerate;
                let below_zero = is_ordinary.select(y, grad * sign);
                let result = x
                    .simd_gt(splat(0.0))
                    .select(self.positive.times(grad), below_zero);
                x.simd_eq(x).select(result, x)
            }
        }
    };
}
