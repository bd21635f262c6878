const UNIT_LOWEST = 0xc1900000u;      // -18: below it, expm1(x) rounds to -1
const UNIT_CURVE_START = 0x33000001u; // the magnitude just above 2^-25
const UNIT_CURVE_END = 0xcc7fffffu;   // 0xff800000 (-inf) minus UNIT_CURVE_START
const LN2: f32 = 0.693147182;

// ELU for unit factors in float32, on bits: exp(x) - 1 from just below -2^-25 down to -inf, else x. (Between -2^-25 and
// 0, x is the number nearest to the result.)
//
// The steps are those of `expm1_of`, without pairs. The multiplication by 2^n makes the error of n ln 2 small for large
// negative n, so one number for ln 2 is precise enough.
fn expm1_or_same(x_bits: vec4<u32>, zero: u32) -> vec4<u32> {
    let bounded = bitcast<vec4<f32>>(min(x_bits, vec4(UNIT_LOWEST))); // the result for x > 0 is not used
    let rounder = barrier(any_order_rounder(bounded), zero);
    let n = subtract(rounder, vec4(ROUNDER), zero);
    let r = barrier(any_order_remainder(bounded, n), zero);
    let rest = barrier(any_order_rest_of_expm1(r), zero);
    // 2^n: the last bits of ROUNDER + n are its biased exponent.
    let power = bitcast<vec4<f32>>(bitcast<vec4<u32>>(rounder) << vec4(MANTISSA_BITS));
    let y = barrier(fma(power, add(r, rest, zero), subtract(power, vec4(1.0), zero)), zero);
    // Selects x itself outside of 0xb3000001 to 0xff800000, the bits from just below -2^-25 to -inf. The subtraction
    // moves that range to the smallest signed integers, so that one comparison tests both ends. It is signed, because
    // x86, on which software adapters run, has no unsigned comparison of vectors before AVX-512.
    let is_same = bitcast<vec4<i32>>(x_bits - vec4(UNIT_CURVE_START)) > vec4(bitcast<i32>(UNIT_CURVE_END));
    return select(bitcast<vec4<u32>>(y), x_bits, is_same);
}

fn any_order_remainder(t: vec4<f32>, n: vec4<f32>) -> vec4<f32> {
    return fma(n, vec4(-LN2), t);
}

fn any_order_rest_of_expm1(r: vec4<f32>) -> vec4<f32> {
    return r * r * fma(any_order_p(r), r, vec4(0.5));
}
