//! The report on a device: judged results by ranges of x, and those for other factors.

use std::fmt::{self, Write as _};

use super::{
    format::{smallest_normal, value},
    judge::Judge,
    tally::{Case, Findings, Tally, Worst},
};
use crate::{dtype::DType, factors::Factors};

/// The judged results of an operation, by ranges of x, and those for all other factors together.
///
/// `Display` writes a table, as `elu check` prints it.
#[derive(Clone, Debug)]
pub struct Report {
    judge: Judge,
    /// One tally for each of [`RANGES`].
    ranges: Vec<Tally>,
    others: Others,
}

/// The judged results for other factors than those of a report's table.
#[derive(Clone, Debug, Default)]
pub struct Others {
    judge: Option<Judge>,
    factors: u64,
    tally: Tally,
}

/// The names of the ranges of x. Below -17.4, expm1 rounds to -1 in `float32`. "normal" is the negated smallest normal
/// number, and "special" are zeros, infinities and NaN.
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

impl Report {
    /// Creates a report without results.
    pub fn new(judge: Judge) -> Self {
        Self {
            judge,
            ranges: vec![Tally::default(); RANGES.len()],
            others: Others::default(),
        }
    }

    /// Sets the results for other factors.
    #[must_use]
    pub fn with_others(self, others: Others) -> Self {
        Self { others, ..self }
    }

    /// Returns the judge of the table.
    pub fn judge(&self) -> Judge {
        self.judge
    }

    /// Returns the ranges of x that have results, with their names.
    pub fn ranges(&self) -> impl Iterator<Item = (&'static str, &Tally)> {
        let ranges = RANGES.into_iter().zip(&self.ranges);
        ranges.filter(|(_, tally)| tally.count > 0)
    }

    /// Returns the results for other factors.
    pub fn others(&self) -> &Others {
        &self.others
    }

    /// Returns the number of results in the table.
    pub fn count(&self) -> u64 {
        self.ranges.iter().map(|tally| tally.count).sum()
    }

    /// Returns the number of results in the table that break the contract.
    pub fn broken(&self) -> u64 {
        self.ranges.iter().map(|tally| tally.broken).sum()
    }

    /// Returns whether every result keeps the contract, including those for other factors. A report without results
    /// returns `false`.
    pub fn is_kept(&self) -> bool {
        self.count() > 0 && self.broken() == 0 && self.others.tally.broken == 0
    }
}

impl fmt::Display for Report {
    /// Writes the table, whether the contract is kept, and the worst result if it is broken. Then writes the same for
    /// the other factors, without a table.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let judge = self.judge;
        let mut text = format!("{} results\n\n", self.count());
        let head = ["x", "results", "max ULP", "mean", "nearest", "worst x"].map(String::from);
        let lines = self.ranges().map(|(name, tally)| {
            let count = tally.count as f64;
            let worst = tally.worst.filter(|_| tally.max_ulp > 0.0);
            [
                name.to_owned(),
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
        text += &worst.map_or_else(String::new, |worst| as_lines(&worst));

        let Others {
            judge,
            factors,
            tally,
        } = &self.others;
        if let (Some(judge), Some(worst)) = (judge, tally.worst) {
            let _ = writeln!(
                text,
                "\n{}: {}, max ULP {}",
                count(*factors, "other set of factors", "other sets of factors"),
                count(tally.count, "result", "results"),
                ulp(tally.max_ulp)
            );
            if worst.verdict.is_allowed {
                let _ = writeln!(text, "worst at {}", describe(worst.judge.elu.factors()));
            }
            let _ = writeln!(text, "{}", contract(*judge, tally.broken));
            if !worst.verdict.is_allowed {
                text += &as_lines(&worst);
            }
        }
        f.write_str(&text)
    }
}

impl Findings for Report {
    fn add(&mut self, case: Case) {
        let judge = self.judge;
        if judge.is_possible(case.x) {
            let verdict = judge.judge(case.x, case.grad, case.y);
            let range = range(judge.dtype, value(judge.dtype, case.x));
            self.ranges[range].add(judge, case, verdict);
        }
    }

    fn merge(mut self, other: Self) -> Self {
        for (tally, other) in self.ranges.iter_mut().zip(other.ranges) {
            *tally = std::mem::take(tally).merge(other);
        }
        self
    }
}

impl Others {
    /// Returns the judge with the first of the other factors, or `None` if no other factors were tested.
    pub fn judge(&self) -> Option<Judge> {
        self.judge
    }

    /// Returns the number of other factors: sets of alpha, `scale` and `input_scale`.
    pub fn factors(&self) -> u64 {
        self.factors
    }

    /// Returns the results for all other factors together.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Creates an empty tally for the factors of `judge`.
    pub fn new(judge: Judge) -> Self {
        Self {
            judge: Some(judge),
            factors: 1,
            tally: Tally::default(),
        }
    }

    /// Merges the results for different factors. ([`Findings::merge`] is for the same factors.)
    #[must_use]
    pub fn combine(self, other: Self) -> Self {
        Self {
            judge: self.judge.or(other.judge),
            factors: self.factors + other.factors,
            tally: self.tally.merge(other.tally),
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

    fn merge(self, other: Self) -> Self {
        Self {
            tally: self.tally.merge(other.tally),
            ..self
        }
    }
}

// ---- Internals ----

/// Formats an error in ULP. Large errors are written with an exponent, so that they need few characters.
fn ulp(v: f64) -> String {
    if v < 1e4 || v.is_infinite() {
        format!("{v:.3}")
    } else {
        format!("{v:.1e}")
    }
}

/// Formats rows as columns with two spaces between them. The first and the last column are aligned left, the others
/// right.
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

/// Describes what the contract requires and whether it is kept.
fn contract(judge: Judge, broken: u64) -> String {
    let contract = if judge.is_rounded_correctly() {
        "the nearest number".to_owned()
    } else {
        format!("within {} ULP", judge.max_ulp())
    };
    match broken {
        0 => format!("contract: {contract}: kept"),
        _ => format!(
            "contract: {contract}: BROKEN by {}",
            count(broken, "result", "results")
        ),
    }
}

/// Formats a number of things, such as "1 result" or "2 results".
fn count(number: u64, singular: &str, plural: &str) -> String {
    format!("{number} {}", if number == 1 { singular } else { plural })
}

/// Formats the factors in one line.
fn describe(factors: Factors) -> String {
    let (alpha, scale, input_scale) = (factors.alpha(), factors.scale(), factors.input_scale());
    if scale == 1.0 && input_scale == 1.0 {
        format!("alpha {alpha:e}")
    } else {
        format!("alpha {alpha:.3e}, scale {scale:.3e}, input_scale {input_scale:.3e}")
    }
}

/// Formats the worst result with all its numbers, one in a line.
fn as_lines(worst: &Worst) -> String {
    let mut text = format!(
        "the worst result is {} ULP from the exact value:\n",
        ulp(worst.verdict.ulp)
    );
    for (name, value, bits) in worst.numbers() {
        let _ = writeln!(text, "  {name:<11}  {value:e} ({bits:#x})");
    }
    text
}

/// Returns the index in [`RANGES`] of the range of `x`.
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

#[cfg(test)]
mod tests;
