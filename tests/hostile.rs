//! Runs the shaders under a hostile compiler: clang with fast math, which may regroup, contract and assume as much as
//! the compiler of any driver. It compiles naga's MSL of each shader as C++ for this CPU. For float64, which Metal does
//! not have, it compiles naga's HLSL.

mod compiler;
mod cpp;
mod function;
mod inputs;
mod known;
mod penalty;

use std::fmt::Write;

use rayon::prelude::*;
use wgpu_elu::{
    DType, Factors, Op, Rounding,
    shader::{
        ELEMENTS, Factors32, Factors64, Params, Shape, Shared, Specialization, VECTORS, source,
    },
};

use compiler::{Dispatch, Machine, Program, Shader};
use inputs::{inputs, inputs_of_check};
use wgpu_elu::accuracy::{Judge, Verdict, from_bytes, other_judges, to_bytes, value};

// ---- The part that depends on the shaders' interface ----

/// Returns the uniform's bytes: the parameters, then the factors.
fn uniform(dtype: DType, op: Op, factors: Factors, params: Params) -> Vec<u8> {
    let factors = match dtype {
        DType::F64 => bytemuck::bytes_of(&Factors64::new(factors, op)).to_vec(),
        _ => bytemuck::bytes_of(&Factors32::new(factors, op)).to_vec(),
    };
    [bytemuck::bytes_of(&params), &factors].concat()
}

/// Returns the values of the shader's `override` constants.
fn constants(
    dtype: DType,
    op: Op,
    factors: Factors,
    (entry_point, shape): (&'static str, Shape),
) -> Vec<(&'static str, f64)> {
    let mut constants = shape.constants(entry_point);
    constants.extend(Specialization::new(dtype, op, factors).constants());
    constants
}

// ---- Elementwise operations ----

const PIPELINES: [(&str, Shape); 3] = [
    (VECTORS, Shape::HARDWARE),
    (ELEMENTS, Shape::HARDWARE),
    (VECTORS, Shape::SOFTWARE),
];

fn pipelines(dtype: DType) -> &'static [(&'static str, Shape)] {
    // `Shape::SOFTWARE` only distributes the elements differently over invocations. One dtype is enough to test that.
    &PIPELINES[..if dtype == DType::F32 { 3 } else { 2 }]
}

