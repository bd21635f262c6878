//! Tests that run the command `elu` as a user does, in one binary.

// Advice for wrong command lines.
mod advice;
// `elu bench`.
mod bench;
// `elu check`.
mod check;
// Helpers: a folder for each test, and test files in the formats that other programs write.
mod common;
// `elu completions`.
mod completions;
// Formats that are recognized by content.
mod content;
// Unavailable devices and wrong command lines.
mod device;
// System calls and drivers that fail, and wrong environment variables.
#[cfg(target_os = "linux")]
mod faults;
// ELU, SELU and CELU, in every command that has them.
mod function;
// `elu run --op`: gradients.
mod gradients;
// `-h` and `--help`, and the examples in it.
mod help;
// `elu info`.
mod info;
// The fields of every JSON, and their documentation.
mod json;
// `elu run --keras`: the functions of Keras' layers.
mod keras;
// Files that are larger than the command's buffers, and signals.
#[cfg(unix)]
mod large;
// `--nearest`.
mod nearest;
// `elu run` on `.npy` files.
mod npy;
// The headers of `.npy` files that NumPy reads, and those that it refuses.
mod npy_headers;
// `elu run` on `.npz` files.
mod npz;
// Output files, and outputs that cannot be written.
mod output;
// The packages that `cargo package` creates.
mod package;
// `elu run` on numbers without a header.
mod raw;
// The lines, the JSON and the exit code of `elu run`.
mod report;
// `elu run` on `.safetensors` files.
mod safetensors;
// `elu run` on several files.
mod several;
// `elu shader`.
mod shader;
// Standard output, other open descriptors, and pipes.
#[cfg(target_os = "linux")]
mod streams;
