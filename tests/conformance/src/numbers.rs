//! Tests that the results of the CPU path and every adapter keep the contract. The judge compares them with exact
//! values.

use std::cell::RefCell;

use wgpu_elu::{
    DType, Elu, Error, Factors, Op, cpu,
    half::{bf16, f16},
};

use crate::everywhere::{
    SPECIAL_BITS, check, check_results, compute, everywhere, f32_bits, judge, on_every_device,
    special_alphas, supports, varied, wide_float64,
};
use wgpu_elu::accuracy::{Extent, Judge, Sample, bits, other_judges, value};

/// The 16-bit dtypes.
const HALVES: [DType; 2] = [DType::F16, DType::BF16];

/// Incoming gradients of both signs, from tiny to huge, and zeros.
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

/// Returns the factors of SELU and CELU, and combinations of all three factors.
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

/// Returns the numbers of [`SPECIAL_BITS`], rounded to the dtype, and the ends of the dtype's range.
fn special_values(dtype: DType) -> Vec<u64> {
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
    // Zero, the two smallest numbers, the largest number, infinity, and the NaN with the smallest payload.
    let ends = [0, 1, 2, infinity - 1, infinity, infinity + 1];
    all.extend(ends.into_iter().flat_map(|bits| [bits, bits | sign]));
    all
}

/// Returns the operations that work with these factors: the gradient from the output needs a positive finite alpha.
fn ops(factors: Factors) -> impl Iterator<Item = Op> {
    let invertible = factors.alpha() > 0.0 && factors.alpha().is_finite();
    Op::ALL
        .into_iter()
        .filter(move |&op| op != Op::BackwardFromOutput || invertible)
}

/// Returns all pairs of an `x` and a `grad`, as two lists.
fn pairs(x: &[u64], grad: &[u64]) -> (Vec<u64>, Vec<u64>) {
    x.iter()
        .flat_map(|&x| grad.iter().map(move |&grad| (x, grad)))
        .unzip()
}

#[everywhere]
async fn special_values_and_alphas_keep_the_contract() {
    on_every_device(async |target| {
        for dtype in DType::ALL {
            if !supports(target.device, dtype) {
                continue;
            }
            let x = special_values(dtype);
            let (xs, grads) = pairs(&x, &x);
            let alphas = special_alphas()
                .into_iter()
                .map(|alpha| Factors::elu(alpha.into()));
            for factors in alphas.chain(families()) {
                for op in ops(factors) {
                    let judge = judge(op, dtype, factors);
                    if op == Op::Forward {
                        check(target, judge, &x, &[]).await;
                    } else {
                        check(target, judge, &xs, &grads).await;
                    }
                }
            }
        }
    })
    .await;
}

#[everywhere]
async fn every_97th_float32_keeps_the_contract() {
    const STEP: u64 = 97;
    // In pieces, because a software adapter uses this machine's memory. The length of a piece is not a multiple of 4,
    // so that its vectors leave a tail.
    const PIECE: usize = (1 << 22) + 3;
    let count = (1u64 << 32).div_ceil(STEP);
    on_every_device(async |target| {
        let judge = judge(Op::Forward, DType::F32, 1.0);
        for start in (0..count).step_by(PIECE) {
            let x: Vec<u64> = (start..count.min(start + PIECE as u64))
                .map(|i| i * STEP)
                .collect();
            check(target, judge, &x, &[]).await;
        }
    })
    .await;
}

#[everywhere]
async fn float32_keeps_the_contract_with_other_factors() {
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
    on_every_device(async |target| {
        for factors in alphas.into_iter().map(Factors::elu).chain(families()) {
            check(target, judge(Op::Forward, DType::F32, factors), &x, &[]).await;
        }
    })
    .await;
}

#[everywhere]
async fn gradients_of_float32_keep_the_contract() {
    // Many numbers from -256 to -2^-28, where exp(x) varies, and few elsewhere.
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
    on_every_device(async |target| {
        for factors in elus.into_iter().chain(families()) {
            for op in ops(factors).filter(|op| op.has_grad()) {
                check(target, judge(op, DType::F32, factors), &x, &grad).await;
            }
        }
    })
    .await;
}

