// grad * positive where x > 0, else grad * slope * exp(input_scale * x).
fn op(x: vec2<f64>, grad: vec2<f64>, f: Factors, zero: u32) -> vec2<f64> {
    let t = opaque(x * f.input_scale, zero);
    // What the product lost: exp would magnify it.
    let bounded = clamp(x, vec2(-1e30lf), vec2(0.0lf)); // f32's range
    let x_high = leading_bits(bounded);
    let t_low = opaque(fma(x_high, vec2(f.input_scale_high), -t), zero)
        + opaque(fma(bounded - x_high, vec2(f.input_scale), x_high * (f.input_scale - f.input_scale_high)), zero);

    let clamped = clamp(t, vec2(-1500.0lf), vec2(0.0lf)); // below, not even the largest grad makes more than zero of it
    let n = powers_in(clamped);
    let r = reduce(clamped, n, zero) + select(vec2(0.0lf), t_low, clamped == t);
    let rest = r * r * q_of_expm1(r);
    let high = opaque(1.0lf + (r + rest), zero);
    let low = rest + opaque(r + opaque(1.0lf - high, zero), zero);
    // 2^n in three factors, since it may be smaller than any f64, and those as powers of one that is an f32's.
    let part = ceil(n * 0.0416666679); // a 24th
    let p = power_of_two(part);
    let p2 = p * p;
    let p4 = p2 * p2;
    let first = p4 * p4;
    let last = first * power_of_two(n - 24.0 * part);
    return by_side(x, grad, product(grad, f.slope, high * first, low * first, first, last, zero), f);
}
