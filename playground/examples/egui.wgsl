// Draws the values as a line.

@group(0) @binding(0) var<storage, read> values: array<f32>;

@vertex
fn point(@builtin(vertex_index) i: u32) -> @builtin(position) vec4f {
    let x = 2.0 * f32(i) / f32(arrayLength(&values) - 1u) - 1.0;
    return vec4f(x, values[i] / 4.0, 0.0, 1.0);
}

@fragment
fn color() -> @location(0) vec4f {
    return vec4f(0.84, 0.37, 0.0, 1.0);
}
