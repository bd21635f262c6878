// float32 in memory: four elements per vector, one per cell.
alias Vector = vec4<u32>;
alias Cell = u32;

fn terms_of(y: Vector, p: Params) -> Terms {
    return terms(y, p);
}

// Reads a vector cell by cell. Elements outside the run or outside the buffer become 0. If the run starts in vector 0,
// `v` of the vector before it wraps around, and all its elements become 0.
fn edge_vector(v: u32, p: Params) -> Vector {
    let i = vec4(4u * v) + vec4(0u, 1u, 2u, 3u);
    let at = min(i, vec4(p.end - 1u));
    let vector = vec4(y_cells[at.x], y_cells[at.y], y_cells[at.z], y_cells[at.w]);
    return select(vec4(0u), vector, (i >= vec4(p.begin)) & (i < vec4(p.end)));
}
