// ELU of four f32: x where x >= 0, else alpha * scale * expm1(x), within 0.93 ULP of the exact value for every x and every
// alpha, whether the driver fuses the fma calls or not. A result smaller than 2^-126 may come out as zero where the driver
// flushes subnormals, but not at alpha = 1. `scale` is a power of two that keeps a small alpha, and what is left of it
// within the sums, away from subnormals; it is 1 for all others.
//
// Numbers come and go as bits, and selections are made on bits, so that nothing can alter what passes through: a driver
// may assume in floating point that there is no NaN, no infinity and no -0, but not on integers. `zero` is 0, and no
// compiler knows.
fn elu(x_bits: vec4<u32>, alpha: f32, scale: f32, zero: u32) -> vec4<u32> {
    let x = bitcast<vec4<f32>>(x_bits);
    let magnitude = x_bits & vec4(0x7fffffffu);
    let tiny = magnitude < vec4(0x33000000u); // 2^-25: expm1(x) rounds to x

    // A subnormal x may be flushed, but as an integer, in units of 2^-149, it is still there.
    let m = opaque(vec4<f32>(magnitude) * -0x1p-24, zero);
    let subnormal = opaque(alpha * m, zero) * 0x1p-125;
    let small = select(bitcast<vec4<u32>>(alpha * x), bitcast<vec4<u32>>(subnormal), magnitude < vec4(0x00800000u));
    let product = select(times_expm1(alpha, x, zero), small, tiny);
    let scaled = bitcast<vec4<u32>>(bitcast<vec4<f32>>(product) * scale);

    let alpha_bits = bitcast<u32>(alpha);
    let one = alpha_bits == 0x3f800000u && bitcast<u32>(scale) == 0x3f800000u;
    let unscaled = select(scaled, x_bits, tiny & vec4<bool>(one));
    // With alpha zero, infinite or NaN, every product with a negative number is -alpha.
    let odd = (alpha_bits & 0x7fffffffu) == 0u || (alpha_bits & 0x7f800000u) == 0x7f800000u;
    let y = select(unscaled, vec4(alpha_bits ^ 0x80000000u), vec4<bool>(odd));

    // From just below -0 (0x80000000) to -inf (0xff800000); above that come the negative NaNs.
    let negative = x_bits - vec4(0x80000001u) < vec4(0x7f800000u);
    return select(x_bits, y, negative);
}

// alpha * (exp(x) - 1) for x <= 0, as bits.
//
// With x = n ln 2 + r and |r| <= ln 2 / 2: expm1(x) = 2^n expm1(r) + (2^n - 1), and expm1(r) = r + r^2 q(r). One f32 for
// ln 2 is enough: 2^n makes the error of n ln 2 small where n is large. The coefficients are a minimax fit from
// scripts/expm1-coefficients.
//
// The value is kept as high + low, and alpha is split alike: the 12 bits of each high part have an exact product, so that
// only the last sum rounds. Compilers regroup floating-point sums unless told not to, which WGSL cannot: Mesa makes one
// product of two with a common factor, and Metal's fast math more than that. So some sums hide behind `opaque`.
fn times_expm1(alpha: f32, x: vec4<f32>, zero: u32) -> vec4<u32> {
    let clamped = clamp(x, vec4(-18.0), vec4(0.0)); // below -18 the result rounds to -1; any x > 0 is thrown away
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
    let rest = r * r * q;
    let less = opaque(s - 1.0, zero);
    let high = leading_bits(fma(s, r + rest, less));
    let low = fma(s, rest, opaque(fma(s, r, less - high), zero));
    let alpha_high = leading_bits(vec4(alpha));
    let alpha_low = alpha - alpha_high;
    return bitcast<vec4<u32>>(fma(alpha_high, high, opaque(fma(alpha_low, high, alpha * low), zero)));
}

fn leading_bits(v: vec4<f32>) -> vec4<f32> {
    return bitcast<vec4<f32>>(bitcast<vec4<u32>>(v) & vec4(0xfffff000u));
}

fn opaque(v: vec4<f32>, zero: u32) -> vec4<f32> {
    return bitcast<vec4<f32>>(bitcast<vec4<u32>>(v) ^ vec4(zero));
}
