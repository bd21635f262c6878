//! The panel with the comparison: a button, and the results as a sentence, a chart and a table.

use std::ops::RangeInclusive;

use eframe::egui::{self, Align, Color32, Layout, RichText, ScrollArea, Ui, Vec2, vec2};
use egui_plot::{GridInput, GridMark, HoverPosition, Line, MarkerShape, PlotBounds, Points};

use crate::{
    alpha,
    comparison::{Comparison, Measurement, POWERS, Results, Row, State},
    legend, palette, view,
};

/// A note on times in a browser, as measured in Chromium.
const BROWSER_WAITS: &str = " Browsers check only every few milliseconds whether GPU work is done, so short times are \
    rounded up.";
/// The height of a row of the table, and of its head if the names have two lines, in points.
const ROW: f32 = 18.0;
const HEAD: f32 = 3.0 * ROW;
/// The heights of the notes, in a wide and in a narrow window, in points.
const NOTES: [f32; 2] = [56.0, 122.0];
/// The smallest height of the chart, in points. If there is less room, the panel scrolls.
const MIN_CHART: f32 = 180.0;
/// The space between the table's cells, in points.
const GAPS: Vec2 = vec2(8.0, 4.0);
/// The width of the table's first column, and the largest of the others, in points.
const FIRST: f32 = 56.0;
const COLUMN: f32 = 132.0;

/// Shows the panel. `device` is the name of the device that computes.
pub(crate) fn show(ui: &mut Ui, comparison: &Comparison, device: &str) {
    let results = comparison.results();
    let measurements = match comparison.has_gpu() {
        true => &Measurement::ALL[..],
        false => &[Measurement::Cpu],
    };
    ui.add_space(6.0);
    ui.horizontal_wrapped(|ui| {
        let is_running = matches!(results.state, State::Running);
        let button = egui::Button::new(RichText::new("Compare").size(15.0));
        if ui.add_enabled(!is_running, button).clicked() {
            comparison.start(ui.ctx());
        }
        match &results.state {
            State::Idle => {
                let cpu = wgpu_elu::Device::Cpu;
                let (work, time) = match comparison.has_gpu() {
                    true => (format!("Compares {device} with {cpu}"), "half a minute"),
                    false => (format!("Measures {cpu}"), "a few seconds"),
                };
                ui.label(format!("{work} for float32 and alpha 1. Takes {time}."));
            }
            State::Running => {
                ui.add(
                    egui::ProgressBar::new(results.progress())
                        .desired_width(ui.available_width().min(220.0))
                        .show_percentage(),
                );
            }
            State::Failed(error) => alpha::show_error(ui, error),
            State::Done => {
                ui.label(match comparison.has_gpu() {
                    true => summary(&results),
                    false => "All results are within 1 ULP.".into(),
                });
            }
        }
    });
    ui.add_space(6.0);
    let size = ui.available_size();
    let table = FIRST + COLUMN * measurements.len() as f32;
    ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
        if legend::is_wide(ui) {
            let width = (0.55 * size.x).min(table);
            ui.horizontal_top(|ui| {
                let chart = vec2(size.x - width - 12.0, size.y - NOTES[0]);
                ui.allocate_ui(chart, |ui| show_speeds(ui, &results, chart.y));
                ui.vertical(|ui| show_times(ui, &results, measurements, width));
            });
        } else {
            let height = HEAD + (ROW + GAPS.y) * POWERS.len() as f32;
            show_speeds(ui, &results, size.y - height - NOTES[1]);
            ui.add_space(8.0);
            show_times(ui, &results, measurements, size.x.min(table));
            ui.add_space(6.0);
        }
        let describe = |measurement: &Measurement| {
            format!("{}: {}. ", measurement.name(), measurement.description())
        };
        let mut notes: String = measurements.iter().map(describe).collect();
        if comparison.has_gpu() {
            notes += "–: not measured.";
            if cfg!(target_arch = "wasm32") {
                notes += BROWSER_WAITS;
            }
        }
        ui.weak(notes);
    });
}

// ---- Internals ----

