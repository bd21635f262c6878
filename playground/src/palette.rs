//! Colours for light and dark themes that colour-blind people can distinguish, after Okabe and Ito
//! (<https://jfly.uni-koeln.de/color/>).

use eframe::egui::{Color32, Rgba, Visuals};

/// Returns the colours of lines, in the order of the legend.
pub(crate) fn lines(visuals: &Visuals) -> [Color32; 4] {
    if visuals.dark_mode {
        [
            Color32::from_rgb(86, 180, 233),
            Color32::from_rgb(230, 159, 0),
            Color32::from_rgb(0, 190, 140),
            Color32::from_rgb(226, 152, 190),
        ]
    } else {
        [
            Color32::from_rgb(0, 114, 178),
            Color32::from_rgb(213, 94, 0),
            Color32::from_rgb(0, 140, 105),
            Color32::from_rgb(180, 80, 140),
        ]
    }
}

/// Returns the colours of naive, faithful and nearest results.
pub(crate) fn floats(visuals: &Visuals) -> [Color32; 3] {
    let [blue, orange, green, _] = lines(visuals);
    [orange, blue, green.gamma_multiply(0.6)]
}

/// Returns the colours of the most negative value, of 0, and of the most positive value.
pub(crate) fn values(visuals: &Visuals) -> [Color32; 3] {
    if visuals.dark_mode {
        [
            Color32::from_rgb(86, 180, 233),
            Color32::from_rgb(18, 18, 22),
            Color32::from_rgb(240, 170, 30),
        ]
    } else {
        [
            Color32::from_rgb(0, 90, 160),
            Color32::from_rgb(250, 250, 248),
            Color32::from_rgb(200, 80, 0),
        ]
    }
}

/// Returns the colour of a grid behind lines.
pub(crate) fn grid(visuals: &Visuals) -> Color32 {
    visuals.text_color().gamma_multiply(0.5)
}

/// Converts a colour to the value that a fragment shader must return. A target with an sRGB format takes linear values;
/// for other targets, egui draws in gamma space.
pub(crate) fn to_shader(color: Color32, format: eframe::wgpu::TextureFormat) -> [f32; 4] {
    if format.is_srgb() {
        Rgba::from(color).to_array()
    } else {
        color.to_array().map(|byte| f32::from(byte) / 255.0)
    }
}
