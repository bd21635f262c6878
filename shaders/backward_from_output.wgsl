// Returns grad * positive where y > 0, else grad * input_scale * (y + negative). `negative` must be positive and
// finite.
fn op(y_bits: Words, grad_bits: Words, f: Factors, zero: u32) -> Words {
    // Scales both summands so that `negative` is between 1 and 2. If the scaled y is flushed to 0, y is too small to
    // change the sum. An output y < 0 is at least -negative, so its scaled exponent is at most 0. The upper bound 1 of
    // the exponent only keeps the scaled y finite where y > 0, where the sum is not used.
    let y = normalize(y_bits & Words(MAGNITUDE), zero);
    let signed = bitcast<Floats>(bitcast<Words>(y.significand) | (y_bits & Words(SIGN)));
    let exponent = i32(f.negative.exponent);
    let scaled = bitcast<Floats>(scale_by_power(signed, min(y.exponent - exponent, Integers(1))));
    let negative = add(Floats(f.negative.high), Floats(f.negative.low), zero);
    let slope = Slope(
        pair_of(f.input_scale),
        ONE, // input_scale is positive and finite
        split_pair(two_sum(scaled, negative, zero), zero),
        Integers(exponent + i32(f.input_scale.exponent)),
        Flags(),
    );
    return gradient(y_bits, grad_bits, slope, f, unit_factors, zero);
}
