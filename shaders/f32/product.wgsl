// grad * k * (high + low) * middle * last, as bits, rounded about once, where `high` has 12 bits. `vanishes`: all but grad
// and k round to zero by themselves, so that an infinite grad makes NaN of it.
//
// A grad smaller than 2^-126 may count as zero, and a result smaller than that may come out as zero, where the driver
// flushes subnormals.
fn product(
    grad_bits: vec4<u32>, k: f32, high: vec4<f32>, low: vec4<f32>, middle: vec4<f32>, last: vec4<f32>,
    vanishes: vec4<bool>, zero: u32,
) -> vec4<u32> {
    let grad = bitcast<vec4<f32>>(grad_bits);
    // What is lost of a small product would count in the sums below, and a large one may overflow.
    let size = abs(grad * k);
    let is_small = size < vec4(0x1p-40);
    let is_large = size > vec4(0x1p40);
    let g = grad * select(select(vec4(1.0), vec4(0x1p64), is_small), vec4(0x1p-64), is_large);
    // Taken back where nothing overflows or underflows on the way.
    let is_deep = middle < vec4(0x1p-32);
    let early = select(vec4(1.0), vec4(0x1p64), is_large & is_deep);
    let late = select(select(vec4(1.0), vec4(0x1p-64), is_small), vec4(0x1p64), is_large & !is_deep);
    let c = g * k;
    let c_high = leading_bits(c);
    let g_high = leading_bits(g);
    let k_high = leading_bits(vec4(k));
    let remainder = opaque(fma(g_high, k_high, -c_high), zero);
    let c_low = remainder + opaque(fma(g - g_high, vec4(k), g_high * (k - k_high)), zero);
    let product = fma(c_high, high, opaque(fma(c_low, high, c * low), zero));
    let y = bitcast<vec4<u32>>(product * early * middle * last * late);

    let k_bits = bitcast<u32>(k);
    let grad_magnitude = grad_bits & vec4(MAGNITUDE);
    let k_magnitude = k_bits & MAGNITUDE;
    let sign = (grad_bits ^ vec4(k_bits) ^ bitcast<vec4<u32>>(high)) & vec4(SIGN);
    let high_magnitude = bitcast<vec4<u32>>(high) & vec4(MAGNITUDE);
    let plain_magnitude = bitcast<vec4<u32>>(c * high) & vec4(MAGNITUDE);
    let any_zero = (grad_magnitude == vec4(0u)) | (high_magnitude == vec4(0u)) | vec4<bool>(k_magnitude == 0u);
    let any_infinite = (grad_magnitude == vec4(INFINITY)) | (plain_magnitude >= vec4(INFINITY))
        | vec4<bool>(k_magnitude == INFINITY);
    let any_nan = (grad_magnitude > vec4(INFINITY)) | vec4<bool>(k_magnitude > INFINITY)
        | ((any_zero | vanishes) & any_infinite);
    let signed = (y & vec4(MAGNITUDE)) | sign; // a sum drops the sign of zero
    let zeroed = select(signed, sign, any_zero);
    let infinite = select(zeroed, sign | vec4(INFINITY), any_infinite);
    return select(infinite, vec4(NAN), any_nan);
}

// grad * positive where x > 0, `otherwise` where x <= 0, and x itself where it is NaN.
fn by_side(x_bits: vec4<u32>, grad_bits: vec4<u32>, otherwise: vec4<u32>, f: Factors) -> vec4<u32> {
    let is_positive = x_bits - vec4(1u) < vec4(INFINITY);
    let is_nan = (x_bits & vec4(MAGNITUDE)) > vec4(INFINITY);
    return select(select(otherwise, times_positive(grad_bits, f), is_positive), x_bits, is_nan);
}
