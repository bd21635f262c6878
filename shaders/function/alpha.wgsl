// ELU for other people's shaders. The kernel's shaders read the split factors and the zero for `barrier` from their
// uniform. Here there is no uniform, so the shader computes both.

// Returns the zero for `barrier`, as a value that a compiler cannot know. It is 1 if all numbers are +0: the arithmetic
// is then wrong, but `elu` returns +0 unchanged.
fn runtime_zero(x_bits: Words) -> u32 {
    return select(0u, 1u, all(x_bits == Words()));
}

fn elu_of_alpha(x_bits: Words, alpha: Float, zero: u32) -> Words {
    let alpha_bits = bitcast<Word>(alpha); // alone decides the result if alpha is 0, infinite or NaN
    let magnitude = normalize(Words(alpha_bits & MAGNITUDE), zero);
    let signed = bitcast<Floats>(bitcast<Words>(magnitude.significand) | Words(alpha_bits & SIGN));
    let parts = split(signed, zero); // without meaning if alpha is degenerate: `elu` then uses `alpha_bits`
    let negative = Factor(parts.high.x, parts.low.x, SignedWord(magnitude.exponent.x), Word());
    let one = Factor(1.0, 0.0, SignedWord(), Word());
    // The factors are negative, positive, input_scale and slope.
    let factors = Factors(negative, one, one, negative, alpha_bits, EXPM1_LARGEST, EXPM1_SMALL, Word());
    return elu(x_bits, factors, true, zero);
}
