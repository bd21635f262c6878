// The passes that embed.rs records before and after ELU. Each entry point has its own bindings.

const SIZE = 512u; // as in embed.rs

@group(0) @binding(0) var<storage, read_write> waves: array<f32>;

// Computes waves with values from -3 to 3.
@compute @workgroup_size(8, 8)
fn make_waves(@builtin(global_invocation_id) id: vec3<u32>) {
    let p = vec2<f32>(id.xy) * (6.2831853 / f32(SIZE));
    waves[id.y * SIZE + id.x] = 2.0 * sin(2.0 * p.x + sin(p.y)) * cos(p.y) + sin(3.0 * p.y - p.x);
}

@group(0) @binding(0) var<storage, read_write> pixels: array<u32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> y: array<f32>;

// Draws x on the left and y = ELU(x) on the right. Values below 0 are blue, others are orange. Dark lines mark
// multiples of 0.25.
@compute @workgroup_size(8, 8)
fn draw(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.y * SIZE + id.x;
    pixels[id.y * 2u * SIZE + id.x] = pack4x8unorm(colour(x[i]));
    pixels[id.y * 2u * SIZE + SIZE + id.x] = pack4x8unorm(colour(y[i]));
}

// The colour is full at 3 (12 quarters), the largest value of the waves. The lines are 0.12 quarters wide.
fn colour(value: f32) -> vec4<f32> {
    let full = select(vec3(0.93, 0.49, 0.13), vec3(0.12, 0.38, 0.75), value < 0.0);
    let quarters = abs(value) * 4.0;
    let mixed = mix(vec3(1.0), full, min(sqrt(quarters / 12.0), 1.0));
    return vec4(mixed * select(1.0, 0.75, fract(quarters) < 0.12), 1.0);
}
