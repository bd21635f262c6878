//! Helpers for tests that run natively and in a browser's page: test values, and checks of results against the
//! contract.

use wgpu_elu::{DType, Device, Elu, Error, Gpu, Op, Tensor};

use crate::{assert_no_wgpu_messages, gpus};
use wgpu_elu::accuracy::{self, Judge, value};

/// Marks an `async` test that runs natively, where it blocks, and in a page, where the event loop runs it.
#[cfg(test)]
pub use pollster::test as everywhere;
#[cfg(target_family = "wasm")]
pub use wasm_bindgen_test::wasm_bindgen_test as everywhere;

/// Bits of float32 numbers at which the arithmetic or the result changes, with both signs: the ends of the dtype's
/// range, of each branch, and of the range reduction.
pub const SPECIAL_BITS: [u32; 46] = {
    const POSITIVE: [u32; 23] = [
        0,           // 0
        1,           // the smallest subnormal
        0x0000_0100, // a subnormal
        0x007f_ffff, // the largest subnormal
        0x0080_0000, // the smallest normal
        0x0080_0001, // its neighbour
        0x0d80_0000, // 2^-100
        0x2edb_e6ff, // 1e-10
        0x322b_cc77, // 1e-8
        0x3300_0000, // 2^-25, below which expm1(x) rounds to x
        0x33d6_bf95, // 1e-7
        0x3a83_126f, // 1e-3
        0x3eb1_7217, // the number below ln(2) / 2
        0x3eb1_7218, // ln(2) / 2, where the range reduction begins
        0x3f31_7218, // ln(2)
        0x3f80_0000, // 1
        0x4120_0000, // 10
        0x418a_a123, // 17.33, where the result rounds to -1
        0x4190_0000, // 18, where the shaders clamp the argument
        0x42b2_0000, // 89, where exp overflows
        0x7f7f_ffff, // the largest number
        0x7f80_0000, // infinity
        0x7fc0_0001, // NaN
    ];
    let mut all = [0; 46];
    let mut i = 0;
    while i < 23 {
        all[i] = POSITIVE[i];
        all[23 + i] = POSITIVE[i] | 0x8000_0000;
        i += 1;
    }
    all
};

/// Returns usual alphas and alphas at the ends of float32's range, with both signs, and NaN. All are exact in `f32`.
pub fn special_alphas() -> Vec<f32> {
    let positive = [
        1.0,
        0.5,
        0.3,
        1.673_263_2,
        0.0,
        f32::MIN_POSITIVE,
        1e-40,
        1e-30,
        1e30,
        f32::MAX,
        f32::INFINITY,
    ];
    positive
        .into_iter()
        .flat_map(|alpha| [alpha, -alpha])
        .chain([f32::NAN])
        .collect()
}

/// Returns bits of float64 numbers: about 37 for each exponent from -2^-60 to -2^8, and 1000 that are evenly spaced
/// over all bit patterns.
pub fn wide_float64() -> Vec<u64> {
    let low = (-(0.5f64.powi(60))).to_bits();
    let step = (1 << 52) / 37 + 12_345;
    let dense = (0..70 * 36).map(|i| low + i * step);
    let sparse = (0..1000u64).map(|i| i * (u64::MAX / 1000));
    dense.chain(sparse).collect()
}

/// Returns numbers between -2.5 and 1.5. Neighbouring numbers differ, so that a result in the wrong position shows.
pub fn varied(len: usize) -> Vec<f32> {
    (0..len)
        .map(|i| ((i * 7919 + 13) % 4001) as f32 / 1000.0 - 2.5)
        .collect()
}

/// A device under test, with its name for messages.
#[derive(Clone, Copy, Debug)]
pub struct TestDevice<'a> {
    pub device: &'a Device,
    pub name: &'a str,
}

