// Returns the bits of the gradient for all inputs. `finite` has them where `grad`, the slope's constant factor and its
// other factor are finite numbers that are not 0. `constant_bits` and `other_bits` are the bits of these two factors;
// they are used where x > 0 does not hold. `underflows`: the other factor is exp(input_scale * x) and rounds to 0, so
// that its product with an infinity is NaN. A NaN in x is returned unchanged.
fn gradient_cases(
    finite: Words,
    x_bits: Words,
    grad_bits: Words,
    constant_bits: Word,
    other_bits: Words,
    underflows: Flags,
) -> Words {
    let is_positive = is_above_zero(x_bits);
    let grad_magnitude = grad_bits & Words(MAGNITUDE);
    let constant_magnitude = select(Words(constant_bits & MAGNITUDE), Words(ONE), is_positive);
    let is_other_zero = ((other_bits & Words(MAGNITUDE)) == Words()) & !is_positive;
    let is_zero = (grad_magnitude == Words()) | (constant_magnitude == Words()) | is_other_zero;
    // A device may choose the sign of a sum that is 0, so such a sum counts as positive.
    let slope_sign = Words(constant_bits) ^ select(other_bits, Words(), is_other_zero);
    let sign = (grad_bits ^ select(slope_sign, Words(), is_positive)) & Words(SIGN);
    let is_other_infinite = ((other_bits & Words(MAGNITUDE)) == Words(INFINITY)) & !is_positive;
    let is_infinite = (grad_magnitude == Words(INFINITY)) | (constant_magnitude == Words(INFINITY)) | is_other_infinite;
    let is_undefined = (is_zero | (underflows & !is_positive)) & is_infinite;
    let is_nan = (grad_magnitude > Words(INFINITY)) | (constant_magnitude > Words(INFINITY)) | is_undefined;
    let number = select(select(finite, sign, is_zero), sign | Words(INFINITY), is_infinite);
    let result = select(number, Words(QUIET_NAN), is_nan);
    return select(result, x_bits, (x_bits & Words(MAGNITUDE)) > Words(INFINITY));
}

// True from the smallest subnormal to +infinity. For 0 the subtraction wraps around.
fn is_above_zero(x_bits: Words) -> Flags {
    return x_bits - Words(1) < Words(INFINITY);
}
