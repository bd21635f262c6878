// The part that both gradients share: grad * positive where x > 0, else grad * slope. For a gradient from the output,
// the output takes the place of x.

// The slope factor * significand * 2^exponent: the product of a constant and of a number that depends on x.
struct Slope {
    factor: Pair,         // the significand of the constant
    factor_bits: Word,    // has the constant's sign, and is 0, infinite or NaN if the constant is
    significand: Pair,    // of exp(input_scale * x), or y + negative
    exponent: Integers,   // the sum of the exponents of both
    underflows: Flags,    // exp(input_scale * x) rounds to 0; its product with an infinity is NaN
}

// True from the smallest subnormal to +infinity. For 0 the subtraction wraps around.
fn is_above_zero(x_bits: Words) -> Flags {
    return x_bits - Words(1) < Words(INFINITY);
}

fn scaled_grad(grad: Pair, factor: Pair, unit_factors: bool, zero: u32) -> Pair {
    if unit_factors {
        return grad;
    }
    return split_product(grad, factor, zero);
}

// Computes the gradient in three steps: the finite product by significands and exponents, the special cases by bits,
// and the selection. A NaN in x is returned unchanged. `unit_factors` means that `slope.factor` and `positive` are 1.
fn gradient(x_bits: Words, grad_bits: Words, slope: Slope, f: Factors, unit_factors: bool, zero: u32) -> Words {
    let is_positive = is_above_zero(x_bits);
    let grad_magnitude = grad_bits & Words(MAGNITUDE);
    let grad = normalize(grad_magnitude, zero);
    let signed = bitcast<Floats>(bitcast<Words>(grad.significand) | (grad_bits & Words(SIGN)));
    let factor = choose_pair(slope.factor, pair_of(f.positive), is_positive);
    let significand = choose_pair(slope.significand, Pair(Floats(1.0), Floats()), is_positive);
    let y = rounded_product(scaled_grad(split(signed, zero), factor, unit_factors, zero), significand, zero);
    let exponent = select(slope.exponent, Integers(i32(f.positive.exponent)), is_positive);
    let bits = scale_by_power(y, grad.exponent + exponent);

    let factor_magnitude = select(Words(slope.factor_bits & MAGNITUDE), Words(ONE), is_positive);
    let significand_bits = bitcast<Words>(significand.high);
    let is_significand_zero = (significand_bits & Words(MAGNITUDE)) == Words();
    let is_zero = (grad_magnitude == Words()) | (factor_magnitude == Words()) | is_significand_zero;
    // A device may choose the sign of a sum that is 0, so such a sum counts as positive.
    let significand_sign = select(significand_bits, Words(), is_significand_zero);
    let factor_sign = select(Words(slope.factor_bits), Words(), is_positive);
    let sign = (grad_bits ^ factor_sign ^ significand_sign) & Words(SIGN);
    let is_infinite = (grad_magnitude == Words(INFINITY)) | (factor_magnitude == Words(INFINITY));
    let is_undefined = (is_zero | (slope.underflows & !is_positive)) & is_infinite;
    let is_nan = (grad_magnitude > Words(INFINITY)) | (factor_magnitude > Words(INFINITY)) | is_undefined;
    let finite = select(bits, sign, is_zero);
    let number = select(finite, sign | Words(INFINITY), is_infinite);
    let result = select(number, Words(QUIET_NAN), is_nan);
    // A NaN of x is returned unchanged.
    return select(result, x_bits, (x_bits & Words(MAGNITUDE)) > Words(INFINITY));
}