/// Runs `test` on the CPU path and every adapter.
pub async fn on_every_device(test: impl AsyncFn(TestDevice<'_>)) {
    let device = &Device::Cpu;
    test(TestDevice {
        device,
        name: "the CPU",
    })
    .await;
    on_every_gpu(async |gpu, name| {
        let device = &Device::Gpu(gpu.clone());
        test(TestDevice { device, name }).await;
    })
    .await;
}

/// Runs `test` on every adapter, and checks that wgpu reported no warnings or errors.
pub async fn on_every_gpu(test: impl AsyncFn(&Gpu, &str)) {
    for gpu in gpus().await {
        test(gpu, &Device::Gpu(gpu.clone()).to_string()).await;
    }
    assert_no_wgpu_messages();
}

/// Returns whether the device supports this dtype. For a GPU that does not, also checks the error.
pub fn supports(device: &Device, dtype: DType) -> bool {
    match device {
        Device::Gpu(gpu) if !gpu.supports(dtype) => {
            let error = gpu.kernel(dtype).unwrap_err();
            let Error::MissingFeature { dtype, needed } = error else {
                panic!("{error}")
            };
            assert!(["SHADER_F64", "SHADER_INT64"].contains(&needed));
            assert_eq!(
                error.to_string(),
                format!("{dtype} needs the device feature {needed}; the CPU path does not need it")
            );
            #[cfg(not(target_family = "wasm"))]
            crate::native::announce_once(&format!("SKIPPED: {dtype} on {device} (no {needed})"));
            false
        }
        _ => true,
    }
}

/// Returns the judge of the results of an operation.
pub fn judge(op: Op, dtype: DType, elu: impl Into<Elu>) -> Judge {
    Judge {
        op,
        dtype,
        elu: elu.into(),
    }
}

/// Creates a tensor of one dimension with these bits.
pub fn tensor(device: &Device, dtype: DType, bits: &[u64]) -> Tensor {
    shaped(device, dtype, bits, &[bits.len()])
}

/// Creates a tensor with these bits and this shape.
pub fn shaped(device: &Device, dtype: DType, bits: &[u64], shape: &[usize]) -> Tensor {
    Tensor::from_bytes(device, dtype, &accuracy::to_bytes(dtype, bits), shape).unwrap()
}

/// Returns the bits of each element.
pub async fn bits_of(tensor: &Tensor) -> Vec<u64> {
    accuracy::from_bytes(tensor.dtype(), &tensor.to_bytes().await.unwrap())
}

/// Returns the device's results for `x` and `grad`, which forward ignores.
pub async fn compute(target: TestDevice<'_>, judge: Judge, x: &[u64], grad: &[u64]) -> Vec<u64> {
    accuracy::compute(target.device, judge, x, grad)
        .await
        .unwrap()
}

/// Computes the device's results, and panics unless all of them keep the contract. `grad` is as long as `x`, or empty
/// for forward.
pub async fn check(target: TestDevice<'_>, judge: Judge, x: &[u64], grad: &[u64]) {
    let y = compute(target, judge, x, grad).await;
    check_results(target.name, judge, x, grad, &y);
}

/// Panics unless all results `y` keep the contract.
#[track_caller]
pub fn check_results(name: &str, judge: Judge, x: &[u64], grad: &[u64], y: &[u64]) {
    assert_eq!(x.len(), y.len());
    for (i, (&x, &y)) in x.iter().zip(y).enumerate() {
        let grad = grad.get(i).copied().unwrap_or_default();
        let verdict = judge.judge(x, grad, y);
        // Checks that `is_nearest` agrees with the error in ULP. The nearest number is at most half a ULP away, and any
        // other number at least a quarter: below a power of two, numbers are half as far apart as above it.
        let is_consistent = (!verdict.is_nearest || verdict.ulp <= 0.5)
            && (verdict.is_nearest || verdict.ulp >= 0.25);
        assert!(
            is_consistent,
            "{verdict:?}, {judge:?}, x {x:#x}, grad {grad:#x}, y {y:#x}"
        );
        if !verdict.is_allowed {
            let describe = |bits| format!("{:e} ({bits:#x})", value(judge.dtype, bits));
            panic!(
                "{name}: x {}, grad {} gives {}: {} ULP off, {judge:?}",
                describe(x),
                describe(grad),
                describe(y),
                verdict.ulp
            );
        }
    }
}

/// Returns the bits of a slice of `f32`.
pub fn f32_bits(values: &[f32]) -> Vec<u64> {
    values.iter().map(|v| v.to_bits().into()).collect()
}
