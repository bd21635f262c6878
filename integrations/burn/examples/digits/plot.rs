//! The picture: loss curves on the left, errors of the activations on the right.

use std::{fs::File, path::Path};

use anyhow::{Context, Result, anyhow};
use plotters::{
    coord::Shift,
    prelude::*,
    style::{FontStyle, register_font},
};

const SIZE: (u32, u32) = (1400, 560);
const OURS: RGBColor = RGBColor(0, 90, 170);
const BURNS: RGBColor = RGBColor(200, 90, 0);
/// The smallest error on the axis, in ULP. Smaller errors are not drawn.
const MIN_ERROR: f64 = 1e-2;

/// Draws the loss of each epoch and the errors near values of -x, for this package and for burn, as a PNG.
pub(crate) fn draw(
    path: &Path,
    ours: &[f32],
    burns: &[f32],
    errors: &[(f64, [f64; 2])],
) -> Result<()> {
    // An embedded font, because the machine may have none.
    register_font(
        "sans-serif",
        FontStyle::Normal,
        epaint_default_fonts::UBUNTU_LIGHT,
    )
    .map_err(|_| anyhow!("the embedded font cannot be read"))?;
    let mut pixels = vec![0; (SIZE.0 * SIZE.1 * 3) as usize];
    {
        let area = BitMapBackend::with_buffer(&mut pixels, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let (left, right) = area.split_horizontally(SIZE.0 / 2);
        draw_losses(&left, ours, burns)?;
        draw_errors(&right, errors)?;
        area.present()?;
    }
    let file = File::create(path).with_context(|| path.display().to_string())?;
    let mut encoder = png::Encoder::new(file, SIZE.0, SIZE.1);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header()?.write_image_data(&pixels)?;
    Ok(())
}

// ---- Internals ----

type Area<'a> = DrawingArea<BitMapBackend<'a>, Shift>;

fn draw_losses(area: &Area<'_>, ours: &[f32], burns: &[f32]) -> Result<()> {
    let (lowest, highest) = ours
        .iter()
        .chain(burns)
        .fold((1f32, 1f32), |(low, high), &loss| {
            (low.min(loss), high.max(loss))
        });
    let mut chart = ChartBuilder::on(area)
        .caption("mean loss of an epoch", ("sans-serif", 26))
        .margin(16)
        .x_label_area_size(56)
        .y_label_area_size(80)
        .build_cartesian_2d(
            1.0..ours.len() as f32,
            (lowest / 1.5..highest * 1.5).log_scale(),
        )?;
    chart
        .configure_mesh()
        .x_desc("epoch")
        .x_label_formatter(&|epoch| format!("{epoch:.0}"))
        .y_label_formatter(&|loss| {
            // The marks are 1 to 9 times a power of ten, and the names of all would overlap.
            let text = format!("{loss}");
            let is_named = text
                .trim_start_matches(['0', '.'])
                .starts_with(['1', '2', '5']);
            if is_named { text } else { String::new() }
        })
        .label_style(("sans-serif", 18))
        .axis_desc_style(("sans-serif", 20))
        .light_line_style(TRANSPARENT)
        .draw()?;
    // The curves lie on each other, so burn's is wide and ours is narrow.
    for (name, losses, color, width) in [
        ("burn's elu", burns, BURNS, 7),
        ("wgpu-elu-burn", ours, OURS, 2),
    ] {
        let points = (1u16..).map(f32::from).zip(losses.iter().copied());
        chart
            .draw_series(LineSeries::new(points, color.stroke_width(width)))?
            .label(name)
            .legend(move |(x, y)| {
                PathElement::new([(x, y), (x + 24, y)], color.stroke_width(width))
            });
    }
    chart
        .configure_series_labels()
        .label_font(("sans-serif", 20))
        .border_style(BLACK)
        .background_style(WHITE)
        .draw()?;
    Ok(())
}

fn draw_errors(area: &Area<'_>, errors: &[(f64, [f64; 2])]) -> Result<()> {
    let highest = errors
        .iter()
        .flat_map(|(_, errors)| errors)
        .fold(10.0, |high: f64, &error| high.max(error))
        * 3.0;
    let mut chart = ChartBuilder::on(area)
        .caption(
            "largest error of the activation near x, in ULP",
            ("sans-serif", 26),
        )
        .margin(16)
        .x_label_area_size(56)
        .y_label_area_size(80)
        .build_cartesian_2d((1e-9..1e2).log_scale(), (MIN_ERROR..highest).log_scale())?;
    let power = |v: &f64| format!("1e{}", v.log10().round());
    chart
        .configure_mesh()
        .x_desc("-x")
        .x_label_formatter(&power)
        .y_label_formatter(&power)
        .label_style(("sans-serif", 18))
        .axis_desc_style(("sans-serif", 20))
        .light_line_style(TRANSPARENT)
        .draw()?;
    for (name, which, color) in [("burn's elu", 1, BURNS), ("wgpu-elu-burn", 0, OURS)] {
        let points = errors
            .iter()
            .map(|(x, errors)| (*x, errors[which]))
            .filter(|(_, error)| *error >= MIN_ERROR);
        chart
            .draw_series(points.map(|point| Circle::new(point, 2, color.filled())))?
            .label(name)
            .legend(move |(x, y)| Circle::new((x + 12, y), 4, color.filled()));
    }
    chart
        .configure_series_labels()
        .label_font(("sans-serif", 20))
        .border_style(BLACK)
        .background_style(WHITE)
        .draw()?;
    Ok(())
}
