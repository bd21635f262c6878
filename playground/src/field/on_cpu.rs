//! A field of 65,536 points that the CPU computes, and draws as a texture.

use eframe::egui::{
    Color32, ColorImage, Rect, TextureHandle, TextureOptions, Ui, Vec2, pos2, vec2,
};
use web_time::Instant;
use wgpu_elu::cpu;

use super::{Frame, HIGHEST, lowest};

/// The number of points along each side.
pub(super) const SIDE: u32 = 256;

/// The number of frames over which the duration is averaged.
const FRAMES: usize = 30;

#[derive(Default)]
pub(super) struct OnCpu {
    texture: Option<TextureHandle>,
    /// The latest durations of ELU in seconds.
    durations: Vec<f64>,
}

impl OnCpu {
    /// Computes a frame and draws it.
    pub(super) fn paint(&mut self, ui: &Ui, picture: Rect, frame: &Frame) {
        let mut values = waves(frame);
        let start = Instant::now();
        cpu::forward_in_place(frame.alpha, &mut values);
        if self.durations.len() == FRAMES {
            self.durations.remove(0);
        }
        self.durations.push(start.elapsed().as_secs_f64());

        let [negative, zero, positive] = frame.colors;
        let low = lowest(frame.alpha);
        let pixels = values.iter().map(|&value| {
            let (end, share) = match value < 0.0 {
                true => (negative, value / low),
                false => (positive, value / HIGHEST),
            };
            zero.lerp_to_gamma(end, share.clamp(0.0, 1.0))
        });
        let image = ColorImage::new([SIDE as usize; 2], pixels.collect());
        let texture = self.texture.get_or_insert_with(|| {
            ui.ctx()
                .load_texture("field", ColorImage::example(), TextureOptions::LINEAR)
        });
        texture.set(image, TextureOptions::LINEAR);
        let whole = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
        ui.painter()
            .image(texture.id(), picture, whole, Color32::WHITE);
    }

    /// Returns the mean duration of ELU in the latest frames in seconds.
    pub(super) fn seconds(&self) -> Option<f64> {
        let sum: f64 = self.durations.iter().sum();
        (!self.durations.is_empty()).then(|| sum / self.durations.len() as f64)
    }
}

// ---- Internals ----

/// Computes the waves. Must equal the function of this name in field.wgsl.
fn waves(frame: &Frame) -> Vec<f32> {
    let t = frame.seconds;
    let first = 2.5 * vec2((0.31 * t).cos(), (0.43 * t).sin());
    let second = 3.0 * vec2((0.23 * t).sin(), (0.37 * t).cos());
    let mut values = Vec::with_capacity((SIDE * SIDE) as usize);
    for j in 0..SIDE {
        for i in 0..SIDE {
            let share = vec2(i as f32 + 0.5, j as f32 + 0.5) / SIDE as f32 - Vec2::splat(0.5);
            let place = share * frame.extent;
            let rings = (3.0 * (place - first).length() - 2.0 * t).sin()
                + (2.2 * (place - second).length() - 1.3 * t).sin();
            let swell = (0.7 * place.x + 0.5 * t).sin() * (0.9 * place.y - 0.4 * t).cos();
            values.push(1.2 * (rings + swell));
        }
    }
    values
}
