// grad * k * (high + low) * last. An infinite grad makes NaN of zero.
fn product(
    grad: vec2<f64>, k: f64, high: vec2<f64>, low: vec2<f64>, last: vec2<f64>, zero: u32,
) -> vec2<f64> {
    let c = grad * k;
    let finite = abs(c) <= vec2(1.7976931348623157e308lf);
    return select(c * (high * last), fma(c, high, opaque(c * low, zero)) * last, finite);
}

// grad * positive where x > 0, `otherwise` where x <= 0, and x itself where it is NaN.
fn by_side(x: vec2<f64>, grad: vec2<f64>, otherwise: vec2<f64>, f: Factors) -> vec2<f64> {
    let side = select(otherwise, times_positive(grad, f), x > vec2(0.0lf));
    return select(side, x, x != x);
}
