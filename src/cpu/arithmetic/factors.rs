//! The factors in the form that the formulas multiply by.

macro_rules! factors {
    ($float:ident, $floats:ident, expm1_small: $expm1_small:literal) => {
        /// A factor, the same in every lane.
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
                // If `mul_add` rounds once, `high` may have all bits, and more bits in `high` save operations.
                let all = if fuses(simd.level()) {
                    high + low
                } else {
                    high
                };
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
            /// The significand of `input_scale`, and 2 to the power of its exponent.
            factor: S::$floats,
            power: S::$floats,
            is_one: bool,
            smallest: S::$floats,
            small: S::$floats,
        }

        impl<S: Simd> Scale<S> {
            /// Creates the scale. Products below `smallest` are not needed exactly.
            #[inline(always)]
            fn new(simd: S, products: Products<$float>, smallest: $float) -> Self {
                let factor = Factor::new(simd, products.split_input_scale());
                let scale = products.input_scale;
                Self {
                    factor: factor.high + factor.low,
                    power: power_of_two(simd, factor.exponent),
                    is_one: products.has_unit_input_scale(),
                    smallest: S::$floats::splat(simd, smallest / scale),
                    small: S::$floats::splat(simd, -$expm1_small * $expm1_small / scale),
                }
            }

            /// Returns the product with an x <= 0, as exactly as the result needs it.
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
        /// The positive side, which is a product.
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

            /// Returns `v` itself, with the same bits, if the scale is 1 or `v` is NaN.
            #[inline(always)]
            pub(super) fn times(self, v: S::$floats) -> S::$floats {
                let is_same = self.is_one | !v.simd_eq(v);
                is_same.select(v, v * self.scale)
            }
        }
    };
}
