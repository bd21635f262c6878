//! The results of `elu bench` as JSON.

use serde_json::{Value, json};

use super::{
    measurement::Measurement,
    table::{Report, is_noise},
};
use crate::json::{self, merge, number};

impl Report<'_> {
    /// Returns everything that was measured. docs/cli.md lists the fields.
    pub(crate) fn as_json(&self) -> Value {
        let machine = &self.machine;
        let sizes = self.rows.iter().map(|row| {
            let measurements = row.measurements.iter().map(|(measurement, stats)| {
                let share = |copy: &Measurement| {
                    let share = row.share(*measurement, *copy)?;
                    let value = json!({ "share": share, "is_noise": is_noise(share) });
                    Some((copy.name().to_owned(), value))
                };
                let shares: serde_json::Map<_, _> =
                    measurement.copies().iter().filter_map(share).collect();
                let values = json!({
                    "seconds": {
                        "median": stats.median,
                        "first_quartile": stats.first_quartile,
                        "third_quartile": stats.third_quartile,
                    },
                    "samples": stats.samples,
                    "gb_per_s": self.gb_per_s(row, stats.median),
                    "share_of": shares,
                });
                (measurement.name().to_owned(), values)
            });
            json!({
                "elements": row.len,
                "bytes": self.work.bytes_moved(row.len),
                "seconds_per_clock": row.seconds_per_clock,
                "clocks_per_element": row.clocks_per_element(),
                "measurements": measurements.collect::<serde_json::Map<_, _>>(),
            })
        });
        let left_out = self.left_out.iter().map(|left_out| {
            json!({
                "elements": left_out.len,
                "measurements": if left_out.is_only_gpu { "gpu" } else { "all" },
                "why": left_out.why,
            })
        });
        let gpu = machine.gpu.as_ref().map(|compared| {
            let mut gpu = json::adapter(compared.gpu.info());
            let timed_by = compared.has_timestamps.then_some("timestamps");
            merge(&mut gpu, json!({ "kernel_timed_by": timed_by }));
            gpu
        });
        json!({
            "version": json::VERSION,
            "op": json::op(self.work.op),
            "dtype": self.work.dtype.name(),
            "input": self.work.input.name(),
            "alpha": number(self.work.elu.alpha()),
            "scale": self.work.elu.factors().scale(),
            "input_scale": self.work.elu.factors().input_scale(),
            "rounding": self.work.elu.rounding().name(),
            "cpu": json::cpu_path(),
            "gpu": gpu,
            "gpu_text": machine.gpu_description,
            "sizes": sizes.collect::<Vec<_>>(),
            "left_out": left_out.collect::<Vec<_>>(),
            "gpu_wins_from": machine.gpu.as_ref().map(|_| json!({
                "data_on_gpu": self.crossover(Measurement::SubmitAndWait),
                "round_trip": self.crossover(Measurement::RoundTrip),
            })),
        })
    }
}
