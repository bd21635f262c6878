const BF16_SHIFT = 16u;       // a bfloat16 is the upper half of a float32
const BF16_FRACTION = 0x007fu;
const BF16_QUIET = 0x0040u;   // the bit that makes a NaN quiet

// Converts bfloat16 to float32 and back, with integer operations, so that no driver can round differently or flush
// subnormals. NaN keeps its payload.

fn widen(h: vec4<u32>) -> vec4<u32> {
    return h << vec4(BF16_SHIFT);
}

// Rounds to nearest, ties to even. If a number is too large, the carry makes it infinite. A NaN whose fraction would
// become 0 is made quiet, so that it stays a NaN.
fn narrow(bits: vec4<u32>) -> vec4<u32> {
    let rounded = (bits + vec4(0x7fffu) + ((bits >> vec4(BF16_SHIFT)) & vec4(1u))) >> vec4(BF16_SHIFT);
    let kept = bits >> vec4(BF16_SHIFT);
    // If the kept payload is 0, the quiet bit keeps the NaN from becoming an infinity.
    let nan = select(kept, kept | vec4(BF16_QUIET), (kept & vec4(BF16_FRACTION)) == vec4(0u));
    return select(rounded, nan, (bits & vec4(MAGNITUDE)) > vec4(INFINITY));
}
