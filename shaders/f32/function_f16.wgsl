// Two numbers in a word, the first in the lower half.
fn wgpu_elu_f16x2(x: u32, alpha: f32) -> u32 {
    let y = narrow(of_bits(widen((vec4(x) >> vec4(0u, 16u, 0u, 16u)) & vec4(0xffffu)), alpha));
    return y.x | (y.y << 16u);
}
