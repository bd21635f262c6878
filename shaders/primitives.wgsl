// Error-free transformations, and scaling by integer exponents.
//
// A compiler may contract a * b + c, regroup any sum or product of floats, drop a conversion there and back, and take a
// subnormal for 0. So every operation whose rounding matters hides its result behind `barrier`, and all others are in
// functions named `any_order_...`, whose error budget allows any order. Selections, comparisons, and all that may see a
// subnormal, an infinity or a NaN are done on bits, as integers. docs/numerics.md gives the reasons, and tests/discipline.rs
// checks every shader for it.

// high + low, where `low` is what `high` lost in rounding.
struct Pair {
    high: Floats,
    low: Floats,
}

// The optimization barrier: `zero` is 0 at run time, but no compiler can know.
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

// a * b + c, where the product is exact or its rounding does not matter: contraction makes no difference then.
fn multiply_add(a: Floats, b: Floats, c: Floats, zero: u32) -> Floats {
    return barrier(fma(a, b, c), zero);
}

// `b` where the condition holds, else `a`.
fn choose(a: Floats, b: Floats, condition: Flags) -> Floats {
    return bitcast<Floats>(select(bitcast<Words>(a), bitcast<Words>(b), condition));
}

fn leading_bits(v: Floats) -> Floats {
    return bitcast<Floats>(bitcast<Words>(v) & Words(LEADING));
}

// Knuth's TwoSum: a + b exactly, whichever is larger.
fn two_sum(a: Floats, b: Floats, zero: u32) -> Pair {
    let sum = add(a, b, zero);
    let part = subtract(sum, a, zero);
    let lost = add(subtract(a, subtract(sum, part, zero), zero), subtract(b, part, zero), zero);
    return Pair(sum, lost);
}

// A number in two parts, of which `high` has so few bits that two such have an exact product.
fn split(v: Floats, zero: u32) -> Pair {
    let high = leading_bits(v);
    return Pair(high, subtract(v, high, zero));
}

// The same number as a split pair.
fn split_pair(v: Pair, zero: u32) -> Pair {
    let high = leading_bits(v.high);
    return Pair(high, add(subtract(v.high, high, zero), v.low, zero));
}

// a * b for split pairs, rounded once: the product of the high parts is exact, and all others are smaller by their number of bits.
fn rounded_product(a: Pair, b: Pair, zero: u32) -> Floats {
    return multiply_add(a.high, b.high, barrier(any_order_cross_terms(a, b), zero), zero);
}

// a * b for split pairs, as a pair of about one and a half times a Float's precision, which is split, too.
fn split_product(a: Pair, b: Pair, zero: u32) -> Pair {
    let product = multiply(a.high, b.high, zero);
    let cross_terms = barrier(any_order_cross_terms(a, b), zero);
    let high = leading_bits(add(product, cross_terms, zero));
    return Pair(high, add(subtract(product, high, zero), cross_terms, zero));
}

// Dekker's TwoProduct: a * b for two Floats whose split pairs are given as well. It is exact in float32, and to 2^-104 in float64:
// every product but the first is exact.
fn two_product(a: Floats, a_parts: Pair, b: Floats, b_parts: Pair, zero: u32) -> Pair {
    let product = multiply(a, b, zero);
    let high = subtract(multiply(a_parts.high, b_parts.high, zero), product, zero);
    let most = multiply_add(a_parts.high, b_parts.low, multiply_add(a_parts.low, b_parts.high, high, zero), zero);
    return Pair(product, multiply_add(a_parts.low, b_parts.low, most, zero));
}

fn any_order_cross_terms(a: Pair, b: Pair) -> Floats {
    return fma(a.high, b.low, a.low * (b.high + b.low));
}

// significand * 2^exponent, where 1 <= significand < 2.
struct Normalized {
    significand: Floats,
    exponent: Integers,
}

// The number with these bits but their sign, if it is finite and not 0; any number of that kind otherwise. What a device may take
// for 0, a subnormal, is counted as an integer.
fn normalize(magnitude: Words, zero: u32) -> Normalized {
    let counted = barrier(Floats(SignedWords(magnitude)), zero);
    let is_subnormal = magnitude < Words(SMALLEST_NORMAL);
    let bits = select(magnitude, bitcast<Words>(counted), is_subnormal);
    // A subnormal number is in units of the smallest.
    let unit = EXPONENT_BIAS - 1 + i32(MANTISSA_BITS);
    let exponent = Integers(bits >> Counts(MANTISSA_BITS)) - Integers(EXPONENT_BIAS);
    return Normalized(
        bitcast<Floats>((bits & Words(FRACTION)) | Words(ONE)),
        exponent - select(Integers(0), Integers(unit), is_subnormal),
    );
}

// The bits of v * 2^exponent, for a normal v: to nearest, ties to even, where that is subnormal, and infinite where it overflows.
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
    let small = select(normal, subnormal, biased < Integers(1));
    let scaled = select(small, Words(INFINITY), biased >= Integers(INFINITE_EXPONENT));
    return scaled | (bits & Words(SIGN));
}
