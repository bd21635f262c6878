// ELU in float32, on bits. It needs fewer operations if alpha is 1.
fn of_bits(x_bits: vec4<u32>, alpha: f32, zero: u32) -> vec4<u32> {
    if bitcast<u32>(alpha) == ONE {
        return expm1_or_same(x_bits, zero);
    }
    return elu_of_alpha(x_bits, alpha, zero);
}
