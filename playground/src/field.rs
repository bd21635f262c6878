//! The panel with a moving field, to which ELU is applied in every frame: on the GPU, or on the CPU if the GPU cannot
//! compute.

mod on_cpu;
mod on_gpu;

use eframe::{
    egui::{self, Align2, Color32, FontId, Mesh, Rect, Sense, Ui, Vec2, util::History, vec2},
    egui_wgpu::RenderState,
};
use wgpu_elu::Result;

use crate::{alpha, palette, report};
use on_cpu::OnCpu;
use on_gpu::{NoTimestamps, OnGpu};

/// The largest value of the waves.
const HIGHEST: f32 = 3.6;
/// The length of the picture's shorter side, in the units of the waves.
const EXTENT: f32 = 12.0;
/// The width of the colour bar with its numbers, in points.
const BAR: f32 = 84.0;

pub(crate) struct Field {
    place: Place,
    /// The times of the frames within the last second, at most about 60 of them.
    frames: History<()>,
}

/// Where the field is computed.
enum Place {
    Cpu(OnCpu),
    Gpu(OnGpu),
}

/// What a frame shows.
struct Frame {
    seconds: f32,
    alpha: f64,
    /// The width and the height of the picture, in the units of the waves.
    extent: Vec2,
    /// The colours of the lowest value, of 0, and of the highest value.
    colors: [Color32; 3],
}

impl Field {
    pub(crate) fn new(gpu: Option<&RenderState>) -> Result<Self> {
        Ok(Self {
            place: match gpu {
                Some(state) => Place::Gpu(OnGpu::new(state)?),
                None => Place::Cpu(OnCpu::default()),
            },
            frames: History::new(2..61, 1.0),
        })
    }

    /// Forgets the times of the frames, because the panel is not visible.
    pub(crate) fn pause(&mut self) {
        self.frames.clear();
    }

    /// Shows the panel. Returns the position of the slider for alpha.
    pub(crate) fn show(&mut self, ui: &mut Ui, alpha: &mut f64) -> Rect {
        let now = ui.input(|input| input.time);
        self.frames.add(now, ());
        let ms = |seconds: Option<f64>, digits: usize| match seconds {
            Some(seconds) => format!("{:.digits$} ms", 1e3 * seconds),
            None => "...".into(),
        };
        let frame = ms(self.frames.mean_time_interval().map(f64::from), 1);
        let (side, elu, clock) = match &self.place {
            Place::Cpu(cpu) => (on_cpu::SIDE, ms(cpu.seconds(), 2), "CPU"),
            Place::Gpu(gpu) => match gpu.kernel_seconds() {
                Ok(seconds) => (on_gpu::SIDE, ms(seconds, 2), "GPU timestamps"),
                Err(NoTimestamps) => (on_gpu::SIDE, "not measured".into(), "no GPU timestamps"),
            },
        };
        let short_note = format!("Frame {frame}, ELU alone {elu}.");
        let note = format!(
            "{} points per frame: waves, then ELU in place. Frame {frame}, ELU alone {elu} ({clock}).",
            thousands(u64::from(side).pow(2)),
        );
        let slider = alpha::show(ui, alpha, [&note, &short_note], |_| ());
        if let Place::Gpu(gpu) = &self.place
            && let Some(error) = gpu.error()
        {
            alpha::show_error(ui, &error);
        }
        let (area, _) = ui.allocate_exact_size(ui.available_size(), Sense::hover());
        let size = (area.size() - vec2(BAR, 0.0)).max(Vec2::splat(1.0));
        let picture = Rect::from_min_size(area.min, size);
        let frame = Frame {
            seconds: now as f32,
            alpha: *alpha,
            extent: size * (EXTENT / size.min_elem()),
            colors: palette::values(ui.visuals()),
        };
        match &mut self.place {
            Place::Cpu(cpu) => cpu.paint(ui, picture, &frame),
            Place::Gpu(gpu) => {
                ui.painter().add(gpu.shape(picture, frame));
            }
        }
        color_bar(ui, picture, *alpha);
        ui.ctx().request_repaint();
        slider
    }
}

// ---- Internals ----

/// Returns the value at the negative end of the colour scale: the lowest value of ELU, -alpha, but at most -0.1.
fn lowest(alpha: f64) -> f32 {
    if alpha > 0.1 {
        -alpha.min(1e30) as f32
    } else {
        -0.1
    }
}

/// Draws the legend of the field's colours.
fn color_bar(ui: &Ui, picture: Rect, alpha: f64) {
    let [negative, zero, positive] = palette::values(ui.visuals());
    let bar = Rect::from_min_size(
        picture.right_top() + vec2(12.0, 24.0),
        vec2(18.0, picture.height() - 32.0),
    );
    let (low, high) = (lowest(alpha), HIGHEST);
    let height_of = |value: f32| egui::remap(value, low..=high, bar.bottom()..=bar.top());
    let painter = ui.painter();
    let mut mesh = Mesh::default();
    for (value, color) in [(low, negative), (0.0, zero), (high, positive)] {
        for x in [bar.left(), bar.right()] {
            mesh.colored_vertex(egui::pos2(x, height_of(value)), color);
        }
    }
    for [a, b, c] in [[0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5]] {
        mesh.add_triangle(a, b, c);
    }
    painter.add(mesh);
    painter.rect_stroke(
        bar,
        0.0,
        ui.visuals().window_stroke,
        egui::StrokeKind::Outside,
    );
    let text = |position, align, text: String| {
        let font = FontId::proportional(13.0);
        painter.text(position, align, text, font, ui.visuals().text_color());
    };
    let above = bar.left_top() - vec2(0.0, 8.0);
    text(above, Align2::LEFT_BOTTOM, "ELU(x)".into());
    let mut last = f32::INFINITY;
    for value in [low, 0.0, 0.5 * high, high] {
        let right = egui::pos2(bar.right() + 6.0, height_of(value));
        // Leaves out a number that would cover the one below it.
        if last - right.y > 14.0 {
            text(right, Align2::LEFT_CENTER, report::decimal(value.into()));
            last = right.y;
        }
    }
}

/// Formats a number with commas between groups of three digits.
fn thousands(value: u64) -> String {
    let digits = value.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| std::str::from_utf8(group).unwrap_or_default())
        .collect();
    groups.join(",")
}
