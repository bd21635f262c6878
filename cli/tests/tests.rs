//! The `elu` command, as a user runs it, in one binary.

// `elu bench`.
mod bench;
// `elu check`.
mod check;
// A folder for each test, and files as other programs write them.
mod common;
// Devices that cannot be had, and wrong command lines.
mod device;
// `elu info`.
mod info;
// Files larger than what the command holds in memory, and signals.
#[cfg(unix)]
mod large;
// `elu run` on `.npy` files.
mod npy;
// Where results go.
mod output;
// `cargo package`: what users of the packages get.
mod package;
// `elu run` on `.safetensors` files.
mod safetensors;
// `elu shader`.
mod shader;
