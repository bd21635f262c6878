// The factor of each lane: `positive`, `negative` or `slope`.
struct LaneFactors {
    significand: Pair,
    exponent: Integers,
}

// Returns the factor of each lane. Where a negative x is so small that expm1(t) rounds to t = input_scale * x, x takes
// the place of expm1(t), and `slope`, which is negative * input_scale, takes the place of `negative`.
fn factor_of(f: Factors, is_negative: Flags, is_small: Flags, unit_input_scale: bool) -> LaneFactors {
    let factors = choose_factor(lanes_of(f.positive), lanes_of(f.negative), is_negative);
    if unit_input_scale {
        return factors; // `slope` equals `negative`
    }
    return choose_factor(factors, lanes_of(f.slope), is_negative & is_small);
}

fn lanes_of(factor: Factor) -> LaneFactors {
    return LaneFactors(pair_of(factor), Integers(i32(factor.exponent)));
}

fn choose_factor(a: LaneFactors, b: LaneFactors, condition: Flags) -> LaneFactors {
    let significand = choose_pair(a.significand, b.significand, condition);
    return LaneFactors(significand, select(a.exponent, b.exponent, condition));
}

// Returns positive * x where x >= 0, else negative * expm1(input_scale * x). `positive` is 1 for ELU and CELU.
//
// 1. Classify each lane by its bits: negative or not, linear in x (non-negative or tiny) or on the exponential curve.
// 2. Compute the two numbers to multiply: the lane's factor, and expm1 or the significand of x.
// 3. Multiply them as split pairs near 1, rounded once, and apply the exponents as integers.
// 4. Replace the negative lanes if the factor is degenerate, and return +0, -0, +infinity and NaN unchanged.
//
// Numbers are passed and returned as bits.
fn elu(x_bits: Words, f: Factors, unit_input_scale: bool, zero: u32) -> Words {
    let magnitude = x_bits & Words(MAGNITUDE);
    // True from just below -0 to -inf. The bits of negative NaNs are greater.
    let is_negative = x_bits - Words(SIGN + 1) < Words(INFINITY);
    let is_small = magnitude < Words(f.small);
    let is_linear = !is_negative | is_small;

    // Where the result is linear in x, x takes the place of expm1, as a significand and an exponent.
    let x = normalize(magnitude, zero);
    let significand = bitcast<Floats>(bitcast<Words>(x.significand) | (x_bits & Words(SIGN)));
    let t = scaled_input(min(magnitude, Words(f.largest)), f, unit_input_scale, zero);
    let curve = choose_pair(expm1_of(t, zero), split(significand, zero), is_linear);
    let curve_exponent = select(Integers(0), x.exponent, is_linear);

    let factor = factor_of(f, is_negative, is_small, unit_input_scale);
    let y = rounded_product(factor.significand, curve, zero);
    let bits = scale_by_power(y, factor.exponent + curve_exponent);

    // If alpha * scale is 0, infinite or NaN, its product with any negative number is -(alpha * scale).
    let factor_magnitude = f.negative_bits & MAGNITUDE;
    let is_degenerate = factor_magnitude == 0 || factor_magnitude >= INFINITY;
    let limit = select(bits, Words(f.negative_bits ^ SIGN), is_negative & Flags(is_degenerate));
    let is_passed = !is_negative & ((magnitude == Words()) | (magnitude >= Words(INFINITY)));
    return select(limit, x_bits, is_passed);
}
