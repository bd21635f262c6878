// ELU of four f32, as bits, so that nothing on the way can alter a number that passes through: a driver may flush
// subnormals to zero, and may assume in floating point that there is no NaN, no infinity and no -0, but not on integers.
fn elu(x_bits: vec4<u32>, alpha: f32) -> vec4<u32> {
    let x = bitcast<vec4<f32>>(x_bits);
    let product = bitcast<vec4<u32>>(alpha * expm1(x));

    // A subnormal x = -m * 2^-149 is its own expm1. Where the driver flushes x, m as an integer is still there; what may
    // then still be flushed is a product that is subnormal itself, and with alpha = 1 not even that.
    let magnitude = x_bits & vec4(0x7fffffffu);
    let scaled = (alpha * 0x1p-24) * -vec4<f32>(magnitude) * 0x1p-125;
    let subnormal = select(bitcast<vec4<u32>>(scaled), x_bits, vec4<bool>(alpha == 1.0));
    let y = select(product, subnormal, magnitude < vec4(0x00800000u));

    // From just below -0 (0x80000000) to -inf (0xff800000); above that come the negative NaNs.
    let negative = x_bits - vec4(0x80000001u) < vec4(0x7f800000u);
    return select(x_bits, y, negative);
}

// exp(x) - 1 for x <= 0, within 0.89 ULP of the exact value whether the driver fuses the fma calls or not.
//
// With x = n ln 2 + r and |r| <= ln 2 / 2: expm1(x) = 2^n expm1(r) + (2^n - 1). Below -18 the result rounds to -1.
// One f32 for ln 2 is enough: 2^n makes the error of n ln 2 small where n is large. The coefficients are a minimax fit
// from scripts/expm1-coefficients. What is written as fma must not be written as product and sum: under Metal's fast
// math a compiler may regroup s * e + (s - 1) into s * (e + 1) - 1, which loses every digit near zero.
fn expm1(x: vec4<f32>) -> vec4<f32> {
    let clamped = clamp(x, vec4(-18.0), vec4(0.0)); // the result of any x > 0 is thrown away, but must not trap
    let n = round(clamped * 1.44269502); // log2(e)
    let r = fma(n, vec4(-0.693147182), clamped);
    // 2^n: the last bits of 1.5 * 2^23 + 127 + n are f32's biased exponent.
    let s = bitcast<vec4<f32>>(bitcast<vec4<u32>>(n + 12583039.0) << vec4(23u));
    var q = vec4(0.000150461448);
    q = fma(q, r, vec4(0.00139305403));
    q = fma(q, r, vec4(0.00834150985));
    q = fma(q, r, vec4(0.0416665114));
    q = fma(q, r, vec4(0.166666359));
    q = fma(q, r, vec4(0.5));
    return fma(s, fma(r * r, q, r), s - 1.0);
}
