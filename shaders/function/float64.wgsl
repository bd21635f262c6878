fn wgpu_elu_f64x2(x: vec2<f64>, alpha: f64) -> vec2<f64> {
    let x_bits = bitcast<vec2<u64>>(x);
    return bitcast<vec2<f64>>(elu_of_alpha(x_bits, alpha, runtime_zero(x_bits)));
}

fn wgpu_elu_f64(x: f64, alpha: f64) -> f64 {
    return wgpu_elu_f64x2(vec2(x), alpha).x;
}
