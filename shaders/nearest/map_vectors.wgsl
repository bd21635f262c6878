// Processes the vectors of an invocation together, so that the code for undecided elements runs once for all of them.

struct Block {
    a: Vector,
    b: Vector,
    c: Vector,
    d: Vector,
}

fn process(first: u32, p: Params) {
    if first >= p.count {
        return;
    }
    // Vectors past the end are replaced by the last. All loads come before the stores, so that in place no vector is
    // processed twice.
    let last = p.count - 1u;
    let i = min(vec4(first) + vec4(0u, 1u, 2u, 3u), vec4(last));
    var x: Block;
    var grad: Block;
    var y: Block;
    x.a = load_x_vector(p.x_first + i.x);
    grad.a = load_grad_vector(p.grad_first + i.x);
    let a = fast_apply(x.a, grad.a, p);
    y.a = a.y;
    var pending = a.pending;
    if vectors_per_invocation == 4u {
        x.b = load_x_vector(p.x_first + i.y);
        x.c = load_x_vector(p.x_first + i.z);
        x.d = load_x_vector(p.x_first + i.w);
        grad.b = load_grad_vector(p.grad_first + i.y);
        grad.c = load_grad_vector(p.grad_first + i.z);
        grad.d = load_grad_vector(p.grad_first + i.w);
        let b = fast_apply(x.b, grad.b, p);
        let c = fast_apply(x.c, grad.c, p);
        let d = fast_apply(x.d, grad.d, p);
        y = Block(a.y, b.y, c.y, d.y);
        pending |= (b.pending << 8u) | (c.pending << 16u) | (d.pending << 24u);
    }
    for (; pending != 0u; pending &= pending - 1u) {
        let bit = firstTrailingBit(pending);
        let vector = bit >> 3u;
        let element = bit & 7u;
        let x_bits = element_of(vector_of(x, vector), element);
        let grad_bits = element_of(vector_of(grad, vector), element);
        let exact = exact_op(x_bits, grad_bits, p.factors, p.zero);
        let changed = with_element(vector_of(y, vector), element, exact);
        y.a = select(y.a, changed, vec4(vector == 0u));
        y.b = select(y.b, changed, vec4(vector == 1u));
        y.c = select(y.c, changed, vec4(vector == 2u));
        y.d = select(y.d, changed, vec4(vector == 3u));
    }
    store_vector(p.y_first + i.x, y.a);
    if vectors_per_invocation == 4u {
        if i.y != i.x {
            store_vector(p.y_first + i.y, y.b);
        }
        if i.z != i.y {
            store_vector(p.y_first + i.z, y.c);
        }
        if i.w != i.z {
            store_vector(p.y_first + i.w, y.d);
        }
    }
}

fn vector_of(block: Block, vector: u32) -> Vector {
    let first = select(block.a, block.b, vec4(vector == 1u));
    return select(select(first, block.c, vec4(vector == 2u)), block.d, vec4(vector == 3u));
}
