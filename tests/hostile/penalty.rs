//! Tests the penalty's four entry points, in the order in which a step runs them.

use wgpu_elu::{
    DType,
    shader::{
        ELEMENTS, Shape, VECTORS,
        penalty::{self, Factors32, Factors64, LAST, Params, SUMS, SUMS_PER_INVOCATION},
    },
};

use super::{
    compiler::{Dispatch, Machine, Program, Shader},
    inputs::scattered,
    to_u32,
};
use conformance::regularizer;
use wgpu_elu::accuracy::{bits, from_bytes, to_bytes, value};

/// The number of elements, including one before and one after those that are summed.
const LEN: u64 = 40_000;

/// A function from an index to an element, and the factors of the penalty.
struct Case {
    name: &'static str,
    factors: [f64; 2],
    element: fn(u64, Sizes) -> f64,
    /// The expected result, if it is not the rounded sum.
    expected: Option<f64>,
}

/// The sizes of elements. The sum of squares is finite for sizes from `tiny` to `huge`. The square of `overflows` is
/// not finite in the dtype of the arithmetic. `subnormal` is a subnormal number of the dtype.
#[derive(Clone, Copy)]
struct Sizes {
    tiny: f64,
    huge: f64,
    overflows: f64,
    subnormal: f64,
}

impl Sizes {
    fn new(dtype: DType) -> Self {
        let (exponent, too_large, subnormal) = match dtype {
            DType::F16 => (15, 16, 1e-5), // the element 2^16 is infinite
            DType::F64 => (400, 600, 1e-310),
            _ => (50, 70, 1e-39),
        };
        Self {
            tiny: 0.5f64.powi(exponent),
            huge: 2.0f64.powi(exponent),
            overflows: 2.0f64.powi(too_large),
            subnormal,
        }
    }

    /// Returns a number between `tiny` and `huge`, with either sign.
    fn any(self, i: u64) -> f64 {
        let part = (scattered(i) % 1000) as f64 / 1000.0;
        let sign = [1.0, -1.0][(i % 2) as usize];
        sign * self.tiny * (self.huge / self.tiny).powf(part)
    }
}

const CASES: [Case; 9] = [
    Case {
        name: "moderate",
        factors: [0.1, 0.2],
        element: |i, _| (scattered(i) % 1000) as f64 / 300.0 - 1.5,
        expected: None,
    },
    Case {
        name: "of all sizes",
        factors: [0.1, 0.2],
        element: |i, sizes| sizes.any(i),
        expected: None,
    },
    Case {
        name: "of all sizes, without l2",
        factors: [0.1, 0.0],
        element: |i, sizes| sizes.any(i),
        expected: None,
    },
    Case {
        name: "tiny, except one",
        factors: [0.0, 0.1],
        element: |i, sizes| if i == 9 { 1.0 } else { sizes.tiny },
        expected: None,
    },
    Case {
        name: "1, and many halves of its float32 ULP",
        factors: [1.0, 0.0],
        element: |i, _| if i == 9 { 1.0 } else { 0.5f64.powi(24) },
        expected: None,
    },
    Case {
        name: "subnormal, except one",
        factors: [0.1, 0.2],
        element: |i, sizes| if i == 9 { 1.0 } else { sizes.subnormal },
        expected: None,
    },
    Case {
        name: "one whose square overflows",
        factors: [0.0, 1.0],
        element: |i, sizes| if i == 9 { sizes.overflows } else { 1.0 },
        expected: Some(f64::INFINITY),
    },
    Case {
        name: "one infinite",
        factors: [0.1, 0.0],
        element: |i, sizes| {
            if i == LEN / 2 {
                f64::NEG_INFINITY
            } else {
                sizes.any(i)
            }
        },
        expected: Some(f64::INFINITY),
    },
    Case {
        name: "NaN and infinite",
        factors: [0.1, 0.2],
        element: |i, _| [f64::NAN, f64::INFINITY][(i % 2) as usize],
        expected: Some(f64::NAN),
    },
];

