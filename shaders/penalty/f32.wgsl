// Sums in f32. No term is negative, so that a sum's relative error is at most that of its terms and one rounding for every
// addition on an element's way: 4 for a term, 6 for 64 vectors in a tree, 1 where two elements share a lane, and 3 for the result
// make 14, of 2^-24 each. All other additions keep what they lost.
//
// NaN and infinity are told by their bits and carried along as such, since a driver may assume in floating point that there
// are none. What hides behind `opaque` is not regrouped: `zero` is 0, and no compiler knows.

// Must stay equal to Factors32 in src/shader/penalty.rs.
struct Factors {
    l1: f32,
    l2: f32,
    scale: f32, // what the sum is multiplied by is scale * power * power, ...
    power: f32, // ... where this is a power of two, for f32 may not hold all of it
}

// high + low, of which `high` counts alone where it is infinite or NaN.
struct Sum {
    high: f32,
    low: f32,
}

// Four sums, and the largest magnitudes among what they are of.
struct Terms {
    sum: vec4<f32>,
    largest: vec4<u32>,
}

alias Result = u32;

const MAGNITUDE = 0x7fffffffu;
const INFINITY = 0x7f800000u; // NaN has a greater magnitude

fn opaque(v: f32, zero: u32) -> f32 {
    return bitcast<f32>(bitcast<u32>(v) ^ zero);
}

fn opaque_vector(v: vec4<f32>, zero: u32) -> vec4<f32> {
    return bitcast<vec4<f32>>(bitcast<vec4<u32>>(v) ^ vec4(zero));
}

// |y| (l1 + l2 |y|): nothing overflows in it that the term does not.
fn terms(y: vec4<u32>, p: Params) -> Terms {
    let magnitude = y & vec4(MAGNITUDE);
    let v = bitcast<vec4<f32>>(magnitude);
    let slope = opaque_vector(v * p.factors.l2 + p.factors.l1, p.zero);
    return Terms(v * slope, magnitude);
}

fn both(a: Terms, b: Terms, zero: u32) -> Terms {
    return Terms(opaque_vector(a.sum + b.sum, zero), max(a.largest, b.largest));
}

fn total(terms: Terms, zero: u32) -> Sum {
    let sum_bits = bitcast<vec4<u32>>(terms.sum);
    let bits = select(sum_bits, terms.largest, terms.largest >= vec4(INFINITY));
    let v = bitcast<vec4<f32>>(bits);
    let first_half = add(Sum(v.x, 0.0), Sum(v.y, 0.0), zero);
    return add(first_half, add(Sum(v.z, 0.0), Sum(v.w, 0.0), zero), zero);
}

fn add(a: Sum, b: Sum, zero: u32) -> Sum {
    let sum = opaque(a.high + b.high, zero);
    // Knuth's TwoSum: what the sum lost, whichever of the two is larger.
    let part = opaque(sum - a.high, zero);
    let lost = opaque(a.high - opaque(sum - part, zero), zero) + opaque(b.high - part, zero);
    let low = (a.low + b.low) + lost;

    let largest = max(bitcast<u32>(a.high), bitcast<u32>(b.high));
    let high_bits = select(bitcast<u32>(sum), largest, largest >= INFINITY);
    let low_bits = select(bitcast<u32>(low), 0u, high_bits >= INFINITY);
    return Sum(bitcast<f32>(high_bits), bitcast<f32>(low_bits));
}

fn value(sum: Sum, p: Params) -> Result {
    let bits = bitcast<u32>(sum.high);
    let scaled = opaque(opaque(sum.high + sum.low, p.zero) * p.factors.scale, p.zero);
    let rescaled = opaque(scaled * p.factors.power, p.zero) * p.factors.power;
    return select(bitcast<u32>(rescaled), bits, bits >= INFINITY);
}
