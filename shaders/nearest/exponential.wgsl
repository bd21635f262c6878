// exp(-t) and (1 - exp(-t)) / t for t >= 0, with an error below 2^-41.

// ln 2 in digits of 15 bits.
const LN2 = vec4(0x58b9u, 0x05fdu, 0x7a39u, 0x779bu);
// log2(e) times 2^16, rounded down.
const LOG2_E_16 = 94548u;

// The coefficients of (1 - exp(-r)) / r = c0 - r (c1 - r (c2 - ...)) for r from 0 to 0.703, from
// scripts/expm1-coefficients. The largest error is 2^-43.8. The last four are integers times 2^-41.
const C0 = vec3(0x7fffu, 0x7fffu, 0x7ffeu);
const C1 = vec3(0x3fffu, 0x7fffu, 0x7de6u);
const C2 = vec3(0x1555u, 0x2aaau, 0x0575u);
const C3 = vec3(0x0555u, 0x2aa1u, 0x423eu);
const C4 = vec3(0x0111u, 0x0845u, 0x1679u);
const C5 = 0xb602a434u;
const C6 = 0x19ec328fu;
const C7 = 0x03213615u;
const C8 = 0x00439835u;
// The largest number below 1.
const BELOW_ONE = vec3(DIGIT_MASK, DIGIT_MASK, DIGIT_MASK);

// t = k ln 2 + r with 0 <= r < 0.703.
struct Reduced {
    k: Words,
    r: Fraction,
}

// Reduces t, which is below 512.
fn reduce(t: Number) -> Reduced {
    // t as an integer and three digits.
    let fixed = shifted_right(t, Counts(Integers(19) - clamp(t.exponent, Integers(-44), Integers(10))));
    let low = fixed.bottom & Words(DIGIT_MASK);
    let middle = (fixed.bottom >> Counts(15)) & Words(DIGIT_MASK);
    let high = (fixed.bottom >> Counts(30)) | (fixed.top << Counts(2)); // with the integer above its 15 bits
    // From 7 bits of t after the point, k is at most 0.0095 too small, and not too large.
    let k = ((high >> Counts(8)) * Words(LOG2_E_16)) >> Counts(23);
    // What each digit lends to the next one, so that no difference is negative. `first` gives it back.
    let owed = 1u << 11u;
    let third = low + Words(owed << DIGIT) - k * Words(LN2.z) - ((k * Words(LN2.w)) >> Counts(DIGIT));
    let second = middle + Words((owed << DIGIT) - owed) + (third >> Counts(DIGIT)) - k * Words(LN2.y);
    let first = high + (second >> Counts(DIGIT)) - Words(owed) - k * Words(LN2.x);
    return Reduced(k, Fraction(first, second & Words(DIGIT_MASK), third & Words(DIGIT_MASK)));
}

// Returns (1 - exp(-r)) / r.
fn quotient_of(r: Fraction) -> Fraction {
    // The last coefficients are so small that 32 bits suffice.
    let r_high = (r.high << Counts(1)) | (r.middle >> Counts(14));
    let r_low = ((r.middle << Counts(2)) | (r.low >> Counts(13))) & Words(0xffff);
    let q7 = Words(C7) - multiply_words(Words(C8), r_high, r_low);
    let q6 = Words(C6) - multiply_words(q7, r_high, r_low);
    let q5 = Words(C5) - multiply_words(q6, r_high, r_low);
    let digits = Fraction(q5 >> Counts(26), (q5 >> Counts(11)) & Words(DIGIT_MASK), (q5 << Counts(4)) & Words(DIGIT_MASK));
    let q4 = subtract_product(C4, r, digits);
    let q3 = subtract_product(C3, r, q4);
    let q2 = subtract_product(C2, r, q3);
    let q1 = subtract_product(C1, r, q2);
    return subtract_product(C0, r, q1);
}

// Returns a * b * 2^-32 for b = b_high * 2^16 + b_low, too small by less than 3.
fn multiply_words(a: Words, b_high: Words, b_low: Words) -> Words {
    let a_high = a >> Counts(16);
    let a_low = a & Words(0xffff);
    return a_high * b_high + ((a_high * b_low) >> Counts(16)) + ((a_low * b_high) >> Counts(16));
}

// Returns exp(-r), from r and its quotient.
fn exp_of(r: Fraction, quotient: Fraction) -> Fraction {
    return subtract_product(BELOW_ONE, r, quotient);
}

// Returns t = input_scale * |x|.
fn scaled_input(x: Significand, f: Factors) -> Number {
    if unit_input_scale {
        return Number(x.bits << Counts(8), Words(), x.exponent);
    }
    let a = fraction_of_significand(x.bits);
    let s = f.input_scale;
    let third = a.middle * Words(s.middle);
    let second = a.high * Words(s.middle) + a.middle * Words(s.high) + (third >> Counts(DIGIT));
    let first = a.high * Words(s.high) + (second >> Counts(DIGIT));
    let top = (first << Counts(2)) | ((second & Words(DIGIT_MASK)) >> Counts(13));
    let bottom = (second << Counts(19)) | ((third & Words(DIGIT_MASK)) << Counts(4));
    return Number(top, bottom, x.exponent + Integers(s.exponent));
}
