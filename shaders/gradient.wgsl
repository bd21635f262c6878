// What both gradients share: grad * positive where x > 0, else grad * factor * significand * 2^exponent. In a gradient from the
// output, the output stands for x.

struct Slope {
    factor: Pair,
    factor_bits: Word,    // a number of the factor's sign that is 0, infinite or NaN where the factor is
    significand: Pair,
    exponent: Integers,   // with that of the factor
    underflows: Flags,    // the slope rounds to 0, so that an infinite grad makes NaN of it
}

fn is_above_zero(x_bits: Words) -> Flags {
    return x_bits - Words(1) < Words(INFINITY);
}

// `unit_factors`: the factor is 1, and so is `positive`.
fn gradient(x_bits: Words, grad_bits: Words, slope: Slope, f: Factors, unit_factors: bool, zero: u32) -> Words {
    let is_positive = is_above_zero(x_bits);
    let grad_magnitude = grad_bits & Words(MAGNITUDE);
    let grad = normalize(grad_magnitude, zero);
    let signed = bitcast<Floats>(bitcast<Words>(grad.significand) | (grad_bits & Words(SIGN)));
    var scaled = split(signed, zero);
    if !unit_factors {
        let factor = choose_pair(slope.factor, pair_of(f.positive), is_positive);
        scaled = split_product(scaled, factor, zero);
    }
    let significand = choose_pair(slope.significand, Pair(Floats(1.0), Floats()), is_positive);
    let y = rounded_product(scaled, significand, zero);
    let exponent = select(slope.exponent, Integers(i32(f.positive.exponent)), is_positive);
    let bits = scale_by_power(y, grad.exponent + exponent);

    let factor_magnitude = select(Words(slope.factor_bits & MAGNITUDE), Words(ONE), is_positive);
    let significand_bits = bitcast<Words>(significand.high);
    let is_significand_zero = (significand_bits & Words(MAGNITUDE)) == Words();
    let is_zero = (grad_magnitude == Words()) | (factor_magnitude == Words()) | is_significand_zero;
    // Of a sum that is 0, a device may choose the sign: it counts as positive.
    let significand_sign = select(significand_bits, Words(), is_significand_zero);
    let factor_sign = select(Words(slope.factor_bits), Words(), is_positive);
    let sign = (grad_bits ^ factor_sign ^ significand_sign) & Words(SIGN);
    let is_infinite = (grad_magnitude == Words(INFINITY)) | (factor_magnitude == Words(INFINITY));
    let is_undefined = (is_zero | (slope.underflows & !is_positive)) & is_infinite;
    let is_nan = (grad_magnitude > Words(INFINITY)) | (factor_magnitude > Words(INFINITY)) | is_undefined;
    let finite = select(bits, sign, is_zero);
    let number = select(finite, sign | Words(INFINITY), is_infinite);
    let result = select(number, Words(QUIET_NAN), is_nan);
    return select(result, x_bits, (x_bits & Words(MAGNITUDE)) > Words(INFINITY));
}
