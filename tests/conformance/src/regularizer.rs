//! Keras' activity regularizer: on the CPU and every adapter compared with exact sums, and as a step.

use wgpu_elu::DType;

use wgpu_elu::accuracy::value;

/// Returns the bound on the relative error in the contract.
fn tolerance(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => 1e-14,
        _ => 1e-6,
    }
}

/// Returns the penalty, summed with the rounding errors of all additions.
pub fn exact([l1, l2]: [f64; 2], y: impl Iterator<Item = f64>) -> f64 {
    let (mut high, mut low) = (0.0f64, 0.0);
    for y in y {
        let term = l1 * y.abs() + l2 * y * y;
        let sum = high + term;
        let part = sum - high;
        low += (high - (sum - part)) + (term - part);
        high = sum;
    }
    high + low
}

#[track_caller]
pub fn check(what: &str, dtype: DType, found: u64, exact: f64) {
    let found = value(dtype.arithmetic(), found);
    let error = (found - exact).abs() / exact;
    assert!(
        found == exact || error <= tolerance(dtype),
        "{what}, {dtype}: needed {exact:e}, found {found:e}, off by {error:e}"
    );
}

#[cfg(any(test, target_family = "wasm"))]
mod tests;
