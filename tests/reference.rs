//! Compares the formulas of `reference`, which the judge uses, with values that were computed with 300 bits (by mpmath)
//! and with published values.

use wgpu_elu::reference::{elu, elu_grad, family, family_grad, family_grad_from_output};

/// x, alpha, and the exact `alpha * expm1(x)`.
const FORWARD: [(f64, f64, f64); 13] = [
    (-1e-300, 1.0, -1.0000000000000000251e-300),
    (-1e-20, 1.0, -9.9999999999999994515e-21),
    (-1e-08, 1.0, -9.9999999500000003759e-9),
    (-0.001, 1.0, -0.00099950016662500835274),
    (-0.1, 1.0, -0.095162581964040431859),
    (-0.5, 1.0, -0.3934693402873665764),
    (-1.0, 1.0, -0.6321205588285576784),
    (-1.0, 0.5, -0.3160602794142788392),
    (-2.5, 1.6732632423543772, -1.5359134314082976914),
    (-10.0, 1.0, -0.99995460007023751515),
    (-17.4, 1.0, -0.99999997224916757759),
    (-40.0, 2.0, -1.9999999999999999915),
    (-100.0, -3.0, 3.0),
];

/// x, alpha, and the exact `alpha * exp(x)`.
const GRADIENT: [(f64, f64, f64); 5] = [
    (-1e-20, 1.0, 0.99999999999999999999),
    (-0.5, 1.0, 0.6065306597126334236),
    (-1.0, 0.5, 0.1839397205857211608),
    (-10.0, 1.0, 0.000045399929762484851536),
    (-40.0, 2.0, 8.4967085105831779907e-18),
];

#[track_caller]
fn assert_close(found: f64, exact: f64) {
    assert!(
        (found - exact).abs() <= 2.0 * f64::EPSILON * exact.abs(),
        "found {found:e}, exact {exact:e}"
    );
}

#[test]
fn agrees_with_300_bits() {
    for (x, alpha, exact) in FORWARD {
        assert_close(elu(x, alpha), exact);
    }
    for (x, alpha, exact) in GRADIENT {
        assert_close(elu_grad(x, alpha), exact);
    }
}

#[test]
fn agrees_with_keras() {
    // From `test_elu` in keras/src/ops/nn_test.py of keras-team/keras at 3422977a (Apache-2.0). Its tolerance is 1e-6.
    for (alpha, expected) in [(1.0, -0.63212055), (0.5, -0.31606027)] {
        for (x, expected) in [
            (-1.0, expected),
            (0.0, 0.0),
            (1.0, 1.0),
            (2.0, 2.0),
            (3.0, 3.0),
        ] {
            assert!((elu(x, alpha) - expected).abs() <= 1e-6);
        }
    }
}

#[test]
fn gradient_is_the_slope_of_elu() {
    for (x, alpha) in [
        (-3.0, 1.0),
        (-0.7, 0.5),
        (-1e-3, 2.0),
        (0.5, 0.5),
        (4.0, -1.0),
    ] {
        let h = 1e-5;
        let central = (elu(x + h, alpha) - elu(x - h, alpha)) / (2.0 * h);
        assert!(
            (central - elu_grad(x, alpha)).abs() < 1e-9,
            "x {x}, alpha {alpha}"
        );
    }
}

/// alpha, scale and `input_scale` of SELU, of CELU with alpha 2 and 0.3, and of combinations of all three factors.
const FAMILIES: [[f64; 3]; 5] = [
    [1.6732632423543772, 1.0507009873554805, 1.0],
    [2.0, 1.0, 0.5],
    [0.3, 1.0, 1.0 / 0.3],
    [0.5, 3.0, 0.7],
    [1.5, 0.2, 5.0],
];
const XS: [f64; 9] = [-8.0, -3.0, -1.0, -0.7, -0.01, -1e-3, 1e-3, 0.5, 4.0];

#[test]
fn gradient_is_the_slope_of_the_family() {
    for [alpha, scale, input_scale] in FAMILIES {
        for x in XS {
            let h = 1e-5;
            let f = |x| family(x, alpha, scale, input_scale);
            let central = (f(x + h) - f(x - h)) / (2.0 * h);
            let slope = family_grad(x, alpha, scale, input_scale);
            // The error of a central difference is a sixth of the third derivative times h^2. The third derivative is
            // at most scale * alpha * input_scale^3, which is below 38.
            assert!(
                (central - slope).abs() < 1e-9,
                "x {x}, {alpha} {scale} {input_scale}: {central} is not {slope}"
            );
        }
    }
}

#[test]
fn gradients_from_the_output_and_from_the_input_agree() {
    for [alpha, scale, input_scale] in FAMILIES {
        for x in XS {
            let y = family(x, alpha, scale, input_scale);
            let from_output = family_grad_from_output(y, alpha, scale, input_scale);
            let from_input = family_grad(x, alpha, scale, input_scale);
            // The tolerance is absolute, because y + scale * alpha cancels where y is near -scale * alpha.
            let tolerance = 4.0 * f64::EPSILON * scale * alpha * input_scale;
            assert!(
                (from_output - from_input).abs() <= tolerance,
                "x {x}, {alpha} {scale} {input_scale}: {from_output} is not {from_input}"
            );
        }
    }
}

#[test]
fn zero_infinities_and_nan_give_the_expected_results() {
    for alpha in [1.0, 0.0, -2.0, f64::INFINITY, f64::NAN] {
        assert_eq!(elu(-0.0, alpha).to_bits(), (-0.0f64).to_bits());
        assert_eq!(elu(f64::INFINITY, alpha), f64::INFINITY);
        assert_eq!(elu(3.0, alpha), 3.0);
        assert!(elu(f64::NAN, alpha).is_nan());
        assert!(elu_grad(f64::NAN, alpha).is_nan());
    }
    assert_eq!(elu(f64::NEG_INFINITY, 1.5), -1.5);
    assert_eq!(elu(-1.0, f64::INFINITY), f64::NEG_INFINITY);
    assert!(elu(-1.0, f64::NAN).is_nan());
    assert_eq!(elu_grad(0.0, 0.25), 0.25);
    assert_eq!(elu_grad(-0.0, 0.25), 0.25);
    assert_eq!(elu_grad(f64::INFINITY, 0.25), 1.0);
    assert_eq!(elu_grad(f64::NEG_INFINITY, 0.25), 0.0);
}
