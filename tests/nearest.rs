//! `Rounding::Nearest`: every result of the CPU path is the nearest number. That kernels have the same bits is tested
//! in tests/conformance/src/nearest.rs.

use conformance::native::{announce, on_every_gpu};
use wgpu_elu::{
    DType, Device, Elu, Factors, Kernel, Op, Rounding, Stream, Tensor,
    accuracy::{self, Extent},
    cpu,
    layer::Layer,
    shader::{self, Shared},
};

fn nearest(elu: impl Into<Elu>) -> Elu {
    elu.into().with_rounding(Rounding::Nearest)
}

fn forward(elu: impl Into<Elu>, x: f32) -> f32 {
    let mut y = [0.0];
    cpu::forward(nearest(elu), &[x], &mut y).unwrap();
    y[0]
}

/// The judge computes the exact values in another way: with `f64` and big floats.
#[test]
fn the_judge_finds_only_nearest_numbers() {
    for dtype in DType::ALL {
        for op in Op::ALL {
            for elu in [Elu::new(1.0), Elu::new(1.5), Elu::selu()] {
                let elu = nearest(elu);
                let report =
                    accuracy::check_blocking(&Device::Cpu, op, dtype, elu, Extent::Few).unwrap();
                assert!(report.is_kept(), "{report}");
                assert!(report.others().factors() > 50);
            }
        }
    }
}

/// Of the exact results for all 2^32 `x` with alpha 1, these two are the closest to the middle between two floats.
#[test]
fn the_hardest_inputs_are_rounded_right() {
    for (x, y) in [
        (0xb675_cbfc_u32, 0xb675_cbdf_u32),
        (0xbeb9_8797, 0xbe9b_a1f7),
    ] {
        assert_eq!(forward(1.0, f32::from_bits(x)).to_bits(), y, "{x:#x}");
    }
}

/// `alpha * x` is in the middle between two floats. The exact result is a little closer to 0 than that, so it is not
/// rounded to even.
#[test]
fn ties_of_tiny_inputs_are_decided_by_the_next_term() {
    for exponent in [30, 40, 60, 100] {
        let unit = 0.5f32.powi(exponent);
        let ulp = f32::EPSILON * unit;
        for odd in [1.0, 3.0, 5.0, 7.0] {
            let x = -(unit + odd * ulp);
            let exact = 1.5 * f64::from(x) * (1.0 + 0.5 * f64::from(x));
            let middle = 1.5 * f64::from(x);
            #[expect(clippy::cast_possible_truncation, reason = "the numbers are floats")]
            let [lower, upper] = [-0.5, 0.5].map(|half| (middle + half * f64::from(ulp)) as f32);
            assert_eq!(f64::from(lower) + f64::from(upper), 2.0 * middle);
            assert!(exact >= middle);
            assert_eq!(forward(1.5, x).to_bits(), upper.to_bits(), "{x:e}");
        }
    }
}

#[test]
fn special_values_are_as_documented() {
    let payload = f32::from_bits(0xffc0_1234);
    assert_eq!(forward(2.0, payload).to_bits(), payload.to_bits());
    assert_eq!(forward(2.0, -0.0).to_bits(), (-0.0f32).to_bits());
    assert_eq!(forward(2.0, f32::INFINITY), f32::INFINITY);
    assert_eq!(forward(2.0, f32::NEG_INFINITY), -2.0);
    assert_eq!(forward(f64::INFINITY, -1.0), f32::NEG_INFINITY);
    assert_eq!(forward(0.0, -1.0).to_bits(), (-0.0f32).to_bits());
    assert_eq!(forward(f64::NAN, -1.0).to_bits(), 0x7fc0_0000);
    let mut out = [0.0f32; 3];
    let grad = [payload, f32::INFINITY, 1.0];
    cpu::backward(
        nearest(1.0),
        &[-1.0, -200.0, f32::NEG_INFINITY],
        &grad,
        &mut out,
    )
    .unwrap();
    assert_eq!(out.map(f32::to_bits), [0x7fc0_0000, 0x7fc0_0000, 0]);
}

