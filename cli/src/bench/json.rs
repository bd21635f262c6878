//! The results of `elu bench` as JSON.

use serde_json::{Value, json};

use super::{measurement::Measurement, table::Report};
use crate::files::number;

impl Report<'_> {
    /// Returns everything that was measured.
    pub(crate) fn as_json(&self) -> Value {
        let machine = &self.machine;
        let sizes = self.rows.iter().map(|row| {
            let measurements = row.measurements.iter().map(|(measurement, stats)| {
                let share = |copy: &Measurement| {
                    let copy_stats = row.get(*copy)?;
                    Some((
                        copy.name().to_owned(),
                        json!(copy_stats.median / stats.median),
                    ))
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
                "measurements": measurements.collect::<serde_json::Map<_, _>>(),
            })
        });
        let left_out = self
            .left_out
            .iter()
            .map(|(len, why)| json!({ "elements": len, "why": why }));
        json!({
            "op": self.work.op.name(),
            "dtype": self.work.dtype.name(),
            "alpha": number(self.work.elu.alpha()),
            "cpu": machine.cpu,
            "gpu": machine.gpu.as_ref().map(|gpu| json!({
                "name": gpu.name,
                "software": gpu.is_software,
                "kernel_timed_by": gpu.has_timestamps.then_some("timestamps"),
            })),
            "sizes": sizes.collect::<Vec<_>>(),
            "left_out": left_out.collect::<Vec<_>>(),
            "gpu_wins_from": machine.gpu.as_ref().map(|_| json!({
                "data_on_gpu": self.crossover(Measurement::SubmitAndWait),
                "round_trip": self.crossover(Measurement::RoundTrip),
            })),
        })
    }
}
