// Returns grad * positive where x > 0, else grad * slope * exp(input_scale * x), where slope is negative * input_scale.
fn op(x_bits: Words, grad_bits: Words, f: Factors, zero: u32) -> Words {
    // Where x > 0, t is -0, and the exponential is not used.
    let bounded = select(min(x_bits & Words(MAGNITUDE), Words(f.largest)), Words(), is_above_zero(x_bits));
    let t = scaled_input(bounded, f, unit_input_scale, zero);
    let exponential = exp_of(t, zero);
    let slope = Slope(
        pair_of(f.slope),
        f.negative_bits,
        exponential.significand,
        exponential.exponent + Integers(i32(f.slope.exponent)),
        (bitcast<Words>(t.high) & Words(MAGNITUDE)) >= Words(EXP_UNDERFLOWS),
    );
    return gradient(x_bits, grad_bits, slope, f, unit_factors, zero);
}