#[test]
fn kernels_refuse_float64() {
    on_every_gpu(|gpu, name| {
        let elu = nearest(1.0);
        let message = "nearest rounding of float64 is computed on the CPU path only";
        let error = shader::source(
            DType::F64,
            Op::Forward,
            Rounding::Nearest,
            Shared::default(),
        );
        assert_eq!(error.unwrap_err().to_string(), message, "{name}");
        if !gpu.supports(DType::F64) {
            return announce(&format!(
                "SKIPPED: nearest float64 on {name} (no SHADER_F64)"
            ));
        }
        let device = Device::from(gpu.clone());
        let x = Tensor::from_slice(&device, &[-1.0f64], &[1]).unwrap();
        assert_eq!(elu.forward(&x).unwrap_err().to_string(), message, "{name}");
        let kernel = Kernel::new(gpu.device(), DType::F64).unwrap();
        let error = kernel.compile(Op::Forward, elu, Shared::default());
        assert_eq!(error.unwrap_err().to_string(), message, "{name}");
        let error = Stream::new(&device, elu, DType::F64);
        assert_eq!(error.unwrap_err().to_string(), message, "{name}");
    });
}

#[test]
fn a_stream_and_a_tensor_on_the_cpu_round_to_nearest() {
    let elu = nearest(Factors::celu(0.3).unwrap());
    let x: Vec<f32> = (0..1000).map(|i| i as f32 * -0.01).collect();
    let mut y = vec![0.0; x.len()];
    cpu::forward(elu, &x, &mut y).unwrap();
    let tensor = Tensor::from_slice(&Device::Cpu, &x, &[1000]).unwrap();
    let of_tensor = elu.forward(&tensor).unwrap();
    assert_eq!(of_tensor.to_vec_blocking::<f32>().unwrap(), y);
    let mut of_stream = vec![0.0; x.len()];
    let mut stream = Stream::new(&Device::Cpu, elu, DType::F32).unwrap();
    stream.forward_slice_blocking(&x, &mut of_stream).unwrap();
    assert_eq!(of_stream, y);
}

#[test]
fn a_layer_rounds_to_nearest() {
    let mut layer = Layer::new(0.3).unwrap();
    assert_eq!(layer.rounding(), Rounding::Faithful);
    layer.set_rounding(Rounding::Nearest);
    assert_eq!(layer.rounding(), Rounding::Nearest);
    let x: Vec<f32> = (0..1000).map(|i| i as f32 * -0.01).collect();
    let grad = vec![0.7; x.len()];
    let tensor = |data: &[f32]| Tensor::from_slice(&Device::Cpu, data, &[1000]).unwrap();
    let elu = nearest(0.3);
    let mut needed = vec![0.0; x.len()];
    cpu::forward(elu, &x, &mut needed).unwrap();
    let found = layer.call(&tensor(&x)).unwrap();
    assert_eq!(found.to_vec_blocking::<f32>().unwrap(), needed);
    cpu::backward(elu, &x, &grad, &mut needed).unwrap();
    let found = layer.backward(&tensor(&x), &tensor(&grad)).unwrap();
    assert_eq!(found.to_vec_blocking::<f32>().unwrap(), needed);
}

/// Otherwise the tests above would not need the nearest formulas.
#[test]
fn faithful_results_differ() {
    let x: Vec<f32> = (0..1000).map(|i| i as f32 * -0.001).collect();
    let [mut faithful, mut nearest] = [vec![0.0; x.len()], vec![0.0; x.len()]];
    cpu::forward(1.0, &x, &mut faithful).unwrap();
    cpu::forward(self::nearest(1.0), &x, &mut nearest).unwrap();
    assert_ne!(faithful, nearest);
}
