//! Error-free transformations, and scaling by powers of two.
//!
//! - A `Pair` holds a number with more bits than a float has: the sum of two floats, `high` and the smaller `low`.
//! - `two_sum` and `two_product` are error-free transformations: they return a sum or product together with its
//!   rounding error. With FMA, the error of a product is `mul_add(a, b, -(a * b))`. Without FMA, both numbers are split
//!   into halves whose products are exact.
//! - In a split pair, `high` has so few bits that the product of two such numbers is exact. With FMA, every pair counts
//!   as split.
//! - `split_product` and `rounded_product` multiply split pairs: the product of the high parts plus the cross terms.
//!   The first returns a pair; the second rounds once.
//! - `normalize` and `scale_by_power` keep exponents apart from significands, so that no product overflows or
//!   underflows on the way.

macro_rules! primitives {
    ($float:ident, $bits:ident, $floats:ident, $uints:ident, ln_2: $ln_2:expr, mantissa: $mantissa:literal, bias: $bias:literal, leading: $leading:literal, largest_power: $largest_power:literal) => {
        const LOG2_E: $float = std::$float::consts::LOG2_E;
        /// ln 2 in two parts. n times the first part is exact.
        const LN2: [$float; 2] = $ln_2;
        /// 1.5 * 2^mantissa + bias. Adding it rounds a number to an integer n and leaves the biased exponent of 2^n in
        /// the last bits.
        const ROUNDER: $float = (3u64 << ($mantissa - 1)) as $float + $bias as $float;
        const FRACTION: $bits = (1 << $mantissa) - 1;

        /// The number high + low. `low` is smaller and holds the bits that `high` does not have.
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
        }

        /// Returns `b` where the condition holds, else `a`.
        #[inline(always)]
        fn choose_pair<S: Simd>(
            a: Pair<S>,
            b: Pair<S>,
            condition: <S::$floats as SimdBase<S>>::Mask,
        ) -> Pair<S> {
            Pair {
                high: condition.select(b.high, a.high),
                low: condition.select(b.low, a.low),
            }
        }

        /// The number significand * 2^exponent.
        #[derive(Clone, Copy)]
        struct Normalized<S: Simd, T> {
            significand: T,
            exponent: S::$floats,
        }

        /// Keeps so few bits that the product of two such numbers is exact. With FMA, keeps all bits, because
        /// `mul_add` does not round the product.
        #[inline(always)]
        fn leading_bits<S: Simd>(simd: S, v: S::$floats) -> S::$floats {
            if has_fma(simd.level()) {
                return v;
            }
            (v.bitcast::<S::$uints>() & S::$uints::splat(simd, $leading)).bitcast()
        }

        /// Knuth's `TwoSum`: returns a + b as an exact pair, whichever number is larger.
        #[inline(always)]
        fn two_sum<S: Simd>(a: S::$floats, b: S::$floats) -> Pair<S> {
            let sum = a + b;
            let part = sum - a;
            Pair {
                high: sum,
                low: (a - (sum - part)) + (b - part),
            }
        }

        /// Moves bits from `high` to `low`, so that the product of two high parts is exact. With FMA, changes nothing.
        #[inline(always)]
        fn split_pair<S: Simd>(simd: S, v: Pair<S>) -> Pair<S> {
            if has_fma(simd.level()) {
                return v;
            }
            let high = leading_bits(simd, v.high);
            Pair {
                high,
                low: (v.high - high) + v.low,
            }
        }

        /// Returns a * b for split pairs as a split pair with about one and a half times the precision of a float.
        #[inline(always)]
        fn split_product<S: Simd>(simd: S, a: Pair<S>, b: Pair<S>) -> Pair<S> {
            let product = a.high * b.high;
            let cross_terms = cross_terms(a, b);
            if has_fma(simd.level()) {
                let lost = a
                    .high
                    .mul_add(b.high, S::$floats::splat(simd, 0.0) - product);
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

        /// Dekker's `TwoProduct`: returns a * b for two floats as a pair. It is exact with FMA and in `f32`. In `f64`
        /// without FMA it is accurate to 2^-104.
        #[inline(always)]
        fn two_product<S: Simd>(simd: S, a: S::$floats, b: S::$floats) -> Pair<S> {
            let zero = S::$floats::splat(simd, 0.0);
            let high = a * b;
            if has_fma(simd.level()) {
                let low = a.mul_add(b, zero - high);
                return Pair { high, low };
            }
            let (a, b) = (
                split_pair(simd, Pair::from(simd, a)),
                split_pair(simd, Pair::from(simd, b)),
            );
            let first_terms = a.low.mul_add(b.high, a.high * b.high - high);
            Pair {
                high,
                low: a.low.mul_add(b.low, a.high.mul_add(b.low, first_terms)),
            }
        }

        /// Returns a * b for split pairs, rounded once.
        #[inline(always)]
        fn rounded_product<S: Simd>(a: Pair<S>, b: Pair<S>) -> S::$floats {
            a.high.mul_add(b.high, cross_terms(a, b))
        }

        /// Returns a * b without the product of the high parts.
        #[inline(always)]
        fn cross_terms<S: Simd>(a: Pair<S>, b: Pair<S>) -> S::$floats {
            a.high.mul_add(b.low, a.low * (b.high + b.low))
        }

        /// Returns 2^n, which must be normal, for a float n with an integer value.
        #[inline(always)]
        fn power_of_two<S: Simd>(simd: S, n: S::$floats) -> S::$floats {
            let rounder = n + S::$floats::splat(simd, ROUNDER);
            (rounder.bitcast::<S::$uints>() << $mantissa).bitcast()
        }

        /// Returns 2^exponent as two factors, each of which is normal. The exponent is clamped to plus or minus
        /// `largest_power`, beyond which every result of `scale_by_power` is 0 or infinite.
        #[inline(always)]
        fn powers_of_two<S: Simd>(simd: S, exponent: S::$floats) -> [S::$floats; 2] {
            let splat = |v: $float| S::$floats::splat(simd, v);
            let bounded = exponent
                .max(splat(-$largest_power))
                .min(splat($largest_power));
            let half = bounded.mul_add(splat(0.5), splat(ROUNDER)) - ROUNDER;
            [power_of_two(simd, half), power_of_two(simd, bounded - half)]
        }

        /// Returns v * 2^exponent. The result may be subnormal or infinite.
        #[inline(always)]
        fn scale_by_power<S: Simd>(simd: S, v: S::$floats, exponent: S::$floats) -> S::$floats {
            let [power, rest] = powers_of_two(simd, exponent);
            v * power * rest
        }

        /// Splits a number that is finite and not 0 into its significand, with its sign, and its exponent.
        #[inline(always)]
        fn normalize<S: Simd>(simd: S, v: S::$floats) -> Normalized<S, S::$floats> {
            let splat = |v: $float| S::$floats::splat(simd, v);
            let uints = |v: $bits| S::$uints::splat(simd, v);
            // Multiplies subnormal numbers by 2^(mantissa + 1), which makes them normal.
            let scale = (1u64 << ($mantissa + 1)) as $float;
            let is_subnormal = v.abs().simd_lt(splat(<$float>::MIN_POSITIVE));
            let normal = is_subnormal.select(v * scale, v);
            let bits = normal.bitcast::<S::$uints>();
            // Converts the exponent bits to a float: adds them to the last bits of a large float, then subtracts that
            // float and the bias.
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
    };
}
