//! The CPU path and every adapter against the oracle.

use wgpu_elu::{
    DType, Elu, Error, Factors, cpu,
    half::{bf16, f16},
    shader::Op,
};

use crate::{
    everywhere::{
        SPECIAL_BITS, check, check_results, compute, everywhere, f32_bits, judge, on_every_device,
        special_alphas, supports, varied, wide_float64,
    },
    judge::{bits, value},
};

const HALVES: [DType; 2] = [DType::F16, DType::BF16];

/// Gradients of every kind.
const GRADS: [f64; 12] = [
    1.0,
    -1.0,
    0.731_058_6,
    -3.3,
    1e-3,
    1234.567,
    -1e10,
    1e-20,
    -1e-35,
    3e38,
    0.0,
    -0.0,
];

/// ELU, SELU, CELU and all three factors at once.
fn families() -> Vec<Factors> {
    vec![
        Factors::SELU,
        Factors::celu(2.0).unwrap(),
        Factors::celu(0.3).unwrap(),
        Factors::celu(1e10).unwrap(),
        Factors::new(0.5, 3.0, 0.7).unwrap(),
        Factors::new(-1.5, 0.2, 5.0).unwrap(),
    ]
}

/// The special values of a format: those of `f32` as far as it has them, and its own ends.
fn specials(dtype: DType) -> Vec<u64> {
    let mut all: Vec<u64> = SPECIAL_BITS
        .iter()
        .map(|&special| bits(dtype, f32::from_bits(special).into()))
        .collect();
    let [infinity, sign] = match dtype {
        DType::F16 => [0x7c00, 0x8000],
        DType::BF16 => [0x7f80, 0x8000],
        DType::F32 => [0x7f80_0000, 0x8000_0000],
        _ => [f64::INFINITY.to_bits(), (-0.0f64).to_bits()],
    };
    // The smallest, the largest, infinity, and NaN with the smallest payload.
    let ends = [0, 1, 2, infinity - 1, infinity, infinity + 1];
    all.extend(ends.into_iter().flat_map(|bits| [bits, bits | sign]));
    all
}

fn ops(factors: Factors) -> impl Iterator<Item = Op> {
    let invertible = factors.alpha() > 0.0 && factors.alpha().is_finite();
    Op::ALL
        .into_iter()
        .filter(move |&op| op != Op::BackwardFromOutput || invertible)
}

/// Every pair of `x` and `grad`.
fn pairs(x: &[u64], grad: &[u64]) -> (Vec<u64>, Vec<u64>) {
    x.iter()
        .flat_map(|&x| grad.iter().map(move |&grad| (x, grad)))
        .unzip()
}

#[everywhere]
async fn special_values_with_special_alphas() {
    on_every_device(async |place| {
        for dtype in DType::ALL {
            if !supports(place.device, dtype) {
                continue;
            }
            let x = specials(dtype);
            let (xs, grads) = pairs(&x, &x);
            let alphas = special_alphas()
                .into_iter()
                .map(|alpha| Factors::elu(alpha.into()));
            for factors in alphas.chain(families()) {
                for op in ops(factors) {
                    let judge = judge(op, dtype, factors);
                    if op == Op::Forward {
                        check(place, judge, &x, &[]).await;
                    } else {
                        check(place, judge, &xs, &grads).await;
                    }
                }
            }
        }
    })
    .await;
}

#[everywhere]
async fn every_97th_float32() {
    const STEP: u64 = 97;
    // In pieces, since a software adapter's memory is this machine's. A piece is no multiple of a vector.
    const PIECE: usize = (1 << 22) + 3;
    let count = (1u64 << 32).div_ceil(STEP);
    on_every_device(async |place| {
        let judge = judge(Op::Forward, DType::F32, 1.0);
        for start in (0..count).step_by(PIECE) {
            let x: Vec<u64> = (start..count.min(start + PIECE as u64))
                .map(|i| i * STEP)
                .collect();
            check(place, judge, &x, &[]).await;
        }
    })
    .await;
}

#[everywhere]
async fn other_factors_over_the_whole_range_of_float32() {
    let x: Vec<u64> = (0..1u64 << 16).map(|i| 0x8000_0000 | i << 15).collect();
    let alphas = [
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
    ];
    on_every_device(async |place| {
        for factors in alphas.into_iter().map(Factors::elu).chain(families()) {
            check(place, judge(Op::Forward, DType::F32, factors), &x, &[]).await;
        }
    })
    .await;
}

