// Fractions with 45 bits, in integer arithmetic.

// The number high * 2^-15 + middle * 2^-30 + low * 2^-45, from 0 to 1, in each lane. A digit has 15 bits, so that the
// sum of three products of digits fits into 32 bits.
struct Fraction {
    high: Words,
    middle: Words,
    low: Words,
}

const DIGIT: u32 = 15u;
const DIGIT_MASK: u32 = 0x7fffu;

// Returns a * b. It is rounded down, and too small by less than 2^-43.4.
fn multiply_fractions(a: Fraction, b: Fraction) -> Fraction {
    let third = a.high * b.low + a.middle * b.middle + a.low * b.high;
    let second = a.high * b.middle + a.middle * b.high + (third >> Counts(DIGIT));
    let first = a.high * b.high + (second >> Counts(DIGIT));
    return Fraction(first >> Counts(DIGIT), first & Words(DIGIT_MASK), second & Words(DIGIT_MASK));
}

// Returns whether `multiply_fractions` loses nothing.
fn is_product_exact(a: Fraction, b: Fraction) -> Flags {
    let third = a.high * b.low + a.middle * b.middle + a.low * b.high;
    let lost = (a.middle * b.low) | (a.low * b.middle) | (a.low * b.low);
    return ((third & Words(DIGIT_MASK)) | lost) == Words();
}

// Multiples of 2^15 that keep the digits of a difference from becoming negative, and what the next digit is owed.
const BORROW_THIRD: u32 = 0x80100000u;
const OWED_TO_SECOND: u32 = BORROW_THIRD >> DIGIT;
const BORROW_SECOND: u32 = 0x80000000u;
const OWED_TO_FIRST: u32 = BORROW_SECOND >> DIGIT;

// Returns c - a * b, which must not be negative. `c` has the digits high, middle and low. The result is too large by
// less than 2^-43.4.
fn subtract_product(c: vec3<u32>, a: Fraction, b: Fraction) -> Fraction {
    let third = a.high * b.low + a.middle * b.middle + a.low * b.high;
    let second = Words(c.z + BORROW_THIRD) - (a.high * b.middle + a.middle * b.high + (third >> Counts(DIGIT)));
    let first = Words(c.y + BORROW_SECOND - OWED_TO_SECOND) + (second >> Counts(DIGIT)) - a.high * b.high;
    return Fraction(
        Words(c.x - OWED_TO_FIRST) + (first >> Counts(DIGIT)),
        first & Words(DIGIT_MASK),
        second & Words(DIGIT_MASK),
    );
}

fn choose_fraction(a: Fraction, b: Fraction, condition: Flags) -> Fraction {
    return Fraction(
        select(a.high, b.high, condition),
        select(a.middle, b.middle, condition),
        select(a.low, b.low, condition),
    );
}

// The number (top * 2^32 + bottom) * 2^-64 * 2^exponent in each lane.
struct Number {
    top: Words,
    bottom: Words,
    exponent: Integers,
}

fn number_of(v: Fraction, exponent: Integers) -> Number {
    let top = (v.high << Counts(17)) | (v.middle << Counts(2)) | (v.low >> Counts(13));
    return Number(top, v.low << Counts(19), exponent);
}

// The bits of `bottom` that `fraction_of` drops.
const LOST_BITS: u32 = 0x7ffffu;

// Returns the 45 leading bits.
fn fraction_of(v: Number) -> Fraction {
    let low = ((v.top << Counts(13)) | (v.bottom >> Counts(19))) & Words(DIGIT_MASK);
    return Fraction(v.top >> Counts(17), (v.top >> Counts(2)) & Words(DIGIT_MASK), low);
}

// Returns the number with its leading bit at the top of `top`. `top` must not be 0.
fn normalized(v: Number) -> Number {
    let shift = countLeadingZeros(v.top);
    let top = (v.top << shift) | ((v.bottom >> Counts(1)) >> (Counts(31) - shift));
    return Number(top, v.bottom << shift, v.exponent - Integers(shift));
}

// Returns the number times 2^-count, with the same exponent. `count` is at most 63.
fn shifted_right(v: Number, count: Counts) -> Number {
    let near = count & Counts(31);
    let is_far = count > Counts(31);
    let top = v.top >> near;
    let bottom = (v.bottom >> near) | ((v.top << Counts(1)) << (Counts(31) - near));
    return Number(select(top, Words(), is_far), select(bottom, top, is_far), v.exponent);
}

// The significand and the exponent of a number with the magnitude significand * 2^(exponent - 24).
struct Significand {
    bits: Words, // 24 bits, of which the first is 1
    exponent: Integers,
}

// Returns the significand and the exponent for the magnitude of a finite number that is not 0; for others the result is
// arbitrary.
fn significand_of(magnitude: Words) -> Significand {
    let biased = magnitude >> Counts(MANTISSA_BITS);
    let is_subnormal = biased == Words();
    let bits = select((magnitude & Words(FRACTION)) | Words(SMALLEST_NORMAL), magnitude, is_subnormal);
    let shift = countLeadingZeros(bits | Words(1)) - Counts(31u - MANTISSA_BITS);
    let exponent = Integers(max(biased, Words(1))) - Integers(EXPONENT_BIAS - 1);
    return Significand(bits << shift, exponent - Integers(shift));
}

fn fraction_of_significand(bits: Words) -> Fraction {
    return Fraction(bits >> Counts(9), (bits & Words(0x1ff)) << Counts(6), Words());
}

// A factor in the form that this arithmetic multiplies by: fraction * 2^exponent, where the fraction is at least 1/2.
// This must match Constant in src/shader.rs.
struct Constant {
    high: u32,
    middle: u32,
    low: u32,
    exponent: i32,
}

// This must match NearestFactors in src/shader.rs.
struct Factors {
    negative: Constant,     // |alpha * scale|
    positive: Constant,     // scale
    input_scale: Constant,
    slope: Constant,        // negative * input_scale, rounded down to 45 bits
    negative_bits: u32,     // the bits of alpha * scale; if it is 0, infinite or NaN, `negative` has no effect
    largest: u32,           // from this magnitude of x on, the result is constant
    slope_is_exact: u32,    // 1 if `slope` was not rounded, else 0
    padding: u32,
}

// A factor for each lane.
struct LaneConstant {
    fraction: Fraction,
    exponent: Integers,
}

fn lanes_of(c: Constant) -> LaneConstant {
    return LaneConstant(Fraction(Words(c.high), Words(c.middle), Words(c.low)), Integers(c.exponent));
}

fn choose_constant(a: LaneConstant, b: LaneConstant, condition: Flags) -> LaneConstant {
    let fraction = choose_fraction(a.fraction, b.fraction, condition);
    return LaneConstant(fraction, select(a.exponent, b.exponent, condition));
}

fn significand_of_constant(c: Constant) -> u32 {
    return (c.high << 9u) | (c.middle >> 6u);
}
