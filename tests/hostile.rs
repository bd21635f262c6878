//! The shaders under a hostile compiler: clang with fast math regroups, contracts and assumes as much as any driver may.
//! It compiles naga's MSL of each shader (HLSL for float64, which Metal does not have) as C++, and runs it on this CPU.

mod compiler;

use std::fmt::Write;

use rayon::prelude::*;
use wgpu_elu::{
    DType, Factors,
    shader::{
        ELEMENTS, Factors32, Factors64, Op, PLAIN, Params, Shape, Shared, VECTORS, is_plain,
        penalty, source,
    },
};

use crate::{
    judge::{Judge, Verdict, bits, value},
    regularizer,
};
use compiler::{Dispatch, Machine, Program, Shader};

// ---- What depends on the shaders' interface ----

/// The uniform's bytes: the parameters, then the factors.
fn uniform(dtype: DType, op: Op, factors: Factors, params: Params) -> Vec<u8> {
    let factors = match dtype {
        DType::F64 => bytemuck::bytes_of(&Factors64::new(factors)).to_vec(),
        _ => bytemuck::bytes_of(&Factors32::new(factors, op)).to_vec(),
    };
    [bytemuck::bytes_of(&params), &factors].concat()
}

/// The values of the shader's `override` constants.
fn constants(
    dtype: DType,
    op: Op,
    factors: Factors,
    (entry_point, shape): (&'static str, Shape),
) -> Vec<(&'static str, f64)> {
    let mut constants = shape.constants(entry_point);
    constants.extend(is_plain(dtype, op, factors).then_some((PLAIN, 1.0)));
    constants
}

// ---- Elementwise operations ----

/// One element's computation with a known result.
struct Known {
    dtype: DType,
    op: Op,
    factors: Factors,
    x: f64,
    grad: f64,
    due: f64,
}

const PIPELINES: [(&str, Shape); 3] = [
    (VECTORS, Shape::HARDWARE),
    (ELEMENTS, Shape::HARDWARE),
    (VECTORS, Shape::SOFTWARE),
];

fn pipelines(dtype: DType) -> &'static [(&'static str, Shape)] {
    // How the work is shared out is the same for all types.
    &PIPELINES[..if dtype == DType::F32 { 3 } else { 2 }]
}

