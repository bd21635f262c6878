// Takes and returns two numbers in a word, the first in the lower half. Lanes 2 and 3 repeat lanes 0 and 1.
fn wgpu_elu_bf16x2(x: u32, alpha: f32) -> u32 {
    let x_bits = (vec4(x) >> vec4(0u, 16u, 0u, 16u)) & vec4(0xffffu);
    let zero = runtime_zero(x_bits);
    let y = narrow(of_bits(widen(x_bits), alpha, zero));
    return y.x | (y.y << 16u);
}
