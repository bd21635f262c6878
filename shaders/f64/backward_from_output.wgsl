// grad * positive where y > 0, else grad * input_scale * (y + negative), for negative > 0.
fn op(y: vec2<f64>, grad: vec2<f64>, f: Factors, zero: u32) -> vec2<f64> {
    let sum = opaque(y + f.negative, zero);
    // Knuth's TwoSum: what the sum lost, whichever of the two is larger.
    let part = opaque(sum - f.negative, zero);
    let lost = opaque(y - part, zero) + (f.negative - opaque(sum - part, zero));
    let one = vec2(1.0lf);
    return by_side(y, grad, product(grad, f.input_scale, sum, lost, one, one, zero), f);
}
