// grad * positive where y > 0, else grad * input_scale * (y + negative), for negative > 0.
fn op(y_bits: vec4<u32>, grad_bits: vec4<u32>, f: Factors, zero: u32) -> vec4<u32> {
    let y = bitcast<vec4<f32>>(y_bits);
    let sum = opaque(y + f.negative, zero);
    // Knuth's TwoSum: what the sum lost, whichever of the two is larger.
    let part = opaque(sum - f.negative, zero);
    let lost = opaque(y - part, zero) + (f.negative - opaque(sum - part, zero));
    let high = leading_bits(sum);
    let low = (sum - high) + lost;
    let one = vec4(1.0);
    let product = product(grad_bits, f.input_scale, high, low, one, one, vec4(false), zero);
    return by_side(y_bits, grad_bits, product, f);
}
