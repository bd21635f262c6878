// positive * x where x >= 0, else negative * (exp(input_scale * x) - 1), rounded to nearest. Numbers are passed and
// returned as bits.

// A bound on the error of the fast arithmetic, in units of the last bit of a normalized `Number`.
const ERROR: u32 = 0x01400000u; // 40 units of 2^-45, see docs/numerics.md

struct Approximation {
    fraction: Fraction,
    exponent: Integers,
    is_exact: Flags,
}

// Returns the magnitude of the result.
fn approximate(x: Significand, is_negative: Flags, is_infinite: Flags, f: Factors) -> Approximation {
    let reduced = reduce(scaled_input(x, f));
    let quotient = quotient_of(reduced.r);
    let exp_of_t = shifted_right(number_of(exp_of(reduced.r, quotient), Integers()), min(reduced.k, Words(63)));
    let one_minus_exp = fraction_of(Number(~exp_of_t.top, ~exp_of_t.bottom, Integers()));
    let significand = fraction_of_significand(x.bits);
    let is_far = is_negative & (reduced.k != Words());
    if unit_factors {
        let near = multiply_fractions(significand, quotient);
        let exponent = select(x.exponent, Integers(), is_far);
        let curve = choose_fraction(near, one_minus_exp, is_far);
        return Approximation(choose_fraction(significand, curve, is_negative), exponent, !is_negative);
    }
    // Where k is 0, the result is negative * t * quotient; elsewhere it is negative * (1 - 2^-k exp(-r)).
    let factor = choose_constant(lanes_of(f.positive), lanes_of(f.slope), is_negative);
    let line = multiply_fractions(significand, factor.fraction);
    let negative = lanes_of(f.negative);
    let curve = multiply_fractions(
        choose_fraction(line, negative.fraction, is_far),
        choose_fraction(quotient, one_minus_exp, is_far),
    );
    let is_limit = is_negative & is_infinite;
    let fraction = choose_fraction(choose_fraction(line, curve, is_negative), negative.fraction, is_limit);
    let exponent = select(x.exponent + factor.exponent, negative.exponent, is_far);
    return Approximation(fraction, exponent, is_limit | (!is_negative & is_product_exact(significand, factor.fraction)));
}

fn fast_op(x_bits: Words, unused: Words, f: Factors) -> Fast {
    let magnitude = x_bits & Words(MAGNITUDE);
    // True from just below -0 to -inf. The bits of negative NaNs are greater.
    let is_negative = x_bits - Words(SIGN + 1u) < Words(INFINITY);
    let x = significand_of(select(magnitude, min(magnitude, Words(f.largest)), is_negative));
    let approximation = approximate(x, is_negative, magnitude == Words(INFINITY), f);
    let y = normalized(number_of(approximation.fraction, approximation.exponent));
    let sign = select(x_bits, Words(~f.negative_bits), is_negative) & Words(SIGN);
    let bits = rounded(y) | sign;

    // If alpha * scale is 0, infinite or NaN, its product with any negative number is -(alpha * scale).
    let factor_magnitude = f.negative_bits & MAGNITUDE;
    let is_degenerate = factor_magnitude == 0u || factor_magnitude >= INFINITY;
    let limit_bits = select(f.negative_bits ^ SIGN, QUIET_NAN, factor_magnitude > INFINITY);
    let is_constant = is_negative & Flags(is_degenerate);
    let limited = select(bits, Words(limit_bits), is_constant);
    let is_passed = !is_negative & ((magnitude == Words()) | (magnitude >= Words(INFINITY)));
    let undecided = is_undecided(y) & !(approximation.is_exact | is_constant | is_passed) & (magnitude <= Words(INFINITY));
    return Fast(select(limited, x_bits, is_passed), undecided);
}

// Returns the result for one finite x that is not 0, if `negative` is a finite number that is not 0.
fn exact_op(x_bits: u32, unused: u32, f: Factors, zero: u32) -> u32 {
    let x = scalar_significand_of(x_bits & MAGNITUDE);
    if x_bits < SIGN {
        let factors = vec3(significand_of_constant(f.positive), 0u, 0u);
        let exponent = x.exponent + f.positive.exponent;
        return exact_product(Product(NO_EXPONENTIAL, 0u, digits_of(x.bits, 0u), factors, exponent), zero);
    }
    let bounded = scalar_significand_of(min(x_bits & MAGNITUDE, f.largest));
    let reduced = reduce_exactly(bounded, f, zero);
    var p = Product(ONE_MINUS_EXP, reduced.k, reduced.r, vec3(significand_of_constant(f.negative), 0u, 0u), f.negative.exponent);
    if reduced.k == 0u {
        p.exponential = QUOTIENT;
        p.factors.y = significand_of_constant(f.input_scale);
        p.factors.z = x.bits;
        p.exponent += x.exponent + f.input_scale.exponent;
    }
    return exact_product(p, zero) | (~f.negative_bits & SIGN);
}
