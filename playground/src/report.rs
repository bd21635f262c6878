//! The results of a comparison as a sentence, a chart and a table.

use std::ops::RangeInclusive;

use eframe::egui::{self, RichText, Ui};
use egui_plot::{GridInput, GridMark, HoverPosition, Line, MarkerShape, Plot, Points};

use crate::{
    comparison::{Measurement, POWERS, Results},
    palette,
};

/// A note on times in a browser, as measured in Chromium.
pub(crate) const BROWSER_WAITS: &str = "Browsers check only every few milliseconds whether GPU work is done, so short \
    times are rounded up.";

/// Returns sentences that say from which size on the GPU is faster.
pub(crate) fn summary(results: &Results) -> String {
    let sentence = |measurement, condition| match results.wins_from(measurement) {
        Some(elements) => {
            let size = size_name(elements);
            format!("{condition}, the GPU is faster from {size} elements on.")
        }
        None => format!("{condition}, the CPU is faster."),
    };
    format!(
        "All results are within 1 ULP. {} {}",
        sentence(Measurement::SubmitAndWait, "If the data stays on the GPU"),
        sentence(Measurement::RoundTrip, "With a round trip")
    )
}

/// Shows the legend and the chart of speeds.
pub(crate) fn show_speeds(ui: &mut Ui, results: &Results, height: f32) {
    let colors = palette::lines(ui.visuals());
    ui.horizontal_wrapped(|ui| {
        for ((measurement, color), (_, marker)) in
            std::iter::zip(std::iter::zip(Measurement::ALL, colors), MARKERS)
        {
            // Only the monospace font contains all markers.
            ui.colored_label(color, RichText::new(marker).monospace());
            ui.label(measurement.name())
                .on_hover_text(measurement.description());
            ui.add_space(12.0);
        }
    });
    // Returns a grid spacer with a mark at every multiple of `step`. The limit of about 100 marks matters when the plot
    // is zoomed out far.
    let marks = |step: f64| {
        move |input: GridInput| {
            let (first, last) = (
                (input.bounds.0 / step).ceil() as i64,
                (input.bounds.1 / step).floor() as i64,
            );
            (first..=last.min(first + 100))
                .map(|i| GridMark {
                    value: i as f64 * step,
                    step_size: step,
                })
                .collect()
        }
    };
    Plot::new("speeds")
        .height(height)
        .allow_scroll(false)
        .include_x(POWERS[0])
        .include_x(POWERS[POWERS.len() - 1])
        .grid_color(palette::grid(ui.visuals()))
        .x_axis_label("elements")
        .y_axis_label("GB/s, read and written")
        .x_grid_spacer(marks(2.0))
        .y_grid_spacer(marks(1.0))
        .x_axis_formatter(|mark: GridMark, _: &RangeInclusive<f64>| power_name(mark.value))
        .y_axis_formatter(|mark: GridMark, _: &RangeInclusive<f64>| decimal(10f64.powf(mark.value)))
        .label_formatter(|hover| match hover {
            HoverPosition::NearDataPoint {
                plot_name,
                position,
                ..
            } => Some(format!(
                "{plot_name}\n{} elements\n{} GB/s",
                power_name(position.x),
                decimal(10f64.powf(position.y))
            )),
            HoverPosition::Elsewhere { .. } => None,
        })
        .show(ui, |plot| {
            for ((measurement, color), (shape, _)) in
                std::iter::zip(std::iter::zip(Measurement::ALL, colors), MARKERS)
            {
                let points: Vec<[f64; 2]> = results
                    .rows
                    .iter()
                    .filter_map(|row| {
                        let speed = row.gb_per_s(measurement)?;
                        Some([(row.elements as f64).log2(), speed.log10()])
                    })
                    .collect();
                if !points.is_empty() {
                    plot.line(
                        Line::new(measurement.name(), points.clone())
                            .color(color)
                            .width(2.0),
                    );
                    plot.points(
                        Points::new(measurement.name(), points)
                            .color(color)
                            .shape(shape)
                            .radius(4.0),
                    );
                }
            }
        });
}

/// Shows the table.
pub(crate) fn show_times(ui: &mut Ui, results: &Results) {
    egui::Grid::new("times")
        .striped(true)
        .num_columns(1 + Measurement::ALL.len())
        .spacing([40.0, 4.0])
        .show(ui, |ui| {
            ui.strong("elements");
            for measurement in Measurement::ALL {
                ui.strong(measurement.name())
                    .on_hover_text(measurement.description());
            }
            ui.end_row();
            for row in &results.rows {
                ui.label(size_name(row.elements));
                for seconds in row.seconds {
                    ui.monospace(seconds.map_or_else(|| "no timestamps".into(), duration));
                }
                ui.end_row();
            }
        });
    if cfg!(target_arch = "wasm32") {
        ui.weak(BROWSER_WAITS);
    }
}

// ---- Internals ----

/// The marker of each measurement's points: as a shape in the chart, and as text in the legend.
const MARKERS: [(MarkerShape, &str); Measurement::ALL.len()] = [
    (MarkerShape::Circle, "●"),
    (MarkerShape::Square, "■"),
    (MarkerShape::Diamond, "◆"),
    (MarkerShape::Up, "▲"),
];

fn size_name(elements: usize) -> String {
    power_name((elements as f64).log2())
}

/// Formats a power of two, such as 2¹⁰.
fn power_name(power: f64) -> String {
    const SUPERSCRIPTS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let digits = format!("{power:.0}");
    let exponent = digits.chars().map(|digit| match digit.to_digit(10) {
        Some(digit) => SUPERSCRIPTS[digit as usize],
        None => '⁻',
    });
    std::iter::once('2').chain(exponent).collect()
}

/// Formats a number with three significant digits.
fn decimal(value: f64) -> String {
    let digits = (2.0 - value.log10().floor()).clamp(0.0, 9.0) as usize;
    let text = format!("{value:.digits$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').into()
    } else {
        text
    }
}

/// Formats a duration with a suitable unit.
fn duration(seconds: f64) -> String {
    let (value, unit) = match seconds {
        s if s < 1e-6 => (1e9 * s, "ns"),
        s if s < 1e-3 => (1e6 * s, "µs"),
        s if s < 1.0 => (1e3 * s, "ms"),
        s => (s, "s"),
    };
    format!("{:>7} {unit}", decimal(value))
}
