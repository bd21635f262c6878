//! The window: a bar, and one of four panels.

use eframe::{
    egui::{self, Align, CentralPanel, Label, Layout, Rect, RichText, ThemePreference, Ui},
    egui_wgpu::RenderState,
    wgpu,
};
use wgpu_elu::Rounding;

use crate::{
    comparison::{Comparison, State},
    curves::Curves,
    field::Field,
    floats::Floats,
    report, setup,
};

/// The address of the source on the web, if `scripts/web` has found it. A program on the desktop opens no pages.
const SOURCE: Option<&str> = match cfg!(target_arch = "wasm32") {
    true => option_env!("PLAYGROUND_SOURCE"),
    false => None,
};
/// Below this width in points, the bar has two rows.
const NARROW: f32 = 640.0;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Panel {
    Curves,
    Floats,
    Field,
    Comparison,
}

impl Panel {
    pub const ALL: [Self; 4] = [Self::Curves, Self::Floats, Self::Field, Self::Comparison];

    /// Returns the panel's name for the command line and the page's address.
    pub fn name(self) -> &'static str {
        match self {
            Self::Curves => "curves",
            Self::Floats => "floats",
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
            Self::Floats => "Floats",
            Self::Field => "Field",
            Self::Comparison => "GPU or CPU?",
        }
    }
}

pub struct App {
    panel: Panel,
    alpha: f64,
    slider: Rect,
    /// Where the device's name and the links to the README and the source are, for tests.
    bar: [Rect; 3],
    curves: Curves,
    floats: Floats,
    field: Field,
    comparison: Comparison,
    device: String,
    /// A line that says why the CPU computes, if it does.
    fallback: Option<String>,
}

impl App {
    /// Creates the app. In a browser, `browser` is what it reports: the name of the GPU, or without a GPU the reason.
    pub fn new(
        context: &eframe::CreationContext<'_>,
        panel: Panel,
        browser: Option<String>,
    ) -> wgpu_elu::Result<Self> {
        let state = context.wgpu_render_state.as_ref();
        let fallback = match state {
            Some(state) => setup::unsupported(&state.adapter),
            None => Some(browser.clone().unwrap_or_else(|| "No GPU was found".into())),
        };
        let gpu = if fallback.is_none() { state } else { None };
        let drawing = if state.is_none() {
            " and WebGL draws"
        } else {
            ""
        };
        let fallback = fallback.map(|reason| format!("{reason}, so the CPU computes{drawing}."));
        Ok(Self {
            panel,
            alpha: 1.0,
            slider: Rect::NOTHING,
            bar: [Rect::NOTHING; 3],
            curves: Curves::new(gpu)?,
            floats: Floats::default(),
            field: Field::new(gpu)?,
            comparison: Comparison::new(gpu),
            device: match gpu {
                Some(state) => device_name(state, browser),
                None => wgpu_elu::Device::Cpu.to_string(),
            },
            fallback,
        })
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

    /// Returns the name of the device that computes.
    pub fn device(&self) -> &str {
        &self.device
    }

    /// Returns a line that says why the CPU computes, if it does.
    pub fn fallback(&self) -> Option<&str> {
        self.fallback.as_deref()
    }

    /// Returns the position of the slider for alpha, in points.
    pub fn slider(&self) -> Rect {
        self.slider
    }

    /// Returns the position of the space for the device's name, and of the links to the README and the source, in
    /// points.
    pub fn bar_places(&self) -> [Rect; 3] {
        self.bar
    }

    /// Returns the position of the switch for the rounding, of the button that resets the view, and of the plot of
    /// curves, in points.
    pub fn places(&self) -> [Rect; 3] {
        self.curves.places()
    }

    /// Returns the visible left, bottom, right and top of the curves.
    pub fn bounds(&self) -> [f64; 4] {
        self.curves.bounds()
    }

    /// Returns how the curves are rounded.
    pub fn rounding(&self) -> Rounding {
        self.curves.rounding()
    }

    /// Returns the largest errors of the naive, the faithful and the nearest results that the panel for floats shows,
    /// in ULP.
    pub fn errors(&self) -> [f64; 3] {
        self.floats.errors()
    }

    /// Reads back the plotted points: all x, then all y of each curve in the order of [`Curve::ALL`]. On the GPU, a
    /// curve that is not drawn keeps the y of its last visible frame. On the CPU, only a curve that refuses alpha has
    /// no numbers: NaN.
    ///
    /// [`Curve::ALL`]: crate::Curve::ALL
    pub fn plotted(&self) -> impl Future<Output = Result<Vec<f32>, String>> + use<> {
        let reading = self.curves.read(self.alpha);
        async { reading.await.map_err(|error| error.to_string()) }
    }

    /// Returns the progress of the comparison, from 0 to 1, or its error. It is 1 only in the state `Done`.
    pub fn comparison_progress(&self) -> Result<f32, String> {
        let results = self.comparison.results();
        match results.state {
            State::Failed(error) => Err(error),
            State::Done => Ok(1.0),
            State::Idle | State::Running => Ok(results.progress().min(0.99)),
        }
    }
}

impl eframe::App for App {
    fn ui(&mut self, ui: &mut Ui, _: &mut eframe::Frame) {
        if self.panel != Panel::Field {
            self.field.pause();
        }
        egui::Panel::top("bar").show(ui, |ui| self.show_bar(ui));
        CentralPanel::default().show(ui, |ui| {
            let alpha = &mut self.alpha;
            match self.panel {
                Panel::Curves => self.slider = self.curves.show(ui, alpha),
                Panel::Floats => self.slider = self.floats.show(ui, alpha),
                Panel::Field => self.slider = self.field.show(ui, alpha),
                Panel::Comparison => report::show(ui, &self.comparison, &self.device),
            }
        });
    }

