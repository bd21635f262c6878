// A moving field. `waves` computes its values. After ELU has been applied to them, `corner` and `color` draw it.

// Must equal `View` in on_gpu.rs.
struct View {
    seconds: f32,
    // The values with the colours `negative` and `positive`.
    low: f32,
    high: f32,
    side: u32,
    // The width and the height of the picture, in the units of the waves.
    extent: vec2f,
    // The colours, premultiplied by their opacity.
    negative: vec4f,
    zero: vec4f,
    positive: vec4f,
}

@group(0) @binding(0) var<uniform> view: View;
@group(0) @binding(1) var<storage, read_write> field: array<f32>;

// Must equal the function of this name in on_cpu.rs.
@compute @workgroup_size(16, 16)
fn waves(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= view.side || id.y >= view.side {
        return;
    }
    let place = ((vec2f(id.xy) + 0.5) / f32(view.side) - 0.5) * view.extent;
    let t = view.seconds;
    let first = place - 2.5 * vec2f(cos(0.31 * t), sin(0.43 * t));
    let second = place - 3.0 * vec2f(sin(0.23 * t), cos(0.37 * t));
    let rings = sin(3.0 * length(first) - 2.0 * t) + sin(2.2 * length(second) - 1.3 * t);
    let swell = sin(0.7 * place.x + 0.5 * t) * cos(0.9 * place.y - 0.4 * t);
    field[id.y * view.side + id.x] = 1.2 * (rings + swell);
}

// The same buffer for the fragment shader, which may only read it.
@group(0) @binding(1) var<storage, read> values: array<f32>;

struct Corner {
    @builtin(position) position: vec4f,
    // The position in the picture, from 0 to 1, to the right and down.
    @location(0) place: vec2f,
}

@vertex
fn corner(@builtin(vertex_index) vertex: u32) -> Corner {
    let place = vec2f(f32(vertex & 1u), f32(vertex >> 1u));
    return Corner(vec4f(place.x * 2.0 - 1.0, 1.0 - place.y * 2.0, 0.0, 1.0), place);
}

@fragment
fn color(corner: Corner) -> @location(0) vec4f {
    let cell = min(vec2u(corner.place * f32(view.side)), vec2u(view.side - 1u));
    let value = values[cell.y * view.side + cell.x];
    if value < 0.0 {
        return mix(view.zero, view.negative, clamp(value / view.low, 0.0, 1.0));
    }
    return mix(view.zero, view.positive, clamp(value / view.high, 0.0, 1.0));
}
