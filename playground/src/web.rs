//! The interface for the page: `index.html` creates a [`Playground`] and starts it.

use eframe::{
    egui::Rect,
    web_sys::{self, HtmlCanvasElement},
    wgpu,
};
use wasm_bindgen::prelude::*;

use crate::{App, Panel, setup::wgpu_configuration};

/// The app on a canvas, with the functions that a page or a test calls.
#[wasm_bindgen]
pub struct Playground {
    runner: eframe::WebRunner,
}

#[wasm_bindgen]
impl Playground {
    #[wasm_bindgen(constructor)]
    pub fn new() -> Self {
        let runner = eframe::WebRunner::new();
        Self { runner }
    }

    /// Starts the app on the canvas, with the named panel, or with the first one if no panel has this name. If
    /// `has_webgpu`, WebGPU computes and draws, and `browser` is the GPU's name; if the GPU is lost, an event `gpulost`
    /// is dispatched to the window. Otherwise the CPU computes, WebGL draws, and `browser` is the reason.
    pub async fn start(
        &self,
        canvas: HtmlCanvasElement,
        panel: &str,
        has_webgpu: bool,
        browser: String,
    ) -> Result<(), JsValue> {
        let panel = Panel::named(panel).unwrap_or(Panel::Curves);
        let options = eframe::WebOptions {
            renderer: match has_webgpu {
                true => eframe::Renderer::Wgpu,
                false => eframe::Renderer::Glow,
            },
            wgpu_options: wgpu_configuration(),
            ..Default::default()
        };
        let app = move |context: &eframe::CreationContext<'_>| {
            if let Some(state) = &context.wgpu_render_state {
                state.device.set_device_lost_callback(report_loss);
            }
            let app = App::new(context, panel, Some(browser))?;
            Ok(Box::new(app) as Box<dyn eframe::App>)
        };
        self.runner.start(canvas, options, Box::new(app)).await
    }

    /// Shows the named panel, if it exists.
    pub fn show(&self, panel: &str) {
        if let (Some(panel), Some(mut app)) = (Panel::named(panel), self.runner.app_mut::<App>()) {
            app.show(panel);
        }
    }

    /// Returns whether the app has panicked.
    pub fn has_panicked(&self) -> bool {
        self.runner.has_panicked()
    }

    /// Returns the name of the visible panel.
    pub fn panel(&self) -> Option<String> {
        Some(self.runner.app_mut::<App>()?.panel().name().into())
    }

    pub fn alpha(&self) -> Option<f64> {
        Some(self.runner.app_mut::<App>()?.alpha())
    }

    /// Returns the name of the device that computes.
    pub fn device(&self) -> Option<String> {
        Some(self.runner.app_mut::<App>()?.device().into())
    }

    /// Returns a line that says why the CPU computes, if it does.
    pub fn fallback(&self) -> Option<String> {
        Some(self.runner.app_mut::<App>()?.fallback()?.into())
    }

    /// Returns left, top, right and bottom of the slider for alpha, in CSS pixels from the corner of the canvas.
    pub fn slider(&self) -> Option<Vec<f32>> {
        Some(edges(self.runner.app_mut::<App>()?.slider()))
    }

    /// Returns the same of the space for the device's name, and of the links to the README and the source.
    pub fn bar(&self) -> Option<Vec<f32>> {
        let places = self.runner.app_mut::<App>()?.bar_places();
        Some(places.into_iter().flat_map(edges).collect())
    }

    /// Returns the same of the switch for the rounding, of the button that resets the view, and of the plot of curves.
    pub fn places(&self) -> Option<Vec<f32>> {
        let places = self.runner.app_mut::<App>()?.places();
        Some(places.into_iter().flat_map(edges).collect())
    }

    /// Returns the visible left, bottom, right and top of the curves.
    pub fn bounds(&self) -> Option<Vec<f64>> {
        Some(self.runner.app_mut::<App>()?.bounds().into())
    }

    /// Returns how the curves are rounded: `faithful` or `nearest`.
    pub fn rounding(&self) -> Option<String> {
        Some(self.runner.app_mut::<App>()?.rounding().to_string())
    }

    /// Returns the largest errors of the naive, the faithful and the nearest results among the shown floats, in ULP.
    pub fn errors(&self) -> Option<Vec<f64>> {
        Some(self.runner.app_mut::<App>()?.errors().into())
    }

    /// Reads back the plotted points: all x, then all y of ELU, of its gradient, of SELU and of CELU. With WebGPU, a
    /// curve that is not drawn keeps the y of its last visible frame. Without, only a curve that refuses alpha has no
    /// numbers: NaN.
    pub async fn plotted(&self) -> Result<Vec<f32>, JsValue> {
        let reading = match self.runner.app_mut::<App>() {
            Some(app) => app.plotted(),
            None => return Err("the playground has stopped".into()),
        };
        Ok(reading.await?)
    }

    /// Returns the progress of the comparison, from 0 to 1.
    pub fn comparison_progress(&self) -> Result<f32, JsValue> {
        match self.runner.app_mut::<App>() {
            Some(app) => Ok(app.comparison_progress()?),
            None => Err("the playground has stopped".into()),
        }
    }
}

// ---- Internals ----

fn edges(rect: Rect) -> Vec<f32> {
    vec![rect.left(), rect.top(), rect.right(), rect.bottom()]
}

fn report_loss(_: wgpu::DeviceLostReason, _: String) {
    if let (Some(window), Ok(event)) = (web_sys::window(), web_sys::Event::new("gpulost")) {
        let _ = window.dispatch_event(&event);
    }
}

/// Yields to the browser, so that it can draw the page.
pub(crate) async fn next_task() {
    let mut wait = |resolve: js_sys::Function, _| {
        // Continues without waiting if there is no window, and therefore no page.
        let timeout = web_sys::window().map(|window| window.set_timeout_with_callback(&resolve));
        if !matches!(timeout, Some(Ok(_))) {
            let _ = resolve.call0(&JsValue::NULL);
        }
    };
    let _ = wasm_bindgen_futures::JsFuture::from(js_sys::Promise::new(&mut wait)).await;
}
