// Forward takes no incoming gradient.
fn load_grad_vector(i: u32) -> Vector { return Vector(); }
fn load_grad_cell(i: u32) -> Cell { return Cell(); }
