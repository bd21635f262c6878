// Error-free transformations, and scaling by integer exponents.
//
// A compiler may contract a * b + c, regroup sums and products of floats, drop a conversion to another type and back,
// and replace a subnormal number by 0. Therefore every operation whose rounding matters passes its result through
// `barrier`. All other operations are in functions named `any_order_...`, whose error budget allows any order.
// Selections and comparisons, and everything that may meet a subnormal number, an infinity or a NaN, work on the bits
// as integers. docs/numerics.md gives the reasons, and tests/discipline.rs checks every shader.

// The number high + low, where `low` is small compared with `high`.
struct Pair {
    high: Floats,
    low: Floats,
}

// The optimization barrier. `zero` is 0 at run time, but a compiler cannot know that, so it cannot look through the
// XOR.
fn barrier(v: Floats, zero: u32) -> Floats {
    return bitcast<Floats>(bitcast<Words>(v) ^ Words(Word(zero)));
}

fn add(a: Floats, b: Floats, zero: u32) -> Floats {
    return barrier(a + b, zero);
}

fn subtract(a: Floats, b: Floats, zero: u32) -> Floats {
    return barrier(a - b, zero);
}

fn multiply(a: Floats, b: Floats, zero: u32) -> Floats {
    return barrier(a * b, zero);
}

// Returns a * b + c. The device may round the product or not, so it must be exact, or its rounding must not matter.
fn multiply_add(a: Floats, b: Floats, c: Floats, zero: u32) -> Floats {
    return barrier(fma(a, b, c), zero);
}

// Returns `b` where the condition holds, else `a`.
fn choose(a: Floats, b: Floats, condition: Flags) -> Floats {
    return bitcast<Floats>(select(bitcast<Words>(a), bitcast<Words>(b), condition));
}

// Keeps the sign, the exponent and the leading bits of the significand.
fn leading_bits(v: Floats) -> Floats {
    return bitcast<Floats>(bitcast<Words>(v) & Words(LEADING));
}

// Knuth's TwoSum: a + b as an exact pair, whichever of the two is larger. `low` is the rounding error of `high`.
fn two_sum(a: Floats, b: Floats, zero: u32) -> Pair {
    let sum = add(a, b, zero);
    let part = subtract(sum, a, zero);
    let lost = add(subtract(a, subtract(sum, part, zero), zero), subtract(b, part, zero), zero);
    return Pair(sum, lost);
}

// Splits a number into two parts. `high` has so few bits that the product of two such numbers is exact.
fn split(v: Floats, zero: u32) -> Pair {
    let high = leading_bits(v);
    return Pair(high, subtract(v, high, zero));
}

// Moves bits from `high` to `low`, so that `high` has as few bits as after `split`.
fn split_pair(v: Pair, zero: u32) -> Pair {
    let high = leading_bits(v.high);
    return Pair(high, add(subtract(v.high, high, zero), v.low, zero));
}

// Returns a * b for split pairs, rounded once. The product of the high parts is exact, and the cross terms are smaller
// by as many bits as a high part has.
fn rounded_product(a: Pair, b: Pair, zero: u32) -> Floats {
    return multiply_add(a.high, b.high, barrier(any_order_cross_terms(a, b), zero), zero);
}

// Returns a * b for split pairs as a split pair with about one and a half times the precision of a Float.
fn split_product(a: Pair, b: Pair, zero: u32) -> Pair {
    let product = multiply(a.high, b.high, zero);
    let cross_terms = barrier(any_order_cross_terms(a, b), zero);
    let high = leading_bits(add(product, cross_terms, zero));
    return Pair(high, add(subtract(product, high, zero), cross_terms, zero));
}

// Dekker's TwoProduct: a * b as a pair, for two Floats and their split pairs. It is exact in float32, and accurate to
// 2^-104 in float64. Every product is exact, except the first, and in float64 the last.
fn two_product(a: Floats, a_parts: Pair, b: Floats, b_parts: Pair, zero: u32) -> Pair {
    let product = multiply(a, b, zero);
    let high = subtract(multiply(a_parts.high, b_parts.high, zero), product, zero);
    let most = multiply_add(a_parts.high, b_parts.low, multiply_add(a_parts.low, b_parts.high, high, zero), zero);
    return Pair(product, multiply_add(a_parts.low, b_parts.low, most, zero));
}

// Returns a * b without the product of the high parts.
fn any_order_cross_terms(a: Pair, b: Pair) -> Floats {
    return fma(a.high, b.low, a.low * (b.high + b.low));
}

// The number significand * 2^exponent, with 1 <= significand < 2.
struct Normalized {
    significand: Floats,
    exponent: Integers,
}

// Normalizes the number with this magnitude (its bits without the sign), which must be finite and not 0; for others the
// result is an arbitrary normalized number. A device may treat a subnormal float as 0, so the bits of a subnormal are
// converted as an integer.
fn normalize(magnitude: Words, zero: u32) -> Normalized {
    let counted = barrier(Floats(SignedWords(magnitude)), zero);
    let is_subnormal = magnitude < Words(SMALLEST_NORMAL);
    let bits = select(magnitude, bitcast<Words>(counted), is_subnormal);
    // A subnormal number is an integer times the smallest subnormal number, 2^-unit.
    let unit = EXPONENT_BIAS - 1 + i32(MANTISSA_BITS);
    let exponent = Integers(bits >> Counts(MANTISSA_BITS)) - Integers(EXPONENT_BIAS);
    return Normalized(
        bitcast<Floats>((bits & Words(FRACTION)) | Words(ONE)),
        exponent - select(Integers(0), Integers(unit), is_subnormal),
    );
}

// Returns the bits of v * 2^exponent for a normal v. A subnormal result is rounded to nearest, ties to even; an
// overflow gives infinity.
fn scale_by_power(v: Floats, exponent: Integers) -> Words {
    let bits = bitcast<Words>(v);
    let magnitude = bits & Words(MAGNITUDE);
    let biased = Integers(magnitude >> Counts(MANTISSA_BITS)) + exponent;
    let normal = magnitude + (Words(SignedWords(exponent)) << Counts(MANTISSA_BITS));
    let significand = (magnitude & Words(FRACTION)) | Words(SMALLEST_NORMAL);
    let shift = Counts(clamp(1 - biased, Integers(1), Integers(i32(MANTISSA_BITS) + 2)));
    let is_odd = (significand >> shift) & Words(1);
    let half = Words(1) << (shift - 1u);
    let subnormal = (significand + (half - 1) + is_odd) >> shift;
    let finite = select(normal, subnormal, biased < Integers(1));
    let scaled = select(finite, Words(INFINITY), biased >= Integers(INFINITE_EXPONENT));
    return scaled | (bits & Words(SIGN));
}
