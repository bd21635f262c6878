// grad * positive where x > 0, else grad * slope * exp(input_scale * x), rounded to nearest. Numbers are passed and
// returned as bits.

// A bound on the error of the fast arithmetic, in units of the last bit of a normalized `Number`.
const ERROR: u32 = 0x02000000u; // 64 units of 2^-45, see docs/numerics.md

fn fast_op(x_bits: Words, grad_bits: Words, f: Factors) -> Fast {
    let x_magnitude = x_bits & Words(MAGNITUDE);
    let is_positive = is_above_zero(x_bits);
    let is_curve = !is_positive & (x_magnitude != Words());
    let x = significand_of(min(x_magnitude, Words(f.largest)));
    let reduced = reduce(scaled_input(x, f));
    let exp_of_r = exp_of(reduced.r, quotient_of(reduced.r));

    let grad = significand_of(grad_bits & Words(MAGNITUDE));
    let factor = choose_constant(lanes_of(f.slope), lanes_of(f.positive), is_positive);
    let line = multiply_fractions(fraction_of_significand(grad.bits), factor.fraction);
    let is_line_exact = is_product_exact(fraction_of_significand(grad.bits), factor.fraction)
        & (is_positive | Flags(f.slope_is_exact == 1u));
    let fraction = choose_fraction(line, multiply_fractions(line, exp_of_r), is_curve);
    let exponent = grad.exponent + factor.exponent - select(Integers(), Integers(reduced.k), is_curve);

    let y = normalized(number_of(fraction, exponent));
    let undecided = is_undecided(y) & (is_curve | !is_line_exact) & is_ordinary(x_bits, grad_bits, f);
    let sign = (grad_bits ^ select(Words(f.negative_bits), Words(), is_positive)) & Words(SIGN);
    let finite = rounded(y) | sign;
    let result = gradient_cases(finite, x_bits, grad_bits, f.negative_bits, Words(ONE), is_curve & underflows(reduced));
    return Fast(result, undecided);
}

// Returns the result for one element where `is_ordinary` holds.
fn exact_op(x_bits: u32, grad_bits: u32, f: Factors, zero: u32) -> u32 {
    let grad = scalar_significand_of(grad_bits & MAGNITUDE);
    let x_magnitude = x_bits & MAGNITUDE;
    let is_positive = x_bits - 1u < INFINITY;
    var p = Product(NO_EXPONENTIAL, 0u, digits_of(grad.bits, 0u), vec3(significand_of_constant(f.positive), 0u, 0u), 0);
    p.exponent = grad.exponent + f.positive.exponent;
    var sign = grad_bits & SIGN;
    if !is_positive {
        p.factors.x = significand_of_constant(f.negative);
        p.factors.y = significand_of_constant(f.input_scale);
        p.exponent = grad.exponent + f.negative.exponent + f.input_scale.exponent;
        sign ^= f.negative_bits & SIGN;
    }
    if !is_positive && x_magnitude != 0u {
        let reduced = reduce_exactly(scalar_significand_of(min(x_magnitude, f.largest)), f, zero);
        p.exponential = EXP;
        p.value = reduced.r;
        p.factors.z = grad.bits;
        p.exponent -= i32(reduced.k);
    }
    return exact_product(p, zero) | sign;
}

// Returns whether all numbers that the result is computed from are finite and not 0.
fn is_ordinary(x_bits: Words, grad_bits: Words, f: Factors) -> Flags {
    let grad_magnitude = grad_bits & Words(MAGNITUDE);
    let factor_magnitude = f.negative_bits & MAGNITUDE;
    let has_slope = factor_magnitude - 1u < INFINITY - 1u;
    let is_number = (x_bits & Words(MAGNITUDE)) <= Words(INFINITY);
    return is_number & (grad_magnitude - Words(1) < Words(INFINITY - 1u)) & (is_above_zero(x_bits) | Flags(has_slope));
}

// Returns whether exp(-t) rounds to 0 in float32, which it does from t = 150 ln 2 on.
fn underflows(t: Reduced) -> Flags {
    let r = (t.r.high << Counts(DIGIT)) | t.r.middle;
    let ln2 = (LN2.x << DIGIT) | LN2.y;
    let is_at_least_ln2 = (r > Words(ln2)) | ((r == Words(ln2)) & (t.r.low > Words(LN2.z)));
    return (t.k + select(Words(), Words(1), is_at_least_ln2)) >= Words(150);
}
