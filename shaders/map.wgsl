// The entry points: they apply an operation to a run of elements. `vectors` processes vectors of 16 bytes, and
// `elements` processes cells. A cell is one element, or the two 16-bit elements that share a word.

// This must match Params in src/shader.rs.
struct Params {
    count: u32,          // the number of vectors or cells of this dispatch
    x_first: u32,        // the start of the input in the bound range, in vectors or elements
    grad_first: u32,     // the start of the incoming gradient
    y_first: u32,        // the start of the output
    groups_per_row: u32, // workgroups in x; a dispatch that is too long for one dimension has rows
    head: u32,           // for `elements` only: after this number of cells, ...
    gap: u32,            // ... skip this number of cells, which `vectors` processes
    end: u32,            // for `elements` only: the number of elements from first to last, including the gap
    zero: u32,           // always 0, which a compiler cannot know: see `barrier`
    padding_1: u32,
    padding_2: u32,
    padding_3: u32,
    factors: Factors,
}

@group(0) @binding(0) var<uniform> params: Params;

override workgroup_size: u32;
// Each is true if the factors make some arithmetic unnecessary. `unit_factors`: every factor that the operation
// multiplies by is 1. `unit_input_scale`: `input_scale` is 1.
override unit_factors: bool = false;
override unit_input_scale: bool = false;
// The number of consecutive vectors per invocation, 1 or 4.
override vectors_per_invocation: u32;

@compute @workgroup_size(workgroup_size)
fn vectors(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) invocation: u32) {
    let p = params;
    let groups_before = group.y * p.groups_per_row + group.x;
    let first = (groups_before * workgroup_size + invocation) * vectors_per_invocation;
    process(first, p);
}

@compute @workgroup_size(workgroup_size)
fn elements(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) invocation: u32) {
    let p = params;
    let k = (group.y * p.groups_per_row + group.x) * workgroup_size + invocation;
    if k < p.count {
        cell(k + select(0u, p.gap, k >= p.head), p);
    }
}
