// 16-bit formats in memory: eight elements per vector, two per cell, the first in the lower half. The arithmetic is in
// f32.
alias Vector = vec4<u32>;
alias Cell = u32;

fn apply(x: Vector, grad: Vector, p: Params) -> Vector {
    let low = op_on_halves(x & vec4(0xffffu), grad & vec4(0xffffu), p.factors, p.zero);
    let high = op_on_halves(x >> vec4(16u), grad >> vec4(16u), p.factors, p.zero);
    return low | (high << vec4(16u));
}

// Processes a cell: a word of the output, which only this invocation writes. Halves outside the run keep their bits.
fn cell(i: u32, p: Params) {
    let odd = p.y_first & 1u;
    let low = 2u * i - odd; // wraps around for the half before the run
    let high = low + 1u;
    let has_low = low < p.end;
    let has_high = high < p.end;
    // For a half outside the run, the element of the other half is loaded, so that no load is out of bounds.
    let low_or_any = select(high, low, has_low);
    let high_or_any = select(low, high, has_high);
    let x = vec4(x_element(p.x_first + low_or_any), x_element(p.x_first + high_or_any), 0u, 0u);
    let grad = vec4(grad_element(p.grad_first + low_or_any), grad_element(p.grad_first + high_or_any), 0u, 0u);
    let y = op_on_halves(x, grad, p.factors, p.zero);
    let at = (p.y_first >> 1u) + i;
    let keep = select(0xffffu, 0u, has_low) | select(0xffff0000u, 0u, has_high);
    store_cell(at, (load_y_cell(at) & keep) | ((y.x | (y.y << 16u)) & ~keep));
}

fn x_element(i: u32) -> u32 {
    return (load_x_cell(i >> 1u) >> ((i & 1u) * 16u)) & 0xffffu;
}

fn grad_element(i: u32) -> u32 {
    return (load_grad_cell(i >> 1u) >> ((i & 1u) * 16u)) & 0xffffu;
}
