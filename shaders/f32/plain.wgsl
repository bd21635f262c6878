// Whether all factors are 1, as in ELU with alpha = 1: most of the arithmetic is for the others' sake.
override plain: bool = false;

fn op(x_bits: vec4<u32>, unused: vec4<u32>, f: Factors, zero: u32) -> vec4<u32> {
    if plain {
        return expm1_or_same(x_bits, zero);
    }
    return elu(x_bits, f, zero);
}
