//! Integration tests in one binary, so that wgpu is linked only once. The tests that also run in a browser are in the
//! package `conformance`, and the command's tests in `cli/tests`.

#![expect(
    clippy::excessive_precision,
    reason = "values are given as they were computed or published"
)]

// The general methods of `Elu`, `cpu` and `Kernel`, and compiling ahead of time.
mod apply;
// The test cases of ONNX, Keras and PyTorch, on every device.
mod cases;
// A static check of the shaders' IR: no compiler may change what they compute.
mod discipline;
// The examples, and what they print and draw.
mod examples;
// Planted faults, which the default run of `elu check` must find.
mod faults;
// The modules' imports, compared with the floors in CONTRIBUTING.md.
mod floors;
// The embed contract from the host's side: callbacks, error scopes, lost devices.
mod guest;
// The shaders compiled by a C++ compiler with fast math.
mod hostile;
// ELU as a module of naga_oil and WESL.
mod imports;
// Errors and limits of a kernel, without a driver.
mod kernel;
// The Keras layer and its JSON.
mod layer;
// Memory does not grow over many calls.
mod memory;
// Properties of random vectors, on every device.
mod properties;
// The reference compared with published values.
mod reference;
// The shaders' text and layout, without an adapter.
mod shader;
// The library's values as text and as JSON.
mod values;
// The judge and its samples.
mod verdicts;
