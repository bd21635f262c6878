// Sums in f64: as in f32.wgsl, but that NaN and infinity go their own way, since WGSL has no bits of an f64.

// Must stay equal to Factors64 in src/shader/penalty.rs.
struct Factors {
    l1: f64,
    l2: f64,
    scale: f64, // what the sum is multiplied by
    padding_1: f64,
}

// high + low, of which `high` counts alone where it is infinite or NaN.
struct Sum {
    high: f64,
    low: f64,
}

alias Terms = vec2<f64>;
alias Result = f64;

fn opaque(v: f64, zero: u32) -> f64 {
    return select(v, 0.0lf, zero != 0u);
}

// |y| (l1 + l2 |y|): nothing overflows in it that the term does not. An l2 of 0 would make NaN of an infinite y.
fn terms(y: vec2<f64>, p: Params) -> Terms {
    let v = abs(y);
    let slope = v * p.factors.l2 + p.factors.l1;
    return v * select(vec2(p.factors.l1), slope, vec2<bool>(p.factors.l2 > 0.0lf));
}

fn both(a: Terms, b: Terms, zero: u32) -> Terms {
    let sum = a + b;
    return vec2(opaque(sum.x, zero), opaque(sum.y, zero));
}

fn total(terms: Terms, zero: u32) -> Sum {
    return add(Sum(terms.x, 0.0lf), Sum(terms.y, 0.0lf), zero);
}

fn add(a: Sum, b: Sum, zero: u32) -> Sum {
    let sum = opaque(a.high + b.high, zero);
    // Knuth's TwoSum: what the sum lost, whichever of the two is larger.
    let part = opaque(sum - a.high, zero);
    let lost = opaque(a.high - opaque(sum - part, zero), zero) + opaque(b.high - part, zero);
    let low = (a.low + b.low) + lost;
    return Sum(sum, select(0.0lf, low, sum <= 1.7976931348623157e308lf));
}

fn value(sum: Sum, p: Params) -> Result {
    return (sum.high + sum.low) * p.factors.scale;
}
