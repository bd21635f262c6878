//! The CPU path and every adapter against the oracle.

use wgpu_elu::{DType, Device, Kernel, Tensor, cpu, reference, wgpu};

use crate::common::{
    CPU_UNDERFLOW, GPU_UNDERFLOW, MAX_ULP, SPECIAL_BITS, check, on_every_gpu, special_alphas,
    ulp_error, varied,
};

/// What an output holds before: a number that ELU never gives.
const POISON: f32 = -12345.5;

type Forward<'a> = &'a dyn Fn(f32, &[f32]) -> Vec<f32>;

/// Runs `test` with a name, a forward function and what an underflow may cost: the CPU path and every adapter.
fn on_every_device(test: impl Fn(&str, Forward<'_>, f64)) {
    let on_cpu = |alpha: f32, x: &[f32]| {
        let mut y = vec![POISON; x.len()];
        cpu::forward(alpha.into(), x, &mut y).unwrap();
        y
    };
    test("the CPU", &on_cpu, CPU_UNDERFLOW);
    on_every_gpu(|gpu, name| {
        let device = Device::Gpu(gpu.clone());
        let kernel = Kernel::new(gpu.device(), DType::F32).unwrap();
        let on_gpu = |alpha: f32, x: &[f32]| {
            let y = Tensor::from_vec(&device, vec![POISON; x.len()], &[x.len()]).unwrap();
            let x = Tensor::from_slice(&device, x, &[x.len()]).unwrap();
            let (from, to) = (x.as_buffer_slice().unwrap(), y.as_buffer_slice().unwrap());
            let step = kernel.prepare(alpha.into(), from, to).unwrap();
            let mut encoder = gpu
                .device()
                .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            step.record(&mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()));
            gpu.queue().submit([encoder.finish()]);
            y.to_vec_blocking::<f32>().unwrap()
        };
        test(name, &on_gpu, GPU_UNDERFLOW);
    });
}

#[test]
fn special_values_with_special_alphas() {
    let x = SPECIAL_BITS.map(f32::from_bits);
    on_every_device(|name, forward, underflow| {
        for alpha in special_alphas() {
            for (&x, y) in x.iter().zip(forward(alpha, &x)) {
                check(name, x, alpha, y, underflow);
            }
        }
    });
}

#[test]
fn every_97th_float() {
    const STEP: u32 = 97;
    // In pieces, since a software adapter's memory is this machine's. A piece is no multiple of a vector.
    const PIECE: u32 = (1 << 22) + 3;
    let count = u32::try_from((1u64 << 32).div_ceil(STEP.into())).unwrap();
    on_every_device(|name, forward, underflow| {
        for start in (0..count).step_by(PIECE as usize) {
            let bits = (start..count.min(start + PIECE)).map(|i| i * STEP);
            let x: Vec<f32> = bits.map(f32::from_bits).collect();
            for (&x, y) in x.iter().zip(forward(1.0, &x)) {
                check(name, x, 1.0, y, underflow);
            }
        }
    });
}

#[test]
fn other_alphas_over_the_whole_range() {
    let x: Vec<f32> = (0..1u32 << 16)
        .map(|i| f32::from_bits(0x8000_0000 | i << 15))
        .collect();
    on_every_device(|name, forward, underflow| {
        for alpha in [
            0.3,
            1.673_263_2,
            1.999_999_9,
            -0.7,
            3e5,
            1e-5,
            6e-20,
            5e-20,
            1e-30,
            1e-33,
            -1e-36,
            3e-37,
            7e-38,
            -2.1e-38,
        ] {
            for (&x, y) in x.iter().zip(forward(alpha, &x)) {
                check(name, x, alpha, y, underflow);
            }
        }
    });
}

#[test]
fn the_same_x_gives_the_same_bits_in_every_position() {
    on_every_device(|name, forward, _| {
        for alpha in [1.0, 0.7] {
            for x in [-1.0, -0.286_867_7, -1e-4, -1e-40, -17.3, 2.5f32] {
                let alone = forward(alpha, &[x])[0].to_bits();
                for len in [2, 3, 5, 17, 67, 1031, 300_003] {
                    for (i, y) in forward(alpha, &vec![x; len]).into_iter().enumerate() {
                        assert_eq!(
                            y.to_bits(),
                            alone,
                            "{name}: x {x}, alpha {alpha}, at {i} of {len}"
                        );
                    }
                }
            }
        }
    });
}

#[test]
fn cpu_slices_of_every_length() {
    for len in (0..=67).chain([
        255,
        256,
        257,
        (1 << 16) - 1,
        1 << 16,
        (1 << 16) + 1,
        (1 << 18) + 7,
    ]) {
        let x = varied(len + 2);
        let mut y = vec![f32::NAN; len + 2];
        cpu::forward(0.7, &x[1..=len], &mut y[1..=len]).unwrap();
        assert!(
            y[0].is_nan() && y[len + 1].is_nan(),
            "neighbours of {len} elements"
        );
        for i in 1..=len {
            check("the CPU", x[i], 0.7, y[i], CPU_UNDERFLOW);
        }
        let mut in_place = x.clone();
        cpu::forward_in_place(0.7, &mut in_place[1..=len]);
        assert_eq!(in_place[1..=len], y[1..=len], "in place, {len} elements");
        assert_eq!(
            (in_place[0], in_place[len + 1]),
            (x[0], x[len + 1]),
            "neighbours in place of {len} elements"
        );
    }
}

#[test]
fn cpu_slices_of_different_lengths_are_refused() {
    let mut y = [7.0; 2];
    let error = cpu::forward(1.0, &[-1.0; 3], &mut y).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the output must be as long as the input: needed 3 elements, found 2"
    );
    assert_eq!(y, [7.0; 2]);
}

/// With a small alpha even subnormal results are within the contract, since the product is made at a larger scale.
#[test]
fn cpu_small_alphas_where_results_are_subnormal() {
    let x: Vec<f32> = (0xb300_0000..0xc198_0000u32)
        .step_by(997)
        .map(f32::from_bits)
        .collect();
    let mut y = vec![POISON; x.len()];
    for alpha in [1e-33f32, -1e-36, 2.1e-38, 1e-40] {
        cpu::forward(alpha.into(), &x, &mut y).unwrap();
        for (&x, &y) in x.iter().zip(&y) {
            let error = ulp_error(y, reference::elu(x.into(), alpha.into()));
            assert!(
                error <= MAX_ULP,
                "x {x:e}, alpha {alpha:e}, y {y:e}: {error} ULP off"
            );
        }
    }
}
