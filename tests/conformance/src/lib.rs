//! Tests that run natively and in a browser's page, and helpers for all tests of this repository: devices, tables of
//! cases, and comparison in ULP.

#![allow(missing_docs, reason = "only tests use it")]

// The browser's adapter, and tests of what differs in a browser.
#[cfg(target_family = "wasm")]
mod browser;
// The attribute for tests that run natively and in a page, and helpers for them.
pub mod everywhere;
// ELU in other people's shaders.
pub mod function;
// Native adapters, and helpers for tests that block.
#[cfg(not(target_family = "wasm"))]
pub mod native;
// The CPU path and every adapter, compared with exact values.
#[cfg(any(test, target_family = "wasm"))]
mod numbers;
// The penalty on the CPU and on every adapter.
pub mod regularizer;
// The embed contract on slices of every length and offset.
pub mod slices;
// Streams of any length.
#[cfg(any(test, target_family = "wasm"))]
mod stream;
// Devices and tensors.
#[cfg(any(test, target_family = "wasm"))]
mod tensor;

#[cfg(target_family = "wasm")]
use browser::{gpus, no_complaints};
#[cfg(not(target_family = "wasm"))]
use native::no_complaints;

/// Returns the devices that tests use.
#[cfg(not(target_family = "wasm"))]
async fn gpus() -> &'static [wgpu_elu::Gpu] {
    native::gpus()
}