#[everywhere]
async fn every_16_bit_number_keeps_the_contract() {
    let x: Vec<u64> = (0..1 << 16).collect();
    let elus = [1.0, 0.3, 1.7, -2.0].map(Factors::elu);
    on_every_device(async |target| {
        for dtype in HALVES {
            for factors in elus.into_iter().chain(families()) {
                for op in ops(factors) {
                    let judge = judge(op, dtype, factors);
                    if op == Op::Forward {
                        check(target, judge, &x, &[]).await;
                        continue;
                    }
                    for grad in [1.0, -0.37, 300.0] {
                        check(target, judge, &x, &vec![bits(dtype, grad); x.len()]).await;
                    }
                }
            }
        }
    })
    .await;
}

#[everywhere]
async fn float64_keeps_the_contract() {
    let x = wide_float64();
    let grad: Vec<u64> = (0..x.len())
        .map(|i| GRADS[i % GRADS.len()].to_bits())
        .collect();
    let elus = [1.0, 0.3, 1.999_999_9, -0.7].map(Factors::elu);
    on_every_device(async |target| {
        if !supports(target.device, DType::F64) {
            return;
        }
        for factors in elus.into_iter().chain(families()) {
            for op in ops(factors) {
                check(target, judge(op, DType::F64, factors), &x, &grad).await;
            }
        }
    })
    .await;
}

/// Checks some of the samples of `elu check`. They have factors and gradients of all sizes, and they contain the
/// critical numbers, at which the arithmetic changes.
#[everywhere]
async fn samples_of_elu_check_keep_the_contract() {
    let mut judges: Vec<Judge> = Vec::new();
    for (i, dtype) in DType::ALL.into_iter().enumerate() {
        for (k, op) in Op::ALL.into_iter().enumerate() {
            judges.push(judge(op, dtype, 1.0));
            // Every third set of other factors. Which ones they are depends on the dtype and the operation.
            judges.extend(
                other_judges(op, dtype, false)
                    .into_iter()
                    .skip((i + k) % 3)
                    .step_by(3),
            );
        }
    }
    // Checks fewer numbers of float64, because judging one takes a hundred times as long.
    let samples = judges.into_iter().map(|judge| {
        let sample = Sample::new(judge, Extent::Few);
        let step = if judge.dtype == DType::F64 { 16 } else { 2 };
        let pairs = (0..sample.len()).step_by(step).map(|i| sample.pair(i));
        let pairs = pairs.filter(|&(x, _)| judge.is_possible(x));
        let (x, grad): (Vec<u64>, Vec<u64>) = pairs.unzip();
        (judge, x, grad)
    });
    let samples: Vec<_> = samples.collect();
    // The results of the previous device. Only results that differ from them are judged, because most are the same.
    let previous: RefCell<Vec<Vec<u64>>> = RefCell::new(vec![Vec::new(); samples.len()]);
    on_every_device(async |target| {
        for (i, (judge, x, grad)) in samples.iter().enumerate() {
            if !supports(target.device, judge.dtype) {
                continue;
            }
            let y = compute(target, *judge, x, grad).await;
            let previous = &mut previous.borrow_mut()[i];
            let is_new = |&i: &usize| previous.get(i) != Some(&y[i]);
            let new: Vec<usize> = (0..y.len()).filter(is_new).collect();
            let [x, grad, new_y] =
                [x, grad, &y].map(|all| -> Vec<u64> { new.iter().map(|&i| all[i]).collect() });
            check_results(target.name, *judge, &x, &grad, &new_y);
            *previous = y;
        }
    })
    .await;
}

/// Inputs, as bits, for which the result of an earlier version was wrong.
struct Known {
    op: Op,
    dtype: DType,
    factors: Factors,
    x: u64,
    grad: u64,
    /// The bits of the number nearest to the exact result, which was computed with 400 digits.
    nearest: u64,
}

fn known(op: Op, dtype: DType, factors: impl Into<Factors>, bits: [u64; 3]) -> Known {
    let [x, grad, nearest] = bits;
    let factors = factors.into();
    Known {
        op,
        dtype,
        factors,
        x,
        grad,
        nearest,
    }
}

