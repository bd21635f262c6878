//! Helpers for tests that run natively and in a browser's page: tables of cases, and comparison in ULP.

use wgpu_elu::{DType, Device, Elu, Error, Gpu, Op, Tensor};

use crate::{gpus, no_complaints};
use wgpu_elu::accuracy::{self, Judge, value};

/// Marks an `async` test. Natively it blocks; in a page the event loop runs it.
#[cfg(test)]
pub use pollster::test as everywhere;
#[cfg(target_family = "wasm")]
pub use wasm_bindgen_test::wasm_bindgen_test as everywhere;

/// Floats at which something changes: the ends of the formats, of the branches and of the ranges.
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
        0x3eb1_7217, // just below ln 2 / 2
        0x3eb1_7218, // ln 2 / 2, where the range reduction begins
        0x3f31_7218, // ln 2
        0x3f80_0000, // 1
        0x4120_0000, // 10
        0x418a_a123, // 17.33, where the result rounds to -1
        0x4190_0000, // 18, where the shaders clamp
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

/// Returns alphas at the ends of all ranges. All are exact in f32.
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

/// Returns bits of float64: dense for every exponent from -2^-60 to -1024, sparse elsewhere.
pub fn wide_float64() -> Vec<u64> {
    let low = (-(0.5f64.powi(60))).to_bits();
    let step = (1 << 52) / 37 + 12_345;
    let dense = (0..70 * 36).map(|i| low + i * step);
    let sparse = (0..1000u64).map(|i| i * (u64::MAX / 1000));
    dense.chain(sparse).collect()
}

/// Returns a few numbers of every kind, for tests of the positions of results.
pub fn varied(len: usize) -> Vec<f32> {
    (0..len)
        .map(|i| ((i * 7919 + 13) % 4001) as f32 / 1000.0 - 2.5)
        .collect()
}

/// A device under test.
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

/// Runs `test` on every adapter, and checks that wgpu logged no warning.
pub async fn on_every_gpu(test: impl AsyncFn(&Gpu, &str)) {
    for gpu in gpus().await {
        test(gpu, &Device::Gpu(gpu.clone()).to_string()).await;
    }
    no_complaints();
}

/// Returns whether the device supports this dtype. A GPU without `SHADER_F64` must report that.
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

/// Returns the judge of a device's results.
pub fn judge(op: Op, dtype: DType, elu: impl Into<Elu>) -> Judge {
    Judge {
        op,
        dtype,
        elu: elu.into(),
    }
}

/// Creates a tensor with these bits.
pub fn tensor(device: &Device, dtype: DType, bits: &[u64]) -> Tensor {
    shaped(device, dtype, bits, &[bits.len()])
}

pub fn shaped(device: &Device, dtype: DType, bits: &[u64], shape: &[usize]) -> Tensor {
    Tensor::from_bytes(device, dtype, &accuracy::to_bytes(dtype, bits), shape).unwrap()
}

pub async fn bits_of(tensor: &Tensor) -> Vec<u64> {
    accuracy::from_bytes(tensor.dtype(), &tensor.to_bytes().await.unwrap())
}

/// Returns the device's results for `x` and, for a gradient, `grad`.
pub async fn compute(target: TestDevice<'_>, judge: Judge, x: &[u64], grad: &[u64]) -> Vec<u64> {
    accuracy::compute(target.device, judge, x, grad)
        .await
        .unwrap()
}

/// Panics unless every result is within the contract. `grad` is as long as `x`, or empty for forward.
pub async fn check(target: TestDevice<'_>, judge: Judge, x: &[u64], grad: &[u64]) {
    let y = compute(target, judge, x, grad).await;
    check_results(target.name, judge, x, grad, &y);
}

#[track_caller]
pub fn check_results(name: &str, judge: Judge, x: &[u64], grad: &[u64], y: &[u64]) {
    assert_eq!(x.len(), y.len());
    for (i, (&x, &y)) in x.iter().zip(y).enumerate() {
        let grad = grad.get(i).copied().unwrap_or_default();
        let verdict = judge.judge(x, grad, y);
        // Checks that the verdict on "nearest" agrees with the error in ULP. Just below a power of two, half of the
        // spacing is a quarter of the spacing above.
        let agrees = (!verdict.is_nearest || verdict.ulp <= 0.5)
            && (verdict.is_nearest || verdict.ulp >= 0.25);
        assert!(
            agrees,
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
