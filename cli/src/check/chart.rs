//! The chart of `elu check`: the error against -x, on logarithmic axes.

use anyhow::Result;
use plotters::{coord::Shift, prelude::*};

use crate::plot::Chart;

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
            .x_desc("-x")
            .y_desc("largest error, ULP")
            .x_label_formatter(&power)
            .y_label_formatter(&power)
            .label_style(("sans-serif", 18))
            .axis_desc_style(("sans-serif", 22))
            .light_line_style(TRANSPARENT)
            .draw()?;
        for (which, name, color) in [
            (1, "the textbook formula", RGBColor(200, 90, 0)),
            (0, "this device", RGBColor(0, 90, 170)),
        ] {
            let dots =
                points
                    .iter()
                    .filter(|(_, errors)| errors[which] > 0.0)
                    .map(|&(x, errors)| {
                        Circle::new(
                            (x, errors[which].clamp(MIN_ERROR, highest)),
                            2,
                            color.filled(),
                        )
                    });
            chart
                .draw_series(dots)?
                .label(name)
                .legend(move |(x, y)| Circle::new((x + 10, y), 5, color.filled()));
        }
        chart
            .draw_series(DashedLineSeries::new(
                [(first, max_ulp), (last, max_ulp)],
                8,
                6,
                BLACK.into(),
            ))?
            .label("the guaranteed bound")
            .legend(|(x, y)| PathElement::new([(x, y), (x + 20, y)], BLACK));
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
