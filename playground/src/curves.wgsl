// Draws a smooth line through the points of one curve, with the same width in pixels everywhere.

struct View {
    x_range: vec2f,
    y_range: vec2f,
    // In pixels.
    size: vec2f,
    half_width: f32,
    // 1 for a curve that jumps at x = 0, where its points are not joined.
    jumps: u32,
    // Premultiplied.
    color: vec4f,
}

@group(0) @binding(0) var<uniform> view: View;
@group(0) @binding(1) var<storage, read> xs: array<f32>;
@group(0) @binding(2) var<storage, read> ys: array<f32>;

struct Corner {
    @builtin(position) position: vec4f,
    // The distance from the middle of the line, in pixels.
    @location(0) distance: f32,
}

fn pixel(i: u32) -> vec2f {
    let x = (xs[i] - view.x_range.x) / (view.x_range.y - view.x_range.x);
    let y = (view.y_range.y - ys[i]) / (view.y_range.y - view.y_range.x);
    // Far outside the plot, the precision of floats would distort the direction.
    return vec2f(x, clamp(y, -9.0, 10.0)) * view.size;
}

// Returns whether points i and i + 1 are not joined.
fn is_broken(i: u32) -> bool {
    return view.jumps == 1u && xs[i] <= 0.0 && xs[i + 1u] > 0.0;
}

// An instance is the segment between two neighbouring points, as two triangles.
@vertex
fn corner(@builtin(vertex_index) vertex: u32, @builtin(instance_index) i: u32) -> Corner {
    let last = arrayLength(&xs) - 1u;
    let start = pixel(i);
    let end = pixel(i + 1u);
    let is_end = (vertex & 2u) != 0u;
    var before = start;
    var after = end;
    // At a joint, both segments use the direction from the previous point to the next point.
    if is_end {
        if i + 2u <= last && !is_broken(i + 1u) {
            after = pixel(i + 2u);
        }
    } else if i > 0u && !is_broken(i - 1u) {
        before = pixel(i - 1u);
    }
    var direction = vec2f(1.0, 0.0);
    // When zoomed in far, neighbouring points may be the same float.
    if any(after != before) {
        direction = normalize(after - before);
    }
    let side = select(-1.0, 1.0, (vertex & 1u) != 0u);
    let distance = side * (view.half_width + 1.0);
    let middle = select(start, end, is_end);
    let place = middle + vec2f(-direction.y, direction.x) * distance;
    var corner: Corner;
    corner.position = vec4f(place.x / view.size.x * 2.0 - 1.0, 1.0 - place.y / view.size.y * 2.0, 0.0, 1.0);
    if is_broken(i) {
        corner.position = vec4f(0.0, 0.0, 0.0, 1.0);
    }
    corner.distance = distance;
    return corner;
}

@fragment
fn color(corner: Corner) -> @location(0) vec4f {
    return view.color * clamp(view.half_width + 0.5 - abs(corner.distance), 0.0, 1.0);
}
