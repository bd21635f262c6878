// In the output's buffer, at its place or at another: WebGPU lets a dispatch use a buffer in one way only.
fn load_x_vector(i: u32) -> Vector { return y_vectors[i]; }
fn load_x_cell(i: u32) -> Cell { return y_cells[i]; }
