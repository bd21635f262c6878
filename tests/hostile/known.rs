//! Checks single results that earlier shaders computed wrongly, and that the hostile compiler breaks earlier shaders.

use std::fmt::Write;

use wgpu_elu::{
    DType, Factors, Op,
    shader::{Params, Shape, VECTORS},
};

use super::{
    PIPELINES,
    compiler::{Machine, Program, Shader},
    dispatch, examine,
    inputs::inputs,
    judge, shader, uniform,
};
use wgpu_elu::accuracy::{bits, from_bytes, value};

/// One element, with its result `expected` to within 3 %.
struct Known {
    dtype: DType,
    op: Op,
    factors: Factors,
    x: f64,
    grad: f64,
    expected: f64,
}

fn known_results() -> Vec<Known> {
    let forward = |alpha, x, expected| Known {
        dtype: DType::F64,
        op: Op::Forward,
        factors: Factors::elu(alpha),
        x,
        grad: 0.0,
        expected,
    };
    let backward = |dtype, x, grad, expected| Known {
        dtype,
        op: Op::Backward,
        factors: Factors::elu(1.0),
        x,
        grad,
        expected,
    };
    let from_output = |alpha: f64, part: f64| {
        let [x, negative] = [-alpha * part, alpha].map(|v| value(DType::F32, bits(DType::F32, v)));
        Known {
            dtype: DType::F32,
            op: Op::BackwardFromOutput,
            factors: Factors::elu(alpha),
            x,
            grad: 1.0,
            expected: x + negative,
        }
    };
    let x = -0.346_523_035_665_058_3;
    let mut known = vec![
        // exp(x) underflows, but its product with the gradient does not.
        backward(DType::F32, -154.9, 9.04e29, 4.7e-38),
        backward(DType::F32, -107.36, -2.04e12, -4.8e-35),
        backward(DType::BF16, -167.0, -9.7e36, -2.9e-36),
        // A compiler may drop a conversion to float32 and back. The product of the two high parts is then not exact.
        forward(3.41, x, 3.41 * x.exp_m1()),
        // If the processor flushes a subnormal x, a normal result becomes 0.
        forward(-2.0, -2e-308, 4e-308),
        forward(1e300, -1e-308, -1e-8),
    ];
    // The slope is a small difference of the output and -alpha. It loses its low part if sums are regrouped.
    for alpha in [1.0, 0.3, 1.673_263_2] {
        known.extend([0.999, 0.999_999_7, 0.3].map(|part| from_output(alpha, part)));
    }
    known
}

#[test]
fn results_that_were_wrong_before_keep_the_contract() {
    let pipeline = PIPELINES[0];
    let all = known_results();
    let mut failures = String::new();
    for dtype in [DType::F32, DType::BF16, DType::F64] {
        let known = all.iter().filter(|known| known.dtype == dtype);
        let shader = |known: &Known| shader(dtype, known.op, known.factors, pipeline);
        let Some(program) = Program::compile(known.clone().map(shader)) else {
            return;
        };
        for known in known {
            let judge = judge(dtype, known.op, known.factors);
            let [x, grad] = [known.x, known.grad].map(|v| bits(dtype, v));
            let uniform = |params| uniform(dtype, known.op, known.factors, params);
            let dispatch = dispatch(dtype, pipeline, [&[x; 8], &[grad; 8]], uniform);
            for machine in Machine::ALL {
                let y = program.run(&shader(known), machine, &dispatch);
                let y = from_bytes(dtype, &y)[0];
                let verdict = judge.judge(x, grad, y);
                let y = value(dtype, y);
                if verdict.is_allowed && (y / known.expected - 1.0).abs() < 0.03 {
                    continue;
                }
                let Known {
                    x, grad, expected, ..
                } = known;
                writeln!(
                    failures,
                    "{judge:?}, {machine:?}: x {x:e}, grad {grad:e} gives {y:e}, expected about {expected:e}: off by {:.2} ULP",
                    verdict.ulp
                )
                .unwrap();
            }
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
}

/// Includes a shader of `data/hostile/old`.
macro_rules! old {
    ($name:literal) => {
        include_str!(concat!("../data/hostile/old/", $name, ".wgsl"))
    };
}

/// Proves that the compiler is hostile enough: it breaks earlier shaders, even without flushing subnormals.
#[test]
fn earlier_shaders_break() {
    use Op::{Backward, BackwardFromOutput, Forward};
    for (dtype, op, alpha, source) in [
        (
            DType::F32,
            BackwardFromOutput,
            0.3,
            old!("float32.backward-from-output"),
        ),
        (DType::F32, Backward, 1.0, old!("float32.backward")),
        (DType::F64, Forward, 3.41, old!("float64.forward")),
    ] {
        let judge = judge(dtype, op, Factors::elu(alpha));
        let shader = Shader {
            source: source.into(),
            dtype,
            entry_point: VECTORS,
            constants: [
                Shape::HARDWARE.constants(VECTORS),
                vec![("vector_stride", 1.0), ("invocation_stride", 1.0)],
            ]
            .concat(),
        };
        let Some(program) = Program::compile([shader.clone()]) else {
            return;
        };
        let (x, grad) = inputs(judge);
        let uniform = |params| old_uniform(dtype, alpha, params);
        let dispatch = dispatch(dtype, PIPELINES[0], [&x, &grad], uniform);
        let machines = &Machine::KEEP_SUBNORMALS;
        let findings = examine(
            &program,
            machines,
            judge,
            [&x, &grad],
            &[(shader, dispatch)],
        );
        assert!(
            findings.worst > judge.max_ulp(),
            "{judge:?}: errors are at most {} ULP, which the contract allows",
            findings.worst
        );
    }
}

/// Returns the uniform's bytes for an earlier shader, for ELU.
fn old_uniform(dtype: DType, alpha: f64, params: Params) -> Vec<u8> {
    // The fields: count, the first elements of x, grad and y, groups_per_row, head, gap, end, zero and padding.
    let Params {
        count,
        groups_per_row,
        head,
        end,
        ..
    } = params;
    let params = [count, 0, 0, 0, groups_per_row, head, 0, end, 0, 0, 0, 0];
    #[expect(clippy::cast_possible_truncation, reason = "the rounding is intended")]
    let factors = if dtype == DType::F64 {
        // The fields: negative, negative_high, positive, input_scale, input_scale_high, slope, odd, padding.
        let high = f64::from_bits(alpha.to_bits() & !0x1fff_ffff);
        bytemuck::bytes_of(&[alpha, high, 1.0, 1.0, 1.0, alpha, 0.0, 0.0]).to_vec()
    } else {
        // The fields: negative, rescale, positive, input_scale, slope, padding.
        let alpha = alpha as f32;
        bytemuck::bytes_of(&[alpha, 1.0, 1.0, 1.0, alpha, 0.0, 0.0, 0.0]).to_vec()
    };
    [bytemuck::bytes_of(&params), &factors].concat()
}
