// Processes the vectors of an invocation, one or two at a time.
fn process(first: u32, p: Params) {
    // The loop is unrolled, because naga adds a counter to every loop.
    if vectors_per_invocation == 4u {
        two_vectors(first, first + 1u, p);
        two_vectors(first + 2u, first + 3u, p);
    } else {
        one_vector(first, p);
    }
}

fn one_vector(i: u32, p: Params) {
    if i < p.count {
        store_vector(p.y_first + i, apply(load_x_vector(p.x_first + i), load_grad_vector(p.grad_first + i), p));
    }
}

// Processes two vectors. If the second lies past the end, it is replaced by the first. All loads come before the
// stores: a device can then load one vector while it computes the other, and in place the first is not processed twice.
fn two_vectors(i: u32, next: u32, p: Params) {
    if i < p.count {
        let j = select(i, next, next < p.count);
        let x_i = load_x_vector(p.x_first + i);
        let grad_i = load_grad_vector(p.grad_first + i);
        let x_j = load_x_vector(p.x_first + j);
        let grad_j = load_grad_vector(p.grad_first + j);
        store_vector(p.y_first + i, apply(x_i, grad_i, p));
        store_vector(p.y_first + j, apply(x_j, grad_j, p));
    }
}
