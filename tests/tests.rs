//! All integration tests, in one binary: linking wgpu once is enough.

#![expect(
    clippy::excessive_precision,
    reason = "values are given as they were computed or published"
)]

mod common; // adapters, comparison in ULP, tables of cases

#[cfg(feature = "cli")]
mod cli;
mod kernel; // the embed contract: slices, limits, refusals
mod numbers; // the CPU path and every adapter against the oracle
mod reference; // the oracle against published values
mod shader; // WGSL and its layout, without any adapter
mod tensor; // devices, tensors and Elu, on the CPU, every adapter and a device that does nothing // the elu command, as a user runs it
