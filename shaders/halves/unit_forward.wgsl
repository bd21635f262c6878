const LN2: f32 = 0.693147182;

// ELU for unit factors in float16 and bfloat16, on bits in the lower half of each word: exp(x) - 1 from LARGEST_CURVED
// down to -inf, else x, which is then the number nearest to the result.
//
// The steps are those of the function of the same name in unit_forward.wgsl. They cost less here, because the precision
// of float32 is not needed:
//
// 1. The polynomial has fewer terms. Its coefficients were chosen so that every result is the nearest number, with and
//    without fused operations: see src/cpu/arithmetic/narrow.rs.
// 2. Only negative numbers whose result is normal are converted, so the conversions need no cases.
fn expm1_or_same(h: vec4<u32>, zero: u32) -> vec4<u32> {
    // As integers, negative numbers increase with their magnitude. The result for other numbers is not used.
    let x = bitcast<vec4<f32>>(widen_negative(min(h, vec4(LOWEST_HALF))));
    let rounder = barrier(any_order_rounder(x), zero);
    let n = subtract(rounder, vec4(ROUNDER), zero);
    let r = barrier(any_order_remainder(x, n), zero);
    let e = barrier(any_order_half_expm1(r), zero);
    // 2^n: the last bits of ROUNDER + n are its biased exponent.
    let power = bitcast<vec4<f32>>(bitcast<vec4<u32>>(rounder) << vec4(MANTISSA_BITS));
    let y = barrier(fma(power, e, subtract(power, vec4(1.0), zero)), zero);
    // The addition moves the range from LARGEST_CURVED to -inf to the smallest signed integers, so that one comparison
    // tests both ends.
    let moved = bitcast<vec4<i32>>(h + vec4(SIGN - LARGEST_CURVED));
    let is_same = moved > vec4(bitcast<i32>(SIGN + NEGATIVE_INFINITY - LARGEST_CURVED));
    return select(narrow_negative(bitcast<vec4<u32>>(y)), h, is_same);
}

fn any_order_remainder(t: vec4<f32>, n: vec4<f32>) -> vec4<f32> {
    return fma(n, vec4(-LN2), t);
}