/// Returns the inputs and nearest results, grouped by what was wrong.
fn known_results() -> Vec<Known> {
    use DType::{BF16, F16, F32, F64};
    use Op::{Backward, BackwardFromOutput, Forward};
    const TWO_POW_64: f64 = (1u128 << 64) as f64;
    let general = |alpha, scale, input_scale| Factors::new(alpha, scale, input_scale).unwrap();
    let celu = |alpha| Factors::celu(alpha).unwrap();
    vec![
        // An intermediate product overflowed or underflowed.
        known(Backward, F32, 0.0, [0xbf80_0000, 0x5f80_0000, 0]),
        known(
            Backward,
            F32,
            1e-33,
            [0xbf80_0000, 0x60ad_78ec, 0x2925_ad9d],
        ),
        known(
            BackwardFromOutput,
            F32,
            1e-30,
            [0x8da2_337a, 0xd36e_0803, 0x9bdd_a4b6],
        ),
        // An output that is rounded below -alpha has a negative slope, so a zero gradient changes its sign.
        known(BackwardFromOutput, F16, 0.3, [0xb4cd, 0, 0x8000]),
        known(BackwardFromOutput, F16, 0.3, [0xb4cd, 0x8000, 0]),
        // The low part of the exponential, or of input_scale * x, was rounded too early.
        known(
            Forward,
            F32,
            celu(1.013_312_157_737_044),
            [0xbe92_a1b8, 0, 0xbe7f_76e9],
        ),
        known(
            Backward,
            F32,
            general(
                f32::from_bits(0x7f3a_11fe).into(),
                1.0,
                f32::from_bits(0x578e_feb5).into(),
            ),
            [0xab83_0fed, 0x7f59_adba, 0x03ff_c151],
        ),
        // alpha is subnormal.
        known(
            BackwardFromOutput,
            F32,
            1e-40,
            [0x8000_5000, 0x4e00_0123, 0x0b46_c3c4],
        ),
        known(
            BackwardFromOutput,
            F32,
            1e-45,
            [0x8000_0000, 0x7f00_0001, 0x3480_0001],
        ),
        known(
            BackwardFromOutput,
            F32,
            3.3e-39,
            [0x8013_a1b2, 0xfe81_2345, 0xbe03_93ad],
        ),
        // Both input_scale and one of alpha, the gradient and the result are small.
        known(
            BackwardFromOutput,
            F32,
            general(1e-40, 1.0, 1.0 / TWO_POW_64),
            [0x8000_5000, 0x7e00_0123, 0x1b46_c3c4],
        ),
        known(
            BackwardFromOutput,
            F32,
            general(3e38, 1.0, 1.0 / TWO_POW_64),
            [0xfe81_2345, 0x0001_2345, 0x1cb7_531a],
        ),
        known(
            BackwardFromOutput,
            F32,
            general(0.75, 1.0, 0.5f64.powi(20)),
            [0xbf00_0001, 0x8065_4321, 0x8000_0002],
        ),
        // The product input_scale * x, or the slope, was rounded.
        known(
            Backward,
            F32,
            celu(0.523_782_138_320_668_2),
            [0xc018_6d35, 0xbfbb_56ac, 0xbc7e_2468],
        ),
        known(
            Backward,
            F32,
            celu(2_421.174_787_929_769_5),
            [0xc713_802e, 0x3fa9_43b8, 0x346f_6072],
        ),
        known(
            Forward,
            F32,
            general(2.366_724_724_254_834_6e-10, 1.0, 1.505_309_875_566_289_9e-3),
            [0xb7a2_27aa, 0, 0xa2fe_1374],
        ),
        known(
            Forward,
            F32,
            general(
                7.448_226_647_752_651e14,
                4_478_397.259_509_518,
                5.299_684_636_574_888e18,
            ),
            [0x8000_0001, 0, 0xb7cf_ccde],
        ),
        // The slope is subnormal or overflows.
        known(
            Backward,
            F32,
            general(1e-30, 1.0, 1e-12),
            [0xbf80_0000, 0x7e81_2345, 0x38b3_fde6],
        ),
        known(
            Backward,
            F32,
            general(1e-45, 8.0, 2f64.powi(40)),
            [0x8000_1000, 0x7e81_2344, 0x4941_b4e6],
        ),
        known(
            Backward,
            F32,
            general(1.5e-20, 1.0 / TWO_POW_64, 0.5f64.powi(60)),
            [0xdf81_2345, 0x7f01_2345, 0x146a_14bc],
        ),
        known(
            Backward,
            F32,
            general(3e38, 1.0, TWO_POW_64),
            [0x8000_0100, 0x8001_2345, 0xdd00_6507],
        ),
        // exp underflows, but its product with the gradient does not.
        known(Backward, F32, 1.0, [0xc31a_e666, 0x7136_8fb4, 0x0183_7cdc]),
        known(Backward, F32, 1.0, [0xc2d6_b852, 0xd3ed_7cbd, 0x8680_5a33]),
        known(Backward, BF16, 1.0, [0xc327, 0xfcea, 0x8476]),
        // Products in float64 were rounded.
        known(
            Forward,
            F64,
            3.41,
            [0xbfd6_2d6e_f45f_7e07, 0, 0xbfef_f4e4_351d_eaec],
        ),
        known(
            Backward,
            F64,
            1.535_110_463_349_054_7,
            [
                0xbfd6_2990_ba7a_6aff,
                0x3fed_066d_c995_65d6,
                0x3fef_83f2_444d_97ad,
            ],
        ),
        known(
            Backward,
            F64,
            3.0,
            [
                0xc029_a501_bb45_e9c8,
                0xbffd_10d0_436c_a7a2,
                0xbeee_dba0_d9d5_a414,
            ],
        ),
        known(
            Backward,
            F64,
            3.5e217,
            [
                0xc080_bcc3_6d73_6e48,
                0x7fe5_398c_dc13_d053,
                0x7cc4_b6e9_c08a_9def,
            ],
        ),
        // x is subnormal, but the result is not.
        known(
            Forward,
            F64,
            -2.0,
            [0x800e_61ac_f033_d1a4, 0, 0x001c_c359_e067_a348],
        ),
        known(
            Forward,
            F64,
            1e300,
            [0x8007_30d6_7819_e8d2, 0, 0xbe45_798e_e230_8c3a],
        ),
    ]
}

