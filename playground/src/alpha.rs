//! The row above a panel: the slider for alpha, switches of the panel, and a note.

use std::ops::RangeInclusive;

use eframe::{
    egui::{Rect, Slider, SliderClamping, Ui},
    emath,
};

/// Below this height in points, the row shows the short note, so that a phone's screen has room for the picture.
const LOW: f32 = 400.0;

/// Shows the row, with the short note if the window is low. Returns the position of the slider.
pub(crate) fn show(
    ui: &mut Ui,
    alpha: &mut f64,
    [note, short_note]: [&str; 2],
    switches: impl FnOnce(&mut Ui),
) -> Rect {
    let is_low = ui.available_height() <= LOW;
    ui.add_space(6.0);
    let slider = ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().slider_width = (ui.available_width() - 150.0).clamp(80.0, 240.0);
        // The number beside the slider can be any that the library takes, also outside the slider's range.
        let slider = Slider::new(alpha, 0.0..=3.0)
            .clamping(SliderClamping::Never)
            .custom_formatter(format)
            .text("alpha");
        let slider = ui.add(slider);
        if slider.dragged() {
            // Sets the focus, so that the arrow keys move the slider.
            slider.request_focus();
        }
        switches(ui);
        if is_low {
            ui.label(short_note);
        } else {
            if ui.available_size_before_wrap().x < 0.5 * ui.max_rect().width() {
                ui.end_row();
            }
            ui.label(note);
        }
        slider
    });
    ui.add_space(6.0);
    slider.inner.rect
}

pub(crate) fn show_error(ui: &mut Ui, text: &str) {
    ui.colored_label(ui.visuals().error_fg_color, text);
}

// ---- Internals ----

/// Formats any number briefly and without hiding that it is not 0.
fn format(alpha: f64, decimals: RangeInclusive<usize>) -> String {
    if alpha == 0.0 || (1e-2..1e6).contains(&alpha.abs()) {
        emath::format_with_decimals_in_range(alpha, 0..=*decimals.end())
    } else {
        format!("{alpha:e}")
    }
}