#[test]
fn penalties_are_within_the_tolerance() {
    let shapes = [Shape::HARDWARE, Shape::SOFTWARE];
    for dtype in DType::ALL {
        let shaders = shapes.iter().flat_map(|&shape| {
            [VECTORS, ELEMENTS, SUMS, LAST].map(|entry_point| shader(dtype, shape, entry_point))
        });
        let Some(program) = Program::compile(shaders) else {
            return;
        };
        let sizes = Sizes::new(dtype);
        for case in &CASES {
            let y = |i| (case.element)(i, sizes);
            let mut y: Vec<u64> = (0..LEN).map(|i| bits(dtype, y(i))).collect();
            let ends = [0, y.len() - 1];
            let summed = y[1..ends[1]].iter().map(|&bits| value(dtype, bits));
            let expected = regularizer::exact(case.factors, summed);
            let expected = case.expected.unwrap_or(expected);
            // The elements that are not summed are NaN. Reading them would make the result NaN.
            for end in ends {
                y[end] = bits(dtype, f64::NAN);
            }
            for shape in shapes {
                for machine in Machine::ALL {
                    let actual = run(&program, (dtype, shape, machine), case.factors, &y);
                    let what = format!("{}, {machine:?}, {shape:?}", case.name);
                    if expected.is_nan() {
                        let actual = value(dtype.arithmetic_dtype(), actual);
                        assert!(actual.is_nan(), "{what}, {dtype}: {actual}, expected NaN");
                    } else {
                        regularizer::check(&what, dtype, actual, expected);
                    }
                }
            }
        }
    }
}

// ---- Internals ----

/// Returns the uniform's bytes, for a sum that is not divided.
fn uniform(dtype: DType, [l1, l2]: [f64; 2], params: Params) -> Vec<u8> {
    #[expect(clippy::cast_possible_truncation, reason = "the rounding is intended")]
    let factors = match dtype {
        DType::F64 => bytemuck::bytes_of(&Factors64 {
            l1,
            l2,
            scale: 1.0,
            power: 1.0,
        })
        .to_vec(),
        _ => bytemuck::bytes_of(&Factors32 {
            l1: l1 as f32,
            l2: l2 as f32,
            scale: 1.0,
            power: 1.0,
        })
        .to_vec(),
    };
    [bytemuck::bytes_of(&params), &factors].concat()
}

fn shader(dtype: DType, shape: Shape, entry_point: &'static str) -> Shader {
    Shader {
        source: penalty::source(dtype),
        dtype,
        entry_point,
        constants: penalty::constants(shape, entry_point),
    }
}

/// Computes the penalty of all elements except the first and the last: a partial sum for each workgroup of vectors and
/// one for the edges, then fewer partial sums, then the result.
fn run(
    program: &Program,
    (dtype, shape, machine): (DType, Shape, Machine),
    factors: [f64; 2],
    y: &[u64],
) -> u64 {
    let result_dtype = dtype.arithmetic_dtype();
    let sum_size = 2 * result_dtype.size();
    let groups_of = |items: usize, per_invocation: u32| {
        items.div_ceil((shape.workgroup_size * per_invocation) as usize)
    };
    let run = |entry_point, [from, to]: [Vec<u8>; 2], groups, params: Params| {
        let groups = to_u32(groups);
        let params = Params {
            groups_per_row: groups,
            ..params
        };
        let dispatch = Dispatch {
            buffers: [uniform(dtype, factors, params), from, Vec::new(), to],
            groups,
        };
        let shader = shader(dtype, shape, entry_point);
        program.run(&shader, machine, &dispatch)
    };

    let vectors = y.len() * dtype.size() / 16 - 2; // without the first and the last vector
    let vector_groups = groups_of(vectors, penalty::vectors_per_invocation(shape));
    let params = Params {
        first: 1,
        count: to_u32(vectors),
        begin: 1,
        end: to_u32(y.len() - 1),
        ..Params::default()
    };
    let y = to_bytes(dtype, y);
    let sums = vec![0; (vector_groups + 1) * sum_size];
    let sums = run(VECTORS, [y.clone(), sums], vector_groups, params);
    let to = to_u32(vector_groups);
    let sums = run(ELEMENTS, [y, sums], 1, Params { to, ..params });

    let params_for = |count| Params {
        count: to_u32(count),
        ..Params::default()
    };
    let sum_groups = groups_of(vector_groups + 1, SUMS_PER_INVOCATION);
    let fewer_sums = vec![0; sum_groups * sum_size];
    let fewer_sums = run(
        SUMS,
        [sums, fewer_sums],
        sum_groups,
        params_for(vector_groups + 1),
    );
    let result = vec![0; result_dtype.size()];
    let result = run(LAST, [fewer_sums, result], 1, params_for(sum_groups));
    from_bytes(result_dtype, &result)[0]
}
