//! What `elu check` found, range by range: counted, and written as a table, as JSON and as points of a picture.

use std::{fmt::Write as _, ops::Range};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use wgpu_elu::{DType, Device, Factors, shader::Op};

use super::examine::{Case, Findings, Tally, Worst};
use crate::{
    files::number,
    judge::{Judge, bits, smallest_normal, value},
};

/// What was found.
pub(crate) struct Report {
    judge: Judge,
    /// One for each of [`RANGES`].
    ranges: Vec<Tally>,
    /// The largest errors by the logarithm of -x: the device's, and the naive formula's. Empty if nobody draws them.
    buckets: Vec<[f64; 2]>,
    others: Others,
}

/// What was found with other factors than those of the table.
#[derive(Default)]
pub(crate) struct Others {
    judge: Option<Judge>,
    /// How many factors were tried.
    factors: u64,
    tally: Tally,
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
    /// Without any result yet. What is drawn takes longer: the naive formula is judged too.
    pub(crate) fn new(judge: Judge, is_drawn: bool) -> Self {
        let buckets = if is_drawn {
            bucket(f64::from(DECADES.end - DECADES.start) * PER_DECADE)
        } else {
            0
        };
        Self {
            judge,
            ranges: vec![Tally::default(); RANGES.len()],
            buckets: vec![[0.0; 2]; buckets],
            others: Others::default(),
        }
    }

    pub(crate) fn with_others(self, others: Others) -> Self {
        Self { others, ..self }
    }

    fn count(&self) -> u64 {
        self.ranges.iter().map(|tally| tally.count).sum()
    }

    fn broken(&self) -> u64 {
        self.ranges.iter().map(|tally| tally.broken).sum()
    }

    /// An error if any result breaks the contract.
    pub(crate) fn check(&self) -> Result<()> {
        let others = &self.others.tally;
        let (broken, count) = (self.broken() + others.broken, self.count() + others.count);
        ensure!(
            broken == 0,
            "the contract is broken by {broken} of {count} results"
        );
        Ok(())
    }

    pub(crate) fn as_text(&self, title: &str) -> String {
        let judge = self.judge;
        let mut text = format!("{title}\n{} results\n\n", self.count());
        let head = ["x", "results", "max ULP", "mean", "nearest", "worst x"].map(String::from);
        let ranges = RANGES.iter().zip(&self.ranges);
        let lines = ranges
            .filter(|(_, tally)| tally.count > 0)
            .map(|(name, tally)| {
                let count = tally.count as f64;
                let worst = tally.worst.filter(|_| tally.max_ulp > 0.0);
                [
                    (*name).to_owned(),
                    tally.count.to_string(),
                    ulp(tally.max_ulp),
                    ulp(tally.sum_ulp / count),
                    format!("{:.3}%", 100.0 * tally.nearest as f64 / count),
                    worst.map_or_else(String::new, |worst| {
                        let x = worst.case.x;
                        format!("{:.3e} {x:#x}", value(judge.dtype, x))
                    }),
                ]
            });
        text += &columns(&[vec![head], lines.collect()].concat());
        let worst = self.ranges.iter().filter_map(|tally| tally.worst);
        let worst = worst.filter(|worst| !worst.verdict.is_allowed);
        let worst = worst.max_by(|a, b| a.verdict.ulp.total_cmp(&b.verdict.ulp));
        let _ = writeln!(text, "\n{}", contract(judge, self.broken()));
        text += &worst.map_or_else(String::new, as_lines);

        let Others {
            judge,
            factors,
            tally,
        } = &self.others;
        if let (Some(judge), Some(worst)) = (judge, tally.worst) {
            let _ = writeln!(
                text,
                "\n{factors} other factors: {} results, max ULP {}",
                tally.count,
                ulp(tally.max_ulp)
            );
            if worst.verdict.is_allowed {
                let _ = writeln!(text, "at {}", short(worst.judge.factors));
            }
            let _ = writeln!(text, "{}", contract(*judge, tally.broken));
            if !worst.verdict.is_allowed {
                text += &as_lines(worst);
            }
        }
        text
    }

