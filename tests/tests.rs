//! All integration tests, in one binary: linking wgpu once is enough.

#![expect(
    clippy::excessive_precision,
    reason = "values are given as they were computed or published"
)]

// What belongs where: `common` has the adapters, and `everywhere` comparison in ULP, tables of cases, and the attribute of
// tests that run in a browser's page too: those in `function`, `numbers`, `regularizer`, `slices`, `stream` and `tensor`,
// see `web`; `reference` holds the oracle against published values, `verdicts` the judge that uses it, and `faults` that
// `elu check` finds what is wrong; `numbers` the CPU path and every adapter against the oracle; `slices` the embed contract on every adapter, `kernel` without a driver,
// and `guest` the rest of it, how a host fares; `function` ELU in other people's shaders, `imports` the modules for them,
// and `examples` what those say and draw; `shader` the WGSL and its layout, without any adapter; `discipline` that no compiler
// may change what the WGSL computes, and `hostile` its numbers under a C++ compiler with fast math; `tensor` devices, tensors
// and Elu on everything, and on a device that does nothing; `stream` data of any size through all of those; `large` the elu
// command on files larger than what it holds in memory, and by signals; `memory` that calls leave nothing behind;
// `regularizer` the penalty, so too; `layer` the Keras layer and its JSON; `cli` the elu command, as a user runs it; `cases`
// what ONNX, Keras and PyTorch expect of everything; `properties` what holds of random vectors on everything.
mod apply;
mod cases;
#[cfg(feature = "cli")]
mod cli;
mod common;
mod discipline;
mod everywhere;
#[path = "../src/bin/elu/check/examine.rs"]
mod examine;
mod examples;
mod faults;
mod function;
mod guest;
mod hostile;
mod imports;
#[path = "../src/bin/elu/judge.rs"]
mod judge;
mod kernel;
#[cfg(all(feature = "cli", unix))]
mod large;
mod layer;
mod memory;
mod numbers;
#[path = "../src/bin/elu/check/other.rs"]
mod other;
mod properties;
mod reference;
mod regularizer;
#[path = "../src/bin/elu/check/sample.rs"]
mod sample;
mod shader;
mod slices;
mod stream;
mod tensor;
#[path = "../src/bin/elu/translate.rs"]
mod translate;
mod verdicts;

use common::no_complaints;

/// The devices that tests run on.
async fn gpus() -> &'static [wgpu_elu::Gpu] {
    common::gpus()
}