/// Every result keeps the contract, and is the nearest number or its neighbour.
#[everywhere]
async fn results_that_were_wrong_before_keep_the_contract() {
    on_every_device(async |target| {
        for Known {
            op,
            dtype,
            factors,
            x,
            grad,
            nearest,
        } in known_results()
        {
            let judge = judge(op, dtype, factors);
            assert_eq!(judge.nearest(x, grad), Some(nearest), "{judge:?}, x {x:#x}");
            if !supports(target.device, dtype) {
                continue;
            }
            let y = compute(target, judge, &[x], &[grad]).await[0];
            check_results(target.name, judge, &[x], &[grad], &[y]);
            assert!(
                y.abs_diff(nearest) <= 1,
                "{}: {judge:?}, x {x:#x}: {y:#x}",
                target.name
            );
        }
    })
    .await;
}

#[everywhere]
async fn the_same_x_gives_the_same_bits_in_every_position() {
    on_every_device(async |target| {
        for dtype in DType::ALL {
            if !supports(target.device, dtype) {
                continue;
            }
            for factors in [Factors::elu(1.0), Factors::elu(0.7), Factors::SELU] {
                for op in ops(factors) {
                    let judge = judge(op, dtype, factors);
                    for x in [-1.0, -0.286_867_7, -1e-4, -1e-40, -17.3, 2.5] {
                        let (x, grad) = (bits(dtype, x), bits(dtype, 0.6));
                        let alone = compute(target, judge, &[x], &[grad]).await[0];
                        for len in [2, 3, 5, 17, 67, 1031, 300_003] {
                            let all = compute(target, judge, &vec![x; len], &vec![grad; len]).await;
                            let other = all.iter().position(|&y| y != alone);
                            assert_eq!(
                                other,
                                None,
                                "{}: {judge:?}, x {:e} among {len}",
                                target.name,
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

/// Computes slices of every small length, to another slice and in place. Each slice starts at the second element of a
/// larger slice, whose first and last elements must not change.
#[everywhere]
async fn cpu_slices_of_every_length_keep_the_contract() {
    fn check_lengths<E: wgpu_elu::Element + PartialEq + std::fmt::Debug>(from: fn(f32) -> E) {
        let bits_of = |values: &[E]| -> Vec<u64> {
            let bytes: &[u8] = bytemuck::cast_slice(values);
            bytes
                .chunks(size_of::<E>())
                .map(|bytes| {
                    let mut padded = [0; 8];
                    padded[..bytes.len()].copy_from_slice(bytes);
                    u64::from_le_bytes(padded)
                })
                .collect()
        };
        let poison = from(-12345.5);
        let judge = |op| Judge {
            op,
            dtype: E::DTYPE,
            elu: Elu::new(0.7),
        };
        for len in (0..=67).chain([255, 256, 257, (1 << 16) + 1, (1 << 18) + 7]) {
            let x: Vec<E> = varied(len + 2).into_iter().map(from).collect();
            let grad: Vec<E> = x.iter().rev().copied().collect();
            let (x_in, grad_in) = (&x[1..=len], &grad[1..=len]);
            let few = len.min(300); // the judge is slow for float64
            let run =
                |op: Op, separate: &dyn Fn(&mut [E]), in_place: &dyn Fn(&mut [E]), before: &[E]| {
                    let mut y = vec![poison; len + 2];
                    separate(&mut y[1..=len]);
                    assert_eq!(
                        (y[0], y[len + 1]),
                        (poison, poison),
                        "{len} elements: a neighbour has changed"
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
                    let mut after = before.to_vec();
                    in_place(&mut after[1..=len]);
                    assert_eq!(after[1..=len], y[1..=len], "in place, {len} elements");
                    assert_eq!((after[0], after[len + 1]), (before[0], before[len + 1]));
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
    check_lengths(|v| v);
    check_lengths(f64::from);
    check_lengths(f16::from_f32);
    check_lengths(bf16::from_f32);
}

#[everywhere]
async fn invalid_arguments_on_the_cpu_are_refused() {
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
            "backward-from-output needs a positive, finite alpha * scale in {arithmetic}, found {found}: use backward with \
             the input of ELU"
        )
    };
    for (alpha, found) in [(-1.0, "-1.0"), (1e-50, "1e-50"), (f64::INFINITY, "inf")] {
        let error = cpu::backward_from_output(alpha, &[-1.0; 2], &[1.0; 2], &mut y).unwrap_err();
        assert_eq!(error.to_string(), text(found, "float32"));
    }
    // In float64, 1e-50 is not rounded to 0, but 1e-320 * 2^-20 is.
    cpu::backward_from_output_in_place(1e-50, &[-1e-60], &mut [1.0]).unwrap();
    let tiny = Factors::new(1e-320, 0.5f64.powi(20), 1.0).unwrap();
    let error = cpu::backward_from_output_in_place(tiny, &[-1e-60], &mut [1.0]).unwrap_err();
    assert_eq!(error.to_string(), text("0.0", "float64"));
    assert_eq!(y, [7.0; 2]);
}

#[everywhere]
async fn factors_out_of_range_are_refused() {
    for (result, text) in [
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
        assert_eq!(result.unwrap_err().to_string(), text);
    }
}

/// With a small alpha, even subnormal results are within 1 ULP, because the arithmetic multiplies normal numbers and
/// applies their exponents at the end.
#[everywhere]
async fn subnormal_results_on_the_cpu_are_within_1_ulp() {
    let x: Vec<f32> = (0xb300_0000..0xc198_0000u32)
        .step_by(997)
        .map(f32::from_bits)
        .collect();
    let mut y = vec![0.0; x.len()];
    for alpha in [1e-33f32, -1e-36, 2.1e-38, 1e-40] {
        cpu::forward(f64::from(alpha), &x, &mut y).unwrap();
        // The bound is the same as with alpha = 1, although these results underflow.
        let judge = Judge {
            op: Op::Forward,
            dtype: DType::F32,
            elu: Elu::new(alpha.into()),
        };
        for (x, y) in f32_bits(&x).into_iter().zip(f32_bits(&y)) {
            assert!(judge.judge(x, 0, y).ulp <= 1.0, "x {x:#x}, alpha {alpha:e}");
        }
    }
}
