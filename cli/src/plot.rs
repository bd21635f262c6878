//! Draws charts as SVG or PNG.

use std::path::Path;

use anyhow::{Result, bail};
use plotters::{
    coord::Shift,
    prelude::*,
    style::{FontStyle, register_font},
};

/// The format of a picture.
#[derive(Clone, Copy)]
pub(crate) enum Picture {
    Svg,
    Png,
}

const SIZE: (u32, u32) = (1200, 700);

impl Picture {
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
        // Text is measured, and drawn in a PNG, with an included font, because a machine may not have any.
        let font = epaint_default_fonts::UBUNTU_LIGHT;
        if register_font("sans-serif", FontStyle::Normal, font).is_err() {
            bail!("the font cannot be read");
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
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> Result<()>
    where
        B::ErrorType: 'static;
}
