//! The judge: what it accepts, and above all what it refuses.

use wgpu_elu::{DType, Factors, shader::Op};

use crate::judge::{Judge, bits, value};

fn judge(op: Op, dtype: DType, alpha: f64) -> Judge {
    Judge {
        op,
        dtype,
        factors: Factors::elu(alpha),
    }
}

/// x and what is due for it with alpha = 1 and a gradient of 1, as computed with 300 bits.
fn known(op: Op) -> [f64; 2] {
    match op {
        Op::Forward => [-0.5, -0.393_469_340_287_366_576_4],
        Op::Backward => [-0.5, 0.606_530_659_712_633_423_6],
        Op::BackwardFromOutput => [-0.25, 0.75],
    }
}

/// Every format and operation.
fn every_judge() -> impl Iterator<Item = Judge> {
    DType::ALL
        .into_iter()
        .flat_map(|dtype| Op::ALL.map(|op| judge(op, dtype, 1.0)))
}

/// Whether it accepts `y` for `x` and `grad`.
fn accepts(judge: Judge, x: f64, grad: f64, y: f64) -> bool {
    let [x, grad, y] = [x, grad, y].map(|v| bits(judge.dtype, v));
    judge.judge(x, grad, y).is_allowed
}

#[test]
fn the_nearest_number_and_its_neighbours() {
    for judge in every_judge() {
        let dtype = judge.dtype;
        let [x, exact] = known(judge.op).map(|v| bits(dtype, v));
        let one = bits(dtype, 1.0);
        let verdict = |y| judge.judge(x, one, y);
        let nearest = verdict(exact);
        assert!(
            nearest.is_allowed && nearest.is_nearest && nearest.ulp <= 0.5,
            "{judge:?}: {nearest:?}"
        );
        let correctly_rounded = judge.op == Op::Forward && dtype.size() == 2;
        for off in 1..5 {
            for y in [exact - off, exact + off] {
                let verdict = verdict(y);
                assert!(!verdict.is_nearest, "{judge:?}, {off} off: {verdict:?}");
                assert!(
                    (verdict.ulp - off as f64).abs() <= 0.5,
                    "{judge:?}, {off} off: {verdict:?}"
                );
                let most = if correctly_rounded {
                    0.0
                } else if dtype == DType::F64 {
                    2.0
                } else {
                    1.0
                };
                assert_eq!(
                    verdict.is_allowed,
                    verdict.ulp <= most,
                    "{judge:?}, {off} off: {verdict:?}"
                );
            }
        }
    }
}

#[test]
fn the_naive_formula_is_refused() {
    for dtype in DType::ALL {
        let rounded = |v| value(dtype, bits(dtype, v));
        let x = rounded(-1e-7);
        let naive = rounded(rounded(x.exp()) - 1.0);
        let judge = judge(Op::Forward, dtype, 1.0);
        assert!(!accepts(judge, x, 1.0, naive), "{judge:?}: {naive:e}");
        assert!(accepts(judge, x, 1.0, x.exp_m1()), "{judge:?}");
    }
}

#[test]
fn what_is_no_number_or_has_the_wrong_sign_is_refused() {
    for judge in every_judge() {
        let [x, y] = known(judge.op);
        for wrong in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -y] {
            assert!(!accepts(judge, x, 1.0, wrong), "{judge:?}: {wrong}");
        }
        assert!(accepts(judge, f64::NAN, 1.0, f64::NAN), "{judge:?}");
        assert!(!accepts(judge, f64::NAN, 1.0, 0.0), "{judge:?}");
        for zero in [0.0, -0.0] {
            // Of a zero x, or of a zero gradient.
            let (x, grad) = match judge.op {
                Op::Forward => (zero, 1.0),
                Op::Backward | Op::BackwardFromOutput => (x, zero),
            };
            assert!(accepts(judge, x, grad, zero), "{judge:?}: {zero:?}");
            assert!(!accepts(judge, x, grad, -zero), "{judge:?}: {zero:?}");
        }
    }
}

/// No device may take a subnormal number for 0.
#[test]
fn zero_for_a_subnormal_is_refused() {
    for (dtype, x) in [(DType::F32, -1e-39), (DType::F64, -1e-310)] {
        for alpha in [0.5, 1.0] {
            let judge = judge(Op::Forward, dtype, alpha);
            assert!(!accepts(judge, x, 1.0, -0.0), "{judge:?}");
        }
    }
}
