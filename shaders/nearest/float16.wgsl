// The format of float16 results.
const KEPT_BITS: u32 = 11u; // of the significand
const RESULT_BIAS: i32 = 14; // a `Number` of exponent 0 is less than 1
const RESULT_INFINITY: u32 = F16_INFINITY;
