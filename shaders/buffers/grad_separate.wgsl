@group(0) @binding(2) var<storage, read> grad_vectors: array<Vector>;
@group(0) @binding(2) var<storage, read> grad_cells: array<Cell>;

fn load_grad_vector(i: u32) -> Vector { return grad_vectors[i]; }
fn load_grad_cell(i: u32) -> Cell { return grad_cells[i]; }
