@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
override alpha: f32;

@compute @workgroup_size(64)
fn layer(@builtin(global_invocation_id) id: vec3u) {
    let row = id.x;
    let columns = arrayLength(&x);
    var sum = b[row];
    for (var column = 0u; column < columns; column++) {
        sum = fma(a[row * columns + column], x[column], sum);
    }
    y[row] = wgpu_elu_f32(sum, alpha);
}
