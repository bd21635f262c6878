// The results that the fast arithmetic leaves undecided, with 168 bits, one element at a time.
//
// A result is a product of an exponential and of up to three of these: x, the incoming gradient, and the factors. All of
// its multiplications take place in one loop, so that the shader contains the code for them once:
//
// n = TERMS .. 2:   value = 1 - value * r / n, which becomes (1 - exp(-r)) / r
// n = 1:            value = 1 - value * r, which is exp(-r)
// n = 0:            value = 1 - value * 2^-k, which is 1 - exp(-t)
// n = -1 .. -3:     value = value * factor

// The number of terms of the series. The first that is left out is below 2^-155.
const TERMS: i32 = 35;

// The exponential in a product.
const NO_EXPONENTIAL = 0u; // the loop begins with n = -1
const EXP = 1u;            // exp(-r)
const ONE_MINUS_EXP = 2u;  // 1 - 2^-k exp(-r)
const QUOTIENT = 3u;       // (1 - exp(-r)) / r

struct Product {
    exponential: u32,
    k: u32,             // of the exponential
    value: Digits,      // r, or the first factor if there is no exponential
    factors: vec3<u32>, // significands, or 0
    exponent: i32,      // of the product of all
}

// The digits of 1 - 2^-14 ln 2.
const MINUS_LN2 = Digits(
    vec4(0x3fffu, 0x13a3u, 0x1e80u, 0x20b8u),
    vec4(0x3086u, 0x150du, 0x21c4u, 0x319fu),
    vec4(0x3c0du, 0x0254u, 0x0bf0u, 0x32f3u),
);

// k and r in digits.
struct ExactReduced {
    k: u32,
    r: Digits,
}

// Reduces t = input_scale * |x|.
fn reduce_exactly(x: ScalarSignificand, f: Factors, zero: u32) -> ExactReduced {
    let shift = u32(i32(SMALL_DIGIT) - x.exponent - f.input_scale.exponent);
    let input_scale = digits_of(significand_of_constant(f.input_scale), 0u);
    // The first digit of t * 2^-14 is an integer, and the digit after it has the bits after the point.
    let t = multiply_digits(digits_of(x.bits, shift), input_scale, zero);
    let k = (((t.a.x << 7u) | (t.a.y >> 7u)) * LOG2_E_16) >> 23u;
    let d = carried(Digits(t.a + MINUS_LN2.a * k, t.b + MINUS_LN2.b * k, t.c + MINUS_LN2.c * k));
    return ExactReduced(k, Digits(vec4(d.a.yzw, d.b.x), vec4(d.b.yzw, d.c.x), vec4(d.c.yzw, 0u)));
}

// Returns a product, rounded to the dtype, without a sign as the bits of a float32.
fn exact_product(p: Product, zero: u32) -> u32 {
    let r = p.value;
    let has_exponential = p.exponential != NO_EXPONENTIAL;
    var value = r;
    if has_exponential {
        value = complement(Digits());
    }
    for (var n = select(-1, TERMS, has_exponential); n >= -3; n--) {
        let factor = p.factors[clamp(-1 - n, 0, 2)];
        let is_left_out = (n == 1 && p.exponential == QUOTIENT)
            || (n == 0 && p.exponential != ONE_MINUS_EXP)
            || (n < 0 && factor == 0u);
        if is_left_out {
            continue;
        }
        let is_term = n >= 1;
        let other = digits_of(select(factor, 0x800000u, n == 0), select(0u, p.k - 1u, n == 0));
        let y = Digits(
            select(other.a, r.a, vec4(is_term)),
            select(other.b, r.b, vec4(is_term)),
            select(other.c, r.c, vec4(is_term)),
        );
        let product = divide_digits(multiply_digits(value, y, zero), select(1u, u32(n), is_term), zero);
        let mask = vec4(select(0u, SMALL_DIGIT_MASK, n >= 0)); // 1 - product, as in `complement`
        value = Digits(product.a ^ mask, product.b ^ mask, product.c ^ mask);
    }
    return rounded(leading_bits_of(value, p.exponent, zero)).x;
}

// Returns the number of a product, normalized, in all lanes. The last bit of `bottom` is 1 if any bit after it is 1.
fn leading_bits_of(v: Digits, exponent: i32, zero: u32) -> Number {
    var d = v;
    var place = exponent;
    // A sum of numbers with 24 bits begins with fewer than 42 zeros.
    for (var i = 0u; i < 3u + zero && d.a.x == 0u; i++) {
        d = Digits(vec4(d.a.yzw, d.b.x), vec4(d.b.yzw, d.c.x), vec4(d.c.yzw, 0u));
        place -= i32(SMALL_DIGIT);
    }
    let lost = vec4(d.b.x & 0x3fu, d.b.yzw) | d.c;
    let top = (d.a.x << 18u) | (d.a.y << 4u) | (d.a.z >> 10u);
    let bottom = (d.a.z << 22u) | (d.a.w << 8u) | (d.b.x >> 6u) | select(0u, 1u, any(lost != vec4(0u)));
    return normalized(Number(Words(top), Words(bottom), Integers(place)));
}

struct ScalarSignificand {
    bits: u32,
    exponent: i32,
}

fn scalar_significand_of(magnitude: u32) -> ScalarSignificand {
    let significand = significand_of(Words(magnitude));
    return ScalarSignificand(significand.bits.x, significand.exponent.x);
}
