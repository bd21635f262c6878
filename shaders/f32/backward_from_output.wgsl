// grad * positive where y > 0, else grad * input_scale * (y + negative), for negative > 0.
fn op(y_bits: vec4<u32>, grad_bits: vec4<u32>, f: Factors, zero: u32) -> vec4<u32> {
    let y = bitcast<vec4<f32>>(y_bits);
    let sum = opaque(y + f.negative, zero);
    let lost = y - opaque(sum - f.negative, zero);
    let high = leading_bits(sum);
    let low = (sum - high) + lost;
    let is_zero = (bitcast<vec4<u32>>(sum) & vec4(MAGNITUDE)) == vec4(0u);
    return by_side(y_bits, grad_bits, product(grad_bits, f.input_scale, high, low, vec4(1.0), is_zero, zero), f);
}
