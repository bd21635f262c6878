// Applies the operation to 16-bit elements, in the lower half of each word, in float32.
fn op_on_halves(x: vec4<u32>, grad: vec4<u32>, f: Factors, zero: u32) -> vec4<u32> {
    return narrow(op(widen(x), widen(grad), f, zero));
}
