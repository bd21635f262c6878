// ELU of 16-bit elements, in the lower half of each word.
fn op_on_halves(x: vec4<u32>, unused: vec4<u32>, f: Factors, zero: u32) -> vec4<u32> {
    if unit_factors {
        return expm1_or_same(x, zero);
    }
    return narrow(elu(widen(x), f, unit_input_scale, zero));
}
