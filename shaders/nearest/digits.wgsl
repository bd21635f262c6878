// Fractions with 168 bits, for one element.
//
// The number of passes of each loop is known only at run time, so no compiler unrolls it. A software adapter, which
// executes both sides of a branch, then leaves the loop after one pass if no element needs it.

// The number a.x * 2^-14 + a.y * 2^-28 + ... + c.w * 2^-168, from 0 to 1. A digit has 14 bits, so that the sum of 12
// products of digits fits into 32 bits.
struct Digits {
    a: vec4<u32>,
    b: vec4<u32>,
    c: vec4<u32>,
}

const SMALL_DIGIT: u32 = 14u;
const SMALL_DIGIT_MASK: u32 = 0x3fffu;
const DIGIT_COUNT: u32 = 12u;

// Carries the excess of each digit to the one before it. What exceeds 1 is dropped.
fn carried(d: Digits) -> Digits {
    let c_w = d.c.w;
    let c_z = d.c.z + (c_w >> SMALL_DIGIT);
    let c_y = d.c.y + (c_z >> SMALL_DIGIT);
    let c_x = d.c.x + (c_y >> SMALL_DIGIT);
    let b_w = d.b.w + (c_x >> SMALL_DIGIT);
    let b_z = d.b.z + (b_w >> SMALL_DIGIT);
    let b_y = d.b.y + (b_z >> SMALL_DIGIT);
    let b_x = d.b.x + (b_y >> SMALL_DIGIT);
    let a_w = d.a.w + (b_x >> SMALL_DIGIT);
    let a_z = d.a.z + (a_w >> SMALL_DIGIT);
    let a_y = d.a.y + (a_z >> SMALL_DIGIT);
    let a_x = d.a.x + (a_y >> SMALL_DIGIT);
    let mask = vec4(SMALL_DIGIT_MASK);
    return Digits(vec4(a_x, a_y, a_z, a_w) & mask, vec4(b_x, b_y, b_z, b_w) & mask, vec4(c_x, c_y, c_z, c_w) & mask);
}

// Returns 1 - d, too small by 2^-168.
fn complement(d: Digits) -> Digits {
    let mask = vec4(SMALL_DIGIT_MASK);
    return Digits(mask - d.a, mask - d.b, mask - d.c);
}

// Returns v * y, rounded down. It is too small by less than 2^-164.
fn multiply_digits(v: Digits, y: Digits, zero: u32) -> Digits {
    // Horner's rule in the digits of v, from the last: sum = (sum + digit * y) * 2^-14.
    var rest = v;
    var sum = Digits();
    for (var i = 0u; i < DIGIT_COUNT + zero; i++) {
        let digit = rest.c.w;
        let a = sum.a + y.a * digit;
        let b = sum.b + y.b * digit;
        let c = sum.c + y.c * digit;
        sum = Digits(vec4(0u, a.xyz), vec4(a.w, b.xyz), vec4(b.w, c.xy, c.z + (c.w >> SMALL_DIGIT)));
        rest = Digits(vec4(0u, rest.a.xyz), vec4(rest.a.w, rest.b.xyz), vec4(rest.b.w, rest.c.xyz));
    }
    return carried(sum);
}

// Returns v / n, rounded down. n is at most 2^18.
fn divide_digits(v: Digits, n: u32, zero: u32) -> Digits {
    var rest = v;
    var remainder = 0u;
    for (var i = 0u; i < DIGIT_COUNT + zero; i++) {
        let dividend = (remainder << SMALL_DIGIT) | rest.a.x;
        let digit = dividend / n;
        remainder = dividend - digit * n;
        rest = Digits(vec4(rest.a.yzw, rest.b.x), vec4(rest.b.yzw, rest.c.x), vec4(rest.c.yzw, digit));
    }
    return rest;
}

// Returns significand * 2^-24 * 2^-count, rounded down, for a significand of 24 bits.
fn digits_of(significand: u32, count: u32) -> Digits {
    let first = vec4(0u, 1u, 2u, 3u) * SMALL_DIGIT;
    return Digits(
        digits_at(significand, count, first),
        digits_at(significand, count, first + vec4(4u * SMALL_DIGIT)),
        digits_at(significand, count, first + vec4(8u * SMALL_DIGIT)),
    );
}

// Returns the digits of significand * 2^-24 * 2^-count that begin after `skipped` bits.
fn digits_at(significand: u32, count: u32, skipped: vec4<u32>) -> vec4<u32> {
    // The significand's last bit is `down` places to the right of the digit's last bit.
    let down = vec4<i32>(i32(min(count, 255u)) + 10) - vec4<i32>(skipped);
    let right = vec4(significand) >> vec4<u32>(clamp(down, vec4(0i), vec4(31i)));
    let left = vec4(significand) << vec4<u32>(clamp(-down, vec4(0i), vec4(14i)));
    return select(left, right, down > vec4(0i)) & vec4(SMALL_DIGIT_MASK);
}
