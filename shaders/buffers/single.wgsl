// Input and output in one buffer, at the same place or at two: WebGPU lets a dispatch use a buffer in one way only.
@group(0) @binding(2) var<storage, read_write> vectors_of_buffer: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read_write> elements_of_buffer: array<u32>;

fn load_vector(i: u32) -> vec4<u32> { return vectors_of_buffer[i]; }
fn load_element(i: u32) -> u32 { return elements_of_buffer[i]; }
fn store_vector(i: u32, v: vec4<u32>) { vectors_of_buffer[i] = v; }
fn store_element(i: u32, e: u32) { elements_of_buffer[i] = e; }
