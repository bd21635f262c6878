// Arithmetic in f64, two at a time, whether the driver fuses the fma calls or not. WGSL has no bits of an f64, so that a
// high part is what f32 keeps, and the exponent of a power of two is made in f32. `zero` is 0, and no compiler knows.

// Must stay equal to Factors64 in src/shader.rs.
struct Factors {
    negative: f64,         // alpha * scale
    negative_high: f64,    // its first 24 bits
    positive: f64,         // scale
    input_scale: f64,
    input_scale_high: f64, // its first 24 bits
    slope: f64,            // negative * input_scale
    odd: f64,              // 1 if `negative` is zero, infinite or NaN, else 0
    padding: f64,
}

fn leading_bits(v: vec2<f64>) -> vec2<f64> {
    return vec2<f64>(vec2<f32>(v));
}

fn opaque(v: vec2<f64>, zero: u32) -> vec2<f64> {
    return select(v, vec2(0.0lf), vec2<bool>(zero != 0u));
}

// 2^n for integers within f32's exponents.
fn power_of_two(n: vec2<f32>) -> vec2<f64> {
    return vec2<f64>(bitcast<vec2<f32>>(bitcast<vec2<u32>>(n + 12583039.0) << vec2(23u)));
}

// The integer nearest to t / ln 2; f32 is near enough.
fn powers_in(t: vec2<f64>) -> vec2<f32> {
    return round(vec2<f32>(t) * 1.44269502);
}

// t - n ln 2, with ln 2 in two parts, of which the first has an exact product with n.
fn reduce(t: vec2<f64>, n: vec2<f32>, zero: u32) -> vec2<f64> {
    let m = vec2<f64>(n);
    let most = opaque(fma(m, vec2(-6.93147180369123816490e-01lf), t), zero);
    return fma(m, vec2(-1.90821492927058770002e-10lf), most);
}

// q in expm1(r) = r + r^2 q(r) for |r| <= ln 2 / 2: a minimax fit from scripts/expm1-coefficients.
fn q_of_expm1(r: vec2<f64>) -> vec2<f64> {
    var q = vec2(2.101320093346527e-09lf);
    q = fma(q, r, vec2(2.5106376738568288e-08lf));
    q = fma(q, r, vec2(2.755714298100746e-07lf));
    q = fma(q, r, vec2(2.755724527444641e-06lf));
    q = fma(q, r, vec2(2.480158745093505e-05lf));
    q = fma(q, r, vec2(0.00019841269886089808lf));
    q = fma(q, r, vec2(0.0013888888888841002lf));
    q = fma(q, r, vec2(0.008333333333321476lf));
    q = fma(q, r, vec2(0.04166666666666671lf));
    q = fma(q, r, vec2(0.16666666666666677lf));
    return fma(q, r, vec2(0.5lf));
}

// The side that is a mere product: v * positive, and v itself where that is 1 or v is NaN.
fn times_positive(v: vec2<f64>, f: Factors) -> vec2<f64> {
    return select(v, v * f.positive, (v == v) & vec2<bool>(!(f.positive == 1.0lf)));
}
