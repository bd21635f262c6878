// grad * positive where y > 0, else grad * input_scale * (y + negative), for a finite negative > 0.
fn op(y_bits: Words, grad_bits: Words, f: Factors, zero: u32) -> Words {
    // The sum is made of numbers near 1. What is so small that it becomes 0 there makes no difference to it. No output is below
    // -negative.
    let y = normalize(y_bits & Words(MAGNITUDE), zero);
    let signed = bitcast<Floats>(bitcast<Words>(y.significand) | (y_bits & Words(SIGN)));
    let exponent = i32(f.negative.exponent);
    let scaled = bitcast<Floats>(scale_by_power(signed, min(y.exponent - exponent, Integers(1))));
    let negative = add(Floats(f.negative.high), Floats(f.negative.low), zero);
    let slope = Slope(
        pair_of(f.input_scale),
        ONE,
        split_pair(two_sum(scaled, negative, zero), zero),
        Integers(exponent + i32(f.input_scale.exponent)),
        Flags(),
    );
    return gradient(y_bits, grad_bits, slope, f, unit_factors, zero);
}
