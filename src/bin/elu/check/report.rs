//! What `elu check` found, range by range: counted, and told as a table, as JSON and as points of a picture.

use std::{fmt::Write as _, ops::Range};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use wgpu_elu::{DType, Device, shader::Op};

use crate::{
    files::number,
    judge::{Judge, bits, smallest_normal, value},
};

/// One result, as bits.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) x: u64,
    pub(crate) grad: u64,
    pub(crate) y: u64,
}

/// What was found in a range of x.
#[derive(Clone)]
struct Row {
    name: &'static str,
    count: u64,
    broken: u64,
    nearest: u64,
    sum_ulp: f64,
    max_ulp: f64,
    worst: Option<Case>,
}

/// What was found in all.
pub(crate) struct Report {
    judge: Judge,
    rows: Vec<Row>,
    /// The largest errors by the logarithm of -x: ours, and the plain formula's. Empty if nobody draws them.
    buckets: Vec<[f64; 2]>,
}

const RANGES: [&str; 9] = [
    "below -17.4",
    "-17.4 .. -1",
    "-1 .. -0.1",
    "-0.1 .. -1e-3",
    "-1e-3 .. -1e-7",
    "-1e-7 .. normal",
    "subnormal",
    "positive",
    "special",
];

/// The powers of ten of -x that are drawn, and buckets in one.
const DECADES: Range<i32> = -10..2;
const PER_DECADE: f64 = 50.0;

impl Report {
    /// Without any result yet. What is drawn takes longer: the plain formula is judged too.
    pub(crate) fn new(judge: Judge, is_drawn: bool) -> Self {
        let row = |name| Row {
            name,
            count: 0,
            broken: 0,
            nearest: 0,
            sum_ulp: 0.0,
            max_ulp: 0.0,
            worst: None,
        };
        let buckets = if is_drawn {
            bucket(f64::from(DECADES.end - DECADES.start) * PER_DECADE)
        } else {
            0
        };
        Self {
            judge,
            rows: RANGES.into_iter().map(row).collect(),
            buckets: vec![[0.0; 2]; buckets],
        }
    }

    pub(crate) fn add(&mut self, case: Case) {
        let judge = self.judge;
        let x = value(judge.dtype, case.x);
        if judge.op == Op::BackwardFromOutput && x < -judge.factors.alpha() {
            return; // no output is
        }
        let verdict = judge.judge(case.x, case.grad, case.y);
        let row = &mut self.rows[range(judge.dtype, x)];
        row.count += 1;
        row.broken += u64::from(!verdict.is_allowed);
        row.nearest += u64::from(verdict.is_nearest);
        row.sum_ulp += verdict.ulp;
        if verdict.ulp > row.max_ulp || row.worst.is_none() {
            row.max_ulp = verdict.ulp;
            row.worst = Some(case);
        }
        if x < 0.0 && !self.buckets.is_empty() {
            let at = ((-x).log10() - f64::from(DECADES.start)) * PER_DECADE;
            if let Some(most) = self.buckets.get_mut(bucket(at)).filter(|_| at >= 0.0) {
                let plain = plain(judge, x, value(judge.dtype, case.grad));
                let plain = judge.judge(case.x, case.grad, bits(judge.dtype, plain));
                *most = [most[0].max(verdict.ulp), most[1].max(plain.ulp)];
            }
        }
    }

    pub(crate) fn and(mut self, other: Self) -> Self {
        for (row, other) in self.rows.iter_mut().zip(other.rows) {
            row.count += other.count;
            row.broken += other.broken;
            row.nearest += other.nearest;
            row.sum_ulp += other.sum_ulp;
            if other.worst.is_some() && (row.worst.is_none() || other.max_ulp > row.max_ulp) {
                row.max_ulp = other.max_ulp;
                row.worst = other.worst;
            }
        }
        for (most, other) in self.buckets.iter_mut().zip(other.buckets) {
            *most = [most[0].max(other[0]), most[1].max(other[1])];
        }
        self
    }

    fn count(&self) -> u64 {
        self.rows.iter().map(|row| row.count).sum()
    }

    fn broken(&self) -> u64 {
        self.rows.iter().map(|row| row.broken).sum()
    }

    /// An error if any result breaks the contract.
    pub(crate) fn check(&self) -> Result<()> {
        let (broken, count) = (self.broken(), self.count());
        ensure!(
            broken == 0,
            "the contract is broken by {broken} of {count} results"
        );
        Ok(())
    }

    pub(crate) fn as_text(&self, title: &str) -> String {
        let judge = self.judge;
        let mut text = format!("{title}\n{} results\n\n", self.count());
        let _ = writeln!(
            text,
            "{:<15}{:>11}{:>8}{:>7}{:>9}  worst x",
            "x", "results", "max ULP", "mean", "nearest"
        );
        for row in self.rows.iter().filter(|row| row.count > 0) {
            let count = row.count as f64;
            let worst = row
                .worst
                .filter(|_| row.max_ulp > 0.0)
                .map_or_else(String::new, |case| {
                    format!("{:.3e} {:#x}", value(judge.dtype, case.x), case.x)
                });
            let line = format!(
                "{:<15}{:>11}{:>8.3}{:>7.3}{:>8.3}%  {worst}",
                row.name,
                row.count,
                row.max_ulp,
                row.sum_ulp / count,
                100.0 * row.nearest as f64 / count,
            );
            let _ = writeln!(text, "{}", line.trim_end());
        }
        let contract = if judge.is_rounded_correctly() {
            "the nearest number".to_owned()
        } else {
            format!("within {} ULP", judge.most_ulp())
        };
        let kept = match self.broken() {
            0 => "kept".to_owned(),
            broken => format!("BROKEN by {broken}"),
        };
        let _ = writeln!(text, "\ncontract: {contract}: {kept}");
        text
    }

