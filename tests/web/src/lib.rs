//! The tests of `conformance` for a browser's page. `scripts/test-web` builds them and runs the browser.

use conformance as _;

wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);
