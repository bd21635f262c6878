// The format of float32 results.
const KEPT_BITS: u32 = 24u;                 // of the significand
const RESULT_BIAS: i32 = EXPONENT_BIAS - 1; // a `Number` of exponent 0 is less than 1
const RESULT_INFINITY: u32 = INFINITY;

fn widen(bits: Words) -> Words {
    return bits;
}