    pub(crate) fn as_json(&self, device: &Device) -> Value {
        let judge = self.judge;
        let rows = self.rows.iter().filter(|row| row.count > 0).map(|row| {
            let worst = row.worst.map(|case| {
                let told = |bits: u64| {
                    json!({
                        "value": number(value(judge.dtype, bits)),
                        "bits": format!("{bits:#x}"),
                    })
                };
                json!({ "x": told(case.x), "grad": told(case.grad), "y": told(case.y) })
            });
            json!({
                "x": row.name,
                "results": row.count,
                "max_ulp": number(row.max_ulp),
                "mean_ulp": number(row.sum_ulp / row.count as f64),
                "nearest": row.nearest as f64 / row.count as f64,
                "broken": row.broken,
                "worst": worst,
            })
        });
        json!({
            "device": device.to_string(),
            "op": judge.op.name(),
            "dtype": judge.dtype.name(),
            "alpha": number(judge.factors.alpha()),
            "results": self.count(),
            "contract": {
                "max_ulp": judge.most_ulp(),
                "nearest": judge.is_rounded_correctly(),
                "kept": self.broken() == 0,
            },
            "ranges": rows.collect::<Vec<_>>(),
        })
    }

    /// -x in the middle of each bucket, and the largest errors there: ours, and the plain formula's.
    pub(crate) fn curve(&self) -> Vec<(f64, [f64; 2])> {
        let x = |i: usize| 10f64.powf(f64::from(DECADES.start) + (i as f64 + 0.5) / PER_DECADE);
        self.buckets
            .iter()
            .enumerate()
            .map(|(i, &errors)| (x(i), errors))
            .collect()
    }
}

// ---- Internals ----

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what is negative or too large becomes the end, and is left out"
)]
fn bucket(at: f64) -> usize {
    at as usize
}

/// The number of the range in [`RANGES`].
fn range(dtype: DType, x: f64) -> usize {
    if x == 0.0 || !x.is_finite() {
        8
    } else if x > 0.0 {
        7
    } else if x > -smallest_normal(dtype) {
        6
    } else {
        [-17.4, -1.0, -0.1, -1e-3, -1e-7]
            .into_iter()
            .filter(|&end| x >= end)
            .count()
    }
}

/// What the formula gives as it is written, in the floating point that arithmetic is done in.
fn plain(judge: Judge, x: f64, grad: f64) -> f64 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "rounding is what is wanted"
    )]
    fn narrow(v: f64) -> f32 {
        v as f32
    }
    let alpha = judge.factors.alpha();
    if judge.dtype == DType::F64 {
        return match judge.op {
            Op::Forward => alpha * (x.exp() - 1.0),
            Op::Backward => grad * (alpha * x.exp()),
            Op::BackwardFromOutput => grad * (x + alpha),
        };
    }
    let [x, grad, alpha] = [x, grad, alpha].map(narrow);
    f64::from(match judge.op {
        Op::Forward => alpha * (x.exp() - 1.0),
        Op::Backward => grad * (alpha * x.exp()),
        Op::BackwardFromOutput => grad * (x + alpha),
    })
}

#[cfg(test)]
mod tests {
    use wgpu_elu::Factors;

    use super::*;

    /// Of float16 results for x = -0.5, this many numbers from the nearest.
    fn report(off: &[u64]) -> Report {
        let judge = Judge {
            op: Op::Forward,
            dtype: DType::F16,
            factors: Factors::elu(1.0),
        };
        let [x, nearest] = [-0.5, -0.393_469_340_287_366_6].map(|v| bits(DType::F16, v));
        let one = |off| {
            let mut report = Report::new(judge, false);
            report.add(Case {
                x,
                grad: 0,
                y: nearest + off,
            });
            report
        };
        let none = Report::new(judge, false);
        off.iter().copied().map(one).fold(none, Report::and)
    }

    #[test]
    fn one_bad_result_breaks_the_contract() {
        let bad = report(&[0, 1, 0]);
        assert_eq!(
            bad.check().unwrap_err().to_string(),
            "the contract is broken by 1 of 3 results"
        );
        let text = bad.as_text("title");
        assert!(
            text.ends_with("\ncontract: the nearest number: BROKEN by 1\n"),
            "{text}"
        );
        let json = bad.as_json(&Device::Cpu);
        assert_eq!(json["contract"]["kept"], false);
        assert_eq!(json["ranges"][0]["broken"], 1);
        assert_eq!(json["ranges"][0]["worst"]["x"]["bits"], "0xb800");
    }

    #[test]
    fn good_results_keep_it() {
        let good = report(&[0, 0]);
        good.check().unwrap();
        let text = good.as_text("title");
        assert!(
            text.ends_with("\ncontract: the nearest number: kept\n"),
            "{text}"
        );
        assert_eq!(good.as_json(&Device::Cpu)["contract"]["kept"], true);
    }
}
