//! The factors in the form that the formulas multiply by.

macro_rules! factors {
    ($float:ident, $floats:ident, expm1_small: $expm1_small:literal) => {
        /// The factor (high + low) * 2^exponent, the same in every lane.
        #[derive(Clone, Copy)]
        struct Factor<S: Simd> {
            high: S::$floats,
            low: S::$floats,
            exponent: S::$floats,
        }

        impl<S: Simd> Factor<S> {
            #[inline(always)]
            fn new(simd: S, factor: Split<$float>) -> Self {
                let Split {
                    high,
                    low,
                    exponent,
                } = factor;
                // Without FMA, `high` must have few bits. With FMA, it may have all, which saves operations.
                let full = if has_fma(simd.level()) {
                    high + low
                } else {
                    high
                };
                Self {
                    high: S::$floats::splat(simd, full),
                    low: S::$floats::splat(simd, low - (full - high)),
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

        /// The factor `input_scale`, and the bounds of the x whose product with it must be exact.
        #[derive(Clone, Copy)]
        struct InputScale<S: Simd> {
            /// The significand of `input_scale`.
            factor: S::$floats,
            /// 2 to the power of the exponent of `input_scale`.
            power: S::$floats,
            is_one: bool,
            /// The lower bound that x is clamped to. Smaller x give the same result.
            smallest: S::$floats,
            /// For x above this, |t| < `expm1_small`^2. exp(t) then rounds to 1, and t may be replaced by 0. For other
            /// x, no part of the pair t is subnormal.
            small: S::$floats,
        }

        impl<S: Simd> InputScale<S> {
            /// Creates the factor. x is clamped so that `input_scale * x` is at least `smallest`.
            #[inline(always)]
            fn new(simd: S, factors: RoundedFactors<$float>, smallest: $float) -> Self {
                let factor = Factor::new(simd, factors.split_input_scale());
                Self {
                    factor: factor.high + factor.low,
                    power: power_of_two(simd, factor.exponent),
                    is_one: factors.has_unit_input_scale(),
                    smallest: S::$floats::splat(simd, smallest / factors.input_scale),
                    small: S::$floats::splat(
                        simd,
                        -$expm1_small * $expm1_small / factors.input_scale,
                    ),
                }
            }

            /// Returns t = `input_scale * x` for x <= 0, as a pair. Where its parts might be subnormal, t is 0.
            #[inline(always)]
            fn times(self, simd: S, x: S::$floats) -> Pair<S> {
                let bounded = x.max(self.smallest);
                if self.is_one {
                    return Pair::from(simd, bounded);
                }
                let zero = S::$floats::splat(simd, 0.0);
                let x = bounded
                    .simd_gt(self.small)
                    .select(zero, bounded * self.power);
                two_product(simd, x, self.factor)
            }
        }

        /// The factor of the positive side.
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

            /// Returns `v * scale`. If the scale is 1 or `v` is NaN, the result has the bits of `v`.
            #[inline(always)]
            pub(super) fn times(self, v: S::$floats) -> S::$floats {
                let is_same = self.is_one | !v.simd_eq(v);
                is_same.select(v, v * self.scale)
            }
        }
    };
}
