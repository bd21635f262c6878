//! Draws charts as SVG or PNG.

use std::path::Path;

use anyhow::{Result, bail};
use plotters::{
    coord::Shift,
    element::ComposedElement,
    prelude::*,
    style::{FontStyle, register_font},
};

/// The file format of a picture.
#[derive(Clone, Copy)]
pub(crate) enum Picture {
    Svg,
    Png,
}

/// The width and height in pixels.
const SIZE: (u32, u32) = (1200, 700);

impl Picture {
    /// Returns the format for the file's extension. Other extensions are a usage error.
    pub(crate) fn by_extension(path: &Path) -> Result<Self> {
        let extension = path.extension().map(|e| e.to_ascii_lowercase());
        match extension.as_ref().and_then(|e| e.to_str()) {
            Some("svg") => Ok(Self::Svg),
            Some("png") => Ok(Self::Png),
            _ => Err(crate::usage(format!(
                "--plot {}: needed a name that ends in .svg or .png",
                path.display()
            ))),
        }
    }

    /// Draws the chart and returns the bytes of the file.
    pub(crate) fn draw(self, chart: &impl Chart) -> Result<Vec<u8>> {
        // Registers an embedded font, because the machine may have none. plotters measures text with it, and draws the
        // text of a PNG with it.
        let font = epaint_default_fonts::UBUNTU_LIGHT;
        if register_font("sans-serif", FontStyle::Normal, font).is_err() {
            bail!("the embedded font cannot be read");
        }
        match self {
            Self::Svg => {
                let mut svg = String::new();
                chart.draw(&SVGBackend::with_string(&mut svg, SIZE).into_drawing_area())?;
                Ok(svg.into_bytes())
            }
            Self::Png => {
                let (width, height) = SIZE;
                let mut pixels = vec![0; (width * height * 3) as usize];
                chart.draw(&BitMapBackend::with_buffer(&mut pixels, SIZE).into_drawing_area())?;
                let mut bytes = Vec::new();
                let mut encoder = png::Encoder::new(&mut bytes, width, height);
                encoder.set_color(png::ColorType::Rgb);
                encoder.set_depth(png::BitDepth::Eight);
                encoder.write_header()?.write_image_data(&pixels)?;
                Ok(bytes)
            }
        }
    }
}

/// A chart with an area of 1200 x 700 pixels.
pub(crate) trait Chart {
    /// Draws the chart into the area.
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> Result<()>
    where
        B::ErrorType: 'static;
}

/// A position in pixels.
type Pixel = (i32, i32);

/// The length of a dash in pixels.
pub(crate) const DASH: i32 = 8;
/// The distance between two dashes in pixels.
pub(crate) const GAP: i32 = 6;

/// The shape of a marker. Markers of different shapes are visible even if they have the same center.
#[derive(Clone, Copy)]
pub(crate) enum Shape {
    Circle,
    Triangle,
    Square,
    Diamond,
}

/// An area and its outline.
pub(crate) type Marker<C, B> = ComposedElement<C, B, Polygon<Pixel>, PathElement<Pixel>>;

/// Returns a marker at this point, filled or hollow. A hollow marker is larger, so that it is visible around a filled
/// one at the same point.
pub(crate) fn marker<C, B: DrawingBackend>(
    at: C,
    shape: Shape,
    color: RGBColor,
    is_filled: bool,
) -> Marker<C, B> {
    let corners: &[Pixel] = match shape {
        Shape::Circle => &[
            (5, -2),
            (2, -5),
            (-2, -5),
            (-5, -2),
            (-5, 2),
            (-2, 5),
            (2, 5),
            (5, 2),
        ],
        Shape::Triangle => &[(0, -7), (6, 4), (-6, 4)],
        Shape::Square => &[(4, -4), (-4, -4), (-4, 4), (4, 4)],
        Shape::Diamond => &[(0, -6), (6, 0), (0, 6), (-6, 0)],
    };
    let (opacity, fifths, stroke) = if is_filled { (1.0, 5, 1) } else { (0.0, 9, 2) };
    let scaled = corners
        .iter()
        .map(|(x, y)| (x * fifths / 5, y * fifths / 5));
    let corners: Vec<Pixel> = scaled.collect();
    let outline: Vec<Pixel> = corners.iter().chain(&corners[..1]).copied().collect();
    EmptyElement::at(at)
        + Polygon::new(corners, color.mix(opacity))
        + PathElement::new(outline, color.stroke_width(stroke))
}
