// Sums of terms l1 |y| + l2 y^2. No term is negative, so that a sum's relative error is at most that of its terms and one rounding
// for every addition on an element's way. In float32: 4 for a term, 6 for 64 vectors in a tree, 1 where two elements share a lane,
// and 3 for the result make 14, of 2^-24 each. All other additions keep what they lost.
//
// NaN and infinity are recognized by their bits and carried along as such.

// Must stay equal to Factors32 and Factors64 in src/shader/penalty.rs.
struct Factors {
    l1: Float,
    l2: Float,
    scale: Float, // what the sum is multiplied by is scale * power * power, ...
    power: Float, // ... where this is a power of two, since one number may not hold all of it
}

// high + low, of which `high` counts alone where it is infinite or NaN.
struct Sum {
    high: Float,
    low: Float,
}

// A sum for each lane, and the largest magnitudes among what they are of.
struct Terms {
    sum: Floats,
    largest: Words,
}

alias Result = Word;

// |y| (l1 + l2 |y|): nothing overflows in it that the term does not.
fn terms(y: Words, p: Params) -> Terms {
    let magnitude = y & Words(MAGNITUDE);
    // |y| = v * unit, where a device cannot take v for 0: subnormal numbers are counted.
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

// The sum over all lanes.
fn total(terms: Terms, zero: u32) -> Sum {
    let bits = select(bitcast<Words>(terms.sum), terms.largest, terms.largest >= Words(INFINITY));
    return sum_of_lanes(bitcast<Floats>(bits), zero);
}

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

fn value(sum: Sum, p: Params) -> Result {
    let bits = bitcast<Word>(sum.high);
    let rounded = add(finite_or_zero(sum.high), Floats(sum.low), p.zero);
    let scaled = multiply(rounded, Floats(p.factors.scale), p.zero);
    let rescaled = multiply(multiply(scaled, Floats(p.factors.power), p.zero), Floats(p.factors.power), p.zero);
    return select(bitcast<Words>(rescaled).x, bits, bits >= INFINITY);
}
