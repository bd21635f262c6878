//! Exact penalties (those of Keras' activity regularizer), and checks of results against them.

use wgpu_elu::DType;

use wgpu_elu::accuracy::value;

/// Returns the largest relative error that the contract allows.
fn tolerance(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => 1e-14,
        _ => 1e-6,
    }
}

/// Returns the penalty of `y`: the sum of l1 * |y| + l2 * y^2 over all elements. `TwoSum` computes the rounding error
/// of each addition, and the sum of these errors is added at the end. So the relative error is that of a few
/// roundings in `f64`, however many elements there are.
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

/// Panics unless `found`, as bits, is within the tolerance of `exact`.
#[track_caller]
pub fn check(what: &str, dtype: DType, found: u64, exact: f64) {
    let found = value(dtype.arithmetic_dtype(), found);
    let error = (found - exact).abs() / exact;
    assert!(
        found == exact || error <= tolerance(dtype),
        "{what}, {dtype}: needed {exact:e}, found {found:e}, off by {error:e}"
    );
}

#[cfg(any(test, target_family = "wasm"))]
mod tests;
