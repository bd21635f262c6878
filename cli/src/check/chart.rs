//! The chart of `elu check`: the error against -x, on logarithmic axes.

use anyhow::Result;
use plotters::{coord::Shift, prelude::*};

use crate::plot::{Chart, DASH, GAP};

/// The smallest error on the axis, in ULP. Smaller errors are drawn at this height; errors of 0 are not drawn. Infinite
/// errors are drawn at the upper end of the axis.
const MIN_ERROR: f64 = 1e-3;

/// The errors of a device's results.
pub(crate) struct ErrorChart<'a> {
    pub(crate) title: &'a str,
    /// Values of -x, each with the largest errors near it in ULP: that of the device and that of the textbook formula.
    pub(crate) points: &'a [(f64, [f64; 2])],
    /// The largest error that the contract allows, in ULP.
    pub(crate) max_ulp: f64,
}

impl Chart for ErrorChart<'_> {
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> Result<()>
    where
        B::ErrorType: 'static,
    {
        let Self {
            title,
            points,
            max_ulp,
        } = *self;
        let (first, last) = (1e-10, 1e2); // the range of -x, the same as that of the buckets in curve.rs
        let highest = points.iter().flat_map(|(_, errors)| errors).copied();
        let highest = highest
            .filter(|error| error.is_finite())
            .fold(10.0, f64::max)
            * 2.0;
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(area)
            .caption(title, ("sans-serif", 26))
            .margin(20)
            .x_label_area_size(60)
            .y_label_area_size(90)
            .build_cartesian_2d((first..last).log_scale(), (MIN_ERROR..highest).log_scale())?;
        // Rounds, because the marks are powers of ten with small rounding errors.
        let power = |v: &f64| format!("1e{}", v.log10().round());
        chart
            .configure_mesh()
            .x_desc("-x (errors of 0 are not drawn; errors below 1e-3 are drawn at the lower edge)")
            .y_desc("largest error, ULP")
            .x_label_formatter(&power)
            .y_label_formatter(&power)
            .label_style(("sans-serif", 18))
            .axis_desc_style(("sans-serif", 22))
            .light_line_style(TRANSPARENT)
            .draw()?;
        // The first markers are rings around the second, so that both are visible where the errors are equal.
        let [orange, blue] = [RGBColor(200, 90, 0), RGBColor(0, 90, 170)];
        for (which, name, radius, style) in [
            (1, "the textbook formula", 4, orange.stroke_width(1)),
            (0, "this device", 2, blue.filled()),
        ] {
            let dots =
                points
                    .iter()
                    .filter(|(_, errors)| errors[which] > 0.0)
                    .map(|&(x, errors)| {
                        Circle::new((x, errors[which].clamp(MIN_ERROR, highest)), radius, style)
                    });
            chart
                .draw_series(dots)?
                .label(name)
                .legend(move |(x, y)| Circle::new((x + 11, y), radius, style));
        }
        chart
            .draw_series(DashedLineSeries::new(
                [(first, max_ulp), (last, max_ulp)],
                DASH,
                GAP,
                BLACK.into(),
            ))?
            .label("the guaranteed bound")
            .legend(|(x, y)| {
                plotters::element::DashedPathElement::new([(x, y), (x + 22, y)], DASH, GAP, BLACK)
            });
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE.mix(0.9))
            .border_style(BLACK.mix(0.3))
            .label_font(("sans-serif", 20))
            .draw()?;
        area.present()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::Picture;

    #[test]
    fn equal_errors_are_both_visible_and_the_bound_is_dashed_in_the_legend() {
        let chart = ErrorChart {
            title: "",
            points: &[(1e-3, [0.5, 0.5])],
            max_ulp: 1.0,
        };
        let svg = String::from_utf8(Picture::Svg.draw(&chart).unwrap()).unwrap();
        let circles: Vec<&str> = svg
            .lines()
            .filter(|line| line.starts_with("<circle"))
            .collect();
        // The two markers, then those of the legend. The ring is drawn first, and is larger than the dot.
        let [ring, dot, ..] = circles[..] else {
            panic!("{svg}")
        };
        assert_eq!(circles.len(), 4, "{svg}");
        assert!(
            ring.contains("r=\"4\" opacity=\"1\" fill=\"none\""),
            "{ring}"
        );
        assert!(
            dot.contains("r=\"2\" opacity=\"1\" fill=\"#005AAA\""),
            "{dot}"
        );
        // Two dashes of 8 pixels, 14 pixels apart, are the last lines.
        let lines = svg
            .lines()
            .filter(|line| line.starts_with("<polyline") && line.contains("#000000"));
        let spans = lines.map(|line| {
            let (_, points) = line.split_once("points=\"").unwrap();
            let x = |point: &str| point.split(',').next().unwrap().parse::<i32>().unwrap();
            let xs: Vec<i32> = points
                .split_whitespace()
                .filter(|p| p.contains(','))
                .map(x)
                .collect();
            (xs[0], xs[xs.len() - 1])
        });
        let spans: Vec<(i32, i32)> = spans.collect();
        let [.., (a, b), (c, d)] = spans[..] else {
            panic!("{svg}")
        };
        assert_eq!((b - a, c - a, d - c), (DASH, DASH + GAP, DASH), "{svg}");
    }
}
