use super::*;
use crate::{accuracy::bits, elu::Elu, op::Op};

const HALF: Judge = Judge {
    op: Op::Forward,
    dtype: DType::F16,
    elu: Elu::new(1.0),
};

/// Creates a report on float16 results for x = -0.5. Each result is the given number of steps away from the nearest
/// number.
fn report(steps_off: &[u64]) -> Report {
    let [x, nearest] = [-0.5, -0.393_469_340_287_366_6].map(|v| bits(DType::F16, v));
    let report_on = |steps| {
        let mut report = Report::new(HALF);
        report.add(Case {
            x,
            grad: 0,
            y: nearest + steps,
        });
        report
    };
    let empty = Report::new(HALF);
    steps_off
        .iter()
        .copied()
        .map(report_on)
        .fold(empty, Report::merge)
}

#[test]
fn one_bad_result_breaks_the_contract() {
    let bad = report(&[0, 1, 0]);
    assert!(!bad.is_kept());
    assert_eq!((bad.broken(), bad.count()), (1, 3));
    let text = bad.to_string();
    assert!(
        text.ends_with(
            "
contract: the nearest number: BROKEN by 1 result
the worst result is 1.350 ULP from the exact value:
  alpha        1e0 (0x3ff0000000000000)
  scale        1e0 (0x3ff0000000000000)
  input_scale  1e0 (0x3ff0000000000000)
  x            -5e-1 (0xb800)
  y            -3.93798828125e-1 (0xb64d)
  nearest      -3.935546875e-1 (0xb64c)
"
        ),
        "{text}"
    );
}

#[test]
fn good_results_keep_the_contract() {
    let good = report(&[0, 0]);
    assert!(good.is_kept());
    let text = good.to_string();
    assert!(
        text.ends_with("\ncontract: the nearest number: kept\n"),
        "{text}"
    );
}

#[test]
fn a_bad_result_of_other_factors_breaks_the_contract() {
    let judge = Judge {
        elu: Factors::new(0.5, 2.0, 3.0).unwrap().into(),
        ..HALF
    };
    let mut others = Others::new(judge);
    let [x, y] = [-0.5, -0.75].map(|v| bits(DType::F16, v));
    others.add(Case { x, grad: 0, y });
    let report = report(&[0]).with_others(Others::default().combine(others));
    assert!(!report.is_kept());
    assert_eq!((report.broken(), report.others().tally().broken), (0, 1));
    let text = report.to_string();
    assert!(text.contains(
        "\ncontract: the nearest number: kept\n\n1 other set of factors: 1 result, max ULP "
    ));
    assert!(
        text.contains("\ncontract: within 1 ULP: BROKEN by 1 result\n"),
        "{text}"
    );
    assert!(
        text.contains("\n  input_scale  3e0 (0x4008000000000000)\n"),
        "{text}"
    );
}

/// Devices that flush subnormals, or whose results are completely wrong, have errors of any size.
#[test]
fn columns_stay_separate_for_errors_of_any_size() {
    for judge in [
        HALF,
        Judge {
            dtype: DType::F64,
            ..HALF
        },
    ] {
        for (x, y) in [
            (-0.5, 60_000.0),
            (-0.5, -60_000.0),
            (-0.5, f64::NAN),
            (-0.5, -1e300),
            (-1e-5, -1e4),
            (-1e-5, -1e-2),
        ] {
            let mut report = Report::new(judge);
            let [x, y] = [x, y].map(|v| bits(judge.dtype, v));
            report.add(Case { x, grad: 0, y });
            let text = report.to_string();
            let mut lines = text.lines().skip(2);
            let (head, line) = (lines.next().unwrap(), lines.next().unwrap());
            // After the range: the count, two errors, a share, and x with its bits.
            let name = RANGES.iter().find(|name| line.starts_with(**name)).unwrap();
            let cells: Vec<&str> = line[name.len()..].split("  ").collect();
            let cells: Vec<&str> = cells.into_iter().filter(|cell| !cell.is_empty()).collect();
            assert_eq!(cells.len(), 5, "{text}");
            assert!(line.len() <= 80 && head.len() <= 80, "{text}");
            for title in ["results", "max ULP", "mean", "nearest"] {
                // The numbers end below the end of their titles.
                let end = head.find(title).unwrap() + title.len();
                assert!(line[..end].ends_with(|c: char| c != ' '), "{text}");
                assert!(line[end..].starts_with("  "), "{text}");
            }
        }
    }
}
