//! ELU: `positive * x` where x >= 0, else `negative * expm1(input_scale * x)`.

macro_rules! forward {
    ($float:ident, $floats:ident, $uints:ident, unit_expm1_smallest: $unit_expm1_smallest:literal, mantissa: $mantissa:literal, ln_2_for_unit: [$($ln_2_part:expr),+], q: $q:ident, expm1_smallest: $expm1_smallest:literal, expm1_small: $expm1_small:literal) => {
        /// ELU with unit factors: x, or expm1(x) = 2^n (r + r^2 q(r)) + (2^n - 1). It needs no pairs, because no
        /// product follows.
        #[derive(Clone, Copy)]
        pub(in super::super) struct UnitForward;

        impl<S: Simd> Formula<S, S::$floats> for UnitForward {
            #[inline(always)]
            fn apply(self, simd: S, x: S::$floats, _: S::$floats) -> S::$floats {
                let splat = |v: $float| S::$floats::splat(simd, v);
                let bounded = x.max(splat($unit_expm1_smallest)); // the result for x > 0 is not used
                let rounder = bounded.mul_add(splat(LOG2_E), splat(ROUNDER));
                let power = (rounder.bitcast::<S::$uints>() << $mantissa).bitcast::<S::$floats>();
                let n = rounder - ROUNDER;
                // n ln 2 has an error for large negative n, but the multiplication by 2^n makes it small.
                let r = bounded;
                $(let r = n.mul_add(splat(-$ln_2_part), r);)+
                let y = power.mul_add((r * r).mul_add(super::$q(simd, r), r), power - 1.0);
                x.simd_lt(splat(0.0)).select(y, x)
            }
        }

        /// ELU with an alpha of ordinary size: x, or `negative * expm1(x)`. It needs FMA.
        #[derive(Clone, Copy)]
        pub(in super::super) struct AlphaForward<S: Simd> {
            negative: S::$floats,
        }

        impl<S: Simd> AlphaForward<S> {
            /// Returns the formula, or `None` if only [`Forward`] keeps the error bound.
            #[inline(always)]
            pub(in super::super) fn new(simd: S, factors: RoundedFactors<$float>) -> Option<Self> {
                // A subnormal product loses up to half of the smallest number, which is small compared with an ULP of
                // `negative * x` if x is so large that expm1(x) does not round to x.
                let smallest_alpha = $expm1_small;
                let is_ordinary = factors.negative.abs() >= smallest_alpha;
                let is_possible = has_fma(simd.level()) && is_ordinary && factors.positive == 1.0;
                is_possible.then(|| Self {
                    negative: S::$floats::splat(simd, factors.negative),
                })
            }
        }

        impl<S: Simd> Formula<S, S::$floats> for AlphaForward<S> {
            #[inline(always)]
            fn apply(self, simd: S, x: S::$floats, _: S::$floats) -> S::$floats {
                let splat = |v: $float| S::$floats::splat(simd, v);
                let expm1 = expm1_of_float(simd, x); // the result for x > 0 is not used
                let y = self.negative.mul_add(expm1.high, self.negative * expm1.low);
                x.simd_lt(splat(0.0)).select(y, x)
            }
        }

        /// ELU with factors that are not degenerate and an `input_scale` of 1.
        #[derive(Clone, Copy)]
        pub(in super::super) struct Forward<S: Simd> {
            negative: Factor<S>,
            /// 2 to the power of the exponent of `negative`, or 1 if that power is already in `negative`.
            power: S::$floats,
            /// `negative` as one float.
            negative_value: S::$floats,
            positive: Positive<S>,
        }

        impl<S: Simd> Forward<S> {
            #[inline(always)]
            pub(in super::super) fn new(simd: S, factors: RoundedFactors<$float>) -> Self {
                let mut negative = Factor::new(simd, factors.split_negative());
                let splat = |v: $float| S::$floats::splat(simd, v);
                // The quotient 2^exponent is exact, because subnormal numbers include small powers of two.
                let mut power = factors.negative / (negative.high[0] + negative.low[0]);
                if power >= 1.0 {
                    // A power of 1 or more is applied to the factor here, and a smaller power to the product at the
                    // end. Either way, the product underflows only if the result does.
                    negative.high *= power;
                    negative.low *= power;
                    power = 1.0;
                }
                Self {
                    negative,
                    power: splat(power),
                    negative_value: splat(factors.negative),
                    positive: Positive::new(simd, factors.positive),
                }
            }
        }

        impl<S: Simd> Formula<S, S::$floats> for Forward<S> {
            #[inline(always)]
            fn apply(self, simd: S, x: S::$floats, _: S::$floats) -> S::$floats {
                let splat = |v: $float| S::$floats::splat(simd, v);
                let y = if has_fma(simd.level()) {
                    let expm1 = expm1_of_float(simd, x);
                    // With FMA, `high` is the whole factor.
                    let factor = self.negative.high;
                    factor.mul_add(expm1.high, factor * expm1.low) * self.power
                } else {
                    let bounded = x.max(splat($expm1_smallest));
                    let expm1 = expm1_of(simd, Pair::from(simd, bounded));
                    let y = rounded_product(self.negative.pair(), expm1) * self.power;
                    // Near 0, expm1(x) rounds to x. The parts of the pair may be subnormal there and lose bits, so
                    // the product is computed directly.
                    x.simd_gt(splat(-$expm1_small))
                        .select(x * self.negative_value, y)
                };
                x.simd_lt(splat(0.0)).select(y, self.positive.times(x))
            }
        }

        /// ELU with factors that are not degenerate and any `input_scale`.
        #[derive(Clone, Copy)]
        pub(in super::super) struct ScaledForward<S: Simd> {
            negative: Factor<S>,
            slope: Factor<S>,
            positive: Positive<S>,
            input_scale: InputScale<S>,
            /// For x above this, expm1(t) rounds to t, and the result is `slope * x`.
            small: S::$floats,
        }

        impl<S: Simd> ScaledForward<S> {
            #[inline(always)]
            pub(in super::super) fn new(simd: S, factors: RoundedFactors<$float>) -> Self {
                let small = -$expm1_small / factors.input_scale;
                Self {
                    negative: Factor::new(simd, factors.split_negative()),
                    slope: Factor::new(simd, factors.split_slope()),
                    positive: Positive::new(simd, factors.positive),
                    input_scale: InputScale::new(simd, factors, $expm1_smallest),
                    small: S::$floats::splat(simd, small),
                }
            }
        }

        impl<S: Simd> Formula<S, S::$floats> for ScaledForward<S> {
            #[inline(always)]
            fn apply(self, simd: S, x: S::$floats, _: S::$floats) -> S::$floats {
                let zero = S::$floats::splat(simd, 0.0);
                let is_small = x.simd_gt(self.small);
                let expm1 = expm1_of(simd, self.input_scale.times(simd, x));
                let normalized = normalize(simd, x);
                let linear = split_pair(simd, Pair::from(simd, normalized.significand));
                let expm1 = choose_pair(expm1, linear, is_small);
                let factor = choose_pair(self.negative.pair(), self.slope.pair(), is_small);
                let exponent = is_small
                    .select(normalized.exponent + self.slope.exponent, self.negative.exponent);
                let y = scale_by_power(simd, rounded_product(factor, expm1), exponent);
                x.simd_lt(zero).select(y, self.positive.times(x))
            }
        }

        /// ELU with degenerate factors: `negative` is zero, infinite or NaN. Its product with any negative number is
        /// `-negative`.
        #[derive(Clone, Copy)]
        pub(in super::super) struct DegenerateForward<S: Simd> {
            negated: S::$floats,
            positive: Positive<S>,
        }

        impl<S: Simd> DegenerateForward<S> {
            #[inline(always)]
            pub(in super::super) fn new(simd: S, factors: RoundedFactors<$float>) -> Self {
                Self {
                    negated: S::$floats::splat(simd, -factors.negative),
                    positive: Positive::new(simd, factors.positive),
                }
            }
        }

        impl<S: Simd> Formula<S, S::$floats> for DegenerateForward<S> {
            #[inline(always)]
            fn apply(self, simd: S, x: S::$floats, _: S::$floats) -> S::$floats {
                let zero = S::$floats::splat(simd, 0.0);
                x.simd_lt(zero).select(self.negated, self.positive.times(x))
            }
        }
    };
}
