//! The visible part of a plot. The wheel and pinches zoom, drags move it, and a double click resets it.

use eframe::egui::{Ui, Vec2};
use egui_plot::{AxisHints, Plot, PlotBounds, PlotUi};

use crate::palette;

/// The smallest and largest visible width, and the largest distance of its middle from 0.
const WIDTHS: [f64; 2] = [1e-3, 40.0];
const MAX_X: f64 = 20.0;
/// The smallest and largest visible height, in heights of the initial view.
const HEIGHTS: [f64; 2] = [2e-4, 10.0];
/// Values from here on are out of reach of a plot. They are far below the largest float32.
pub(crate) const HUGE: f64 = 1e30;

/// The bounds after a zoom or a move. `None` is the initial view.
#[derive(Default)]
pub(crate) struct View(Option<PlotBounds>);

impl View {
    pub(crate) fn is_initial(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn reset(&mut self) {
        self.0 = None;
    }

    /// Sets the bounds of the plot, and returns them. `curve` is a function whose curve always stays in the picture.
    pub(crate) fn apply(
        &mut self,
        plot: &mut PlotUi<'_>,
        initial: PlotBounds,
        curve: impl Fn(f64) -> f64,
    ) -> PlotBounds {
        let response = plot.response().clone();
        let mut bounds = self.0.unwrap_or(initial);
        if let (true, Some(pointer)) = (response.contains_pointer(), plot.pointer_coordinate()) {
            let (pinch, wheel) = plot
                .ctx()
                .input(|input| (input.zoom_delta(), input.smooth_scroll_delta.y));
            let factor = (pinch * (wheel / 200.0).exp()).clamp(0.1, 10.0);
            if factor != 1.0 {
                bounds.zoom(Vec2::splat(factor), pointer);
                self.0 = Some(bounds);
            }
        }
        if response.dragged() {
            let delta = plot.pointer_coordinate_drag_delta();
            bounds.translate((-f64::from(delta.x), -f64::from(delta.y)));
            self.0 = Some(bounds);
        }
        if response.double_clicked() {
            self.0 = None;
        }
        if let Some(moved) = &mut self.0 {
            *moved = limit(*moved, initial.height(), curve);
        }
        let bounds = self.0.unwrap_or(initial);
        plot.set_plot_bounds(bounds);
        bounds
    }
}

/// Creates a plot that does nothing with the wheel, pinches and drags.
pub(crate) fn plot<'a>(
    ui: &Ui,
    name: &str,
    x_label: impl Into<String>,
    y_label: impl Into<String>,
) -> Plot<'a> {
    // The numbers may be closer together than by default, so that there are enough on a phone.
    let numbers = AxisHints::new_x().label_spacing(20.0..=36.0);
    Plot::new(name)
        .custom_x_axes(vec![numbers])
        .x_axis_label(x_label.into())
        .y_axis_label(y_label.into())
        .grid_color(palette::grid(ui.visuals()))
        .allow_zoom(false)
        .allow_scroll(false)
        .allow_drag(false)
        .allow_boxed_zoom(false)
        .allow_axis_zoom_drag(false)
        .allow_double_click_reset(false)
}

// ---- Internals ----

/// Returns the nearest bounds within the limits whose middle the curve crosses.
fn limit(bounds: PlotBounds, initial_height: f64, curve: impl Fn(f64) -> f64) -> PlotBounds {
    let center = bounds.center();
    let width = bounds.width().clamp(WIDTHS[0], WIDTHS[1]);
    let [min_height, max_height] = HEIGHTS.map(|height| height * initial_height);
    let height = bounds.height().clamp(min_height, max_height);
    let x = center.x.clamp(-MAX_X, MAX_X);
    // The curve crosses the middle of the picture, a tenth of the height or more from its edges. If its value there is
    // out of reach, the middle stays near 0.
    let (value, reach) = (curve(x), 0.4 * height);
    let y = match value.abs() < HUGE {
        true => center.y.clamp(value - reach, value + reach),
        false => center.y.clamp(-max_height, max_height),
    };
    PlotBounds::from_min_max(
        [x - 0.5 * width, y - 0.5 * height],
        [x + 0.5 * width, y + 0.5 * height],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_stays_in_the_picture() {
        let elu = |x: f64| if x < 0.0 { x.exp_m1() } else { x };
        for (x, y, size) in [
            (1e9, 0.0, 8.0),
            (-1e9, 1e9, 1e-9),
            (3.0, -50.0, 1e9),
            (-2.0, 2.0, 0.1),
        ] {
            let bounds = PlotBounds::from_min_max([x - size, y - size], [x + size, y + size]);
            let limited = limit(bounds, 5.4, elu);
            let ([left, bottom], [right, top]) = (limited.min(), limited.max());
            let visible = (0..=100)
                .map(|i| elu(left + (right - left) * f64::from(i) / 100.0))
                .filter(|y| (bottom..=top).contains(y));
            assert!(visible.count() > 0, "{limited:?}");
            assert!(
                limited.width() >= 0.99e-3 && limited.width() <= 40.01,
                "{limited:?}"
            );
        }
    }

    #[test]
    fn a_view_is_never_smaller_than_floats() {
        for (alpha, initial_height) in [(1e6, 2.2e6), (1e29, 2.2e29), (1e300, 5.4)] {
            let elu = |x: f64| if x < 0.0 { alpha * x.exp_m1() } else { x };
            let (y, size) = (elu(-2.0), 1e-9);
            let bounds = PlotBounds::from_min_max([-2.0 - size, y - size], [-2.0 + size, y + size]);
            let limited = limit(bounds, initial_height, elu);
            let ([left, bottom], [right, top]) = (limited.min(), limited.max());
            for (low, high) in [(left, right), (bottom, top)] {
                // More than a hundred floats are visible.
                let step = (high - low) as f32 / 100.0;
                let is_fine = |end: f64| (end as f32).next_up() - (end as f32) < step;
                assert!(is_fine(low) && is_fine(high), "{alpha:e}: {limited:?}");
            }
            let value = elu(0.5 * (left + right));
            assert!(
                alpha == 1e300 || (bottom..top).contains(&value),
                "{alpha:e}: {limited:?}"
            );
        }
    }

    #[test]
    fn a_view_within_the_limits_is_unchanged() {
        let bounds = PlotBounds::from_min_max([-5.0, -2.2], [3.0, 3.2]);
        let limited = limit(bounds, 5.4, |x| x);
        for (before, after) in [(bounds.min(), limited.min()), (bounds.max(), limited.max())] {
            assert!((before[0] - after[0]).abs() + (before[1] - after[1]).abs() < 1e-12);
        }
    }
}
