//! The tests that run everywhere, in a browser's page: `scripts/test-web` builds it and drives the browser.

mod browser;
#[path = "../../everywhere.rs"]
mod everywhere;
#[path = "../../function.rs"]
mod function;
#[path = "../../../src/bin/elu/judge.rs"]
mod judge;
#[path = "../../numbers.rs"]
mod numbers;
#[path = "../../../src/bin/elu/check/other.rs"]
mod other;
#[path = "../../regularizer.rs"]
mod regularizer;
#[expect(dead_code, reason = "the tests here take few numbers of each sample")]
#[path = "../../../src/bin/elu/check/sample.rs"]
mod sample;
#[path = "../../slices.rs"]
mod slices;
#[path = "../../stream.rs"]
mod stream;
#[path = "../../tensor.rs"]
mod tensor;

use browser::{gpus, no_complaints};

wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);
