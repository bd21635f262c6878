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

    var factor = choose_pair(pair_of(f.positive), pair_of(f.negative), is_negative);
    var factor_exponent = select(Integers(i32(f.positive.exponent)), Integers(i32(f.negative.exponent)), is_negative);
    if !unit_input_scale {
        factor = choose_pair(factor, pair_of(f.slope), is_negative & is_small);
        factor_exponent = select(factor_exponent, Integers(i32(f.slope.exponent)), is_negative & is_small);
    }
    let bits = scale_by_power(rounded_product(factor, curve, zero), factor_exponent + curve_exponent);

    // With a factor of 0, infinity or NaN, every product with a negative number is that factor, negated.
    let factor_magnitude = f.negative_bits & MAGNITUDE;
    let is_degenerate = factor_magnitude == 0 || factor_magnitude >= INFINITY;
    let limit = select(bits, Words(f.negative_bits ^ SIGN), is_negative & Flags(is_degenerate));
    let is_passed = !is_negative & ((magnitude == Words()) | (magnitude >= Words(INFINITY)));
    return select(limit, x_bits, is_passed);
}
