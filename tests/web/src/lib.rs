//! The tests of `conformance` in a browser's page: `scripts/test-web` builds it and drives the browser.

use conformance as _;

wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);
