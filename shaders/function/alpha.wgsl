// ELU for other shaders. They have only alpha: no factors that the CPU has split, and no uniform with a zero.

// Returns 0, which a compiler cannot know. It is 1 if every x is +0, but +0 is passed through whatever `zero` is.
fn runtime_zero(x_bits: Words) -> u32 {
    return select(0u, 1u, all(x_bits == Words()));
}

fn elu_of_alpha(x_bits: Words, alpha: Float, zero: u32) -> Words {
    let alpha_bits = bitcast<Word>(alpha); // alone decides the result if alpha is 0, infinite or NaN
    let magnitude = normalize(Words(alpha_bits & MAGNITUDE), zero);
    let signed = bitcast<Floats>(bitcast<Words>(magnitude.significand) | Words(alpha_bits & SIGN));
    let parts = split(signed, zero);
    let negative = Factor(parts.high.x, parts.low.x, SignedWord(magnitude.exponent.x), Word());
    let one = Factor(1.0, 0.0, SignedWord(), Word());
    let factors = Factors(negative, one, one, negative, alpha_bits, EXPM1_LARGEST, EXPM1_SMALL, Word());
    return elu(x_bits, factors, true, zero);
}
