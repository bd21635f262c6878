//! The window: three panels, and a slider for alpha.

use eframe::{
    egui::{
        self, Align, Align2, CentralPanel, FontId, Label, Layout, Mesh, Rect, RichText, ScrollArea,
        Sense, Slider, ThemePreference, Ui, Vec2, util::History, vec2,
    },
    egui_wgpu::RenderState,
    wgpu,
};
use egui_plot::{Corner, HoverPosition, ItemId, Legend, Plot, PlotMemory};

use crate::{
    comparison::{Comparison, Measurement, POWERS, State},
    curves::{Curve, Curves},
    field::{self, Field, NoTimestamps},
    palette, report, setup,
};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Panel {
    Curves,
    Field,
    Comparison,
}

impl Panel {
    pub const ALL: [Self; 3] = [Self::Curves, Self::Field, Self::Comparison];

    /// Returns the panel's name for the command line and the page's address.
    pub fn name(self) -> &'static str {
        match self {
            Self::Curves => "curves",
            Self::Field => "field",
            Self::Comparison => "comparison",
        }
    }

    /// Returns the panel with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|panel| panel.name() == name)
    }

    fn title(self) -> &'static str {
        match self {
            Self::Curves => "Curves",
            Self::Field => "Field",
            Self::Comparison => "GPU or CPU?",
        }
    }
}

pub struct App {
    panel: Panel,
    alpha: f64,
    slider: Rect,
    /// The panels' contents, or the reason why the GPU cannot be used.
    gpu: Result<Parts, String>,
}

/// The panels' contents, which need compute shaders.
struct Parts {
    state: RenderState,
    device: String,
    curves: Curves,
    field: Field,
    comparison: Comparison,
    /// The times of the field's frames within the last second, at most about 60 of them.
    frames: History<()>,
}

impl App {
    pub fn new(context: &eframe::CreationContext<'_>, panel: Panel) -> Self {
        let gpu = match &context.wgpu_render_state {
            Some(state) => Parts::new(state.clone()),
            None => Err("eframe was started without wgpu.".into()),
        };
        Self {
            panel,
            alpha: 1.0,
            slider: Rect::NOTHING,
            gpu,
        }
    }

    pub fn panel(&self) -> Panel {
        self.panel
    }

    pub fn show(&mut self, panel: Panel) {
        self.panel = panel;
    }

    pub fn alpha(&self) -> f64 {
        self.alpha
    }

    /// Returns the position of the slider for alpha, in points.
    pub fn slider(&self) -> Rect {
        self.slider
    }

    /// Reads back the plotted points: all x, then all y of each curve in the order of [`Curve::ALL`]. A hidden curve
    /// has the y of its last visible frame.
    pub fn plotted(&self) -> impl Future<Output = Result<Vec<f32>, String>> + use<> {
        let reading = match &self.gpu {
            Ok(parts) => Ok(parts.curves.read(&parts.state)),
            Err(error) => Err(error.clone()),
        };
        async { reading?.await.map_err(|error| error.to_string()) }
    }

    /// Returns the progress of the comparison, from 0 to 1, or its error. It is 1 only in the state `Done`.
    pub fn comparison_progress(&self) -> Result<f32, String> {
        let parts = self.gpu.as_ref().map_err(Clone::clone)?;
        let results = parts.comparison.results();
        match results.state {
            State::Failed(error) => Err(error),
            State::Done => Ok(1.0),
            State::Idle | State::Running => Ok(results.progress().min(0.99)),
        }
    }
}

impl eframe::App for App {
    fn ui(&mut self, ui: &mut Ui, _: &mut eframe::Frame) {
        if let Ok(parts) = &mut self.gpu
            && self.panel != Panel::Field
        {
            parts.frames.clear();
        }
        egui::Panel::top("bar").show(ui, |ui| self.bar(ui));
        CentralPanel::default().show(ui, |ui| match &mut self.gpu {
            Ok(parts) => {
                let alpha = &mut self.alpha;
                match self.panel {
                    Panel::Curves => self.slider = parts.show_curves(ui, alpha),
                    Panel::Field => self.slider = parts.show_field(ui, alpha),
                    Panel::Comparison => parts.show_comparison(ui),
                }
            }
            Err(reason) => {
                ui.vertical_centered(|ui| {
                    ui.add_space(0.3 * ui.available_height());
                    ui.heading("No usable GPU");
                    ui.label(&*reason);
                });
            }
        });
    }

    #[cfg(target_arch = "wasm32")]
    fn as_any_mut(&mut self) -> Option<&mut dyn std::any::Any> {
        Some(self)
    }
}

