// ELU for other shaders, of four numbers at a time. No compiler knows that `zero` is 0, and it is not where all four are this
// NaN, which comes through as it is.
fn of_bits(x_bits: vec4<u32>, alpha: f32) -> vec4<u32> {
    let zero = select(0u, 1u, all(x_bits == vec4(NAN)));
    if alpha == 1.0 {
        return expm1_or_same(x_bits, zero);
    }
    let is_small = (bitcast<u32>(alpha) & MAGNITUDE) < 0x1f800000u; // 2^-64
    let negative = alpha * select(1.0, 18446744073709551616.0, is_small);
    let rescale = select(1.0, 5.421010862427522e-20, is_small);
    return elu(x_bits, Factors(negative, rescale, 1.0, 1.0, negative, 0.0, 0.0, 0.0), zero);
}
