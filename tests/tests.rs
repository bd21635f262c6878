//! Integration tests, in one binary: linking wgpu once is enough. The tests that run in a browser too are those of the package
//! `conformance`, and the command's are in `cli/tests`.

#![expect(
    clippy::excessive_precision,
    reason = "values are given as they were computed or published"
)]

// The general methods of `Elu`, `cpu` and `Kernel`, and compiling ahead.
mod apply;
// What ONNX, Keras and PyTorch expect, on every device.
mod cases;
// A walk over the shaders' IR: no compiler may change what they compute.
mod discipline;
// The examples, what they print and draw.
mod examples;
// Planted faults: the judge's default run finds them.
mod faults;
// The floors in CONTRIBUTING.md, against the modules' imports.
mod floors;
// How a host fares whose device is used: callbacks, error scopes, loss.
mod guest;
// The shaders through a C++ compiler with fast math.
mod hostile;
// ELU as a module of naga_oil and WESL.
mod imports;
// Refusals and limits of a kernel, without a driver.
mod kernel;
// The Keras layer and its JSON.
mod layer;
// Calls leave nothing behind in memory.
mod memory;
// What holds of random vectors, on every device.
mod properties;
// The reference against published values.
mod reference;
// The shaders' text and layout, without any adapter.
mod shader;
// Values as text and as JSON.
mod values;
// The judge itself.
mod verdicts;