impl App {
    fn bar(&mut self, ui: &mut Ui) {
        ui.add_space(4.0);
        ui.horizontal(|ui| {
            ui.label(RichText::new("wgpu-elu").strong().size(18.0));
            ui.add_space(12.0);
            for panel in Panel::ALL {
                let title = RichText::new(panel.title()).size(15.0);
                ui.selectable_value(&mut self.panel, panel, title);
            }
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                // Phones have narrow screens and a theme setting of their own.
                if ui.available_width() < 200.0 {
                    return;
                }
                show_themes(ui);
                if let Ok(parts) = &self.gpu {
                    ui.add(Label::new(RichText::new(&parts.device).weak()).truncate());
                }
            });
        });
        ui.add_space(4.0);
    }
}

impl Parts {
    fn new(state: RenderState) -> Result<Self, String> {
        if let Some(reason) = setup::unsupported(&state.adapter) {
            return Err(reason);
        }
        let describe = |error: wgpu_elu::Error| error.to_string();
        Ok(Self {
            device: device_name(&state),
            curves: Curves::new(&state).map_err(describe)?,
            field: Field::new(&state).map_err(describe)?,
            comparison: Comparison::default(),
            frames: History::new(2..61, 1.0),
            state,
        })
    }

    fn show_curves(&self, ui: &mut Ui, alpha: &mut f64) -> Rect {
        let slider = show_alpha(
            ui,
            alpha,
            "Every curve is computed by the kernel, on the device that draws it.",
        );
        let (colors, alpha) = (palette::lines(ui.visuals()), *alpha);
        let curves: Vec<_> = std::iter::zip(Curve::ALL, colors)
            .map(|(curve, color)| (curve, curve.factors(alpha), color))
            .collect();
        for (curve, factors, _) in &curves {
            if let Err(error) = factors {
                show_error(ui, &format!("{} is not drawn: {error}", curve.name()));
            }
        }
        let plot = egui::Id::unique("curves");
        let hidden = PlotMemory::load(ui.ctx(), plot)
            .map_or_else(Default::default, |memory| memory.hidden_items);
        let shown: Vec<_> = curves
            .iter()
            .filter(|(curve, ..)| !hidden.contains(&ItemId::new(curve.name())))
            .filter_map(|(curve, factors, _)| Some((*curve, factors.as_ref().ok().copied()?)))
            .collect();
        if let Some(error) = shown
            .iter()
            .find_map(|(curve, _)| self.curves.error(*curve))
        {
            show_error(ui, &error);
        }
        Plot::new("curves")
            .id(plot)
            .default_x_bounds(-5.0, 3.0)
            .default_y_bounds(-2.2, 3.2)
            .x_axis_label("x")
            .y_axis_label("y")
            .legend(
                Legend::default()
                    .follow_insertion_order(true)
                    .position(Corner::LeftTop)
                    .background_alpha(0.9),
            )
            .grid_color(palette::grid(ui.visuals()))
            .label_formatter(move |hover| {
                let (HoverPosition::NearDataPoint { position, .. }
                | HoverPosition::Elsewhere { position }) = hover;
                let mut text = format!("x = {:.3}", position.x);
                for (curve, factors) in &shown {
                    let y = curve.exact(*factors, position.x);
                    text += &format!("\n{} = {y:.4}", curve.name());
                }
                Some(text)
            })
            .show(ui, |plot| {
                for (curve, factors, color) in curves {
                    if let Ok(factors) = factors {
                        plot.add(self.curves.item(curve, factors, color));
                    }
                }
            });
        slider
    }

    fn show_field(&mut self, ui: &mut Ui, alpha: &mut f64) -> Rect {
        let now = ui.input(|input| input.time);
        self.frames.add(now, ());
        let ms = |seconds: Option<f64>, digits: usize| match seconds {
            Some(seconds) => format!("{:.digits$} ms", 1e3 * seconds),
            None => "...".into(),
        };
        let frame = ms(self.frames.mean_time_interval().map(f64::from), 1);
        let kernel = match self.field.kernel_seconds() {
            Ok(seconds) => format!("ELU alone {} (GPU timestamps)", ms(seconds, 2)),
            Err(NoTimestamps) => "ELU alone is not measured (no GPU timestamps)".into(),
        };
        let note = format!(
            "{} points per frame: waves, then ELU in place.  Frame {frame}, {kernel}.",
            thousands(u64::from(field::SIDE).pow(2)),
        );
        let slider = show_alpha(ui, alpha, &note);
        if let Some(error) = self.field.error() {
            show_error(ui, &error);
        }
        let (available, bar) = (ui.available_size(), 90.0);
        let side = available.y.min(available.x - bar).max(0.0);
        let (area, _) = ui.allocate_exact_size(available, Sense::hover());
        let corner = area.min + vec2(0.5 * (available.x - bar - side).max(0.0), 0.0);
        let picture = Rect::from_min_size(corner, Vec2::splat(side));
        ui.painter()
            .add(self.field.shape(picture, now as f32, *alpha, ui.visuals()));
        color_bar(ui, picture, *alpha);
        ui.ctx().request_repaint();
        slider
    }