    /// All that the text says, and the worst cases in full:
    ///
    /// - `device`, `op`, `dtype`, `alpha`: what was judged;
    /// - `results`, `contract` (`max_ulp`, whether the `nearest` number is due, whether it is `kept`), and `ranges`, each with
    ///   its name `x`, `results`, `max_ulp`, `mean_ulp`, the share of the `nearest` numbers, how many are `broken`, and the
    ///   `worst` case: for that alpha;
    /// - `other_factors`: how many `factors`, and `results`, `max_ulp`, `mean_ulp`, `nearest`, `broken`, `worst` and
    ///   `contract` for all of them together.
    ///
    /// A worst case has `alpha`, `scale`, `input_scale`, `x`, `grad`, the result `y` and the `nearest` number, each with its
    /// `value` and its `bits`, and `ulp`.
    pub(crate) fn as_json(&self, device: &Device) -> Value {
        let judge = self.judge;
        let ranges = RANGES.iter().zip(&self.ranges);
        let ranges = ranges
            .filter(|(_, tally)| tally.count > 0)
            .map(|(name, tally)| {
                let mut range = json!({ "x": name });
                merge(&mut range, tally_as_json(tally));
                range
            });
        let mut json = json!({
            "device": device.to_string(),
            "op": judge.op.name(),
            "dtype": judge.dtype.name(),
            "alpha": number(judge.factors.alpha()),
            "results": self.count(),
            "contract": contract_as_json(judge, self.broken()),
            "ranges": ranges.collect::<Vec<_>>(),
        });
        let Others {
            judge,
            factors,
            tally,
        } = &self.others;
        if let Some(judge) = judge {
            let mut others = json!({ "factors": factors });
            merge(&mut others, tally_as_json(tally));
            others["contract"] = contract_as_json(*judge, tally.broken);
            json["other_factors"] = others;
        }
        json
    }

    /// -x in the middle of each bucket, and the largest errors there: the device's, and the naive formula's.
    pub(crate) fn curve(&self) -> Vec<(f64, [f64; 2])> {
        let x = |i: usize| 10f64.powf(f64::from(DECADES.start) + (i as f64 + 0.5) / PER_DECADE);
        self.buckets
            .iter()
            .enumerate()
            .map(|(i, &errors)| (x(i), errors))
            .collect()
    }
}

impl Findings for Report {
    fn add(&mut self, case: Case) {
        let judge = self.judge;
        if !judge.is_possible(case.x) {
            return;
        }
        let x = value(judge.dtype, case.x);
        let verdict = judge.judge(case.x, case.grad, case.y);
        self.ranges[range(judge.dtype, x)].add(judge, case, verdict);
        if x < 0.0 && !self.buckets.is_empty() {
            let at = ((-x).log10() - f64::from(DECADES.start)) * PER_DECADE;
            if let Some(most) = self.buckets.get_mut(bucket(at)).filter(|_| at >= 0.0) {
                let naive = naive(judge, x, value(judge.dtype, case.grad));
                let naive = judge.judge(case.x, case.grad, bits(judge.dtype, naive));
                *most = [most[0].max(verdict.ulp), most[1].max(naive.ulp)];
            }
        }
    }

    fn and(mut self, other: Self) -> Self {
        for (tally, other) in self.ranges.iter_mut().zip(other.ranges) {
            *tally = std::mem::take(tally).and(other);
        }
        for (most, other) in self.buckets.iter_mut().zip(other.buckets) {
            *most = [most[0].max(other[0]), most[1].max(other[1])];
        }
        self
    }
}

impl Others {
    /// Without any result yet, for one of the factors.
    pub(crate) fn new(judge: Judge) -> Self {
        Self {
            judge: Some(judge),
            factors: 1,
            tally: Tally::default(),
        }
    }

