// grad * k * (high + low) * middle * last. An infinite grad makes NaN of zero.
fn product(
    grad: vec2<f64>, k: f64, high: vec2<f64>, low: vec2<f64>, middle: vec2<f64>, last: vec2<f64>, zero: u32,
) -> vec2<f64> {
    // A large product may overflow, and a small one lose bits.
    let size = abs(grad * k);
    let is_small = size < vec2(1e-100lf);
    let is_large = size > vec2(1e100lf);
    let up = vec2(1.6069380442589903e60lf); // 2^200
    let down = vec2(6.223015277861142e-61lf); // 2^-200
    let c = grad * select(select(vec2(1.0lf), up, is_small), down, is_large) * k;
    // Taken back where nothing overflows or underflows on the way.
    let is_deep = middle < vec2(1e-102lf);
    let early = select(vec2(1.0lf), up, is_large & is_deep);
    let late = select(select(vec2(1.0lf), down, is_small), up, is_large & !is_deep);
    let y = fma(c, high, opaque(c * low, zero)) * early * middle * last * late;
    // A sum drops the sign of zero. Infinity and NaN have no parts.
    let plain = abs(c * high);
    let has_parts = (plain > vec2(0.0lf)) & (plain <= vec2(1.7976931348623157e308lf));
    return select(c * (high * middle * last), y, has_parts);
}

// grad * positive where x > 0, `otherwise` where x <= 0, and x itself where it is NaN.
fn by_side(x: vec2<f64>, grad: vec2<f64>, otherwise: vec2<f64>, f: Factors) -> vec2<f64> {
    let side = select(otherwise, times_positive(grad, f), x > vec2(0.0lf));
    return select(x, side, x == x);
}
