// Arithmetic in f32, four at a time, whether the driver fuses the fma calls or not.
//
// Numbers come and go as bits, and selections are made on bits, so that nothing can alter what passes through: a driver
// may assume in floating point that there is no NaN, no infinity and no -0, but not on integers.
//
// Where one rounding must not follow another, a value is kept as high + low: the 12 bits of two high parts have an exact
// product. Compilers regroup floating-point sums unless told not to, which WGSL cannot: Mesa makes one product of two with
// a common factor, and Metal's fast math more than that. So some sums hide behind `opaque`: `zero` is 0, and no compiler
// knows.

// Must stay equal to Factors32 in src/shader.rs.
struct Factors {
    negative: f32,    // alpha * scale, divided by `rescale`
    rescale: f32,     // a power of two that keeps a small `negative` away from subnormals; 1 for all others
    positive: f32,    // scale
    input_scale: f32,
    slope: f32,       // negative * input_scale
    padding_a: f32,
    padding_b: f32,
    padding_c: f32,
}

const MAGNITUDE = 0x7fffffffu;
const SIGN = 0x80000000u;
const INFINITY = 0x7f800000u; // NaN has a greater magnitude
const NAN = 0x7fc00000u;
const ONE = 0x3f800000u;

fn leading_bits(v: vec4<f32>) -> vec4<f32> {
    return bitcast<vec4<f32>>(bitcast<vec4<u32>>(v) & vec4(0xfffff000u));
}

fn opaque(v: vec4<f32>, zero: u32) -> vec4<f32> {
    return bitcast<vec4<f32>>(bitcast<vec4<u32>>(v) ^ vec4(zero));
}

// 2^n for integers: the last bits of 1.5 * 2^23 + 127 + n are f32's biased exponent.
fn power_of_two(n: vec4<f32>) -> vec4<f32> {
    return bitcast<vec4<f32>>(bitcast<vec4<u32>>(n + 12583039.0) << vec4(23u));
}

// q in expm1(r) = r + r^2 q(r) for |r| <= ln 2 / 2: a minimax fit from scripts/expm1-coefficients.
fn q_of_expm1(r: vec4<f32>) -> vec4<f32> {
    var q = vec4(0.000150461448);
    q = fma(q, r, vec4(0.00139305403));
    q = fma(q, r, vec4(0.00834150985));
    q = fma(q, r, vec4(0.0416665114));
    q = fma(q, r, vec4(0.166666359));
    return fma(q, r, vec4(0.5));
}

// The side that is a mere product: v * positive, and v itself where that is 1.
fn times_positive(v_bits: vec4<u32>, f: Factors) -> vec4<u32> {
    let scaled = bitcast<vec4<u32>>(bitcast<vec4<f32>>(v_bits) * f.positive);
    let magnitude = v_bits & vec4(MAGNITUDE);
    let same = (magnitude == vec4(0u)) | (magnitude >= vec4(INFINITY)) | vec4<bool>(bitcast<u32>(f.positive) == ONE);
    return select(scaled, v_bits, same);
}

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

// float32 in memory: four to a vector, one to a cell.
alias Vector = vec4<u32>;
alias Cell = u32;

fn apply(x: Vector, grad: Vector, p: Params) -> Vector {
    return op(x, grad, p.factors, p.zero);
}

fn cell(i: u32, p: Params) {
    let x = vec4(load_x_cell(p.x_first + i));
    let grad = vec4(load_grad_cell(p.grad_first + i));
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

@group(0) @binding(2) var<storage, read> grad_vectors: array<Vector>;
@group(0) @binding(2) var<storage, read> grad_cells: array<Cell>;

fn load_grad_vector(i: u32) -> Vector { return grad_vectors[i]; }
fn load_grad_cell(i: u32) -> Cell { return grad_cells[i]; }

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
