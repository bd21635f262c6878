// Input and output in two buffers. Each is seen as vectors by one entry point and as elements by the other.
@group(0) @binding(1) var<storage, read> x_vectors: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> x_elements: array<u32>;
@group(0) @binding(2) var<storage, read_write> y_vectors: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read_write> y_elements: array<u32>;

fn load_vector(i: u32) -> vec4<u32> { return x_vectors[i]; }
fn load_element(i: u32) -> u32 { return x_elements[i]; }
fn store_vector(i: u32, v: vec4<u32>) { y_vectors[i] = v; }
fn store_element(i: u32, e: u32) { y_elements[i] = e; }
