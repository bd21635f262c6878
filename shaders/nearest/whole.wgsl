// The elements of a vector of float32.

struct Applied {
    y: Vector,
    pending: u32, // bit n is 1 if element n is undecided
}

fn fast_apply(x: Vector, grad: Vector, p: Params) -> Applied {
    let fast = fast_op(x, grad, p.factors);
    return Applied(fast.bits, mask_of(fast.undecided));
}

fn element_of(v: Vector, n: u32) -> u32 {
    return v[n];
}

fn with_element(v: Vector, n: u32, bits: u32) -> Vector {
    return select(v, Vector(bits), vec4(0u, 1u, 2u, 3u) == vec4(n));
}
