//! Tests ELU as a function in a host's shader. The compiler can use the code around the call for its optimizations.

use std::fmt::Write;

use wgpu_elu::{
    DType, Factors, Op,
    shader::{Params, Shape, VECTORS, function},
};

use super::{
    compiler::{Machine, Program, Shader},
    dispatch, examine,
    inputs::inputs,
    judge,
};

/// A shader that calls the function, with `CALL` as a placeholder for the call.
const HOST: &str = "
struct Params {
    head: array<vec4<u32>, 3>,
    alpha: vec4<f32>,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> output: array<vec4<u32>>;

override workgroup_size: u32;

@compute @workgroup_size(workgroup_size)
fn vectors(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) invocation: u32) {
    let i = group.x * workgroup_size + invocation;
    if i < params.head[0].x {
        let x = bitcast<vec4<f32>>(input[i]);
        let alpha = params.alpha.x;
        output[i] = bitcast<vec4<u32>>(CALL);
    }
}
";

/// Calls, each with its alpha: two with an alpha that is known only at run time, one with a constant alpha, and one
/// that is selected only if no component of x is +0, which the compiler may use.
const CALLS: [(&str, f64); 4] = [
    ("wgpu_elu_f32x4(x, alpha)", 0.3),
    ("wgpu_elu_f32x4(x, alpha)", 1.0),
    ("wgpu_elu_f32x4(x, 1.0)", 1.0),
    (
        "select(wgpu_elu_f32x4(x, 1.0), wgpu_elu_f32x4(x, alpha), all(input[i] != vec4(0u)))",
        1.0,
    ),
];

#[test]
fn the_function_in_another_shader_keeps_the_contract() {
    let shader = |call: &str| Shader {
        source: function(DType::F32) + &HOST.replace("CALL", call),
        dtype: DType::F32,
        entry_point: VECTORS,
        constants: vec![("workgroup_size", f64::from(Shape::HARDWARE.workgroup_size))],
    };
    let Some(program) = Program::compile(CALLS.map(|(call, _)| shader(call))) else {
        return;
    };
    let mut failures = String::new();
    for (call, alpha) in CALLS {
        let judge = judge(DType::F32, Op::Forward, Factors::elu(alpha));
        let (x, grad) = inputs(judge);
        let uniform = |params: Params| {
            #[expect(clippy::cast_possible_truncation, reason = "the rounding is intended")]
            let alpha = [alpha as f32; 4];
            [bytemuck::bytes_of(&params), bytemuck::bytes_of(&alpha)].concat()
        };
        let pipeline = (VECTORS, Shape::HARDWARE);
        let dispatch = dispatch(DType::F32, pipeline, [&x, &grad], uniform);
        let runs = [(shader(call), dispatch)];
        let findings = examine(&program, &Machine::ALL, judge, [&x, &grad], &runs);
        if let Some(report) = findings.report() {
            writeln!(failures, "{call}: {report}").unwrap();
        }
    }
    assert!(
        failures.is_empty(),
        "results outside the contract:\n{failures}"
    );
}
