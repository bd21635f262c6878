// The part that both gradients share: grad * positive where x > 0, else grad * slope. For a gradient from the output,
// the output takes the place of x.
//
// 1. Split grad into its significand and its exponent. The slope is given as two factors in the same form.
// 2. Multiply the three significands as split pairs, and round once. Two roundings would exceed 1 ULP.
// 3. Scale by the sum of the exponents. They are kept apart until here, because the factors may be near the ends of the
//    range although the result is not.
// 4. Replace the results for zeros, infinities and NaN: see `gradient_cases`.

// The slope factor * significand * 2^exponent: the product of a constant and of a number that depends on x.
struct Slope {
    factor: Pair,         // the significand of the constant
    factor_bits: Word,    // has the constant's sign, and is 0, infinite or NaN if the constant is
    significand: Pair,    // of exp(input_scale * x), or y + negative
    exponent: Integers,   // the sum of the exponents of both
    underflows: Flags,    // exp(input_scale * x) rounds to 0; its product with an infinity is NaN
}

fn scaled_grad(grad: Pair, factor: Pair, unit_factors: bool, zero: u32) -> Pair {
    if unit_factors {
        return grad;
    }
    return split_product(grad, factor, zero);
}

// `unit_factors` means that `slope.factor` and `positive` are 1.
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
    return gradient_cases(bits, x_bits, grad_bits, slope.factor_bits, bitcast<Words>(significand.high), slope.underflows);
}
