// The incoming gradient lies in the output's buffer, and WebGPU allows only one binding for a buffer that is written.
fn load_grad_vector(i: u32) -> Vector { return y_vectors[i]; }
fn load_grad_cell(i: u32) -> Cell { return y_cells[i]; }
