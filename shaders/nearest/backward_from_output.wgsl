// grad * positive where y > 0, else grad * input_scale * (y + negative), rounded to nearest. `negative` must be above 0
// and finite. Numbers are passed and returned as bits.

// A bound on the error of the fast arithmetic, in units of the last bit of a normalized `Number`.
const ERROR: u32 = 0x02000000u; // 64 units of 2^-45, see docs/numerics.md

fn fast_op(y_bits: Words, grad_bits: Words, f: Factors) -> Fast {
    let magnitude = y_bits & Words(MAGNITUDE);
    let is_positive = is_above_zero(y_bits);
    let sum = sum_of(magnitude, f);

    let grad = significand_of(grad_bits & Words(MAGNITUDE));
    let factor = choose_constant(lanes_of(f.input_scale), lanes_of(f.positive), is_positive);
    let line = multiply_fractions(fraction_of_significand(grad.bits), factor.fraction);
    let is_line_exact = is_product_exact(fraction_of_significand(grad.bits), factor.fraction);
    let number = normalized(sum.number);
    let other = fraction_of(number);
    let fraction = choose_fraction(multiply_fractions(line, other), line, is_positive);
    let is_sum_exact = sum.is_exact & ((number.bottom & Words(LOST_BITS)) == Words());
    let is_exact = is_line_exact & (is_positive | (is_sum_exact & is_product_exact(line, other)));
    let exponent = grad.exponent + factor.exponent + select(number.exponent, Integers(), is_positive);

    let result = normalized(number_of(fraction, exponent));
    let is_zero = sum.is_zero & !is_positive;
    let grad_magnitude = grad_bits & Words(MAGNITUDE);
    let is_ordinary = (magnitude < Words(INFINITY)) & ((grad_magnitude - Words(1)) < Words(INFINITY - 1u));
    let undecided = is_undecided(result) & !is_exact & is_ordinary & !is_zero;
    let sum_magnitude = select(Words(ONE), Words(INFINITY), magnitude == Words(INFINITY));
    let sum_bits = select(sum_magnitude | select(Words(), Words(SIGN), sum.is_negative), Words(), sum.is_zero);
    let sign = (grad_bits ^ select(sum_bits, Words(), is_positive)) & Words(SIGN);
    let finite = rounded(result) | sign;
    return Fast(gradient_cases(finite, y_bits, grad_bits, ONE, sum_bits, Flags()), undecided);
}

// Returns the result for one finite y and one finite grad that is not 0, if y + negative is not 0.
fn exact_op(y_bits: u32, grad_bits: u32, f: Factors, zero: u32) -> u32 {
    let grad = scalar_significand_of(grad_bits & MAGNITUDE);
    var p = Product(NO_EXPONENTIAL, 0u, digits_of(grad.bits, 0u), vec3(significand_of_constant(f.positive), 0u, 0u), 0);
    p.exponent = grad.exponent + f.positive.exponent;
    var sign = grad_bits & SIGN;
    if y_bits - 1u >= INFINITY {
        let sum = sum_of(Words(y_bits & MAGNITUDE), f);
        p.value = difference(sum.larger.x, sum.smaller.x, sum.distance.x);
        p.factors.x = significand_of_constant(f.input_scale);
        p.factors.y = grad.bits;
        p.exponent = grad.exponent + f.input_scale.exponent + sum.number.exponent.x;
        sign ^= select(0u, SIGN, sum.is_negative.x);
    }
    return exact_product(p, zero) | sign;
}

// The sum y + negative for y <= 0, whose magnitude is the difference larger - smaller * 2^-distance of two significands.
struct OutputSum {
    number: Number, // the magnitude; its exponent is that of `larger`
    is_exact: Flags,
    is_zero: Flags,
    is_negative: Flags,
    larger: Words,
    smaller: Words,
    distance: Counts,
}

fn sum_of(magnitude: Words, f: Factors) -> OutputSum {
    let y = significand_of(magnitude);
    let y_bits = select(y.bits, Words(), magnitude == Words());
    let negative = Words(significand_of_constant(f.negative));
    let more = y.exponent - Integers(f.negative.exponent);
    let is_y_larger = (y_bits != Words()) & ((more > Integers()) | ((more == Integers()) & (y_bits > negative)));
    let larger = select(negative, y_bits, is_y_larger);
    let smaller = select(y_bits, negative, is_y_larger);
    let distance = Counts(min(abs(more), Integers(512)));

    let near = shifted_right(Number(smaller << Counts(8), Words(), Integers()), min(distance, Counts(63)));
    let is_exact = (distance <= Counts(40)) | (smaller == Words());
    let borrow = select(Words(), Words(1), near.bottom != Words());
    let exponent = select(Integers(f.negative.exponent), y.exponent, is_y_larger);
    let number = Number((larger << Counts(8)) - near.top - borrow, Words() - near.bottom, exponent);
    let is_zero = (number.top | number.bottom) == Words();
    return OutputSum(number, is_exact, is_zero, is_y_larger, larger, smaller, distance);
}

// Returns larger * 2^-24 - smaller * 2^-24 * 2^-distance, rounded down if it has more than 168 bits.
fn difference(larger: u32, smaller: u32, distance: u32) -> Digits {
    let a = digits_of(larger, 0u);
    let b = complement(digits_of(smaller, distance));
    // The complement is too small by 1 in the last digit. If digits of `smaller` are lost, that rounds down.
    let last = select(0u, 1u, distance <= 144u || smaller == 0u);
    return carried(Digits(a.a + b.a, a.b + b.b, a.c + b.c + vec4(0u, 0u, 0u, last)));
}
