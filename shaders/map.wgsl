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
// Arithmetic that some factors do not need is left out: where all that the operation multiplies by is 1, and where `input_scale` is.
override unit_factors: bool = false;
override unit_input_scale: bool = false;
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
