// positive * x where x >= 0, else negative * expm1(input_scale * x).
fn op(x: vec2<f64>, unused: vec2<f64>, f: Factors, zero: u32) -> vec2<f64> {
    let t = x * f.input_scale;
    let tiny = t > vec2(-5e-17lf); // expm1(t) rounds to t
    let y = select(times_expm1(f, t, zero), x * f.slope, tiny);
    // With `negative` zero, infinite or NaN, every product with a negative number is -negative.
    let even = select(y, vec2(-f.negative), vec2<bool>(f.odd == 1.0lf));
    return select(times_positive(x, f), even, x < vec2(0.0lf));
}

// negative * (exp(t) - 1) for t <= 0: see f32/forward.wgsl.
fn times_expm1(f: Factors, t: vec2<f64>, zero: u32) -> vec2<f64> {
    let clamped = clamp(t, vec2(-40.0lf), vec2(0.0lf)); // below -38 the result rounds to -1
    let n = powers_in(clamped);
    let r = reduce(clamped, n, zero);
    let s = power_of_two(n);
    let rest = r * r * q_of_expm1(r);
    let less = opaque(s - 1.0lf, zero);
    let high = leading_bits(fma(s, r + rest, less));
    let low = fma(s, rest, opaque(fma(s, r, less - high), zero));
    let negative_low = f.negative - f.negative_high;
    return fma(vec2(f.negative_high), high, opaque(fma(vec2(negative_low), high, f.negative * low), zero));
}
