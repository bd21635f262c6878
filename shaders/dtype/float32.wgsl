// float32 in memory: four to a vector, one to a cell.
alias Vector = vec4<u32>;
alias Cell = u32;

fn apply(x: Vector, grad: Vector, p: Params) -> Vector {
    return op(x, grad, p.factors, p.zero);
}

fn cell(i: u32, p: Params) {
    let x = vec4(load_x_cell(p.x_first + i));
    let grad = vec4(load_grad_cell(p.grad_first + i));
    store_cell(p.y_first + i, op(x, grad, p.factors, p.zero).x);
}
