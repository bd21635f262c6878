//! The tests of this package, in one binary.
//!
//! They need an adapter of wgpu; a software adapter is enough. Without one they are skipped with a message, or fail if
//! the environment variable `WGPU_ELU_GPU` is `require`.

mod devices; // several devices, and an app's own device
mod errors; // what each error says
mod gradients; // gradients against exact values, burn's automatic differentiation and central differences
mod modules; // the modules in a model, their configuration and records
mod order; // the order of our work and burn's, on one thread and on several
mod support; // the device, and the judge
mod values; // results against exact values, for every dtype
mod views; // slices, transposed and broadcast tensors
