// exp(x) - 1 from just below -2^-25 down to -inf, elsewhere x, which is the nearest number there or not negative; as bits.
//
// This is ELU where all factors are 1. 2^n makes the error of n ln 2 small where n is large, so that one number for ln 2 is enough.
fn expm1_or_same(x_bits: vec4<u32>, zero: u32) -> vec4<u32> {
    let bounded = bitcast<vec4<f32>>(min(x_bits, vec4(0xc1900000u))); // -18 and above; of any x > 0, the result is thrown away
    let rounder = barrier(any_order_rounder(bounded), zero);
    let n = subtract(rounder, vec4(ROUNDER), zero);
    let r = barrier(any_order_remainder(bounded, n), zero);
    let rest = barrier(any_order_rest_of_expm1(r), zero);
    let power = bitcast<vec4<f32>>(bitcast<vec4<u32>>(rounder) << vec4(MANTISSA_BITS));
    let y = barrier(fma(power, add(r, rest, zero), subtract(power, vec4(1.0), zero)), zero);
    // 0xb3000001 to 0xff800000, moved to the least of the signed numbers, which more machines can compare.
    let is_same = bitcast<vec4<i32>>(x_bits - vec4(0x33000001u)) > vec4(bitcast<i32>(0xcc7fffffu));
    return select(bitcast<vec4<u32>>(y), x_bits, is_same);
}

fn any_order_remainder(t: vec4<f32>, n: vec4<f32>) -> vec4<f32> {
    return fma(n, vec4(-0.693147182), t);
}

fn any_order_rest_of_expm1(r: vec4<f32>) -> vec4<f32> {
    return r * r * fma(any_order_p(r), r, vec4(0.5));
}
