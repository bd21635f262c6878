// grad * positive where x > 0, else grad * slope * exp(input_scale * x).
fn op(x_bits: vec4<u32>, grad_bits: vec4<u32>, f: Factors, zero: u32) -> vec4<u32> {
    let x = bitcast<vec4<f32>>(x_bits);
    let t = opaque(x * f.input_scale, zero);
    // What the product lost: exp would magnify it.
    let x_high = leading_bits(x);
    let scale_high = leading_bits(vec4(f.input_scale));
    let t_low = opaque(fma(x_high, scale_high, -t), zero)
        + opaque(fma(x - x_high, vec4(f.input_scale), x_high * (f.input_scale - scale_high)), zero);

    // With t = n ln 2 + r and |r| <= ln 2 / 2: exp(t) = 2^n (1 + expm1(r)). ln 2 is in two parts, of which the first has an
    // exact product with n.
    let clamped = clamp(t, vec4(-240.0), vec4(0.0)); // below, not even the largest grad makes more than zero of it
    let n = round(clamped * 1.44269502); // log2(e)
    let r = fma(n, vec4(-1.42860677e-6), opaque(fma(n, vec4(-0.693145752), clamped), zero))
        + select(vec4(0.0), t_low, clamped == t);
    let rest = r * r * q_of_expm1(r);
    let high = leading_bits(1.0 + (r + rest));
    let low = rest + opaque(r + opaque(1.0 - high, zero), zero);
    // In three factors, since 2^n may be smaller than any f32.
    let third = ceil(n * 0.333333343);
    let first = power_of_two(third);
    let last = power_of_two(n - 2.0 * third);
    // From -103.972084 on, exp(t) rounds to zero.
    let vanishes = bitcast<vec4<u32>>(t) >= vec4(0xc2cff1b5u);
    let y = product(grad_bits, f.slope, high * first, low * first, first, last, vanishes, zero);
    return by_side(x_bits, grad_bits, y, f);
}