fn shader(dtype: DType, op: Op, factors: Factors, pipeline: (&'static str, Shape)) -> Shader {
    Shader {
        source: source(dtype, op, Shared::default()),
        dtype,
        entry_point: pipeline.0,
        constants: constants(dtype, op, factors, pipeline),
    }
}

/// All elements in one dispatch. Their number is a multiple of 8.
fn dispatch(
    dtype: DType,
    (entry_point, shape): (&str, Shape),
    [x, grad]: [&[u64]; 2],
    uniform: impl Fn(Params) -> Vec<u8>,
) -> Dispatch {
    let per_invocation = match entry_point {
        VECTORS => 16 / dtype.size() * shape.vectors_per_invocation as usize,
        _ => 4usize.div_ceil(dtype.size()),
    };
    let count = match entry_point {
        VECTORS => x.len() * dtype.size() / 16,
        _ => x.len() / per_invocation,
    };
    let groups = x
        .len()
        .div_ceil(per_invocation)
        .div_ceil(shape.workgroup_size as usize);
    let [count, end, groups] = [count, x.len(), groups].map(|n| u32::try_from(n).unwrap());
    let params = Params {
        count,
        groups_per_row: groups,
        head: count,
        end,
        ..Params::default()
    };
    let y = vec![0xa5; x.len() * dtype.size()];
    Dispatch {
        buffers: [
            uniform(params),
            to_bytes(dtype, x),
            to_bytes(dtype, grad),
            y,
        ],
        groups,
    }
}

/// How far results are from the exact values.
struct Findings {
    judge: Judge,
    /// The largest error in ULP, of those that are finite.
    worst: f64,
    wrong: usize,
    /// Results that are NaN, infinite or of the wrong sign, where another was due, and the other way round.
    of_another_kind: usize,
    first: String,
}

impl Findings {
    fn new(judge: Judge) -> Self {
        Self {
            judge,
            worst: 0.0,
            wrong: 0,
            of_another_kind: 0,
            first: String::new(),
        }
    }

    fn add(&mut self, what: &dyn Fn() -> String, [x, grad, y]: [u64; 3], verdict: Verdict) {
        if verdict.is_allowed {
            return;
        }
        self.wrong += 1;
        if verdict.ulp.is_finite() {
            self.worst = self.worst.max(verdict.ulp);
        } else {
            self.of_another_kind += 1;
        }
        if self.first.is_empty() {
            let [x, grad, y] =
                [x, grad, y].map(|bits| format!("{:e} ({bits:#x})", value(self.judge.dtype, bits)));
            self.first = format!(
                "{}: x {x}, grad {grad} gives {y}: {:.2} ULP",
                what(),
                verdict.ulp
            );
        }
    }

    fn report(&self) -> Option<String> {
        let Judge {
            op, dtype, factors, ..
        } = self.judge;
        (self.wrong > 0).then(|| {
            format!(
                "{dtype} {op:?}, {factors:?}: {} wrong, {} of another kind, else up to {:.2} ULP; {}",
                self.wrong, self.of_another_kind, self.worst, self.first
            )
        })
    }
}

/// Runs the pipelines on every machine, and judges all results.
fn examine(
    program: &Program,
    judge: Judge,
    [x, grad]: [&[u64]; 2],
    pipelines: &[(Shader, Dispatch)],
) -> Findings {
    let mut findings = Findings::new(judge);
    // Most results are the same everywhere, and the judge is slow.
    let mut judged: Vec<Option<(u64, Verdict)>> = vec![None; x.len()];
    for (shader, dispatch) in pipelines {
        for machine in Machine::ALL {
            let y = from_bytes(judge.dtype, &program.run(shader, machine, dispatch));
            let run = |(((&x, &grad), &y), judged): (((&u64, &u64), &u64), &mut Option<_>)| {
                match judged {
                    Some((before, _)) if *before == y => {}
                    _ => *judged = Some((y, judge.judge(x, grad, y))),
                }
            };
            x.par_iter()
                .zip(grad)
                .zip(&y)
                .zip(&mut judged)
                .for_each(run);
            for (i, judged) in judged.iter().enumerate() {
                let what = || format!("{}, {machine:?}", shader.entry_point);
                let (y, verdict) = judged.expect("it is judged");
                findings.add(&what, [x[i], grad[i], y], verdict);
            }
        }
    }
    findings
}

fn keeps_the_contract(dtype: DType) {
    let cases: Vec<(Op, Factors)> = factors()
        .into_iter()
        .flat_map(|factors| ops(factors).map(move |op| (op, factors)))
        .collect();
    let shaders = cases.iter().flat_map(|&(op, factors)| {
        let pipelines = pipelines(dtype).iter();
        pipelines.map(move |&pipeline| shader(dtype, op, factors, pipeline))
    });
    let Some(program) = Program::compile(shaders) else {
        return;
    };
    let mut failures = String::new();
    for (op, factors) in cases {
        let judge = judge(dtype, op, factors);
        let (x, grad) = inputs(judge);
        let runs: Vec<_> = pipelines(dtype)
            .iter()
            .map(|&pipeline| {
                let uniform = |params| uniform(dtype, op, factors, params);
                let dispatch = dispatch(dtype, pipeline, [&x, &grad], uniform);
                (shader(dtype, op, factors, pipeline), dispatch)
            })
            .collect();
        if let Some(report) = examine(&program, judge, [&x, &grad], &runs).report() {
            writeln!(failures, "{report}").unwrap();
        }
    }
    assert!(failures.is_empty(), "outside of the contract:\n{failures}");
}

fn judge(dtype: DType, op: Op, factors: Factors) -> Judge {
    Judge {
        op,
        dtype,
        factors,
        on_gpu: true,
    }
}

#[test]
fn float32_keeps_the_contract() {
    keeps_the_contract(DType::F32);
}

#[test]
fn float16_keeps_the_contract() {
    keeps_the_contract(DType::F16);
}

#[test]
fn bfloat16_keeps_the_contract() {
    keeps_the_contract(DType::BF16);
}

#[test]
fn float64_keeps_the_contract() {
    keeps_the_contract(DType::F64);
}

/// What earlier shaders got wrong under some compiler or where subnormals are flushed.
#[test]
fn known_results() {
    let backward = |dtype, x, grad, due| Known {
        dtype,
        op: Op::Backward,
        factors: Factors::elu(1.0),
        x,
        grad,
        due,
    };
    let forward = |alpha, x, due| Known {
        dtype: DType::F64,
        op: Op::Forward,
        factors: Factors::elu(alpha),
        x,
        grad: 0.0,
        due,
    };
    let mut known = vec![
        // exp(x) underflows, and the product with the gradient does not.
        backward(DType::F32, -154.9, 9.04e29, 4.7e-38),
        backward(DType::F32, -107.36, -2.04e12, -4.8e-35),
        backward(DType::BF16, -167.0, -9.7e36, -2.9e-36),
        // The high part of a product must have few bits, whatever the compiler does to the conversion that drops the rest.
        forward(3.41, -0.346_523_035_665_058_3, -1.0),
        // A subnormal x must not be flushed where the result is normal.
        forward(-2.0, -2e-308, 4e-308),
        forward(1e300, -1e-308, -1e-8),
    ];
    known[3].due = 3.41 * known[3].x.exp_m1();
    // The gradient from an output close to -alpha is a small difference.
    for alpha in [1.0, 0.3, 1.673_263_2] {
        for part in [0.999, 0.999_999_7, 0.3] {
            let x = value(DType::F32, bits(DType::F32, -alpha * part));
            let negative = value(DType::F32, bits(DType::F32, alpha));
            known.push(Known {
                dtype: DType::F32,
                op: Op::BackwardFromOutput,
                factors: Factors::elu(alpha),
                x,
                grad: 1.0,
                due: x + negative,
            });
        }
    }
    let pipeline = PIPELINES[0];
    let mut failures = String::new();
    for dtype in [DType::F32, DType::BF16, DType::F64] {
        let known = known.iter().filter(|known| known.dtype == dtype);
        let shaders = known
            .clone()
            .map(|known| shader(dtype, known.op, known.factors, pipeline));
        let Some(program) = Program::compile(shaders) else {
            return;
        };
        for &Known {
            op,
            factors,
            x,
            grad,
            due,
            ..
        } in known
        {
            let judge = judge(dtype, op, factors);
            let [x, grad] = [x, grad].map(|v| bits(dtype, v));
            let uniform = |params| uniform(dtype, op, factors, params);
            let dispatch = dispatch(dtype, pipeline, [&[x; 8], &[grad; 8]], uniform);
            for machine in Machine::ALL {
                let shader = shader(dtype, op, factors, pipeline);
                let y = from_bytes(dtype, &program.run(&shader, machine, &dispatch))[0];
                let verdict = judge.judge(x, grad, y);
                let error = value(dtype, y) / due - 1.0;
                if !(verdict.is_allowed && error.abs() < 0.03) {
                    writeln!(
                        failures,
                        "{dtype} {op:?}, {factors:?}, {machine:?}: x {:e} gives {:e}, needed {due:e}: {:.2} ULP",
                        value(dtype, x), value(dtype, y), verdict.ulp
                    )
                    .unwrap();
                }
            }
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
}

/// The compiler is hostile enough to break shaders that rely on too little, as earlier ones did.
#[test]
fn earlier_shaders_break() {
    for (dtype, op, alpha, source) in [
        (
            DType::F32,
            Op::BackwardFromOutput,
            0.3,
            old!("float32.backward-from-output"),
        ),
        (DType::F32, Op::Backward, 1.0, old!("float32.backward")),
        (DType::F64, Op::Forward, 3.41, old!("float64.forward")),
    ] {
        let judge = judge(dtype, op, Factors::elu(alpha));
        let shader = Shader {
            source: source.into(),
            dtype,
            entry_point: VECTORS,
            constants: Shape::HARDWARE.constants(VECTORS),
        };
        let Some(program) = Program::compile([shader.clone()]) else {
            return;
        };
        let (x, grad) = inputs(judge);
        let uniform = |params| old_uniform(dtype, alpha, params);
        let dispatch = dispatch(dtype, PIPELINES[0], [&x, &grad], uniform);
        let findings = examine(&program, judge, [&x, &grad], &[(shader, dispatch)]);
        println!("{:?}", findings.report());
        assert!(findings.wrong > 0, "{dtype} {op:?} keeps the contract");
    }
}

/// The uniform of the shaders in `data/hostile/old`.
fn old_uniform(dtype: DType, alpha: f64, params: Params) -> Vec<u8> {
    let mut bytes = bytemuck::bytes_of(&params)[..48].to_vec();
    if dtype == DType::F64 {
        // negative, negative_high, positive, input_scale, input_scale_high, slope, odd, padding
        let high = f64::from_bits(alpha.to_bits() & !0x1fff_ffff);
        let factors = [alpha, high, 1.0, 1.0, 1.0, alpha, 0.0, 0.0];
        bytes.extend(bytemuck::bytes_of(&factors));
    } else {
        // negative, rescale, positive, input_scale, slope, and three of padding
        #[expect(
            clippy::cast_possible_truncation,
            reason = "rounding is what is wanted"
        )]
        let alpha = alpha as f32;
        let factors = [alpha, 1.0, 1.0, 1.0, alpha, 0.0, 0.0, 0.0];
        bytes.extend(bytemuck::bytes_of(&factors));
    }
    bytes
}

/// A shader in `data/hostile/old`.
macro_rules! old {
    ($name:literal) => {
        include_str!(concat!("data/hostile/old/", $name, ".wgsl"))
    };
}
use old;

// ---- The penalty ----

/// The uniform's bytes, for a sum that is not divided.
fn penalty_uniform(dtype: DType, [l1, l2]: [f64; 2], params: penalty::Params) -> Vec<u8> {
    let factors = match dtype {
        DType::F64 => bytemuck::bytes_of(&penalty::Factors64 {
            l1,
            l2,
            scale: 1.0,
            ..Default::default()
        })
        .to_vec(),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "rounding is what is wanted"
        )]
        _ => bytemuck::bytes_of(&penalty::Factors32 {
            l1: l1 as f32,
            l2: l2 as f32,
            scale: 1.0,
            power: 1.0,
        })
        .to_vec(),
    };
    [bytemuck::bytes_of(&params), &factors].concat()
}

