const LOWEST_HALF = 0xc180u;    // -16: below it, expm1(x) rounds to -1
const LARGEST_CURVED = 0xbbb6u; // the negative x nearest to 0 for which expm1(x) does not round to x
const NEGATIVE_INFINITY = 0xff80u;

fn widen_negative(h: vec4<u32>) -> vec4<u32> {
    return h << vec4(BF16_SHIFT);
}

// Rounds to nearest. A tie is rounded towards 0; no exact result is a tie.
fn narrow_negative(bits: vec4<u32>) -> vec4<u32> {
    return (bits + vec4(0x7fffu)) >> vec4(BF16_SHIFT);
}

// Returns r + r^2 q(r).
fn any_order_half_expm1(r: vec4<f32>) -> vec4<f32> {
    let q = fma(r, fma(r, vec4(0.041609503), vec4(0.16749734)), vec4(0.5000165));
    return fma(r * r, q, r);
}
