// Draws a smooth line through the points of one curve. Its width in pixels is constant.

// Must equal `View` in on_gpu.rs.
struct View {
    x_range: vec2f,
    y_range: vec2f,
    // The size of the plot in pixels.
    size: vec2f,
    // Half of the line's width in pixels.
    half_width: f32,
    // 1 if the curve jumps at x = 0, so that the line is interrupted there.
    jumps: u32,
    // The colour, premultiplied by its opacity.
    color: vec4f,
}

@group(0) @binding(0) var<uniform> view: View;
@group(0) @binding(1) var<storage, read> xs: array<f32>;
@group(0) @binding(2) var<storage, read> ys: array<f32>;

struct Corner {
    @builtin(position) position: vec4f,
    // The signed distance from the middle of the line, in pixels.
    @location(0) distance: f32,
}

// Returns the position of a point in pixels.
fn pixel(i: u32) -> vec2f {
    let x = (xs[i] - view.x_range.x) / (view.x_range.y - view.x_range.x);
    let y = (view.y_range.y - ys[i]) / (view.y_range.y - view.y_range.x);
    // Clamps points to at most 9 plot heights above and below the plot. Farther away, the line's direction would lose
    // its precision.
    return vec2f(x, clamp(y, -9.0, 10.0)) * view.size;
}

// Returns whether the line is interrupted between points i and i + 1.
fn is_broken(i: u32) -> bool {
    return view.jumps == 1u && xs[i] <= 0.0 && xs[i + 1u] > 0.0;
}

// Each instance is the segment between two neighbouring points, drawn as two triangles.
@vertex
fn corner(@builtin(vertex_index) vertex: u32, @builtin(instance_index) i: u32) -> Corner {
    let last = arrayLength(&xs) - 1u;
    let start = pixel(i);
    let end = pixel(i + 1u);
    let is_end = (vertex & 2u) != 0u;
    var before = start;
    var after = end;
    // At a joint, both segments use the direction from the previous to the next point, so that their corners meet.
    if is_end {
        if i + 2u <= last && !is_broken(i + 1u) {
            after = pixel(i + 2u);
        }
    } else if i > 0u && !is_broken(i - 1u) {
        before = pixel(i - 1u);
    }
    var direction = vec2f(1.0, 0.0);
    // At a high zoom, neighbouring points may be equal, and then have no direction.
    if any(after != before) {
        direction = normalize(after - before);
    }
    let side = select(-1.0, 1.0, (vertex & 1u) != 0u);
    // The triangles are wider than the line, to leave room for its smooth edge.
    let distance = side * (view.half_width + 1.0);
    let middle = select(start, end, is_end);
    let pixel = middle + vec2f(-direction.y, direction.x) * distance;
    var corner: Corner;
    corner.position = vec4f(pixel.x / view.size.x * 2.0 - 1.0, 1.0 - pixel.y / view.size.y * 2.0, 0.0, 1.0);
    if is_broken(i) {
        // Draws nothing, because all corners are at the same position.
        corner.position = vec4f(0.0, 0.0, 0.0, 1.0);
    }
    corner.distance = distance;
    return corner;
}

@fragment
fn color(corner: Corner) -> @location(0) vec4f {
    // The opacity falls from 1 to 0 within one pixel across the line's edge.
    return view.color * clamp(view.half_width + 0.5 - abs(corner.distance), 0.0, 1.0);
}
