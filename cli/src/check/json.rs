//! The report of `elu check` as JSON.

use serde_json::{Value, json};
use wgpu_elu::{
    Device,
    accuracy::{Judge, Report, Tally},
};

use crate::json::{self, merge, number};

/// Returns everything that the report's text contains, and all numbers of the worst cases. docs/cli.md lists the
/// fields.
pub(super) fn as_json(report: &Report, digest: Option<String>, device: &Device) -> Value {
    let judge = report.judge();
    let ranges = report.ranges().map(|(name, tally)| {
        let id = name.replace(" .. ", "_to_").replace(' ', "_");
        let mut range = json!({ "id": id, "x": name });
        merge(&mut range, tally_as_json(tally));
        range
    });
    let mut json = json!({
        "version": json::VERSION,
        "device": json::device(device),
        "op": json::op(judge.op),
        "dtype": judge.dtype.name(),
        "alpha": number(judge.elu.alpha()),
        "scale": judge.elu.factors().scale(),
        "input_scale": judge.elu.factors().input_scale(),
        "rounding": judge.elu.rounding().name(),
        "sha256": digest,
        "results": report.count(),
        "contract": contract_as_json(judge, report.broken()),
        "ranges": ranges.collect::<Vec<_>>(),
    });
    let others = report.others();
    if let Some(judge) = others.judge() {
        let mut other_factors = json!({ "factors": others.factors() });
        merge(&mut other_factors, tally_as_json(others.tally()));
        other_factors["contract"] = contract_as_json(judge, others.tally().broken);
        json["other_factors"] = other_factors;
    }
    json
}

// ---- Internals ----

fn contract_as_json(judge: Judge, broken: u64) -> Value {
    json!({
        "max_ulp": judge.max_ulp(),
        "nearest": judge.is_rounded_correctly(),
        "kept": broken == 0,
    })
}

fn tally_as_json(tally: &Tally) -> Value {
    let worst = tally.worst.map(|worst| {
        let mut json = json!({});
        for (name, value, bits) in worst.numbers() {
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