    fn show_comparison(&self, ui: &mut Ui) {
        let results = self.comparison.results();
        ui.add_space(6.0);
        ui.horizontal_wrapped(|ui| {
            let is_running = matches!(results.state, State::Running);
            let button = egui::Button::new(RichText::new("Compare").size(15.0));
            if ui.add_enabled(!is_running, button).clicked() {
                self.comparison.start(&self.state, ui.ctx());
            }
            match &results.state {
                State::Idle => {
                    let cpu = wgpu_elu::Device::Cpu;
                    ui.label(format!(
                        "Compares {} with {cpu}: float32, alpha 1.",
                        self.device
                    ));
                }
                State::Running => {
                    ui.add(
                        egui::ProgressBar::new(results.progress())
                            .desired_width(220.0)
                            .show_percentage(),
                    );
                }
                State::Failed(error) => show_error(ui, error),
                State::Done => {
                    ui.label(report::summary(&results));
                }
            }
        });
        ui.add_space(6.0);
        if results.rows.is_empty() {
            ui.add_space(6.0);
            ui.label("Measures median times for 2¹⁰ to 2²⁴ elements, after checking all results. Takes about half a minute.");
            if cfg!(target_arch = "wasm32") {
                ui.label(report::BROWSER_WAITS);
            }
            ui.add_space(6.0);
            for measurement in Measurement::ALL {
                ui.label(format!(
                    "•  {}: {}",
                    measurement.name(),
                    measurement.description()
                ));
            }
            return;
        }
        // In points: 26 for each row of the table, for its header, and for the note or space below it.
        let table = 26.0 * (POWERS.len() as f32 + 2.0);
        let height = (ui.available_height() - table).max(160.0);
        ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
            report::show_speeds(ui, &results, height);
            ui.add_space(8.0);
            ScrollArea::horizontal().show(ui, |ui| report::show_times(ui, &results));
        });
    }
}

/// Shows the theme buttons, from right to left.
fn show_themes(ui: &mut Ui) {
    let mut theme = ui.ctx().options(|options| options.theme_preference);
    for (preference, name) in [
        (ThemePreference::System, "System"),
        (ThemePreference::Dark, "Dark"),
        (ThemePreference::Light, "Light"),
    ] {
        ui.selectable_value(&mut theme, preference, name);
    }
    ui.ctx().set_theme(theme);
    ui.separator();
}

/// Shows the slider for alpha with a note next to it. Returns the position of the slider.
fn show_alpha(ui: &mut Ui, alpha: &mut f64, note: &str) -> Rect {
    ui.add_space(6.0);
    let slider = ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().slider_width = 240.0;
        let slider = Slider::new(alpha, 0.0..=3.0).text("alpha").max_decimals(3);
        let slider = ui.add(slider);
        if slider.dragged() {
            // Sets the focus, so that the arrow keys move the slider.
            slider.request_focus();
        }
        ui.add_space(16.0);
        ui.label(note);
        slider
    });
    ui.add_space(6.0);
    slider.inner.rect
}

fn device_name(state: &RenderState) -> String {
    let name = wgpu_elu::Gpu::from_wgpu(&state.device, &state.queue).to_string();
    match state.adapter.get_info().device_type {
        wgpu::DeviceType::Cpu => format!("{name}, software"),
        _ => name,
    }
}

fn show_error(ui: &mut Ui, text: &str) {
    ui.colored_label(ui.visuals().error_fg_color, text);
}

/// Draws the legend of the field's colours.
fn color_bar(ui: &Ui, picture: Rect, alpha: f64) {
    let [negative, zero, positive] = palette::values(ui.visuals());
    let bar = Rect::from_min_size(
        picture.right_top() + vec2(16.0, 24.0),
        vec2(18.0, picture.height() - 32.0),
    );
    let (low, high) = (field::lowest(alpha), field::HIGHEST);
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
    for value in [low, 0.0, 0.5 * high, high] {
        let right = egui::pos2(bar.right() + 6.0, height_of(value));
        text(right, Align2::LEFT_CENTER, format!("{value:.1}"));
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
