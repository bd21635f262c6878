// exp and expm1 for t <= 0 as pairs, and the factors that they are multiplied by.
//
// 1. Range reduction: t = n ln 2 + r with an integer n and |r| <= ln 2 / 2. A short polynomial is accurate only near 0.
// 2. Polynomial: expm1(r) = r + r^2 / 2 + r^3 p(r). exp(r) - 1 would cancel where r is near 0.
// 3. Reconstruction: exp(t) = 2^n (1 + expm1(r)), and expm1(t) = 2^n expm1(r) + (2^n - 1). 2^n - 1 is exact, and 0 for
//    n = 0, so that expm1(t) does not cancel either. The result is a pair, because a product with it follows.

// The factor (high + low) * 2^exponent. `high` has few bits, as after `split`. This must match Factor32 and Factor64 in
// src/shader.rs.
struct Factor {
    high: Float,
    low: Float,
    exponent: SignedWord,
    padding: Word,
}

// This must match Factors32 and Factors64 in src/shader.rs.
struct Factors {
    negative: Factor,    // alpha * scale
    positive: Factor,    // scale
    input_scale: Factor,
    slope: Factor,       // negative * input_scale
    negative_bits: Word, // the bits of alpha * scale; if it is 0, infinite or NaN, `negative` has no effect
    // Bounds on the magnitude of x, as bits. From `largest` on, the result is constant. Below `small`,
    // expm1(input_scale * x) rounds to input_scale * x, and in a gradient exp(input_scale * x) rounds to 1.
    largest: Word,
    small: Word,
    padding: Word,
}

fn pair_of(factor: Factor) -> Pair {
    return Pair(Floats(factor.high), Floats(factor.low));
}

fn choose_pair(a: Pair, b: Pair, condition: Flags) -> Pair {
    return Pair(choose(a.high, b.high, condition), choose(a.low, b.low, condition));
}

// Returns t = -input_scale * |x| as a pair, for the magnitude of x as bits, which is at most `largest`. If input_scale
// is not 1, t is 0 below `small`: there the product could underflow, exp(t) rounds to 1, and expm1(t) is not used.
fn scaled_input(magnitude: Words, f: Factors, unit_input_scale: bool, zero: u32) -> Pair {
    if unit_input_scale {
        return Pair(bitcast<Floats>(magnitude | Words(SIGN)), Floats());
    }
    // Multiplies x by the power of two in input_scale, by adding the exponents.
    let exponent = Words(Word(f.input_scale.exponent)) << Counts(MANTISSA_BITS);
    let x = bitcast<Floats>(select(magnitude + exponent, Words(), magnitude < Words(f.small)) | Words(SIGN));
    let input_scale = pair_of(f.input_scale);
    return two_product(x, split(x, zero), add(input_scale.high, input_scale.low, zero), input_scale, zero);
}

// The result of the range reduction: t = n ln 2 + r + r_low, and expm1(r + r_low) = r + rest. `r` is exact. r_low is
// small, and is included in `rest`, which has rounding errors.
struct Reduced {
    rounder: Words, // the bits of ROUNDER + n
    r: Floats,
    rest: Floats,
}

// Reduces t. `smallest` is the smallest allowed n, as the bits of ROUNDER + n; 0 allows every n.
fn reduce(t: Pair, smallest: Word, zero: u32) -> Reduced {
    let nearest = barrier(any_order_rounder(t.high), zero);
    let rounder = max(bitcast<Words>(nearest), Words(smallest));
    let n = subtract(bitcast<Floats>(rounder), Floats(ROUNDER), zero);
    let r = multiply_add(n, Floats(-LN2_HIGH), t.high, zero);
    let r_low = multiply_add(n, Floats(-LN2_LOW), t.low, zero);
    let square = multiply(r, r, zero);
    let smaller_terms = barrier(any_order_smaller_terms(r, r_low, square), zero);
    return Reduced(rounder, r, multiply_add(square, Floats(0.5), smaller_terms, zero));
}

// Returns ROUNDER + n for the integer n nearest to t / ln 2.
fn any_order_rounder(t: Floats) -> Floats {
    return fma(t, Floats(LOG2_E), Floats(ROUNDER));
}

// Returns exp(r + r_low) - 1 - r - r^2 / 2, where exp(r + r_low) = exp(r) (1 + r_low + r_low^2 / 2). `square` is r^2.
fn any_order_smaller_terms(r: Floats, r_low: Floats, square: Floats) -> Floats {
    let cube = r * square * any_order_p(r);
    let exp_of_r = 1.0 + (r + fma(square, Floats(0.5), cube));
    let growth = r_low * fma(r_low, Floats(0.5), Floats(1.0));
    return fma(exp_of_r, growth, cube);
}

// exp(t) = significand * 2^exponent. The significand is a split pair.
struct Exponential {
    significand: Pair,
    exponent: Integers,
}

fn exp_of(t: Pair, zero: u32) -> Exponential {
    let reduced = reduce(t, Word(), zero);
    let one = Floats(1.0);
    // Splits 1 + r: `high` has its leading bits, and `lost` the others.
    let high = leading_bits(add(one, reduced.r, zero));
    let lost = subtract(reduced.r, subtract(high, one, zero), zero);
    // The bits of ROUNDER + n are those of ROUNDER plus n, so their difference is n.
    return Exponential(
        Pair(high, add(lost, reduced.rest, zero)),
        Integers(SignedWords(reduced.rounder) - SignedWords(Words(ROUNDER_WORD))),
    );
}

// Returns exp(t) - 1 as a split pair.
fn expm1_of(t: Pair, zero: u32) -> Pair {
    let reduced = reduce(t, SMALLEST_EXPM1_POWER, zero);
    // 2^n: the last bits of ROUNDER + n are the biased exponent of 2^n.
    let power = bitcast<Floats>(reduced.rounder << Counts(MANTISSA_BITS));
    let power_minus_one = subtract(power, Floats(1.0), zero);
    // The exact value of `high` does not matter as long as it is close to the result, since `low` takes up
    // the difference.
    let high = leading_bits(barrier(any_order_expm1(power, power_minus_one, reduced), zero));
    let lost = multiply_add(power, reduced.r, subtract(power_minus_one, high, zero), zero);
    return Pair(high, multiply_add(power, reduced.rest, lost, zero));
}

fn any_order_expm1(power: Floats, power_minus_one: Floats, reduced: Reduced) -> Floats {
    return fma(power, reduced.r + reduced.rest, power_minus_one);
}
