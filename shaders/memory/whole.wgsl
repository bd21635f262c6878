// Formats that are as wide in memory as in the arithmetic: one element per cell.
alias Vector = Words;
alias Cell = Word;

fn apply(x: Vector, grad: Vector, p: Params) -> Vector {
    return op(x, grad, p.factors, p.zero);
}

fn cell(i: u32, p: Params) {
    let x = Words(load_x_cell(p.x_first + i));
    let grad = Words(load_grad_cell(p.grad_first + i));
    store_cell(p.y_first + i, op(x, grad, p.factors, p.zero).x);
}
