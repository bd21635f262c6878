//! Runs the test cases of ONNX, Keras and PyTorch on the CPU path and every adapter. The README next to each file of
//! cases names its origin.

use serde_json::Value;
use wgpu_elu::{DType, Device, Elu, Error, Factors, Op, Tensor};

use conformance::native::{TestDevice, bits_of, on_every_device, shaped, supports, ulp_distance};
use wgpu_elu::accuracy::value;

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Returns the cases in a file. Panics if there are none, so that a renamed key is noticed.
fn cases(file: &Value) -> &[Value] {
    let cases = file["cases"].as_array().unwrap();
    assert!(!cases.is_empty());
    cases
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

fn dtype(case: &Value) -> DType {
    case["dtype"].as_str().unwrap().parse().unwrap()
}

fn shape(case: &Value) -> Vec<usize> {
    let dimensions = case["shape"].as_array().unwrap().iter();
    dimensions
        .map(|d| usize::try_from(d.as_u64().unwrap()).unwrap())
        .collect()
}

/// Parses a list of bit patterns in hexadecimal digits.
fn hex(list: &Value) -> Vec<u64> {
    let words = list.as_array().unwrap().iter();
    words
        .map(|word| u64::from_str_radix(word.as_str().unwrap(), 16).unwrap())
        .collect()
}

fn numbers(list: &Value) -> Vec<f64> {
    list.as_array().unwrap().iter().map(number).collect()
}

fn values(tensor: &Tensor) -> Vec<f64> {
    let bits = bits_of(tensor).into_iter();
    bits.map(|bits| value(tensor.dtype(), bits)).collect()
}

/// Panics unless `|found - expected| <= atol + rtol * |expected|` for every element. This is the condition of NumPy's
/// `assert_allclose`, which ONNX and Keras use to compare results.
#[track_caller]
fn assert_all_close(name: &str, found: &[f64], expected: &[f64], rtol: f64, atol: f64) {
    assert_eq!(found.len(), expected.len(), "{name}");
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!(
            (found - expected).abs() <= atol + rtol * expected.abs(),
            "{name}: element {i} is {found:e}, expected {expected:e}"
        );
    }
}

#[test]
fn onnx_cases_pass() {
    let file = parsed(include_str!("data/onnx/elu_cases.json"));
    for case in cases(&file) {
        let attribute = |name, default| case["attrs"].get(name).map_or(default, number);
        let elu = match case["op"].as_str().unwrap() {
            "Elu" => Elu::new(attribute("alpha", 1.0)),
            "Selu" => {
                let alpha = attribute("alpha", Factors::SELU.alpha());
                let gamma = attribute("gamma", Factors::SELU.scale());
                Factors::new(alpha, gamma, 1.0).unwrap().into()
            }
            "Celu" => Elu::celu(attribute("alpha", 1.0)).unwrap(),
            op => panic!("unknown operator {op}"),
        };
        let [input, output] = ["input_bits", "output_bits"].map(|name| hex(&case[name]));
        let (dtype, shape) = (dtype(case), shape(case));
        let expected = values(&shaped(&Device::Cpu, dtype, &output, &shape));
        let [rtol, atol] = ["rtol", "atol"].map(|name| number(&case[name]));
        on_every_device(|target| {
            let name = format!("{} on {}", case["name"], target.name);
            let y = elu.forward(&shaped(target.device, dtype, &input, &shape));
            let y = y.unwrap();
            assert_eq!(y.shape(), shape, "{name}");
            assert_all_close(&name, &values(&y), &expected, rtol, atol);
        });
    }
}

#[test]
fn keras_cases_pass() {
    let file = parsed(include_str!("data/keras/elu_cases.json"));
    for case in cases(&file) {
        let elu = Elu::new(number(&case["alpha"]));
        let shape = shape(case);
        let bits = |list| -> Vec<u64> {
            let numbers = numbers(list).into_iter();
            numbers
                .map(|v| wgpu_elu::accuracy::bits(dtype(case), v))
                .collect()
        };
        on_every_device(|target| {
            let name = format!("{} on {}", case["name"], target.name);
            let x = shaped(target.device, dtype(case), &bits(&case["input"]), &shape);
            let y = elu.forward(&x).unwrap();
            assert_eq!(y.shape(), shape, "{name}");
            // The tolerances are those of Keras' `assertAllClose`.
            assert_all_close(&name, &values(&y), &numbers(&case["expected"]), 1e-6, 1e-6);
        });
    }
}

