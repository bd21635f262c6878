// What is multiplied: in every lane, one of the factors.
struct LaneFactors {
    significand: Pair,
    exponent: Integers,
}

fn factor_of(f: Factors, is_negative: Flags, is_small: Flags, unit_input_scale: bool) -> LaneFactors {
    let factors = choose_factor(lanes_of(f.positive), lanes_of(f.negative), is_negative);
    if unit_input_scale {
        return factors; // the slope is `negative`
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

// positive * x where x >= 0, else negative * expm1(input_scale * x), of which the first factor is 1 for ELU and CELU. Numbers
// come and go as bits, and -0, infinities and NaN are passed through or replaced as such.
fn elu(x_bits: Words, f: Factors, unit_input_scale: bool, zero: u32) -> Words {
    let magnitude = x_bits & Words(MAGNITUDE);
    // From just below -0 to -inf; with greater bits come the negative NaNs.
    let is_negative = x_bits - Words(SIGN + 1) < Words(INFINITY);
    let is_small = magnitude < Words(f.small);
    let is_linear = !is_negative | is_small;

    // Where the result is linear in x, the significand of x takes the place of expm1.
    let x = normalize(magnitude, zero);
    let significand = bitcast<Floats>(bitcast<Words>(x.significand) | (x_bits & Words(SIGN)));
    let t = scaled_input(min(magnitude, Words(f.largest)), f, unit_input_scale, zero);
    let curve = choose_pair(expm1_of(t, zero), split(significand, zero), is_linear);
    let curve_exponent = select(Integers(0), x.exponent, is_linear);

    let factor = factor_of(f, is_negative, is_small, unit_input_scale);
    let y = rounded_product(factor.significand, curve, zero);
    let bits = scale_by_power(y, factor.exponent + curve_exponent);

    // With a factor of 0, infinity or NaN, every product with a negative number is that factor, negated.
    let factor_magnitude = f.negative_bits & MAGNITUDE;
    let is_degenerate = factor_magnitude == 0 || factor_magnitude >= INFINITY;
    let limit = select(bits, Words(f.negative_bits ^ SIGN), is_negative & Flags(is_degenerate));
    let is_passed = !is_negative & ((magnitude == Words()) | (magnitude >= Words(INFINITY)));
    return select(limit, x_bits, is_passed);
}
