// The elements of a vector of 16-bit numbers: element n is the lower half of word n for n < 4, else the upper half of
// word n - 4.

struct Applied {
    y: Vector,
    pending: u32, // bit n is 1 if element n is undecided
}

fn fast_apply(x: Vector, grad: Vector, p: Params) -> Applied {
    let low = fast_op(widen(x & vec4(0xffffu)), widen(grad & vec4(0xffffu)), p.factors);
    let high = fast_op(widen(x >> vec4(16u)), widen(grad >> vec4(16u)), p.factors);
    let y = narrow(low.bits) | (narrow(high.bits) << vec4(16u));
    return Applied(y, mask_of(low.undecided) | (mask_of(high.undecided) << 4u));
}

fn element_of(v: Vector, n: u32) -> u32 {
    return widen((v >> vec4((n >> 2u) * 16u)) & vec4(0xffffu))[n & 3u];
}

fn with_element(v: Vector, n: u32, bits: u32) -> Vector {
    let shift = (n >> 2u) * 16u;
    let changed = (v & vec4(~(0xffffu << shift))) | (narrow(vec4(bits)) << vec4(shift));
    return select(v, changed, vec4(0u, 1u, 2u, 3u) == vec4(n & 3u));
}
