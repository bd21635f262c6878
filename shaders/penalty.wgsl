// Sums l1 |y| + l2 y^2 over a run of elements.
//
// - `vectors`: each invocation sums 16 or 64 vectors of 16 bytes, and each workgroup writes one partial sum.
// - `elements`: one invocation sums the few elements before the first and after the last whole vector.
// - `sums`: each workgroup reduces partial sums to one.
// - `last`: one workgroup reduces the remaining partial sums to the result.

// This must match Params in src/shader/penalty.rs.
struct Params {
    first: u32,          // the first vector in the bound range, or the first partial sum
    count: u32,          // the number of vectors or partial sums
    to: u32,             // the index of the first workgroup's sum, or of the result
    groups_per_row: u32, // workgroups in x; a dispatch that is too long for one dimension has rows
    begin: u32,          // for `elements` only: the run's first element in the bound range, ...
    end: u32,            // ... and the end of the run
    zero: u32,           // always 0, which a compiler cannot know: see `barrier`
    padding_1: u32,
    factors: Factors,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> y_vectors: array<Vector>;
@group(0) @binding(1) var<storage, read> y_cells: array<Cell>;
@group(0) @binding(1) var<storage, read> sums_before: array<Sum>;
@group(0) @binding(3) var<storage, read_write> sums_after: array<Sum>;
@group(0) @binding(3) var<storage, read_write> result: array<Result>;

override workgroup_size: u32; // at most 256, for `sum_of_group`
// The number of vectors per invocation, 16 or 64; the distance between them; and the distance between the first vectors
// of adjacent invocations.
override vectors_per_invocation: u32;
override vector_stride: u32;
override invocation_stride: u32;

const SUMS_PER_INVOCATION = 4u;

@compute @workgroup_size(workgroup_size)
fn vectors(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) invocation: u32) {
    let p = params;
    let first = (group.y * p.groups_per_row + group.x) * workgroup_size * vectors_per_invocation;
    let i = first + invocation * invocation_stride;
    let sum = sum_of_group(total(terms_of_invocation(i, p), p.zero), invocation, p.zero);
    // Surplus workgroups of the last row write no sum.
    if invocation == 0u && first < p.count {
        sums_after[p.to + first / (workgroup_size * vectors_per_invocation)] = sum;
    }
}

@compute @workgroup_size(1)
fn elements() {
    let p = params;
    let before = total(terms_of(edge_vector(p.first - 1u, p), p), p.zero);
    let after = total(terms_of(edge_vector(p.first + p.count, p), p), p.zero);
    sums_after[p.to] = add_sums(before, after, p.zero);
}

@compute @workgroup_size(workgroup_size)
fn sums(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) invocation: u32) {
    let p = params;
    let first = (group.y * p.groups_per_row + group.x) * workgroup_size * SUMS_PER_INVOCATION;
    let sum = sum_of_group(four_sums(first + invocation, p), invocation, p.zero);
    if invocation == 0u && first < p.count {
        sums_after[p.to + first / (workgroup_size * SUMS_PER_INVOCATION)] = sum;
    }
}

@compute @workgroup_size(workgroup_size)
fn last(@builtin(local_invocation_index) invocation: u32) {
    let p = params;
    let sum = sum_of_group(four_sums(invocation, p), invocation, p.zero);
    if invocation == 0u {
        result[p.to] = value(sum, p);
    }
}

// The functions below are unrolled loops, because naga adds a counter to every loop. `sixteen`, `four` and `one` return
// the terms of this number of vectors, of which `i` is the first.

// Returns the sum of an invocation's vectors.
fn terms_of_invocation(i: u32, p: Params) -> Terms {
    let first = sixteen(i, p);
    if vectors_per_invocation != 64u {
        return first;
    }
    let step = 16u * vector_stride;
    let first_half = combine(first, sixteen(i + step, p), p.zero);
    return combine(first_half, combine(sixteen(i + 2u * step, p), sixteen(i + 3u * step, p), p.zero), p.zero);
}

fn sixteen(i: u32, p: Params) -> Terms {
    let step = 4u * vector_stride;
    let first_half = combine(four(i, p), four(i + step, p), p.zero);
    return combine(first_half, combine(four(i + 2u * step, p), four(i + 3u * step, p), p.zero), p.zero);
}

fn four(i: u32, p: Params) -> Terms {
    let first_half = combine(one(i, p), one(i + vector_stride, p), p.zero);
    return combine(first_half, combine(one(i + 2u * vector_stride, p), one(i + 3u * vector_stride, p), p.zero), p.zero);
}

fn one(i: u32, p: Params) -> Terms {
    var vector = Vector();
    if i < p.count {
        vector = y_vectors[p.first + i];
    }
    return terms_of(vector, p);
}

fn four_sums(i: u32, p: Params) -> Sum {
    let first_half = add_sums(one_sum(i, p), one_sum(i + workgroup_size, p), p.zero);
    let second_half = add_sums(one_sum(i + 2u * workgroup_size, p), one_sum(i + 3u * workgroup_size, p), p.zero);
    return add_sums(first_half, second_half, p.zero);
}

fn one_sum(i: u32, p: Params) -> Sum {
    if i < p.count {
        return sums_before[p.first + i];
    }
    return Sum();
}

var<workgroup> group_sums: array<Sum, workgroup_size>;

// Returns the workgroup's sum in the first invocation. The results of the other invocations are not used.
fn sum_of_group(own: Sum, invocation: u32, zero: u32) -> Sum {
    group_sums[invocation] = own;
    if workgroup_size > 64u {
        fold(64u, invocation, zero);
    }
    if workgroup_size > 16u {
        fold(16u, invocation, zero);
    }
    if workgroup_size > 4u {
        fold(4u, invocation, zero);
    }
    fold(1u, invocation, zero);
    if invocation == 0u { // only this invocation sees the last sum, because no workgroupBarrier follows
        return group_sums[0];
    }
    return own;
}

// Reduces up to four times `step` sums to the first `step` sums.
fn fold(step: u32, invocation: u32, zero: u32) {
    workgroupBarrier();
    if invocation < step {
        let first_half = add_sums(group_sums[invocation], group_sum(invocation + step), zero);
        let second_half = add_sums(group_sum(invocation + 2u * step), group_sum(invocation + 3u * step), zero);
        group_sums[invocation] = add_sums(first_half, second_half, zero);
    }
}

fn group_sum(i: u32) -> Sum {
    if i < workgroup_size {
        return group_sums[i];
    }
    return Sum();
}