#[everywhere]
async fn gradients_over_the_whole_range_of_float32() {
    // Densely from -256 to -2^-28, where exp changes, and sparsely everywhere.
    let dense = (0xb180_0000..0xc380_0000u64).step_by(1511);
    let sparse = (0..1u64 << 32).step_by(65_537);
    let x: Vec<u64> = dense.chain(sparse).collect();
    let grad: Vec<u64> = (0..x.len())
        .map(|i| {
            bits(
                DType::F32,
                GRADS[i % GRADS.len()] * (1.0 + 0.1 * (i % 101) as f64),
            )
        })
        .collect();
    let elus = [1.0, 0.3, 1.999_999_9, -0.7, 50.0].map(Factors::elu);
    on_every_device(async |place| {
        for factors in elus.into_iter().chain(families()) {
            for op in ops(factors).filter(|op| op.has_grad()) {
                check(place, judge(op, DType::F32, factors), &x, &grad).await;
            }
        }
    })
    .await;
}

#[everywhere]
async fn every_number_of_16_bits() {
    let x: Vec<u64> = (0..1 << 16).collect();
    let elus = [1.0, 0.3, 1.7, -2.0].map(Factors::elu);
    on_every_device(async |place| {
        for dtype in HALVES {
            for factors in elus.into_iter().chain(families()) {
                for op in ops(factors) {
                    let judge = judge(op, dtype, factors);
                    if op == Op::Forward {
                        check(place, judge, &x, &[]).await;
                        continue;
                    }
                    for grad in [1.0, -0.37, 300.0] {
                        check(place, judge, &x, &vec![bits(dtype, grad); x.len()]).await;
                    }
                }
            }
        }
    })
    .await;
}

#[everywhere]
async fn float64_over_the_whole_range() {
    let x = wide_float64();
    let grad: Vec<u64> = (0..x.len())
        .map(|i| GRADS[i % GRADS.len()].to_bits())
        .collect();
    let elus = [1.0, 0.3, 1.999_999_9, -0.7].map(Factors::elu);
    on_every_device(async |place| {
        if !supports(place.device, DType::F64) {
            return;
        }
        for factors in elus.into_iter().chain(families()) {
            for op in ops(factors) {
                check(place, judge(op, DType::F64, factors), &x, &grad).await;
            }
        }
    })
    .await;
}

#[everywhere]
async fn the_same_x_gives_the_same_bits_in_every_position() {
    on_every_device(async |place| {
        for dtype in DType::ALL {
            if !supports(place.device, dtype) {
                continue;
            }
            for factors in [Factors::elu(1.0), Factors::elu(0.7), Factors::SELU] {
                for op in ops(factors) {
                    let judge = judge(op, dtype, factors);
                    for x in [-1.0, -0.286_867_7, -1e-4, -1e-40, -17.3, 2.5] {
                        let (x, grad) = (bits(dtype, x), bits(dtype, 0.6));
                        let alone = compute(place, judge, &[x], &[grad]).await[0];
                        for len in [2, 3, 5, 17, 67, 1031, 300_003] {
                            let all = compute(place, judge, &vec![x; len], &vec![grad; len]).await;
                            let other = all.iter().position(|&y| y != alone);
                            assert_eq!(
                                other,
                                None,
                                "{}: {judge:?}, x {:e} among {len}",
                                place.name,
                                value(dtype, x)
                            );
                        }
                    }
                }
            }
        }
    })
    .await;
}

/// Slices of every small length, at an odd place within a larger one, apart and in place.
#[everywhere]
async fn cpu_slices_of_every_length() {
    fn lengths<E: wgpu_elu::Element + PartialEq + std::fmt::Debug>(from: fn(f32) -> E) {
        let bits_of = |values: &[E]| -> Vec<u64> {
            let bytes: &[u8] = bytemuck::cast_slice(values);
            bytes
                .chunks(size_of::<E>())
                .map(|bytes| {
                    let mut whole = [0; 8];
                    whole[..bytes.len()].copy_from_slice(bytes);
                    u64::from_le_bytes(whole)
                })
                .collect()
        };
        let untouched = from(-12345.5);
        let judge = |op| crate::judge::Judge {
            op,
            dtype: E::DTYPE,
            factors: Factors::elu(0.7),
        };
        for len in (0..=67).chain([255, 256, 257, (1 << 16) + 1, (1 << 18) + 7]) {
            let x: Vec<E> = varied(len + 2).into_iter().map(from).collect();
            let grad: Vec<E> = x.iter().rev().copied().collect();
            let (x_in, grad_in) = (&x[1..=len], &grad[1..=len]);
            let few = len.min(300); // f64's oracle is slow
            let run =
                |op: Op, apart: &dyn Fn(&mut [E]), in_place: &dyn Fn(&mut [E]), start: &[E]| {
                    let mut y = vec![untouched; len + 2];
                    apart(&mut y[1..=len]);
                    assert_eq!(
                        (y[0], y[len + 1]),
                        (untouched, untouched),
                        "neighbours of {len}"
                    );
                    let (x, grad, results) =
                        (bits_of(x_in), bits_of(grad_in), bits_of(&y[1..=len]));
                    check_results(
                        "the CPU",
                        judge(op),
                        &x[..few],
                        &grad[..few],
                        &results[..few],
                    );
                    let mut over = start.to_vec();
                    in_place(&mut over[1..=len]);
                    assert_eq!(over[1..=len], y[1..=len], "in place, {len} elements");
                    assert_eq!((over[0], over[len + 1]), (start[0], start[len + 1]));
                };
            run(
                Op::Forward,
                &|y| cpu::forward(0.7, x_in, y).unwrap(),
                &|y| cpu::forward_in_place(0.7, y),
                &x,
            );
            run(
                Op::Backward,
                &|out| cpu::backward(0.7, x_in, grad_in, out).unwrap(),
                &|grad| cpu::backward_in_place(0.7, x_in, grad).unwrap(),
                &grad,
            );
            run(
                Op::BackwardFromOutput,
                &|out| cpu::backward_from_output(0.7, x_in, grad_in, out).unwrap(),
                &|grad| cpu::backward_from_output_in_place(0.7, x_in, grad).unwrap(),
                &grad,
            );
        }
    }
    lengths(|v| v);
    lengths(f64::from);
    lengths(f16::from_f32);
    lengths(bf16::from_f32);
}

