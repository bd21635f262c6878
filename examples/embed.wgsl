@group(0) @binding(0) var<storage, read_write> field: array<f32>;
@group(0) @binding(1) var<storage, read_write> pixels: array<u32>;
const SIDE = 256u;

@compute @workgroup_size(16, 16)
fn waves(@builtin(global_invocation_id) id: vec3u) {
    let place = (vec2f(id.xy) + 0.5) / f32(SIDE) * 8.0 - 4.0;
    field[id.y * SIDE + id.x] = 3.0 * sin(4.0 * length(place));
}

@compute @workgroup_size(16, 16)
fn colors(@builtin(global_invocation_id) id: vec3u) {
    let i = id.y * SIDE + id.x;
    let blue = vec3(0.0, 0.35, 0.63);
    let orange = vec3(0.78, 0.31, 0.0);
    let color = mix(vec3(1.0), select(orange, blue, field[i] < 0.0), min(abs(field[i]), 1.0));
    pixels[i] = pack4x8unorm(vec4(color, 1.0));
}
