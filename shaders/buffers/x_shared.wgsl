// The input lies in the output's buffer, and WebGPU allows only one binding for a buffer that is written.
fn load_x_vector(i: u32) -> Vector { return y_vectors[i]; }
fn load_x_cell(i: u32) -> Cell { return y_cells[i]; }
