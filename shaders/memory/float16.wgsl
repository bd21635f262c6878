// float16 to float32 and back, by integers, so that no driver can round otherwise or flush. NaN keeps its payload.

fn widen(h: vec4<u32>, zero: u32) -> vec4<u32> {
    let magnitude = h & vec4(0x7fffu);
    let normal = (magnitude << vec4(13u)) + vec4(0x38000000u); // the exponent's bias is 112 less
    // An integer number of 2^-24, which is subtracted from the exponent.
    let counted = bitcast<vec4<u32>>(barrier(vec4<f32>(vec4<i32>(magnitude)), zero));
    let subnormal = select(counted - vec4(24u << 23u), vec4(0u), magnitude == vec4(0u));
    let special = (magnitude << vec4(13u)) | vec4(0x7f800000u);
    let finite = select(normal, subnormal, magnitude < vec4(0x0400u));
    return select(finite, special, magnitude >= vec4(0x7c00u)) | ((h & vec4(0x8000u)) << vec4(16u));
}

// To nearest, ties to even.
fn narrow(bits: vec4<u32>) -> vec4<u32> {
    let magnitude = bits & vec4(0x7fffffffu);
    let normal = (magnitude - vec4(0x38000000u) + vec4(0x0fffu) + ((magnitude >> vec4(13u)) & vec4(1u))) >> vec4(13u);
    // Below 2^-14: the significand shifted to units of 2^-24.
    let shift = min(vec4(126u) - min(magnitude >> vec4(23u), vec4(126u)), vec4(25u));
    let significand = (magnitude & vec4(0x007fffffu)) | vec4(0x00800000u);
    let floored = significand >> shift;
    let rest = significand - (floored << shift);
    let half = vec4(1u) << (max(shift, vec4(1u)) - vec4(1u));
    let up = (rest > half) | ((rest == half) & ((floored & vec4(1u)) == vec4(1u)));
    let subnormal = floored + select(vec4(0u), vec4(1u), up);
    let finite = select(normal, subnormal, magnitude < vec4(0x38800000u));
    let payload = (magnitude >> vec4(13u)) & vec4(0x03ffu);
    let nan = vec4(0x7c00u) | select(payload, vec4(0x0200u), payload == vec4(0u));
    let rounded = select(min(finite, vec4(0x7c00u)), vec4(0x7c00u), magnitude >= vec4(0x47800000u));
    return select(rounded, nan, magnitude > vec4(0x7f800000u)) | ((bits >> vec4(16u)) & vec4(0x8000u));
}
