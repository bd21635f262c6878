//! The integration tests of the library. They are one program, so that wgpu is linked only once. Tests that also run in
//! a browser are in the package `conformance`, and tests of the command are in `cli/tests`.

#![expect(
    clippy::excessive_precision,
    reason = "values are given as they were computed or published"
)]

// The methods of `Elu`, `cpu` and `Kernel` that take the operation as an argument, and compiling ahead of time.
mod apply;
// The test cases of ONNX, Keras and PyTorch, on every device.
mod cases;
// A static check of the shaders' IR: compilers cannot change what they compute.
mod discipline;
// The examples, and what they print and draw.
mod examples;
// Planted faults, each of which the default run of `elu check` must find.
mod faults;
// The floors in CONTRIBUTING.md: modules import from lower floors only.
mod floors;
// The rules of docs/embedding.md from the host's side: callbacks, error scopes, lost devices, profiling, labels.
mod guest;
// The shaders compiled by a C++ compiler with fast math.
mod hostile;
// The functions for other shaders, as modules of naga_oil and WESL.
mod imports;
// Errors and limits of a kernel, and the cost of recording, without a driver.
mod kernel;
// The Keras layer and its JSON.
mod layer;
// The memory of a process, which must not grow over many calls.
mod memory;
// `Rounding::Nearest`.
mod nearest;
// Properties of the results for random vectors, on every device.
mod properties;
// The formulas of `reference`, compared with published values.
mod reference;
// The shaders' validity, layout and translations, without an adapter.
mod shader;
// Dtypes and factors as text and as JSON.
mod values;
// The judge of results, and the samples that it judges.
mod verdicts;