/// Keras' test cases check these conditions without values.
#[test]
fn results_have_the_dtype_and_shape_of_the_input() {
    on_every_device(|target| {
        for dtype in DType::ALL {
            if !supports(target.device, dtype) {
                continue;
            }
            for shape in [[2, 3, 4], [1, 2, 3]] {
                let x = Tensor::zeros(target.device, dtype, &shape).unwrap();
                let y = Elu::default().forward(&x).unwrap();
                assert_eq!(
                    (y.dtype(), y.shape()),
                    (dtype, &shape[..]),
                    "{}",
                    target.name
                );
            }
        }
    });
}

#[test]
fn pytorch_cases_pass() {
    let file = parsed(include_str!("data/torch/elu_cases.json"));
    on_every_device(|target| {
        for case in cases(&file) {
            let dtype = dtype(case);
            if !supports(target.device, dtype) {
                continue;
            }
            let tensor = |list| shaped(target.device, dtype, &hex(list), &shape(case));
            let [x, grad] = ["x", "grad_out"].map(|name| tensor(&case[name]));
            for run in case["runs"].as_array().unwrap() {
                let alpha = number(&run["alpha"]);
                let elu = Elu::new(alpha);
                let check = |op, found: Tensor, name| {
                    assert_eq!(found.shape(), x.shape());
                    assert_near(target, op, alpha, &found, &hex(&run[name]));
                };
                check(Op::Forward, elu.forward(&x).unwrap(), "y");
                check(Op::Backward, elu.backward(&x, &grad).unwrap(), "grad_in");
                let from_output = elu.backward_from_output(&tensor(&run["y"]), &grad);
                if alpha > 0.0 {
                    let name = "grad_in_from_result";
                    check(Op::BackwardFromOutput, from_output.unwrap(), name);
                } else {
                    // PyTorch rejects only negative alphas, and returns a result for 0.
                    let error = from_output.unwrap_err();
                    assert!(matches!(error, Error::NotInvertible { found, .. } if found == alpha));
                }
            }
        }
    });
}

/// Returns the largest ULP distance that is allowed between PyTorch's result and ours.
///
/// These are the largest distances seen, on the CPU path and on a software adapter through Vulkan and GL:
///
/// - **Forward.** Our result is within 1 ULP of the exact value. PyTorch's float32 result is within 1.28 ULP, for
///   alpha = 1.6732, and within 0.59 ULP for the other alphas. The largest distance between the two is 1.
/// - **Gradients.** PyTorch computes `grad * alpha * exp(x)` and `grad * (y + alpha)`, and rounds after each operation.
///   With alpha = 1.6732, which is not a power of two, the former adds the errors of two products to the error of exp.
///   The ULP distance is 2 in 2 of 4135 results for float32, and in 1 result for float64.
/// - **16-bit dtypes.** Both projects compute in float32 and round once. The exact values in these cases are at least
///   one float32 ULP away from the midpoint between two 16-bit numbers, or exactly on it. Those on it come from sums
///   and products that are exact in float32. So the bits are equal.
fn max_ulp_distance(op: Op, dtype: DType) -> u64 {
    match (dtype, op) {
        (DType::F16 | DType::BF16, _) => 0,
        (_, Op::Forward | Op::BackwardFromOutput) => 1,
        (_, Op::Backward) => 2,
    }
}

#[track_caller]
fn assert_near(target: TestDevice<'_>, op: Op, alpha: f64, found: &Tensor, expected: &[u64]) {
    let dtype = found.dtype();
    let found = bits_of(found);
    assert_eq!(found.len(), expected.len());
    for (i, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        let [found_value, expected_value] = [found, expected].map(|bits| value(dtype, bits));
        let distance = ulp_distance(dtype, found, expected);
        assert!(
            distance <= max_ulp_distance(op, dtype),
            "{}: {op:?} of {dtype}, alpha {alpha}, element {i}: {found_value:e} has a ULP distance of {distance} from \
             PyTorch's {expected_value:e}",
            target.name
        );
    }
}
