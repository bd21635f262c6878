//! The device that the tests share, and the judge of `wgpu_elu::accuracy`.

use std::sync::OnceLock;

use burn::tensor::{DType, Device, Tensor, TensorData};
use wgpu_elu_burn::wgpu_elu::{
    self, Elu, Op,
    accuracy::{Extent, Judge, Sample},
};

/// Burn's name and this project's name of each dtype.
pub(crate) const DTYPES: [(DType, wgpu_elu::DType); 4] = [
    (DType::F32, wgpu_elu::DType::F32),
    (DType::F16, wgpu_elu::DType::F16),
    (DType::BF16, wgpu_elu::DType::BF16),
    (DType::F64, wgpu_elu::DType::F64),
];

/// Returns burn's default wgpu device, registered, or `None` without an adapter.
pub(crate) fn device() -> Option<Device> {
    static DEVICE: OnceLock<Option<Device>> = OnceLock::new();
    let device = DEVICE.get_or_init(|| {
        if std::env::var("WGPU_ELU_GPU").is_ok_and(|value| value == "skip") {
            eprintln!("SKIPPED: WGPU_ELU_GPU is skip");
            return None;
        }
        let made = Device::wgpu_options().init_with_setup();
        if let Err(error) = &made {
            let required = std::env::var("WGPU_ELU_GPU").is_ok_and(|value| value == "require");
            assert!(!required, "{error}");
            eprintln!("SKIPPED: {error}");
        }
        let (device, setup) = made.ok()?;
        wgpu_elu_burn::init(&device, &setup).unwrap();
        Some(device)
    });
    device.clone()
}

/// Creates a tensor from the low bits of each number.
pub(crate) fn tensor(device: &Device, dtype: DType, bits: &[u64]) -> Tensor<1> {
    let bytes = bits
        .iter()
        .flat_map(|bits| bits.to_le_bytes()[..dtype.size()].to_vec());
    let data = TensorData::from_bytes_vec(bytes.collect(), [bits.len()], dtype);
    Tensor::from_data(data, (device, dtype))
}

/// Returns the bits of the elements in order.
pub(crate) fn bits<const D: usize>(tensor: Tensor<D>) -> Vec<u64> {
    bits_of(&tensor.try_into_data().unwrap())
}

/// Returns the bits of the elements in order.
pub(crate) fn bits_of(data: &TensorData) -> Vec<u64> {
    let size = data.dtype().size();
    let bits = |bytes: &[u8]| {
        let mut all = [0; 8];
        all[..size].copy_from_slice(bytes);
        u64::from_le_bytes(all)
    };
    data.as_bytes().chunks_exact(size).map(bits).collect()
}

/// Returns a judge and its sample of inputs and incoming gradients.
pub(crate) fn sample(
    op: Op,
    dtype: wgpu_elu::DType,
    elu: Elu,
    extent: Extent,
) -> (Judge, Vec<u64>, Vec<u64>) {
    let judge = Judge { op, dtype, elu };
    let sample = Sample::new(judge, extent);
    let (x, grad) = (0..sample.len()).map(|i| sample.pair(i)).unzip();
    (judge, x, grad)
}

/// Fails unless the judge allows every result. Returns the largest error in ULP.
#[track_caller]
pub(crate) fn check(judge: Judge, x: &[u64], grad: &[u64], y: &[u64]) -> f64 {
    assert_eq!((x.len(), grad.len()), (y.len(), y.len()));
    let mut largest = 0f64;
    for ((&x, &grad), &y) in x.iter().zip(grad).zip(y) {
        let verdict = judge.judge(x, grad, y);
        assert!(
            verdict.is_allowed,
            "{judge:?}: x {x:#x}, grad {grad:#x} gives {y:#x}, {} ULP",
            verdict.ulp
        );
        largest = largest.max(verdict.ulp);
    }
    largest
}

/// Fails unless `y` is ELU with `alpha` of `x` within the error bound of `float32`.
#[track_caller]
pub(crate) fn check_f32<const D: usize>(alpha: f64, x: Tensor<D>, y: Tensor<D>) {
    assert_eq!(x.shape(), y.shape());
    let judge = Judge {
        op: Op::Forward,
        dtype: wgpu_elu::DType::F32,
        elu: Elu::new(alpha),
    };
    let x = bits(x);
    check(judge, &x, &x, &bits(y));
}

/// Returns numbers between -8 and 1, most of them near zero.
pub(crate) fn numbers(len: usize) -> Vec<f32> {
    let number = |i: usize| {
        let x = 1.0 - ((i * 7919) % 9001) as f32 / 1000.0;
        if i.is_multiple_of(3) { x * 1e-6 } else { x }
    };
    (0..len).map(number).collect()
}

/// Returns a tensor of [`numbers`].
pub(crate) fn number_tensor<const D: usize>(device: &Device, shape: [usize; D]) -> Tensor<D> {
    let data = TensorData::new(numbers(shape.iter().product()), shape);
    Tensor::from_data(data, device)
}