fn shader(dtype: DType, op: Op, factors: Factors, pipeline: (&'static str, Shape)) -> Shader {
    Shader {
        source: source(dtype, op, Rounding::Faithful, Shared::default()).unwrap(),
        dtype,
        entry_point: pipeline.0,
        constants: constants(dtype, op, factors, pipeline),
    }
}

/// Returns one dispatch for all elements. Their number must be a multiple of 8.
fn dispatch(
    dtype: DType,
    (entry_point, shape): (&str, Shape),
    [x, grad]: [&[u64]; 2],
    uniform: impl Fn(Params) -> Vec<u8>,
) -> Dispatch {
    let per_invocation = match entry_point {
        VECTORS => 16 / dtype.size() * shape.vectors_per_invocation as usize, // a vector has 16 bytes
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
    let [count, end, groups] = [count, x.len(), groups].map(to_u32);
    let params = Params {
        count,
        groups_per_row: groups,
        head: count,
        end,
        ..Params::default()
    };
    let y = vec![0xa5; x.len() * dtype.size()]; // elements that are not written keep this pattern
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

/// The results that the contract does not allow.
struct Findings {
    judge: Judge,
    /// The largest finite error in ULP.
    worst: f64,
    /// The number of wrong results.
    wrong: usize,
    /// The number of results of the wrong kind or sign, whose error in ULP is infinite. See [`Verdict::ulp`].
    of_wrong_kind: usize,
    /// A description of the first wrong result.
    first: String,
}

impl Findings {
    fn new(judge: Judge) -> Self {
        Self {
            judge,
            worst: 0.0,
            wrong: 0,
            of_wrong_kind: 0,
            first: String::new(),
        }
    }

    /// Records the verdict on a result. Ignores an `x` that [`Judge::is_possible`] rules out.
    fn add(&mut self, run_name: &dyn Fn() -> String, [x, grad, y]: [u64; 3], verdict: Verdict) {
        if verdict.is_allowed || !self.judge.is_possible(x) {
            return;
        }
        self.wrong += 1;
        if verdict.ulp.is_finite() {
            self.worst = self.worst.max(verdict.ulp);
        } else {
            self.of_wrong_kind += 1;
        }
        if self.first.is_empty() {
            let [x, grad, y] =
                [x, grad, y].map(|bits| format!("{:e} ({bits:#x})", value(self.judge.dtype, bits)));
            self.first = format!(
                "{}: x {x}, grad {grad} gives {y}: {:.2} ULP",
                run_name(),
                verdict.ulp
            );
        }
    }

    /// Returns a description of the wrong results, if there are any.
    fn report(&self) -> Option<String> {
        let Judge { op, dtype, elu } = self.judge;
        let factors = elu.factors();
        (self.wrong > 0).then(|| {
            format!(
                "{dtype} {op:?}, {factors:?}: {} wrong results, {} of the wrong kind, the others off by up to {:.2} ULP; the first: {}",
                self.wrong, self.of_wrong_kind, self.worst, self.first
            )
        })
    }
}

/// Runs the pipelines on all machines, and judges the results.
fn examine(
    program: &Program,
    machines: &[Machine],
    judge: Judge,
    [x, grad]: [&[u64]; 2],
    pipelines: &[(Shader, Dispatch)],
) -> Findings {
    let mut findings = Findings::new(judge);
    // Judges a result only if it differs from that of the previous run. The judge is slow, and most results are the
    // same everywhere.
    let mut judged: Vec<Option<(u64, Verdict)>> = vec![None; x.len()];
    for (shader, dispatch) in pipelines {
        for &machine in machines {
            let y = from_bytes(judge.dtype, &program.run(shader, machine, dispatch));
            let run = |(((&x, &grad), &y), judged): (((&u64, &u64), &u64), &mut Option<_>)| {
                match judged {
                    Some((previous, _)) if *previous == y => {}
                    _ => *judged = Some((y, judge.judge(x, grad, y))),
                }
            };
            x.par_iter()
                .zip(grad)
                .zip(&y)
                .zip(&mut judged)
                .for_each(run);
            for (i, judged) in judged.iter().enumerate() {
                let run_name = || format!("{}, {machine:?}", shader.entry_point);
                let (y, verdict) = judged.expect("every result is judged");
                findings.add(&run_name, [x[i], grad[i], y], verdict);
            }
        }
    }
    findings
}

/// Runs all operations of a dtype under the hostile compiler, and checks that the results keep the contract.
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
    let mut check = |judge: Judge, (x, grad): (Vec<u64>, Vec<u64>), pipelines: &[_]| {
        let Judge { op, elu, .. } = judge;
        let factors = elu.factors();
        let runs: Vec<_> = pipelines
            .iter()
            .map(|&pipeline| {
                let uniform = |params| uniform(dtype, op, factors, params);
                let dispatch = dispatch(dtype, pipeline, [&x, &grad], uniform);
                (shader(dtype, op, factors, pipeline), dispatch)
            })
            .collect();
        if let Some(report) = examine(&program, &Machine::ALL, judge, [&x, &grad], &runs).report() {
            writeln!(failures, "{report}").unwrap();
        }
    };
    for (op, factors) in cases {
        let judge = judge(dtype, op, factors);
        check(judge, inputs(judge), pipelines(dtype));
    }
    // Checks all other factors with the sample of `elu check`. Their shaders are among those compiled above, because
    // they have the same specializations.
    for judge in Op::ALL.map(|op| other_judges(op, dtype, false)).concat() {
        check(judge, inputs_of_check(judge), &PIPELINES[..1]);
    }
    assert!(
        failures.is_empty(),
        "results outside the contract:\n{failures}"
    );
}

fn judge(dtype: DType, op: Op, factors: Factors) -> Judge {
    Judge {
        op,
        dtype,
        elu: factors.into(),
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

// ---- Helpers ----

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

fn to_u32(n: usize) -> u32 {
    u32::try_from(n).unwrap()
}
