// The number format of the arithmetic: float32, four numbers at a time.
alias Float = f32;
alias Word = u32; // the bits of a Float
alias SignedWord = i32;
alias Floats = vec4<f32>;
alias Words = vec4<u32>;
alias SignedWords = vec4<i32>;
alias Integers = vec4<i32>; // exponents
alias Counts = vec4<u32>;   // of bits, to shift by
alias Flags = vec4<bool>;

const MANTISSA_BITS = 23u;                    // without the leading 1, which is not stored
const EXPONENT_BIAS = 127;
const INFINITE_EXPONENT = 255;                // the biased exponent of infinity and NaN
const MAGNITUDE: Word = 0x7fffffffu;          // all bits except the sign
const SIGN: Word = 0x80000000u;
const FRACTION: Word = 0x007fffffu;
const LEADING: Word = 0xfffff000u;            // sign, exponent and 12 bits of the significand
const SMALLEST_NORMAL: Word = 0x00800000u;
const ONE: Word = 0x3f800000u;
const INFINITY: Word = 0x7f800000u;           // a NaN has a greater magnitude
const QUIET_NAN: Word = 0x7fc00000u;

const LOG2_E: Float = 1.44269502;
// ln 2 in two parts. The first has 15 bits, so its product with an integer of up to 9 bits is exact.
const LN2_HIGH: Float = 0.693145752;
const LN2_LOW: Float = 1.42860677e-6;
// 1.5 * 2^23 + 127. Adding it rounds a number to an integer n. The sum's last bits are the biased exponent of 2^n.
const ROUNDER: Float = 12583039.0;
const ROUNDER_WORD: Word = 0x4b40007fu;
// The bits of ROUNDER + n for the smallest n for which 2^n - 1 is exact. Smaller n are replaced by it: see
// docs/numerics.md.
const SMALLEST_EXPM1_POWER: Word = 0x4b400067u; // ROUNDER_WORD - 24
// The result of expm1 is -1 for magnitudes from EXPM1_LARGEST (19) on, and the argument itself below EXPM1_SMALL
// (2^-30). Factors32::new in src/shader.rs has the same numbers.
const EXPM1_LARGEST: Word = 0x41980000u;
const EXPM1_SMALL: Word = 0x30800000u;
// exp(-t) rounds to 0 from t = 103.972084 on.
const EXP_UNDERFLOWS: Word = 0x42cff1b5u;

// The product of these two numbers, 2^-74 * 2^-75, is the smallest subnormal number. Each is normal,
// so a device cannot flush it.
const SUBNORMAL_UNIT_HIGH: Float = 5.293955920339377e-23;
const SUBNORMAL_UNIT_LOW: Float = 2.6469779601696886e-23;

// The polynomial p in expm1(r) = r + r^2 / 2 + r^3 p(r) for |r| <= ln 2 / 2, from scripts/expm1-coefficients. Its terms
// decrease so fast that their order does not matter.
fn any_order_p(r: Floats) -> Floats {
    let p3 = fma(Floats(0.000150461448), r, Floats(0.00139305403));
    let p2 = fma(p3, r, Floats(0.00834150985));
    let p1 = fma(p2, r, Floats(0.0416665114));
    return fma(p1, r, Floats(0.166666359));
}
