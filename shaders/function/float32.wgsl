fn wgpu_elu_f32x4(x: vec4<f32>, alpha: f32) -> vec4<f32> {
    let x_bits = bitcast<vec4<u32>>(x);
    return bitcast<vec4<f32>>(of_bits(x_bits, alpha, runtime_zero(x_bits)));
}

fn wgpu_elu_f32(x: f32, alpha: f32) -> f32 {
    return wgpu_elu_f32x4(vec4(x), alpha).x;
}
