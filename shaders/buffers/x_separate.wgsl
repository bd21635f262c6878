@group(0) @binding(1) var<storage, read> x_vectors: array<Vector>;
@group(0) @binding(1) var<storage, read> x_cells: array<Cell>;

fn load_x_vector(i: u32) -> Vector { return x_vectors[i]; }
fn load_x_cell(i: u32) -> Cell { return x_cells[i]; }