#[everywhere]
async fn cpu_refusals() {
    let mut y = [7.0f32; 2];
    let error = cpu::forward(1.0, &[-1.0; 3], &mut y).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the output must be as long as the input: needed 3 elements, found 2"
    );
    let error = cpu::backward(1.0, &[-1.0; 2], &[1.0; 3], &mut y).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the gradient must be as long as the input: needed 2 elements, found 3"
    );
    let error = cpu::backward_in_place(1.0, &[-1.0; 3], &mut y).unwrap_err();
    assert!(matches!(
        error,
        Error::LengthMismatch {
            needed: 3,
            found: 2,
            ..
        }
    ));
    for alpha in [0.0, -1.0, f64::INFINITY, f64::NAN, 1e-50] {
        let error = cpu::backward_from_output_in_place(alpha, &[-1.0; 2], &mut y).unwrap_err();
        assert!(matches!(error, Error::NotInvertible { .. }), "{alpha}");
    }
    let text = |found, arithmetic| {
        format!(
            "the gradient from the output needs alpha * scale positive and finite in {arithmetic}, found {found}: \
             otherwise the output does not tell the slope; call the backward that takes the input"
        )
    };
    for (alpha, found) in [(-1.0, "-1e0"), (1e-50, "1e-50"), (f64::INFINITY, "inf")] {
        let error = cpu::backward_from_output(alpha, &[-1.0; 2], &[1.0; 2], &mut y).unwrap_err();
        assert_eq!(error.to_string(), text(found, "float32"));
    }
    // float64 has a number for it.
    cpu::backward_from_output_in_place(1e-50, &[-1e-60], &mut [1.0]).unwrap();
    let tiny = Factors::new(1e-320, 0.5f64.powi(20), 1.0).unwrap();
    let error = cpu::backward_from_output_in_place(tiny, &[-1e-60], &mut [1.0]).unwrap_err();
    assert_eq!(error.to_string(), text("0e0", "float64"));
    assert_eq!(y, [7.0; 2]);
}

#[everywhere]
async fn factors_out_of_range_are_refused() {
    for (made, text) in [
        (
            Elu::celu(0.0).map(drop),
            "alpha must be between 2^-64 and 2^64, found 0",
        ),
        (
            Elu::celu(-1.0).map(drop),
            "alpha must be between 2^-64 and 2^64, found -1",
        ),
        (
            Factors::new(1.0, f64::NAN, 1.0).map(drop),
            "scale must be between 2^-64 and 2^64, found NaN",
        ),
        (
            Factors::new(1.0, 1.0, -2.0).map(drop),
            "input_scale must be between 2^-64 and 2^64, found -2",
        ),
    ] {
        assert_eq!(made.unwrap_err().to_string(), text);
    }
}

/// With a small alpha even subnormal results are within an ULP, since the product is made at a larger scale.
#[everywhere]
async fn cpu_small_alphas_where_results_are_subnormal() {
    let x: Vec<f32> = (0xb300_0000..0xc198_0000u32)
        .step_by(997)
        .map(f32::from_bits)
        .collect();
    let mut y = vec![0.0; x.len()];
    for alpha in [1e-33f32, -1e-36, 2.1e-38, 1e-40] {
        cpu::forward(f64::from(alpha), &x, &mut y).unwrap();
        // As strict as with alpha = 1: no allowance for what underflows.
        let judge = crate::judge::Judge {
            op: Op::Forward,
            dtype: DType::F32,
            factors: Factors::elu(alpha.into()),
        };
        for (x, y) in f32_bits(&x).into_iter().zip(f32_bits(&y)) {
            assert!(judge.judge(x, 0, y).ulp <= 1.0, "x {x:#x}, alpha {alpha:e}");
        }
    }
}
