// The number format of the arithmetic: float64, two numbers at a time. Its bits need 64-bit integers.
alias Float = f64;
alias Word = u64; // the bits of a Float
alias SignedWord = i64;
alias Floats = vec2<f64>;
alias Words = vec2<u64>;
alias SignedWords = vec2<i64>;
alias Integers = vec2<i32>; // exponents
alias Counts = vec2<u32>;   // of bits, to shift by
alias Flags = vec2<bool>;

const MANTISSA_BITS = 52u;                             // without the leading 1, which is not stored
const EXPONENT_BIAS = 1023;
const INFINITE_EXPONENT = 2047;                        // the biased exponent of infinity and NaN
const MAGNITUDE: Word = 0x7ffffffffffffffflu;         // all bits except the sign
const SIGN: Word = 0x8000000000000000lu;
const FRACTION: Word = 0x000ffffffffffffflu;
const LEADING: Word = 0xfffffffff8000000lu;           // sign, exponent and 26 bits of the significand
const SMALLEST_NORMAL: Word = 0x0010000000000000lu;
const ONE: Word = 0x3ff0000000000000lu;
const INFINITY: Word = 0x7ff0000000000000lu;          // a NaN has a greater magnitude
const QUIET_NAN: Word = 0x7ff8000000000000lu;

const LOG2_E: Float = 1.4426950408889634lf;
// ln 2 in two parts. The first has 32 bits, so its product with an integer of up to 21 bits is exact.
const LN2_HIGH: Float = 6.93147180369123816490e-01lf;
const LN2_LOW: Float = 1.90821492927058770002e-10lf;
// 1.5 * 2^52 + 1023. Adding it rounds a number to an integer n. The sum's last bits are the biased exponent of 2^n.
const ROUNDER: Float = 6755399441056767.0lf;
const ROUNDER_WORD: Word = 0x43380000000003fflu;
// The bits of ROUNDER + n for the smallest n for which 2^n - 1 is exact. Smaller n are replaced by it: see
// docs/numerics.md.
const SMALLEST_EXPM1_POWER: Word = 0x43380000000003calu; // ROUNDER_WORD - 53
// The result of expm1 is -1 for magnitudes from EXPM1_LARGEST (39) on, and the argument itself below EXPM1_SMALL
// (2^-60). Factors64::new in src/shader.rs has the same numbers.
const EXPM1_LARGEST: Word = 0x4043800000000000lu;
const EXPM1_SMALL: Word = 0x3c30000000000000lu;
// exp(-t) rounds to 0 from t = 745.1332191019412 on.
const EXP_UNDERFLOWS: Word = 0x40874910d52d3052lu;

// The product of these two numbers, 2^-537 * 2^-537, is the smallest subnormal number. Each is normal,
// so a device cannot flush it.
const SUBNORMAL_UNIT_HIGH: Float = 2.2227587494850775e-162lf;
const SUBNORMAL_UNIT_LOW: Float = 2.2227587494850775e-162lf;

// The polynomial p in expm1(r) = r + r^2 / 2 + r^3 p(r) for |r| <= ln 2 / 2, from scripts/expm1-coefficients. Its terms
// decrease so fast that their order does not matter.
fn any_order_p(r: Floats) -> Floats {
    let p8 = fma(Floats(2.0911437045984246e-09lf), r, Floats(2.5100666142918374e-08lf));
    let p7 = fma(p8, r, Floats(2.755728254697946e-07lf));
    let p6 = fma(p7, r, Floats(2.7557267868262007e-06lf));
    let p5 = fma(p6, r, Floats(2.4801587317417246e-05lf));
    let p4 = fma(p5, r, Floats(0.0001984126986343555lf));
    let p3 = fma(p4, r, Floats(0.0013888888888886498lf));
    let p2 = fma(p3, r, Floats(0.008333333333329985lf));
    let p1 = fma(p2, r, Floats(0.041666666666666664lf));
    return fma(p1, r, Floats(0.16666666666666669lf));
}
