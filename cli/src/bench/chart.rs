//! The chart of `elu bench`: the speed in GB/s against the number of elements, on logarithmic axes.

use anyhow::Result;
use plotters::{
    coord::Shift,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use super::{
    measurement::Measurement,
    table::{Report, size_name},
};
use crate::plot::{Chart, DASH, GAP, Shape, marker};

/// A chart with one line for each measurement. Lines of copies are dashed, and their markers hollow. The other lines
/// have filled markers, and whiskers that reach from the first to the third quartile.
pub(crate) struct SpeedChart<'a>(pub(crate) &'a Report<'a>);

impl Chart for SpeedChart<'_> {
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> Result<()>
    where
        B::ErrorType: 'static,
    {
        area.fill(&WHITE)?;
        let below = self.headings(area)?;
        let (left, right) = below.split_horizontally(LEGEND_LEFT);
        self.lines(&left)?;
        self.legend(&right)
    }
}

// ---- Internals ----

/// A measurement, its name in the legend, and the color and shape of its markers.
type Style = (Measurement, &'static str, RGBColor, Shape);

const STYLES: [Style; 8] = [
    (Measurement::Cpu, "CPU path", BLUE, Shape::Circle),
    (Measurement::CpuCopy, "CPU copy", BLUE, Shape::Circle),
    (Measurement::Kernel, "GPU kernel", ORANGE, Shape::Triangle),
    (
        Measurement::SubmitAndWait,
        "submit and wait",
        PURPLE,
        Shape::Square,
    ),
    (
        Measurement::ShaderCopy,
        "shader that copies",
        ORANGE,
        Shape::Triangle,
    ),
    (Measurement::BufferCopy, "buffer copy", GRAY, Shape::Square),
    (Measurement::RoundTrip, "round trip", GREEN, Shape::Diamond),
    (
        Measurement::Transfers,
        "upload and download",
        GREEN,
        Shape::Diamond,
    ),
];

const BLUE: RGBColor = RGBColor(0, 90, 170);
const ORANGE: RGBColor = RGBColor(215, 105, 0);
const PURPLE: RGBColor = RGBColor(140, 60, 160);
const GRAY: RGBColor = RGBColor(110, 110, 110);
const GREEN: RGBColor = RGBColor(0, 130, 80);

/// The left edge of the legend, in pixels from the left edge of the chart.
const LEGEND_LEFT: i32 = 970;

impl SpeedChart<'_> {
    /// Draws the headings, and returns the area below them.
    fn headings<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
    ) -> Result<DrawingArea<B, Shift>>
    where
        B::ErrorType: 'static,
    {
        let machine = self.0.machine();
        let mut lines = vec![format!(
            "CPU: {}     GPU: {}",
            machine.cpu, machine.gpu_description
        )];
        lines.extend(self.0.crossovers());
        let center = Pos::new(HPos::Center, VPos::Top);
        let (width, _) = area.dim_in_pixel();
        let middle = i32::try_from(width / 2)?;
        let style = |size: i32| TextStyle::from(("sans-serif", size).into_font()).pos(center);
        let title = format!("ELU: {}", self.0.title());
        area.draw(&Text::new(title, (middle, 14), style(26)))?;
        let mut y = 46;
        for line in lines {
            area.draw(&Text::new(line, (middle, y), style(18)))?;
            y += 22;
        }
        Ok(area.split_vertically(y).1)
    }

    /// Draws the axes and the lines.
    fn lines<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> Result<()>
    where
        B::ErrorType: 'static,
    {
        let rows = self.0.rows();
        let speeds = rows.iter().flat_map(|row| {
            let times = row
                .measurements
                .iter()
                .flat_map(|(_, stats)| [stats.first_quartile, stats.median, stats.third_quartile]);
            times.map(|seconds| self.0.gb_per_s(row, seconds))
        });
        let (slowest, fastest) = speeds
            .fold((f64::INFINITY, 0.0), |(min, max): (f64, f64), speed| {
                (min.min(speed), max.max(speed))
            });
        let (first, last) = match rows {
            [first, .., last] => (first.len as f64, last.len as f64),
            // The axis must have a length greater than 0.
            [only] => (only.len as f64 / 2.0, only.len as f64 * 2.0),
            [] => return Ok(()),
        };
        let mut chart = ChartBuilder::on(area)
            .margin(20)
            .x_label_area_size(60)
            .y_label_area_size(90)
            .build_cartesian_2d(
                (first / 1.2..last * 1.2).log_scale().base(2.0),
                (slowest / 1.6..fastest * 1.6).log_scale(),
            )?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the marks are small powers of two"
        )]
        let size = |v: &f64| size_name(v.round() as usize);
        chart
            .configure_mesh()
            .x_desc("elements")
            .y_desc("GB/s, bytes read plus written")
            .x_label_formatter(&size)
            .y_label_formatter(&|v: &f64| format!("{}", (v * 1e6).round() / 1e6))
            .label_style(("sans-serif", 18))
            .axis_desc_style(("sans-serif", 22))
            .light_line_style(TRANSPARENT)
            .draw()?;
        // Draws the markers last, so that no line hides them.
        let mut markers = Vec::new();
        let star = TextStyle::from(("sans-serif", 24).into_font())
            .pos(Pos::new(HPos::Center, VPos::Bottom));
        for (measurement, _, color, shape) in STYLES {
            let measured: Vec<_> = rows
                .iter()
                .filter_map(|row| Some((row, row.get(measurement)?)))
                .collect();
            let speed = |seconds: f64, row| self.0.gb_per_s(row, seconds);
            let points = measured
                .iter()
                .map(|(row, stats)| (row.len as f64, speed(stats.median, row)));
            let is_copy = measurement.is_copy();
            let marker_at = |point| marker(point, shape, color, !is_copy);
            markers.extend(points.clone().map(marker_at));
            if is_copy {
                let style = color.stroke_width(2);
                chart.draw_series(DashedLineSeries::new(points, DASH, GAP, style))?;
                continue;
            }
            chart.draw_series(LineSeries::new(points, color.stroke_width(2)))?;
            for (row, stats) in measured {
                let x = row.len as f64;
                let ends = [stats.first_quartile, stats.third_quartile].map(|t| (x, speed(t, row)));
                let style = color.stroke_width(1);
                chart.draw_series([PathElement::new(ends, style)])?;
                let cap = |end| EmptyElement::at(end) + PathElement::new([(-5, 0), (6, 0)], style);
                chart.draw_series(ends.map(cap))?;
                if row.is_noise(measurement) {
                    let point = (x, speed(stats.median, row));
                    let star = Text::new("*", (0, -2), star.clone());
                    chart.draw_series([EmptyElement::at(point) + star])?;
                }
            }
        }
        chart.draw_series(markers)?;
        area.present()?;
        Ok(())
    }

    /// Draws the legend.
    fn legend<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> Result<()>
    where
        B::ErrorType: 'static,
    {
        let is_measured = |measurement| {
            self.0
                .rows()
                .iter()
                .any(|row| row.get(measurement).is_some())
        };
        let left = Pos::new(HPos::Left, VPos::Center);
        let style = |size: i32| TextStyle::from(("sans-serif", size).into_font()).pos(left);
        let mut y = 40;
        for (measurement, name, color, shape) in STYLES {
            if !is_measured(measurement) {
                continue;
            }
            let (line, width) = ([(0, y), (36, y)], color.stroke_width(2));
            if measurement.is_copy() {
                area.draw(&plotters::element::DashedPathElement::new(
                    line, DASH, GAP, width,
                ))?;
            } else {
                area.draw(&PathElement::new(line, width))?;
            }
            area.draw(&marker((18, y), shape, color, !measurement.is_copy()))?;
            area.draw(&Text::new(name, (46, y), style(19)))?;
            y += 32;
        }
        let mut notes = vec![
            "dashed lines, hollow markers:",
            "copies of the same number of bytes",
            "",
            "markers: medians of the times",
            "whiskers: from the first to the",
            "third quartile of the times",
        ];
        if self.0.has_noise() {
            notes.extend([
                "",
                "* over 105% of the copy's speed:",
                "noise, because the copy was",
                "slower than possible in this run",
            ]);
        }
        for note in notes {
            y += 20;
            area.draw(&Text::new(note, (0, y), style(15)))?;
        }
        Ok(())
    }
}
