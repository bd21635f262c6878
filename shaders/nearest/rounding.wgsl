// Rounding to nearest, ties to even, in integer arithmetic.

const HALF: u32 = 0x80000000u;

// A number, shifted to the position of its result: the leading KEPT_BITS of `top` are an integer, the other bits are
// what is rounded away.
struct Placed {
    top: Words,
    bottom: Words,
    biased: Words, // the exponent of the result
}

// Places a normalized number. Where the result is subnormal, bits are shifted out of it.
fn placed(v: Number) -> Placed {
    let biased = clamp(v.exponent + Integers(RESULT_BIAS), Integers(-64), Integers(512));
    // The significand has at most 24 bits, so a shift by 26 makes every result 0.
    let shift = Counts(clamp(Integers(1) - biased, Integers(0), Integers(26)));
    let shifted = shifted_right(v, shift);
    let lost = (v.bottom & ((Words(1) << shift) - Words(1))) != Words();
    let bottom = shifted.bottom | select(Words(), Words(1), lost);
    return Placed(shifted.top, bottom, Words(max(biased, Integers(1))));
}

// Returns whether the error could decide the rounding of a normalized number.
fn is_undecided(v: Number) -> Flags {
    let p = placed(v);
    let bottom = p.bottom + Words(ERROR); // wraps around
    let carry = select(Words(), Words(1u << KEPT_BITS), bottom < Words(ERROR));
    let rest = (p.top << Counts(KEPT_BITS)) + carry;
    return (rest == Words(HALF)) & (bottom <= Words(2u * ERROR));
}

// Rounds a normalized number to the dtype, and returns the result without a sign as the bits of a float32.
fn rounded(v: Number) -> Words {
    let p = placed(v);
    let kept = p.top >> Counts(32u - KEPT_BITS);
    let rest = p.top << Counts(KEPT_BITS);
    let is_odd = (kept & Words(1)) == Words(1);
    let up = (rest > Words(HALF)) | ((rest == Words(HALF)) & ((p.bottom != Words()) | is_odd));
    let integer = kept + select(Words(), Words(1), up);
    // `integer` contains the leading 1, which adds 1 to the exponent; a carry adds another 1.
    let bits = ((p.biased - Words(1)) << Counts(KEPT_BITS - 1u)) + integer;
    let finite = min(bits, Words(RESULT_INFINITY));
    return widen(select(finite, Words(RESULT_INFINITY), p.biased > Words(255)));
}
