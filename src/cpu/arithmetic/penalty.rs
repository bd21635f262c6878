//! The terms of a penalty.

macro_rules! penalty {
    ($float:ident, $floats:ident) => {
        /// The penalty `l1 * |y|`. For an infinite `y`, `L1L2` with an `l2` of 0 would compute 0 * infinity, which is
        /// NaN.
        #[derive(Clone, Copy)]
        pub(in super::super) struct L1<S: Simd>(S::$floats);

        impl<S: Simd> L1<S> {
            #[inline(always)]
            pub(in super::super) fn new(simd: S, l1: $float) -> Self {
                Self(S::$floats::splat(simd, l1))
            }
        }

        impl<S: Simd> Formula<S, S::$floats> for L1<S> {
            #[inline(always)]
            fn apply(self, _: S, y: S::$floats, _: S::$floats) -> S::$floats {
                y.abs() * self.0
            }
        }

        /// The penalty `l1 * |y| + l2 * y^2`, computed as `|y| * (|y| * l2 + l1)`. If both factors are less than half
        /// of the largest float, intermediate results overflow only if the penalty does.
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

        impl<S: Simd> Formula<S, S::$floats> for L1L2<S> {
            #[inline(always)]
            fn apply(self, _: S, y: S::$floats, _: S::$floats) -> S::$floats {
                let magnitude = y.abs();
                magnitude * magnitude.mul_add(self.l2, self.l1)
            }
        }
    };
}