/// The penalty of all elements but the first and the last, by all entry points in turn.
fn run_penalty(
    program: &Program,
    (dtype, shape, machine): (DType, Shape, Machine),
    factors: [f64; 2],
    y: &[u64],
) -> u64 {
    let sum = 2 * penalty::result_dtype(dtype).size();
    let lanes = 16 / dtype.size();
    let vectors = y.len() / lanes - 2;
    let per_group = |per_invocation: u32| (shape.workgroup_size * per_invocation) as usize;
    let run = |entry_point, from: Vec<u8>, to: Vec<u8>, groups: usize, params: penalty::Params| {
        let groups = small(groups);
        let params = penalty::Params {
            groups_per_row: groups,
            ..params
        };
        let uniform = penalty_uniform(dtype, factors, params);
        let dispatch = Dispatch {
            buffers: [uniform, from, vec![], to],
            groups,
        };
        program.run(
            &penalty_shader(dtype, shape, entry_point),
            machine,
            &dispatch,
        )
    };
    let params = penalty::Params {
        first: 1,
        count: small(vectors),
        begin: 1,
        end: small(y.len() - 1),
        ..Default::default()
    };
    let mut count = vectors.div_ceil(per_group(penalty::vectors_per_invocation(shape)));
    let sums = vec![0; (count + 1) * sum];
    let sums = run(VECTORS, to_bytes(dtype, y), sums, count, params);
    let to = small(count);
    let sums = run(
        ELEMENTS,
        to_bytes(dtype, y),
        sums,
        1,
        penalty::Params { to, ..params },
    );
    count += 1;
    let params = penalty::Params {
        count: small(count),
        ..Default::default()
    };
    count = count.div_ceil(per_group(penalty::SUMS_PER_INVOCATION));
    let sums = run(penalty::SUMS, sums, vec![0; count * sum], count, params);
    let params = penalty::Params {
        count: small(count),
        ..Default::default()
    };
    let result = penalty::result_dtype(dtype);
    from_bytes(
        result,
        &run(penalty::LAST, sums, vec![0; result.size()], 1, params),
    )[0]
}

