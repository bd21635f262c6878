// 16-bit formats in memory: eight elements per vector, two per cell, the first in the lower half. The arithmetic is in
// f32.
alias Vector = vec4<u32>;
alias Cell = u32;

fn terms_of(y: Vector, p: Params) -> Terms {
    let low = terms(widen(y & vec4(0xffffu)), p);
    return combine(low, terms(widen(y >> vec4(16u)), p), p.zero);
}

// Reads a vector cell by cell. Elements outside the run or outside the buffer become 0. If the run starts in vector 0,
// `v` of the vector before it wraps around, and all its elements become 0.
fn edge_vector(v: u32, p: Params) -> Vector {
    let low = vec4(8u * v) + vec4(0u, 2u, 4u, 6u);
    let high = low + vec4(1u);
    let at = min(low, vec4(p.end - 1u)) >> vec4(1u);
    let vector = vec4(y_cells[at.x], y_cells[at.y], y_cells[at.z], y_cells[at.w]);
    return vector & (kept(low, 0xffffu, p) | kept(high, 0xffff0000u, p));
}

// Returns `mask` in the lanes whose element lies in the run, else 0.
fn kept(i: vec4<u32>, mask: u32, p: Params) -> vec4<u32> {
    return select(vec4(0u), vec4(mask), (i >= vec4(p.begin)) & (i < vec4(p.end)));
}
