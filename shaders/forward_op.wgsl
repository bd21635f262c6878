fn op(x_bits: Words, unused: Words, f: Factors, zero: u32) -> Words {
    return elu(x_bits, f, unit_input_scale, zero);
}
