// ELU for other shaders. No compiler knows that `zero` is 0: it is not for NaN, which comes through as it is.
fn wgpu_elu_f64x2(x: vec2<f64>, alpha: f64) -> vec2<f64> {
    let bits = bitcast<vec2<u32>>(vec2<f32>(x)) & vec2(0x7fffffffu);
    let zero = select(0u, 1u, all(bits > vec2(0x7f800000u)));
    let magnitude = abs(alpha);
    // What f32 does not hold is all in the low part.
    let high = select(f64(f32(alpha)), 0.0lf, !(magnitude < 1e38lf));
    let odd = select(1.0lf, 0.0lf, magnitude > 0.0lf && magnitude <= 1.7976931348623157e308lf);
    return op(x, x, Factors(alpha, high, 1.0lf, 1.0lf, 1.0lf, alpha, odd, 0.0lf), zero);
}

fn wgpu_elu_f64(x: f64, alpha: f64) -> f64 {
    return wgpu_elu_f64x2(vec2(x), alpha).x;
}
