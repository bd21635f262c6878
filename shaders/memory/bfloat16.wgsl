// bfloat16 to float32 and back, by integers, so that no driver can round otherwise or flush. NaN keeps its payload.

fn widen(h: vec4<u32>, zero: u32) -> vec4<u32> {
    return h << vec4(16u);
}

// To nearest, ties to even; what is too large becomes infinite by itself.
fn narrow(bits: vec4<u32>) -> vec4<u32> {
    let rounded = (bits + vec4(0x7fffu) + ((bits >> vec4(16u)) & vec4(1u))) >> vec4(16u);
    let kept = bits >> vec4(16u);
    let nan = select(kept, kept | vec4(0x0040u), (kept & vec4(0x007fu)) == vec4(0u));
    return select(rounded, nan, (bits & vec4(0x7fffffffu)) > vec4(0x7f800000u));
}
