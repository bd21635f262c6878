// The output, as vectors for one entry point and as cells for the other. They may have the same binding, because an
// entry point uses only one of them. The inputs are declared in the same way.
@group(0) @binding(3) var<storage, read_write> y_vectors: array<Vector>;
@group(0) @binding(3) var<storage, read_write> y_cells: array<Cell>;

fn load_y_cell(i: u32) -> Cell { return y_cells[i]; }
fn store_vector(i: u32, v: Vector) { y_vectors[i] = v; }
fn store_cell(i: u32, c: Cell) { y_cells[i] = c; }
