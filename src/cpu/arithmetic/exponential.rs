//! exp and expm1 as pairs: range reduction, polynomial and reconstruction.

macro_rules! exponential {
    ($float:ident, $floats:ident, $uints:ident, p: $p:ident, q: $q:ident, expm1_smallest_power: $expm1_smallest_power:literal, mantissa: $mantissa:literal, ln_2_for_unit: [$($ln_2_part:expr),+]) => {
        /// The result of the range reduction: t = n ln 2 + r + `r_low`, and expm1(r + `r_low`) = r + rest. `r` is
        /// exact; `rest` may have rounding errors.
        struct Reduced<S: Simd> {
            n: S::$floats,
            r: S::$floats,
            rest: S::$floats,
        }

        /// Range reduction and polynomial:
        ///
        /// 1. n = t / ln 2, rounded to an integer. n is at least `smallest`.
        /// 2. r = t.high - n `LN2[0]`, which is exact.
        /// 3. `r_low` = t.low - n `LN2[1]`, the small remainder.
        /// 4. `rest` = exp(r + `r_low`) - 1 - r, where exp(r + `r_low`) = exp(r) (1 + `r_low` + `r_low`^2 / 2) and
        ///    exp(r) = 1 + r + r^2 / 2 + r^3 p(r).
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
            let exp_of_r = splat(1.0) + (r + square.mul_add(splat(0.5), cube));
            let growth = r_low * r_low.mul_add(splat(0.5), splat(1.0));
            let smaller_terms = exp_of_r.mul_add(growth, cube);
            Reduced {
                n,
                r,
                rest: square.mul_add(splat(0.5), smaller_terms),
            }
        }

        /// Returns exp(t) = 2^n (1 + r + rest). The significand is a split pair.
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

        /// Returns expm1(t) = 2^n (r + rest) + (2^n - 1) as a split pair.
        #[inline(always)]
        fn expm1_of<S: Simd>(simd: S, t: Pair<S>) -> Pair<S> {
            let Reduced { n, r, rest } = reduce(simd, t, $expm1_smallest_power);
            let power = power_of_two(simd, n);
            let power_minus_1 = power - 1.0;
            // `high` need only be close to the result, because `low` takes up the difference.
            let high = leading_bits(simd, power.mul_add(r + rest, power_minus_1));
            let lost = power.mul_add(r, power_minus_1 - high);
            Pair {
                high,
                low: power.mul_add(rest, lost),
            }
        }

        /// Returns expm1(t) as a pair, for a t that is one float, on machines with FMA, where the product of n and ln 2
        /// is not rounded. `f32` needs only one part of ln 2: the error of that part, 0.03 * 2^-24, is multiplied by n,
        /// but then by 2^n, which makes it small.
        ///
        /// The lower bound of t makes n at least one less than the smallest n for which 2^n - 1 is exact. For that n, the
        /// result is -1, within 0.707 ULP.
        #[inline(always)]
        fn expm1_of_float<S: Simd>(simd: S, t: S::$floats) -> Pair<S> {
            let splat = |v: $float| S::$floats::splat(simd, v);
            let t = t.max(splat(($expm1_smallest_power - 1.0) * std::$float::consts::LN_2));
            let rounder = t.mul_add(splat(LOG2_E), splat(ROUNDER));
            let power = (rounder.bitcast::<S::$uints>() << $mantissa).bitcast::<S::$floats>();
            let n = rounder - ROUNDER;
            let r = t;
            $(let r = n.mul_add(splat(-$ln_2_part), r);)+
            let rest = r * r * super::$q(simd, r);
            let power_minus_1 = power - 1.0;
            // `rest` is included, so that `low` is small, and so is the rounding error of its product with a factor.
            let high = power.mul_add(r + rest, power_minus_1);
            let lost = power.mul_add(r, power_minus_1 - high);
            Pair {
                high,
                low: power.mul_add(rest, lost),
            }
        }
    };
}
