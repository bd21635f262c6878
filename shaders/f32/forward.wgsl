// positive * x where x >= 0, else negative * expm1(input_scale * x), of which the first factor is 1 for ELU and CELU. For ELU
// it is within 0.93 ULP of the exact value for every x and every alpha. A result smaller than 2^-126 may come out as zero
// where the driver flushes subnormals, but not at alpha = 1.
fn elu(x_bits: vec4<u32>, f: Factors, zero: u32) -> vec4<u32> {
    let x = bitcast<vec4<f32>>(x_bits);
    let t = x * f.input_scale;
    let tiny = (bitcast<vec4<u32>>(t) & vec4(MAGNITUDE)) < vec4(0x33000000u); // 2^-25: expm1(t) rounds to t

    // A subnormal x may be flushed, but as an integer, in units of 2^-149, it is still there.
    let magnitude = x_bits & vec4(MAGNITUDE);
    let m = opaque(vec4<f32>(magnitude) * -5.9604644775390625e-8, zero);
    let subnormal = opaque(f.slope * m, zero) * 2.350988701644575e-38;
    let small = select(bitcast<vec4<u32>>(f.slope * x), bitcast<vec4<u32>>(subnormal), magnitude < vec4(0x00800000u));
    let product = select(times_expm1(f.negative, t, zero), small, tiny);
    let rescaled = bitcast<vec4<u32>>(bitcast<vec4<f32>>(product) * f.rescale);

    let same = bitcast<u32>(f.slope) == ONE && bitcast<u32>(f.rescale) == ONE;
    let exact = select(rescaled, x_bits, tiny & vec4<bool>(same));
    // With `negative` zero, infinite or NaN, every product with a negative number is -negative.
    let negative_bits = bitcast<u32>(f.negative);
    let negative_magnitude = negative_bits & MAGNITUDE;
    let odd = negative_magnitude == 0u || negative_magnitude >= INFINITY;
    let y = select(exact, vec4(negative_bits ^ SIGN), vec4<bool>(odd));

    // From just below -0 (0x80000000) to -inf (0xff800000); above that come the negative NaNs.
    let is_negative = x_bits - vec4(0x80000001u) < vec4(INFINITY);
    return select(times_positive(x_bits, f), y, is_negative);
}

// a * (exp(t) - 1) for t <= 0, as bits.
//
// With t = n ln 2 + r and |r| <= ln 2 / 2: expm1(t) = 2^n expm1(r) + (2^n - 1). One f32 for ln 2 is enough: 2^n makes the
// error of n ln 2 small where n is large.
fn times_expm1(a: f32, t: vec4<f32>, zero: u32) -> vec4<u32> {
    let clamped = clamp(t, vec4(-18.0), vec4(0.0)); // below -18 the result rounds to -1; any t > 0 is thrown away
    let n = round(clamped * 1.44269502); // log2(e)
    let r = fma(n, vec4(-0.693147182), clamped);
    let s = power_of_two(n);
    let rest = r * r * q_of_expm1(r);
    let less = opaque(s - 1.0, zero);
    let high = leading_bits(fma(s, r + rest, less));
    let low = fma(s, rest, opaque(fma(s, r, less - high), zero));
    let a_high = leading_bits(vec4(a));
    let a_low = a - a_high;
    return bitcast<vec4<u32>>(fma(a_high, high, opaque(fma(a_low, high, a * low), zero)));
}

// exp(x) - 1 from just below -2^-25 down to -inf, elsewhere x, which there is the nearest number or not negative; as bits.
fn expm1_or_same(x_bits: vec4<u32>, zero: u32) -> vec4<u32> {
    let t = max(bitcast<vec4<f32>>(x_bits), vec4(-18.0));
    let n = round(t * 1.44269502);
    let r = fma(n, vec4(-0.693147182), t);
    let s = power_of_two(n);
    let y = fma(s, fma(r * r, q_of_expm1(r), r), opaque(s - 1.0, zero));
    // 0xb3000001 to 0xff800000, moved to the least of the signed numbers, which more machines can compare.
    let is_same = bitcast<vec4<i32>>(x_bits - vec4(0x33000001u)) > vec4(bitcast<i32>(0xcc7fffffu));
    return select(bitcast<vec4<u32>>(y), x_bits, is_same);
}