    #[cfg(target_arch = "wasm32")]
    fn as_any_mut(&mut self) -> Option<&mut dyn std::any::Any> {
        Some(self)
    }
}

// ---- Internals ----

impl App {
    fn show_bar(&mut self, ui: &mut Ui) {
        let is_narrow = ui.available_width() < NARROW;
        ui.add_space(4.0);
        ui.horizontal(|ui| {
            if !is_narrow {
                ui.label(RichText::new("wgpu-elu").strong().size(18.0));
                ui.add_space(12.0);
            }
            for panel in Panel::ALL {
                let title = RichText::new(panel.title()).size(15.0);
                ui.selectable_value(&mut self.panel, panel, title);
            }
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                ui.menu_button("Theme", show_themes);
                if !is_narrow {
                    ui.separator();
                    self.show_links_and_device(ui);
                }
            });
        });
        if is_narrow {
            ui.horizontal(|ui| {
                let layout = Layout::right_to_left(Align::Center);
                ui.with_layout(layout, |ui| self.show_links_and_device(ui));
            });
        }
        if let Some(reason) = &self.fallback {
            ui.colored_label(ui.visuals().warn_fg_color, reason);
        }
        ui.add_space(4.0);
    }

    /// Shows the links and the device's name, from right to left.
    fn show_links_and_device(&mut self, ui: &mut Ui) {
        if let Some(source) = SOURCE {
            self.bar[2] = ui.hyperlink_to("Source", source).rect;
            let readme = format!("{source}#readme");
            self.bar[1] = ui.hyperlink_to("README", readme).rect;
            ui.separator();
        }
        self.bar[0] = ui.available_rect_before_wrap();
        ui.add(Label::new(RichText::new(&self.device).weak()).truncate())
            .on_hover_text(&self.device);
    }
}

fn show_themes(ui: &mut Ui) {
    let mut theme = ui.ctx().options(|options| options.theme_preference);
    for (preference, name) in [
        (ThemePreference::System, "As the system"),
        (ThemePreference::Dark, "Dark"),
        (ThemePreference::Light, "Light"),
    ] {
        ui.selectable_value(&mut theme, preference, name);
    }
    ui.ctx().set_theme(theme);
}

/// Returns the name of the device. Browsers do not report it to wgpu, but some of it to the page.
fn device_name(state: &RenderState, browser: Option<String>) -> String {
    let name = match browser.filter(|name| !name.is_empty()) {
        Some(name) => format!("{name} (WebGPU)"),
        None => wgpu_elu::Gpu::from_wgpu(&state.device, &state.queue).to_string(),
    };
    match (state.adapter.get_info().device_type, name.strip_suffix(')')) {
        (wgpu::DeviceType::Cpu, Some(start)) => format!("{start}, software)"),
        _ => name,
    }
}
