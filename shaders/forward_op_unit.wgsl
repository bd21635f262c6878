fn op(x_bits: Words, unused: Words, f: Factors, zero: u32) -> Words {
    if unit_factors {
        return expm1_or_same(x_bits, zero);
    }
    return elu(x_bits, f, unit_input_scale, zero);
}
