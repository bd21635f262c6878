// Applies elu to a run of elements, either four at a time (`vectors`) or one at a time (`elements`).

// Must stay equal to Params in src/shader.rs.
struct Params {
    alpha: f32,          // times scale: see elu
    scale: f32,
    count: u32,          // what this dispatch does: vectors, or elements
    x_first: u32,        // where its input starts in the bound range, in the same unit
    y_first: u32,        // where its output starts
    groups_per_row: u32, // workgroups in x: a dispatch too long for one dimension is folded into rows
    head: u32,           // elements only: after this many, ...
    gap: u32,            // ... this many are left out: `vectors` does those
    zero: u32,           // always 0: see elu
    padding_1: u32,
    padding_2: u32,
    padding_3: u32,
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
    vector(first, p);
    // Written out, because naga guards every loop with counters.
    if vectors_per_invocation == 4u {
        vector(first + vector_stride, p);
        vector(first + 2u * vector_stride, p);
        vector(first + 3u * vector_stride, p);
    }
}

fn vector(i: u32, p: Params) {
    if i < p.count {
        store_vector(p.y_first + i, elu(load_vector(p.x_first + i), p.alpha, p.scale, p.zero));
    }
}

@compute @workgroup_size(workgroup_size)
fn elements(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) invocation: u32) {
    let p = params;
    let k = (group.y * p.groups_per_row + group.x) * workgroup_size + invocation;
    if k < p.count {
        let i = k + select(0u, p.gap, k >= p.head);
        store_element(p.y_first + i, elu(vec4(load_element(p.x_first + i)), p.alpha, p.scale, p.zero).x);
    }
}