    /// With the results for further factors.
    pub(crate) fn with(self, other: Self) -> Self {
        Self {
            judge: self.judge.or(other.judge),
            factors: self.factors + other.factors,
            tally: self.tally.and(other.tally),
        }
    }
}

impl Findings for Others {
    fn add(&mut self, case: Case) {
        if let Some(judge) = self.judge.filter(|judge| judge.is_possible(case.x)) {
            let verdict = judge.judge(case.x, case.grad, case.y);
            self.tally.add(judge, case, verdict);
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            tally: self.tally.and(other.tally),
            ..self
        }
    }
}

// ---- Internals ----

/// An error in few characters, however large it is.
fn ulp(v: f64) -> String {
    if v < 1e4 || v.is_infinite() {
        format!("{v:.3}")
    } else {
        format!("{v:.1e}")
    }
}

/// A line for each row: the first column and the last are aligned to the left. Two spaces are between columns.
fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let mut text = String::new();
    let widths: [usize; N] =
        std::array::from_fn(|i| rows.iter().map(|row| row[i].len()).max().unwrap_or(0));
    for row in rows {
        let mut line = String::new();
        for (i, (cell, &width)) in row.iter().zip(&widths).enumerate() {
            let _ = match i {
                0 => write!(line, "{cell:<width$}"),
                _ if i == N - 1 => write!(line, "  {cell}"),
                _ => write!(line, "  {cell:>width$}"),
            };
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

fn contract(judge: Judge, broken: u64) -> String {
    let contract = if judge.is_rounded_correctly() {
        "the nearest number".to_owned()
    } else {
        format!("within {} ULP", judge.most_ulp())
    };
    match broken {
        0 => format!("contract: {contract}: kept"),
        broken => format!("contract: {contract}: BROKEN by {broken}"),
    }
}

fn short(factors: Factors) -> String {
    let (alpha, scale, input_scale) = (factors.alpha(), factors.scale(), factors.input_scale());
    if scale == 1.0 && input_scale == 1.0 {
        format!("alpha {alpha:e}")
    } else {
        format!("alpha {alpha:.3e}, scale {scale:.3e}, input_scale {input_scale:.3e}")
    }
}

/// All numbers of a case by name, with their bits.
fn numbers(worst: &Worst) -> Vec<(&'static str, f64, u64)> {
    let Worst { judge, case, .. } = *worst;
    let factors = [
        ("alpha", judge.factors.alpha()),
        ("scale", judge.factors.scale()),
        ("input_scale", judge.factors.input_scale()),
    ];
    let mut results = vec![("x", case.x)];
    if judge.op.has_grad() {
        results.push(("grad", case.grad));
    }
    results.push(("y", case.y));
    results.extend(
        judge
            .nearest(case.x, case.grad)
            .map(|bits| ("nearest", bits)),
    );
    let factors = factors.map(|(name, v)| (name, v, v.to_bits()));
    let results = results
        .into_iter()
        .map(|(name, bits)| (name, value(judge.dtype, bits), bits));
    factors.into_iter().chain(results).collect()
}

fn as_lines(worst: Worst) -> String {
    let mut text = format!("the worst result is {} ULP off:\n", ulp(worst.verdict.ulp));
    for (name, value, bits) in numbers(&worst) {
        let _ = writeln!(text, "  {name:<11}  {value:e} ({bits:#x})");
    }
    text
}

fn contract_as_json(judge: Judge, broken: u64) -> Value {
    json!({
        "max_ulp": judge.most_ulp(),
        "nearest": judge.is_rounded_correctly(),
        "kept": broken == 0,
    })
}

fn tally_as_json(tally: &Tally) -> Value {
    let worst = tally.worst.map(|worst| {
        let mut json = json!({});
        for (name, value, bits) in numbers(&worst) {
            json[name] = json!({ "value": number(value), "bits": format!("{bits:#x}") });
        }
        json["ulp"] = number(worst.verdict.ulp);
        json
    });
    json!({
        "results": tally.count,
        "max_ulp": number(tally.max_ulp),
        "mean_ulp": number(tally.sum_ulp / tally.count as f64),
        "nearest": tally.nearest as f64 / tally.count as f64,
        "broken": tally.broken,
        "worst": worst,
    })
}

/// Adds the fields of one object to another.
fn merge(object: &mut Value, other: Value) {
    if let (Value::Object(object), Value::Object(other)) = (object, other) {
        object.extend(other);
    }
}

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

/// What the formula gives as it is written, in the floating point of the arithmetic.
fn naive(judge: Judge, x: f64, grad: f64) -> f64 {
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
    use super::*;

    const HALF: Judge = Judge {
        op: Op::Forward,
        dtype: DType::F16,
        factors: Factors::elu(1.0),
    };

    /// A report on float16 results for x = -0.5: each is this many numbers away from the nearest.
    fn report(off: &[u64]) -> Report {
        let [x, nearest] = [-0.5, -0.393_469_340_287_366_6].map(|v| bits(DType::F16, v));
        let one = |off| {
            let mut report = Report::new(HALF, false);
            report.add(Case {
                x,
                grad: 0,
                y: nearest + off,
            });
            report
        };
        let none = Report::new(HALF, false);
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
            text.ends_with(
                "
contract: the nearest number: BROKEN by 1
the worst result is 1.350 ULP off:
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

    #[test]
    fn bad_results_of_other_factors_break_it() {
        let judge = Judge {
            factors: Factors::new(0.5, 2.0, 3.0).unwrap(),
            ..HALF
        };
        let mut others = Others::new(judge);
        let [x, y] = [-0.5, -0.75].map(|v| bits(DType::F16, v));
        others.add(Case { x, grad: 0, y });
        let report = report(&[0]).with_others(Others::default().with(others));
        assert_eq!(
            report.check().unwrap_err().to_string(),
            "the contract is broken by 1 of 2 results"
        );
        let text = report.as_text("title");
        assert!(text.contains(
            "\ncontract: the nearest number: kept\n\n1 other factors: 1 results, max ULP "
        ));
        assert!(
            text.contains("\ncontract: within 1 ULP: BROKEN by 1\n"),
            "{text}"
        );
        assert!(
            text.contains("\n  input_scale  3e0 (0x4008000000000000)\n"),
            "{text}"
        );
        let json = report.as_json(&Device::Cpu);
        assert_eq!(json["contract"]["kept"], true);
        let others = &json["other_factors"];
        assert_eq!(others["contract"]["kept"], false);
        assert_eq!(others["worst"]["scale"]["value"], 2.0);
    }

    /// Where subnormal numbers are flushed or nothing is right, errors are of any size.
    #[test]
    fn columns_stay_apart_whatever_the_errors() {
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
                let mut report = Report::new(judge, false);
                let [x, y] = [x, y].map(|v| bits(judge.dtype, v));
                report.add(Case { x, grad: 0, y });
                let text = report.as_text("title");
                let mut lines = text.lines().skip(3);
                let (head, line) = (lines.next().unwrap(), lines.next().unwrap());
                // The range, the count, two errors, a share, and x with its bits.
                let name = RANGES.iter().find(|name| line.starts_with(**name)).unwrap();
                let cells: Vec<&str> = line[name.len()..].split("  ").collect();
                let cells: Vec<&str> = cells.into_iter().filter(|cell| !cell.is_empty()).collect();
                assert_eq!(cells.len(), 5, "{text}");
                assert!(line.len() <= 80 && head.len() <= 80, "{text}");
                for title in ["results", "max ULP", "mean", "nearest"] {
                    // The numbers end where the titles do.
                    let end = head.find(title).unwrap() + title.len();
                    assert!(line[..end].ends_with(|c: char| c != ' '), "{text}");
                    assert!(line[end..].starts_with("  "), "{text}");
                }
            }
        }
    }
}
