// An operation in two steps: the fast arithmetic decides almost every element, and the exact arithmetic the others.

struct Fast {
    bits: Words,
    undecided: Flags, // the lanes in which `bits` may not be the nearest number
}

// Returns the undecided lanes as bits: bit n for lane n.
fn mask_of(undecided: Flags) -> u32 {
    return dot(select(Words(), Words(1u, 2u, 4u, 8u), undecided), Words(1u));
}

fn op(x_bits: Words, grad_bits: Words, f: Factors, zero: u32) -> Words {
    let fast = fast_op(x_bits, grad_bits, f);
    var y = fast.bits;
    for (var pending = mask_of(fast.undecided); pending != 0u; pending &= pending - 1u) {
        let lane = firstTrailingBit(pending);
        let exact = exact_op(x_bits[lane], grad_bits[lane], f, zero);
        y = select(y, Words(exact), vec4(0u, 1u, 2u, 3u) == vec4(lane));
    }
    return y;
}
