// float64 in memory: two elements per vector, one per cell.
alias Vector = Words;
alias Cell = Word;

fn sum_of_lanes(v: Floats, zero: u32) -> Sum {
    return add_sums(Sum(v.x, 0.0), Sum(v.y, 0.0), zero);
}

fn terms_of(y: Vector, p: Params) -> Terms {
    return terms(y, p);
}

// Reads a vector cell by cell. Elements outside the run or outside the buffer become 0. If the run starts in vector 0,
// `v` of the vector before it wraps around, and all its elements become 0.
fn edge_vector(v: u32, p: Params) -> Vector {
    let i = vec2(2u * v) + vec2(0u, 1u);
    let at = min(i, vec2(p.end - 1u));
    let vector = vec2(y_cells[at.x], y_cells[at.y]);
    return select(Words(), vector, (i >= vec2(p.begin)) & (i < vec2(p.end)));
}
