//! A legend beside or above a plot, so that it covers no line. A click on a name hides its line or shows it.

use eframe::egui::{Button, Color32, CursorIcon, RichText, Ui, vec2};

/// The width of a legend beside a plot, in points.
const WIDTH: f32 = 150.0;

/// A line's name in the legend.
pub(crate) struct Entry {
    pub(crate) marker: &'static str,
    pub(crate) color: Color32,
    pub(crate) name: String,
    /// Whether the line can be drawn. If not, its name is weak.
    pub(crate) is_drawn: bool,
}

/// Shows the legend, and below or to the left of it the plot.
pub(crate) fn around(
    ui: &mut Ui,
    entries: &[Entry],
    hidden: &mut [bool],
    plot: impl FnOnce(&mut Ui),
) {
    let size = ui.available_size();
    if is_wide(ui) {
        ui.horizontal_top(|ui| {
            ui.allocate_ui(vec2(size.x - WIDTH, size.y), plot);
            ui.vertical(|ui| show(ui, entries, hidden));
        });
    } else {
        ui.horizontal_wrapped(|ui| show(ui, entries, hidden));
        plot(ui);
    }
}

/// Returns whether the free space is so wide that a plot leaves room beside it.
pub(crate) fn is_wide(ui: &Ui) -> bool {
    ui.available_width() > 1.2 * ui.available_height()
}

// ---- Internals ----

fn show(ui: &mut Ui, entries: &[Entry], hidden: &mut [bool]) {
    for (entry, hidden) in std::iter::zip(entries, hidden) {
        // Only the monospace font contains all markers.
        let marker = RichText::new(entry.marker).monospace();
        let name = RichText::new(&entry.name);
        let button = match *hidden {
            true => Button::new((marker.weak(), name.weak().strikethrough())),
            false if !entry.is_drawn => Button::new((marker.weak(), name.weak())),
            false => Button::new((marker.color(entry.color), name)),
        };
        let action = if *hidden { "Show" } else { "Hide" };
        let response = ui
            .add(button.frame(false).wrap())
            .on_hover_cursor(CursorIcon::PointingHand)
            .on_hover_text(format!("{action} {}", entry.name));
        *hidden ^= response.clicked();
    }
}
