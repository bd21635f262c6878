// Sums of the terms l1 |y| + l2 y^2.
//
// No term is negative, so the relative error of a sum is at most the error of a term plus one rounding for every
// addition that an element passes through. In float32 these are 4 roundings for a term and its factor, 6 for 64 vectors
// in a tree, 1 if two elements share a lane, and 3 for the result and its scale: together 14 roundings of 2^-24 each.
// All other additions keep their rounding errors, in `Sum.low`.
//
// NaN and infinite elements count as 0 in the additions. They are recognized by their bits, and replace the sum.

// This must match Factors32 and Factors64 in src/shader/penalty.rs.
struct Factors {
    l1: Float,
    l2: Float,
    scale: Float, // the sum is multiplied by scale * power * power, because ...
    power: Float, // ... one Float may not have the range for the whole factor; `power` is a power of two
}

// The sum high + low. If `high` is infinite or NaN, `low` is ignored.
struct Sum {
    high: Float,
    low: Float,
}

// A sum per lane, and the largest magnitude per lane among the summed elements, which shows infinities and NaN.
struct Terms {
    sum: Floats,
    largest: Words,
}

alias Result = Word; // the bits of a Float

// Returns |y| (l1 + l2 |y|). In this form nothing overflows unless the term does. The term of an infinity or NaN is 0.
fn terms(y: Words, p: Params) -> Terms {
    let magnitude = y & Words(MAGNITUDE);
    // Writes |y| as v * unit, so that a device that flushes subnormals cannot treat v as 0. The bits of a subnormal are
    // converted as an integer.
    let is_subnormal = magnitude < Words(SMALLEST_NORMAL);
    let counted = barrier(Floats(SignedWords(magnitude)), p.zero);
    let fraction = multiply(counted, Floats(SUBNORMAL_UNIT_HIGH), p.zero);
    let normal = bitcast<Floats>(select(magnitude, Words(), magnitude >= Words(INFINITY)));
    let v = choose(normal, fraction, is_subnormal);
    let unit = choose(Floats(1.0), Floats(SUBNORMAL_UNIT_LOW), is_subnormal);
    let l2_part = multiply(multiply(v, Floats(p.factors.l2), p.zero), unit, p.zero);
    let slope = add(l2_part, Floats(p.factors.l1), p.zero);
    return Terms(multiply(multiply(v, slope, p.zero), unit, p.zero), magnitude);
}

fn combine(a: Terms, b: Terms, zero: u32) -> Terms {
    return Terms(add(a.sum, b.sum, zero), max(a.largest, b.largest));
}

// Returns the sum over all lanes. The magnitude of an infinity or NaN replaces its lane's sum.
fn total(terms: Terms, zero: u32) -> Sum {
    let bits = select(bitcast<Words>(terms.sum), terms.largest, terms.largest >= Words(INFINITY));
    return sum_of_lanes(bitcast<Floats>(bits), zero);
}

// Adds two sums. `low` collects the rounding errors of `high`. An infinite or NaN sum is passed on: as bits it exceeds
// every finite sum.
fn add_sums(a: Sum, b: Sum, zero: u32) -> Sum {
    let largest = max(bitcast<Word>(a.high), bitcast<Word>(b.high));
    let exact = two_sum(finite_or_zero(a.high), finite_or_zero(b.high), zero);
    let low = barrier(any_order_sum(Floats(a.low), Floats(b.low), exact.low), zero);
    let high_bits = select(bitcast<Words>(exact.high).x, largest, largest >= INFINITY);
    let low_bits = select(bitcast<Words>(low).x, Word(), high_bits >= INFINITY);
    return Sum(bitcast<Float>(high_bits), bitcast<Float>(low_bits));
}

fn finite_or_zero(v: Float) -> Floats {
    let bits = bitcast<Word>(v);
    return Floats(bitcast<Float>(select(bits, Word(), bits >= INFINITY)));
}

fn any_order_sum(a: Floats, b: Floats, c: Floats) -> Floats {
    return a + b + c;
}

// Returns the result: the sum, multiplied by scale * power * power.
fn value(sum: Sum, p: Params) -> Result {
    let bits = bitcast<Word>(sum.high);
    let rounded = add(finite_or_zero(sum.high), Floats(sum.low), p.zero);
    let scaled = multiply(rounded, Floats(p.factors.scale), p.zero);
    let rescaled = multiply(multiply(scaled, Floats(p.factors.power), p.zero), Floats(p.factors.power), p.zero);
    return select(bitcast<Words>(rescaled).x, bits, bits >= INFINITY);
}