fn penalty_shader(dtype: DType, shape: Shape, entry_point: &'static str) -> Shader {
    Shader {
        source: penalty::source(dtype),
        dtype,
        entry_point,
        constants: penalty::constants(shape, entry_point),
    }
}

fn small(n: usize) -> u32 {
    u32::try_from(n).unwrap()
}

#[test]
fn penalties_are_within_the_tolerance() {
    let shapes = [Shape::HARDWARE, Shape::SOFTWARE];
    let entry_points = [VECTORS, ELEMENTS, penalty::SUMS, penalty::LAST];
    for dtype in DType::ALL {
        let shaders = shapes.iter().flat_map(|&shape| {
            entry_points.map(|entry_point| penalty_shader(dtype, shape, entry_point))
        });
        let Some(program) = Program::compile(shaders) else {
            return;
        };
        let both = [0.1, 0.2];
        let most = if dtype == DType::F16 { 15 } else { 60 };
        let spread = |i: u64| {
            let size = 2.0f64.powi((i % (2 * most + 1)) as i32 - most as i32);
            size * (scattered(i) % 1000) as f64 / 500.0 - size
        };
        let with = |special: f64| move |i| if i == 20_000 { special } else { spread(i) };
        let cases: [(&str, [f64; 2], &dyn Fn(u64) -> f64); 9] = [
            ("moderate", both, &|i| {
                (scattered(i) % 1000) as f64 / 300.0 - 1.5
            }),
            ("of all sizes", both, &spread),
            ("of all sizes, l1 alone", [0.1, 0.0], &spread),
            ("of all sizes, l2 alone", [0.0, 0.1], &spread),
            ("tiny and one large", both, &|i| {
                if i == 9 { 3e4 } else { 6e-5 }
            }),
            ("one large and subnormal", both, &|i| {
                if i == 9 { 3e4 } else { 1e-39 }
            }),
            ("NaN among them", both, &with(f64::NAN)),
            ("infinite", both, &with(f64::NEG_INFINITY)),
            ("infinite, l1 alone", [0.1, 0.0], &with(f64::INFINITY)),
        ];
        for (what, factors, y) in cases {
            let y: Vec<u64> = (0..80_000).map(|i| bits(dtype, y(i))).collect();
            let values = y[1..y.len() - 1].iter().map(|&bits| value(dtype, bits));
            let has_nan = values.clone().any(f64::is_nan);
            let has_infinity = values.clone().any(f64::is_infinite);
            let exact = regularizer::exact(factors, values);
            for shape in shapes {
                for machine in Machine::ALL {
                    let found = run_penalty(&program, (dtype, shape, machine), factors, &y);
                    let what = format!("{what}, {machine:?}, {shape:?}");
                    if has_nan {
                        let found = value(penalty::result_dtype(dtype), found);
                        assert!(found.is_nan(), "{what}, {dtype}: {found}");
                    } else {
                        let exact = if has_infinity { f64::INFINITY } else { exact };
                        regularizer::check(&what, dtype, found, exact);
                    }
                }
            }
        }
    }
}

