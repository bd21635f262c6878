//! Tests of the functions for other people's shaders.

use crate::everywhere::{
    bits_of, check_results, everywhere, judge, on_every_gpu, supports, tensor, wide_float64,
};
use wgpu_elu::accuracy::{bits, value};
use wgpu_elu::{DType, Device, Elu, Op, shader::function, wgpu};

use super::*;

/// Puts the functions before the host's shader.
fn before(dtype: DType, host: &str, _: &str) -> wgpu::ShaderSource<'static> {
    wgpu::ShaderSource::Wgsl(format!("{}\n{host}", function(dtype)).into())
}

/// Puts the functions after the host's shader.
fn after(dtype: DType, host: &str, _: &str) -> wgpu::ShaderSource<'static> {
    wgpu::ShaderSource::Wgsl(format!("{host}\n{}", function(dtype)).into())
}

#[everywhere]
async fn special_values_and_alphas_keep_the_contract() {
    on_every_dtype(async |gpu, name, dtype| {
        for join in [before, after] {
            check_all(gpu, name, join, dtype, &special_values(dtype), &alphas()).await;
        }
    })
    .await;
}

/// If the shader reads alpha at run time, the results have the same bits as the kernel's.
#[everywhere]
async fn results_equal_those_of_the_kernel() {
    on_every_dtype(async |gpu, name, dtype| {
        let x: Vec<u64> = match dtype {
            DType::F32 => (0x8000_0000..0xc200_0000u64).step_by(99_991).collect(),
            DType::F64 => (0..20_000)
                .map(|i| (-2e-3 * f64::from(i)).to_bits())
                .collect(),
            _ => (0..1 << 16).collect(),
        };
        let x = &x[..x.len() / 4 * 4];
        let (wgsl_float, float) = alpha_type(dtype);
        for (element, size, call, import) in calls(dtype, "alpha") {
            let host = host_shader(element, wgsl_float, &call);
            let compiled = Compiled::new(gpu, after(dtype, &host, import), size);
            for alpha in [1.0, 0.3, -1.7, 1e-30, 3e37] {
                let alpha = value(float, bits(float, alpha));
                let y = compiled.run(dtype, x, (float, bits(float, alpha))).await;
                let kernels = Elu::new(alpha)
                    .forward(&tensor(&Device::Gpu(gpu.clone()), dtype, x))
                    .unwrap();
                assert!(y == bits_of(&kernels).await, "{name}, {call}, {alpha}");
            }
        }
    })
    .await;
}

#[everywhere]
async fn every_997th_float32_keeps_the_contract() {
    let x: Vec<u64> = (0..1u64 << 32).step_by(997).collect();
    let negative: Vec<u64> = (0..1u64 << 16).map(|i| 0x8000_0000 | i << 15).collect();
    let alphas = [
        0.3f32,
        1.999_999_9,
        -0.7,
        3e5,
        1e-5,
        6e-20,
        5e-20,
        -1e-36,
        3e-37,
    ]
    .map(f64::from);
    on_every_gpu(async |gpu, name| {
        let x = &x[..x.len() / 4 * 4];
        check_all(gpu, name, after, DType::F32, x, &[1.0]).await;
        check_all(gpu, name, after, DType::F32, &negative, &alphas).await;
    })
    .await;
}

/// If alpha is a literal in the shader, a driver can remove arithmetic.
#[everywhere]
async fn literal_alphas_keep_the_contract() {
    let dense: Vec<u64> = (0x8000_0000..0xff80_0004u64).step_by(9973).collect();
    on_every_dtype(async |gpu, name, dtype| {
        let x: Vec<u64> = match dtype {
            DType::F32 => dense.iter().copied().chain(special_values(dtype)).collect(),
            DType::F64 => special_values(dtype),
            _ => (0..1 << 16).collect(),
        };
        let x = &x[..x.len() / 4 * 4];
        let (wgsl_float, float) = alpha_type(dtype);
        for alpha in [1.0, 0.0, 0.3, -1.7] {
            let exact = value(float, bits(float, alpha));
            for (element, size, call, import) in calls(dtype, &format!("{wgsl_float}({alpha:?})")) {
                let host = host_shader(element, wgsl_float, &call);
                let compiled = Compiled::new(gpu, before(dtype, &host, import), size);
                let y = compiled.run(dtype, x, (float, 0)).await;
                let judge = judge(Op::Forward, dtype, exact);
                check_results(&format!("{name}, {call}"), judge, x, &[], &y);
            }
        }
    })
    .await;
}

#[everywhere]
async fn every_16_bit_number_in_a_pair_keeps_the_contract() {
    // The two halves of a word are far apart, so that swapped halves show.
    let x: Vec<u64> = (0..1u64 << 16)
        .flat_map(|i| [i, (i * 40_503) & 0xffff])
        .collect();
    on_every_gpu(async |gpu, name| {
        for dtype in [DType::F16, DType::BF16] {
            check_all(gpu, name, before, dtype, &x, &[1.0, 0.5, -2.0]).await;
        }
    })
    .await;
}

#[everywhere]
async fn float64_keeps_the_contract_over_its_whole_range() {
    let x = wide_float64();
    // Includes alphas near the end of float32's range, because earlier arithmetic kept the low part of alpha in an f32.
    let alphas = [
        1.0,
        0.3,
        1.999_999_9,
        -0.7,
        1e-300,
        1e-40,
        0.99e38,
        1.01e38,
        3e99,
        -1.7e308,
    ];
    on_every_gpu(async |gpu, name| {
        if supports(&Device::Gpu(gpu.clone()), DType::F64) {
            check_all(gpu, name, before, DType::F64, &x, &alphas).await;
        }
    })
    .await;
}
