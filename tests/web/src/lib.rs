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
#[path = "../../regularizer.rs"]
mod regularizer;
#[path = "../../slices.rs"]
mod slices;
#[path = "../../stream.rs"]
mod stream;
#[path = "../../tensor.rs"]
mod tensor;

use browser::{gpus, no_complaints};

wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);