// ---- Inputs ----

fn factors() -> Vec<Factors> {
    let elus = [1.0, 0.3, 1.673_263_2, -2.0, 1e-30, 1e30].map(Factors::elu);
    let others = [
        Factors::SELU,
        Factors::celu(0.5).unwrap(),
        Factors::new(0.7, 1.3, 2.1).unwrap(),
    ];
    elus.into_iter().chain(others).collect()
}

fn ops(factors: Factors) -> impl Iterator<Item = Op> {
    let is_invertible = factors.alpha() > 0.0;
    Op::ALL
        .into_iter()
        .filter(move |&op| op != Op::BackwardFromOutput || is_invertible)
}

/// Pairs of `x` and gradient, a multiple of 8.
fn inputs(judge: Judge) -> (Vec<u64>, Vec<u64>) {
    let Judge {
        op, dtype, factors, ..
    } = judge;
    let mut x = match dtype {
        DType::F64 => inputs_64(),
        DType::F32 => inputs_32(),
        _ => (0..1 << 16).collect(),
    };
    if op == Op::BackwardFromOutput {
        // The outputs near the smallest one, where the slope is a small difference.
        let negative = factors.alpha() * factors.scale();
        let parts = (0..2000).map(|i| 1.0 - 0.5f64.powf(f64::from(i) / 40.0));
        x.extend(parts.map(|part| bits(dtype, -negative * part)));
    }
    x.resize(x.len().next_multiple_of(8), bits(dtype, -1.0));
    let grad = (0..x.len() as u64).map(|i| gradient(judge, i)).collect();
    (x, grad)
}

