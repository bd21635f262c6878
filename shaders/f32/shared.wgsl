// Arithmetic in f32, four at a time, whether the driver fuses the fma calls or not.
//
// Numbers come and go as bits, and selections are made on bits, so that nothing can alter what passes through: a driver
// may assume in floating point that there is no NaN, no infinity and no -0, but not on integers.
//
// Where one rounding must not follow another, a value is kept as high + low: the 12 bits of two high parts have an exact
// product. Compilers regroup floating-point sums unless told not to, which WGSL cannot: Mesa makes one product of two with
// a common factor, and Metal's fast math more than that. So some sums hide behind `opaque`: `zero` is 0, and no compiler
// knows.

// Must stay equal to Factors32 in src/shader.rs.
struct Factors {
    negative: f32,    // alpha * scale, divided by `rescale`
    rescale: f32,     // a power of two that keeps a small `negative` away from subnormals; 1 for all others
    positive: f32,    // scale
    input_scale: f32,
    slope: f32,       // negative * input_scale
    padding_a: f32,
    padding_b: f32,
    padding_c: f32,
}

const MAGNITUDE = 0x7fffffffu;
const SIGN = 0x80000000u;
const INFINITY = 0x7f800000u; // NaN has a greater magnitude
const NAN = 0x7fc00000u;
const ONE = 0x3f800000u;

fn leading_bits(v: vec4<f32>) -> vec4<f32> {
    return bitcast<vec4<f32>>(bitcast<vec4<u32>>(v) & vec4(0xfffff000u));
}

fn opaque(v: vec4<f32>, zero: u32) -> vec4<f32> {
    return bitcast<vec4<f32>>(bitcast<vec4<u32>>(v) ^ vec4(zero));
}

// 2^n for integers: the last bits of 1.5 * 2^23 + 127 + n are f32's biased exponent.
fn power_of_two(n: vec4<f32>) -> vec4<f32> {
    return bitcast<vec4<f32>>(bitcast<vec4<u32>>(n + 12583039.0) << vec4(23u));
}

// q in expm1(r) = r + r^2 q(r) for |r| <= ln 2 / 2: a minimax fit from scripts/expm1-coefficients.
fn q_of_expm1(r: vec4<f32>) -> vec4<f32> {
    var q = vec4(0.000150461448);
    q = fma(q, r, vec4(0.00139305403));
    q = fma(q, r, vec4(0.00834150985));
    q = fma(q, r, vec4(0.0416665114));
    q = fma(q, r, vec4(0.166666359));
    return fma(q, r, vec4(0.5));
}

// The side that is a mere product: v * positive, and v itself where that is 1.
fn times_positive(v_bits: vec4<u32>, f: Factors) -> vec4<u32> {
    let scaled = bitcast<vec4<u32>>(bitcast<vec4<f32>>(v_bits) * f.positive);
    let magnitude = v_bits & vec4(MAGNITUDE);
    let same = (magnitude == vec4(0u)) | (magnitude >= vec4(INFINITY)) | vec4<bool>(bitcast<u32>(f.positive) == ONE);
    return select(scaled, v_bits, same);
}
