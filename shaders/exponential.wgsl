// exp and expm1 for t <= 0 as pairs, and the factors that they are multiplied by.
//
// - Range reduction: t = n ln 2 + r with an integer n and |r| <= ln 2 / 2.
// - Then exp(t) = 2^n (1 + expm1(r)), and expm1(t) = 2^n expm1(r) + (2^n - 1).

// The factor (high + low) * 2^exponent. `high` has few bits, as after `split`. This must match Factor in src/shader.rs.
struct Factor {
    high: Float,
    low: Float,
    exponent: SignedWord,
    padding: Word,
}

// This must match Factors in src/shader.rs.
struct Factors {
    negative: Factor,    // alpha * scale
    positive: Factor,    // scale
    input_scale: Factor,
    slope: Factor,       // negative * input_scale
    negative_bits: Word, // the bits of alpha * scale; where it is 0, infinite or NaN, `negative` has no effect
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

// Returns -input_scale * |x| as a pair, for the magnitude of x as bits. Where |x| < `small`, the product might
// underflow, so it is replaced by -0: elu uses x itself there, and in a gradient exp(-0) = 1 is the rounded result.
fn scaled_input(magnitude: Words, f: Factors, unit_input_scale: bool, zero: u32) -> Pair {
    if unit_input_scale {
        return Pair(bitcast<Floats>(magnitude | Words(SIGN)), Floats());
    }
    // Adds the exponent of input_scale to that of x. Between `small` and `largest`, the sum is that of a normal number.
    let exponent = Words(Word(f.input_scale.exponent)) << Counts(MANTISSA_BITS);
    let x = bitcast<Floats>(select(magnitude + exponent, Words(), magnitude < Words(f.small)) | Words(SIGN));
    let input_scale = pair_of(f.input_scale);
    return two_product(x, split(x, zero), add(input_scale.high, input_scale.low, zero), input_scale, zero);
}

// The result of the range reduction: t = n ln 2 + r + r_low with a tiny r_low, and expm1(r + r_low) = r + rest. `r` is
// exact; `rest` may have rounding errors.
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

// Returns ROUNDER + t / ln 2. Its last bits are n + EXPONENT_BIAS, where n is the integer nearest to t / ln 2.
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

// exp(t) = (high + low) * 2^exponent, as a split pair.
struct Exponential {
    significand: Pair,
    exponent: Integers,
}

fn exp_of(t: Pair, zero: u32) -> Exponential {
    let reduced = reduce(t, Word(), zero);
    let one = Floats(1.0);
    let high = leading_bits(add(one, reduced.r, zero));
    let lost = subtract(reduced.r, subtract(high, one, zero), zero);
    return Exponential(
        Pair(high, add(lost, reduced.rest, zero)),
        Integers(SignedWords(reduced.rounder) - SignedWords(Words(ROUNDER_WORD))),
    );
}

// Returns exp(t) - 1 as a split pair.
fn expm1_of(t: Pair, zero: u32) -> Pair {
    let reduced = reduce(t, SMALLEST_EXPM1_POWER, zero);
    // 2^n: the last bits of ROUNDER + n are its biased exponent.
    let power = bitcast<Floats>(reduced.rounder << Counts(MANTISSA_BITS));
    let less = subtract(power, Floats(1.0), zero);
    // The exact value of `high` does not matter as long as it is close to the result, since `low` takes the difference.
    let high = leading_bits(barrier(any_order_expm1(power, less, reduced), zero));
    let lost = multiply_add(power, reduced.r, subtract(less, high, zero), zero);
    return Pair(high, multiply_add(power, reduced.rest, lost, zero));
}

fn any_order_expm1(power: Floats, less: Floats, reduced: Reduced) -> Floats {
    return fma(power, reduced.r + reduced.rest, less);
}