/// A multiple of the golden ratio as a fraction of 2^64: no two are close to each other.
fn scattered(i: u64) -> u64 {
    i.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// One half of the gradients is of moderate size, and the other is any pattern of bits.
fn gradient(judge: Judge, i: u64) -> u64 {
    let (dtype, alpha) = (judge.dtype, judge.factors.alpha().abs());
    let any = scattered(i) >> (64 - 8 * dtype.size());
    // At both ends, a product with an alpha at the other end is outside of the contract.
    let is_moderate = (1e-4..1e4).contains(&alpha);
    if i % 2 == 1 && is_moderate {
        return any;
    }
    let sizes = [1.0, -0.731_058_6, 1234.567, -1e-3, 1e-10, -1e10];
    let grad = sizes[(i / 2 % 6) as usize] * (1.0 + (any % 1009) as f64 / 1009.0);
    bits(dtype, grad)
}

/// Both sides of every n ln 2 / 2 up to `most`.
fn boundaries(dtype: DType, most: i32) -> impl Iterator<Item = u64> {
    (1..most).flat_map(move |n| {
        let boundary = bits(dtype, f64::from(-n) * std::f64::consts::LN_2 / 2.0);
        boundary - 4..=boundary + 4
    })
}

fn inputs_32() -> Vec<u64> {
    let dense = (0xb180_0000..0xc2d0_0000).step_by(2903); // -2^-28 to -104
    let deep = (0xc2d0_0000..0xc380_0000).step_by(997); // -104 to -256
    let sparse = (0..1u64 << 32).step_by(65_537);
    dense
        .chain(deep)
        .chain(boundaries(DType::F32, 320))
        .chain(sparse)
        .collect()
}

fn inputs_64() -> Vec<u64> {
    let between = |first: f64, last: f64, count: u64| {
        let [first, last] = [first, last].map(f64::to_bits);
        (0..count).map(move |i| first + (last - first) / count * i + scattered(i) % 1000)
    };
    between(-0.5f64.powi(60), -40.0, 6000)
        .chain(between(-40.0, -800.0, 2000))
        .chain(boundaries(DType::F64, 100))
        .chain((0..4000).map(scattered))
        .chain((0..200).map(|i| scattered(i) >> 12 | 1 << 63)) // subnormal
        .collect()
}

fn to_bytes(dtype: DType, bits: &[u64]) -> Vec<u8> {
    let bytes = bits
        .iter()
        .flat_map(|bits| bits.to_le_bytes().into_iter().take(dtype.size()));
    bytes.collect()
}

fn from_bytes(dtype: DType, bytes: &[u8]) -> Vec<u64> {
    let bits = bytes.chunks_exact(dtype.size()).map(|bytes| {
        let mut whole = [0; 8];
        whole[..bytes.len()].copy_from_slice(bytes);
        u64::from_le_bytes(whole)
    });
    bits.collect()
}
