//! Tests that run natively and in a browser's page, and helpers for all tests of this repository: devices, test values,
//! and checks of results against the contract, the error bound that docs/numerics.md documents.

#![allow(missing_docs, reason = "only tests use it")]

// The browser's GPU, and tests of what is different in a browser.
#[cfg(target_family = "wasm")]
mod browser;
// The attribute `everywhere` for tests that run natively and in a page, and helpers for them.
pub mod everywhere;
// The functions for other people's shaders.
pub mod function;
// Native adapters, and blocking versions of the helpers.
#[cfg(not(target_family = "wasm"))]
pub mod native;
// Nearest results of the CPU path and every adapter, compared bit by bit.
#[cfg(any(test, target_family = "wasm"))]
mod nearest;
// Results of the CPU path and every adapter, compared with exact values.
#[cfg(any(test, target_family = "wasm"))]
mod numbers;
// Penalties on the CPU path and every adapter.
pub mod regularizer;
// Kernels on slices of every length and offset.
pub mod slices;
// Streams of any length, and their errors.
#[cfg(any(test, target_family = "wasm"))]
mod stream;
// Devices and tensors, and their errors.
#[cfg(any(test, target_family = "wasm"))]
mod tensor;

#[cfg(target_family = "wasm")]
use browser::{assert_no_wgpu_messages, gpus};
#[cfg(not(target_family = "wasm"))]
use native::assert_no_wgpu_messages;

/// Returns the devices that tests use: one for each adapter.
#[cfg(not(target_family = "wasm"))]
async fn gpus() -> &'static [wgpu_elu::Gpu] {
    native::gpus()
}
