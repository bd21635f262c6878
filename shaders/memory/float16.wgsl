const F16_MAGNITUDE = 0x7fffu;
const F16_SIGN = 0x8000u;
const F16_FRACTION = 0x03ffu;
const F16_SMALLEST_NORMAL = 0x0400u;
const F16_INFINITY = 0x7c00u;
const F16_QUIET = 0x0200u;                 // the bit that makes a NaN quiet
const F16_TO_F32_SHIFT = 13u;              // float32 has 13 more bits in its fraction
const F16_TO_F32_BIAS = 0x38000000u;       // the difference of the exponents' biases, 112 << 23
const F16_SMALLEST_NORMAL_F32 = 0x38800000u; // 2^-14 in float32
const F16_OVERFLOW_F32 = 0x47800000u;      // 2^16 in float32

// Converts float16 to float32 and back, with integer operations, so that no driver can round differently or flush
// subnormals. NaN keeps its payload.

fn widen(h: vec4<u32>) -> vec4<u32> {
    let magnitude = h & vec4(F16_MAGNITUDE);
    let normal = (magnitude << vec4(F16_TO_F32_SHIFT)) + vec4(F16_TO_F32_BIAS);
    // A subnormal float16 is an integer times 2^-24. If n bits before its leading 1 are 0, it is at least 2^(7 - n). The
    // leading 1 is shifted to bit 23, where it adds 1 to the biased exponent.
    let zeros = countLeadingZeros(magnitude | vec4(1u));
    let exponent = vec4(133u) - zeros;
    let normalized = (exponent << vec4(MANTISSA_BITS)) + (magnitude << (zeros - vec4(8u)));
    let subnormal = select(normalized, vec4(0u), magnitude == vec4(0u));
    let special = (magnitude << vec4(F16_TO_F32_SHIFT)) | vec4(INFINITY);
    let finite = select(normal, subnormal, magnitude < vec4(F16_SMALLEST_NORMAL));
    return select(finite, special, magnitude >= vec4(F16_INFINITY)) | ((h & vec4(F16_SIGN)) << vec4(16u));
}

// Rounds to nearest, ties to even. A NaN whose fraction would become 0 is made quiet, so that it stays a NaN.
fn narrow(bits: vec4<u32>) -> vec4<u32> {
    let magnitude = bits & vec4(MAGNITUDE);
    let is_odd = (magnitude >> vec4(F16_TO_F32_SHIFT)) & vec4(1u);
    let normal = (magnitude - vec4(F16_TO_F32_BIAS) + vec4(0x0fffu) + is_odd) >> vec4(F16_TO_F32_SHIFT);
    // Results below 2^-14 are counted in units of 2^-24. For the biased exponent e, the unit of the significand is
    // 2^(e - 150), so it is shifted right by 126 - e. A shift by 25 makes every significand 0.
    let shift = min(vec4(126u) - min(magnitude >> vec4(MANTISSA_BITS), vec4(126u)), vec4(25u));
    let significand = (magnitude & vec4(FRACTION)) | vec4(SMALLEST_NORMAL);
    let floored = significand >> shift;
    let rest = significand - (floored << shift);
    let half = vec4(1u) << (max(shift, vec4(1u)) - vec4(1u));
    let up = (rest > half) | ((rest == half) & ((floored & vec4(1u)) == vec4(1u)));
    let subnormal = floored + select(vec4(0u), vec4(1u), up);
    let finite = select(normal, subnormal, magnitude < vec4(F16_SMALLEST_NORMAL_F32));
    let payload = (magnitude >> vec4(F16_TO_F32_SHIFT)) & vec4(F16_FRACTION);
    // If the kept payload is 0, the quiet bit keeps the NaN from becoming an infinity.
    let nan = vec4(F16_INFINITY) | select(payload, vec4(F16_QUIET), payload == vec4(0u));
    let rounded = select(min(finite, vec4(F16_INFINITY)), vec4(F16_INFINITY), magnitude >= vec4(F16_OVERFLOW_F32));
    return select(rounded, nan, magnitude > vec4(INFINITY)) | ((bits >> vec4(16u)) & vec4(F16_SIGN));
}
