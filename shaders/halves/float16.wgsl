const LOWEST_HALF = 0xcc00u;           // -16: below it, expm1(x) rounds to -1
const LARGEST_CURVED = 0x91a9u;        // the negative x nearest to 0 for which expm1(x) does not round to x
const NEGATIVE_INFINITY = 0xfc00u;
const F16_NEGATIVE_BIAS = 0xa8000000u; // moves the sign from bit 28 to bit 31 and adds F16_TO_F32_BIAS

// Converts normal negative numbers to float32.
fn widen_negative(h: vec4<u32>) -> vec4<u32> {
    return (h << vec4(F16_TO_F32_SHIFT)) + vec4(F16_NEGATIVE_BIAS);
}

// Rounds negative numbers to nearest, for normal results. A tie is rounded towards 0; no exact result is a tie.
fn narrow_negative(bits: vec4<u32>) -> vec4<u32> {
    return (bits - vec4(F16_NEGATIVE_BIAS - 0x0fffu)) >> vec4(F16_TO_F32_SHIFT);
}

// Returns r + r^2 q(r).
fn any_order_half_expm1(r: vec4<f32>) -> vec4<f32> {
    let square = r * r;
    let low = fma(r, vec4(0.16666827), vec4(0.49999386));
    let high = fma(r, vec4(0.008337892), vec4(0.041871857));
    return fma(square, fma(square, high, low), r);
}
