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

// positive * x where x >= 0, else negative * expm1(input_scale * x).
fn op(x: vec2<f64>, unused: vec2<f64>, f: Factors, zero: u32) -> vec2<f64> {
    let t = x * f.input_scale;
    let tiny = t > vec2(-5e-17lf); // expm1(t) rounds to t
    let y = select(times_expm1(f, t, zero), x * f.slope, tiny);
    // With `negative` zero, infinite or NaN, every product with a negative number is -negative.
    let even = select(y, vec2(-f.negative), vec2<bool>(f.odd == 1.0lf));
    return select(times_positive(x, f), even, x < vec2(0.0lf));
}

// negative * (exp(t) - 1) for t <= 0: see f32/forward.wgsl.
fn times_expm1(f: Factors, t: vec2<f64>, zero: u32) -> vec2<f64> {
    let clamped = clamp(t, vec2(-40.0lf), vec2(0.0lf)); // below -38 the result rounds to -1
    let n = powers_in(clamped);
    let r = reduce(clamped, n, zero);
    let s = power_of_two(n);
    let rest = r * r * q_of_expm1(r);
    let less = opaque(s - 1.0lf, zero);
    let high = leading_bits(fma(s, r + rest, less));
    let low = fma(s, rest, opaque(fma(s, r, less - high), zero));
    let negative_low = f.negative - f.negative_high;
    return fma(vec2(f.negative_high), high, opaque(fma(vec2(negative_low), high, f.negative * low), zero));
}

// float64 in memory: two to a vector, one to a cell.
alias Vector = vec2<f64>;
alias Cell = f64;

fn apply(x: Vector, grad: Vector, p: Params) -> Vector {
    return op(x, grad, p.factors, p.zero);
}

fn cell(i: u32, p: Params) {
    let x = vec2(load_x_cell(p.x_first + i));
    let grad = vec2(load_grad_cell(p.grad_first + i));
    store_cell(p.y_first + i, op(x, grad, p.factors, p.zero).x);
}

// The output, seen as vectors by one entry point and as cells by the other; so are the inputs.
@group(0) @binding(3) var<storage, read_write> y_vectors: array<Vector>;
@group(0) @binding(3) var<storage, read_write> y_cells: array<Cell>;

fn load_y_cell(i: u32) -> Cell { return y_cells[i]; }
fn store_vector(i: u32, v: Vector) { y_vectors[i] = v; }
fn store_cell(i: u32, c: Cell) { y_cells[i] = c; }

@group(0) @binding(1) var<storage, read> x_vectors: array<Vector>;
@group(0) @binding(1) var<storage, read> x_cells: array<Cell>;

fn load_x_vector(i: u32) -> Vector { return x_vectors[i]; }
fn load_x_cell(i: u32) -> Cell { return x_cells[i]; }

// Forward has no gradient.
fn load_grad_vector(i: u32) -> Vector { return Vector(); }
fn load_grad_cell(i: u32) -> Cell { return Cell(); }

// Applies an operation to a run of elements, either a vector of 16 bytes at a time (`vectors`) or a cell at a time
// (`elements`): an element, or the two that share a word.

// Must stay equal to Params in src/shader.rs.
struct Params {
    count: u32,          // what this dispatch does: vectors, or cells
    x_first: u32,        // where its input starts in the bound range, in vectors, or in elements
    grad_first: u32,     // where its gradient starts
    y_first: u32,        // where its output starts
    groups_per_row: u32, // workgroups in x: a dispatch too long for one dimension is folded into rows
    head: u32,           // elements only: after this many cells, ...
    gap: u32,            // ... this many are left out: `vectors` does those
    end: u32,            // elements only: elements from the first to the last, with the gap
    zero: u32,           // always 0: no compiler may know
    padding_1: u32,
    padding_2: u32,
    padding_3: u32,
    factors: Factors,
}

@group(0) @binding(0) var<uniform> params: Params;

override workgroup_size: u32;
// How many vectors an invocation does, 1 or 4, and how far apart.
override vectors_per_invocation: u32;
override invocation_stride: u32;
override vector_stride: u32;

@compute @workgroup_size(workgroup_size)
fn vectors(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) invocation: u32) {
    let p = params;
    let groups_before = group.y * p.groups_per_row + group.x;
    let first = groups_before * workgroup_size * vectors_per_invocation + invocation * invocation_stride;
    // Written out, because naga guards every loop with counters.
    if vectors_per_invocation == 4u {
        pair(first, first + vector_stride, p);
        pair(first + 2u * vector_stride, first + 3u * vector_stride, p);
    } else {
        vector(first, p);
    }
}

fn vector(i: u32, p: Params) {
    if i < p.count {
        store_vector(p.y_first + i, apply(load_x_vector(p.x_first + i), load_grad_vector(p.grad_first + i), p));
    }
}

// Two vectors, of which the second may be past the end: it is then the first again. Loads come before the stores, so that
// one vector's arithmetic is done while the other is loaded.
fn pair(i: u32, next: u32, p: Params) {
    if i < p.count {
        let j = select(i, next, next < p.count);
        let x_i = load_x_vector(p.x_first + i);
        let grad_i = load_grad_vector(p.grad_first + i);
        let x_j = load_x_vector(p.x_first + j);
        let grad_j = load_grad_vector(p.grad_first + j);
        store_vector(p.y_first + i, apply(x_i, grad_i, p));
        store_vector(p.y_first + j, apply(x_j, grad_j, p));
    }
}

@compute @workgroup_size(workgroup_size)
fn elements(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) invocation: u32) {
    let p = params;
    let k = (group.y * p.groups_per_row + group.x) * workgroup_size + invocation;
    if k < p.count {
        cell(k + select(0u, p.gap, k >= p.head), p);
    }
}