/// Returns sentences that say from which size on the GPU is faster.
fn summary(results: &Results) -> String {
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

/// Shows the chart of speeds. The table's head is its legend.
fn show_speeds(ui: &mut Ui, results: &Results, height: f32) {
    // Returns a grid spacer with a mark at every multiple of `step`.
    let marks = |step: f64| {
        move |input: GridInput| {
            let (first, last) = (
                (input.bounds.0 / step).ceil() as i64,
                (input.bounds.1 / step).floor() as i64,
            );
            (first..=last)
                .map(|i| GridMark {
                    value: i as f64 * step,
                    step_size: step,
                })
                .collect()
        }
    };
    let [first, last] = [POWERS[0], POWERS[POWERS.len() - 1]].map(f64::from);
    let speeds = results.rows.iter().flat_map(|row| {
        let speeds = Measurement::ALL.map(|measurement| row.gb_per_s(measurement));
        speeds.into_iter().flatten().map(f64::log10)
    });
    // From 0.1 to 100 GB/s, or as far as there are results.
    let (low, high) = speeds.fold((-1f64, 2f64), |(low, high), speed| {
        (low.min(speed), high.max(speed))
    });
    let bounds = PlotBounds::from_min_max([first - 0.6, low - 0.2], [last + 0.6, high + 0.2]);
    let colors = palette::lines(ui.visuals());
    view::plot(ui, "speeds", "elements", "GB/s, read and written")
        .height(height.max(MIN_CHART))
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
            plot.set_plot_bounds(bounds);
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

/// Shows the table. Its head is the legend of the chart.
fn show_times(ui: &mut Ui, results: &Results, measurements: &[Measurement], width: f32) {
    let colors: [Color32; 4] = palette::lines(ui.visuals());
    let column = ((width - FIRST) / measurements.len() as f32 - GAPS.x).max(1.0);
    // At its full width, a column has room for every name in one line.
    let names = if column < COLUMN - GAPS.x { 2.0 } else { 1.0 } * ROW;
    let cell = |ui: &mut Ui, width, height, add: &dyn Fn(&mut Ui)| {
        ui.allocate_ui_with_layout(vec2(width, height), Layout::bottom_up(Align::LEFT), |ui| {
            ui.set_min_size(vec2(width, height));
            add(ui);
        });
    };
    egui::Grid::new("times")
        .striped(true)
        .min_col_width(0.0)
        .spacing(GAPS)
        .show(ui, |ui| {
            cell(ui, FIRST, names + ROW, &|ui| {
                ui.strong("elements");
            });
            for ((measurement, color), (_, marker)) in
                std::iter::zip(std::iter::zip(measurements, colors), MARKERS)
            {
                cell(ui, column, names + ROW, &|ui| {
                    // All names have the same height, so that all markers are in a row.
                    cell(ui, column, names, &|ui| {
                        ui.strong(measurement.name())
                            .on_hover_text(measurement.description());
                    });
                    // Only the monospace font contains all markers.
                    ui.colored_label(color, RichText::new(marker).monospace());
                });
            }
            ui.end_row();
            for power in POWERS {
                let elements = 1 << power;
                let row = results.rows.iter().find(|row| row.elements == elements);
                cell(ui, FIRST, ROW, &|ui| {
                    ui.label(size_name(elements));
                });
                for &measurement in measurements {
                    cell(ui, column, ROW, &|ui| {
                        ui.monospace(time(row, measurement));
                    });
                }
                ui.end_row();
            }
        });
}

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
    let digits = digits.chars().filter_map(|digit| digit.to_digit(10));
    let exponent = digits.map(|digit| SUPERSCRIPTS[digit as usize]);
    std::iter::once('2').chain(exponent).collect()
}

/// Formats a number with three significant digits.
pub(crate) fn decimal(value: f64) -> String {
    if value == 0.0 {
        return "0".into();
    }
    if value.abs() >= 1e5 {
        return format!("{value:.1e}");
    }
    let digits = (2.0 - value.abs().log10().floor()).clamp(0.0, 9.0) as usize;
    let text = format!("{value:.digits$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').into()
    } else {
        text
    }
}

/// Returns the entry of the table for a measurement.
fn time(row: Option<&Row>, measurement: Measurement) -> String {
    let seconds = row.and_then(|row| row.seconds[measurement as usize]);
    seconds.map_or("–".into(), duration)
}

/// Formats a duration with a suitable unit.
fn duration(seconds: f64) -> String {
    let (value, unit) = match seconds {
        s if s < 1e-6 => (1e9 * s, "ns"),
        s if s < 1e-3 => (1e6 * s, "µs"),
        s if s < 1.0 => (1e3 * s, "ms"),
        s => (s, "s"),
    };
    format!("{} {unit}", decimal(value))
}
