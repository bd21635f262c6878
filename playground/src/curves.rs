//! The panel with the curves of ELU, its gradient, SELU and CELU. They are computed on the GPU, or on the CPU if the
//! GPU cannot compute.

mod on_gpu;

use eframe::{
    egui::{Button, Color32, Rect, Ui},
    egui_wgpu::RenderState,
};
use egui_plot::{HoverPosition, Line, PlotBounds, PlotPoints};
use wgpu_elu::{Elu, Factors, Result, Rounding, cpu, reference};

use crate::{
    alpha,
    legend::{self, Entry},
    palette, view,
    view::View,
};
use on_gpu::OnGpu;

/// The number of points of each curve, evenly spaced over the visible range.
pub const POINTS: usize = 2048;

/// A curve of the plot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Curve {
    Elu,
    EluGradient,
    Selu,
    Celu,
}

impl Curve {
    pub const ALL: [Self; 4] = [Self::Elu, Self::EluGradient, Self::Selu, Self::Celu];

    /// Returns the name in the legend.
    pub fn name(self) -> &'static str {
        match self {
            Self::Elu => "ELU",
            Self::EluGradient => "ELU's gradient",
            Self::Selu => "SELU",
            Self::Celu => "CELU",
        }
    }

    /// Returns the value at `x`, computed in double precision.
    pub fn exact(self, factors: Factors, x: f64) -> f64 {
        let (alpha, scale, input_scale) = (factors.alpha(), factors.scale(), factors.input_scale());
        match self {
            Self::EluGradient => reference::family_grad(x, alpha, scale, input_scale),
            _ => reference::family(x, alpha, scale, input_scale),
        }
    }

    /// Returns the factors of the curve. SELU has its own alpha.
    pub fn factors(self, alpha: f64) -> Result<Factors> {
        match self {
            Self::Elu | Self::EluGradient => Ok(Factors::elu(alpha)),
            Self::Selu => Ok(Factors::SELU),
            Self::Celu => Factors::celu(alpha),
        }
    }

    /// Computes the curve's values with the CPU path.
    pub(crate) fn on_cpu(self, elu: Elu, x: &[f32]) -> Result<Vec<f32>> {
        let mut y = vec![0.0; x.len()];
        match self {
            Self::EluGradient => cpu::backward(elu, x, &vec![1.0; x.len()], &mut y)?,
            _ => cpu::forward(elu, x, &mut y)?,
        }
        Ok(y)
    }

    /// Returns the width of the line in points. ELU's is wide enough to be visible below another curve.
    fn width(self) -> f32 {
        if self == Self::Elu { 6.0 } else { 2.5 }
    }
}

pub(crate) struct Curves {
    /// `None` if the CPU computes.
    gpu: Option<OnGpu>,
    rounding: Rounding,
    hidden: [bool; Curve::ALL.len()],
    view: View,
    bounds: PlotBounds,
    /// Where the switch for the rounding, the button for the view, and the plot are, for tests.
    places: [Rect; 3],
}

impl Curves {
    pub(crate) fn new(gpu: Option<&RenderState>) -> Result<Self> {
        Ok(Self {
            gpu: gpu.map(OnGpu::new).transpose()?,
            rounding: Rounding::Faithful,
            hidden: Default::default(),
            view: View::default(),
            bounds: initial_bounds(1.0),
            places: [Rect::NOTHING; 3],
        })
    }

    /// Shows the panel. Returns the position of the slider for alpha.
    pub(crate) fn show(&mut self, ui: &mut Ui, alpha: &mut f64) -> Rect {
        let (rounding, view, places) = (&mut self.rounding, &mut self.view, &mut self.places);
        let note = match self.gpu {
            Some(_) => {
                "Every curve is computed by the kernel, on the device that draws it. Wheel or pinch: zoom. Drag: move. \
                 Double click: reset."
            }
            None => {
                "Every curve is computed by the CPU path. Wheel or pinch: zoom. Drag: move. Double click: reset."
            }
        };
        let slider = alpha::show(
            ui,
            alpha,
            [note, "Wheel or pinch: zoom. Drag: move."],
            |ui| {
                let mut nearest = *rounding == Rounding::Nearest;
                let switch = ui.checkbox(&mut nearest, "nearest").on_hover_text(
                "Rounding::Nearest: every result is the float nearest to the exact value, so that all devices agree in \
                 every bit. A pixel is thousands of floats wide: the panel \"Floats\" shows the difference.",
            );
                *rounding = if nearest {
                    Rounding::Nearest
                } else {
                    Rounding::Faithful
                };
                let reset = ui.add_enabled(!view.is_initial(), Button::new("Reset view"));
                if reset.clicked() {
                    view.reset();
                }
                places[..2].copy_from_slice(&[switch.rect, reset.rect]);
            },
        );

        let colors = palette::lines(ui.visuals());
        let entries: Vec<Entry> = std::iter::zip(Curve::ALL, colors)
            .map(|(curve, color)| Entry {
                marker: "●",
                color,
                name: curve.name().into(),
                is_drawn: curve.factors(*alpha).is_ok(),
            })
            .collect();
        let mut shown = Vec::new();
        for ((curve, color), hidden) in Curve::ALL.into_iter().zip(colors).zip(self.hidden) {
            match curve.factors(*alpha) {
                Err(error) => {
                    alpha::show_error(ui, &format!("{} is not drawn: {error}", curve.name()))
                }
                Ok(_) if hidden => {}
                Ok(factors) => shown.push((curve, factors, color)),
            }
        }
        if let Some(gpu) = &self.gpu
            && let Some(error) = shown.iter().find_map(|(curve, ..)| gpu.error(*curve))
        {
            alpha::show_error(ui, &error);
        }
        let mut hidden = self.hidden;
        legend::around(ui, &entries, &mut hidden, |ui| {
            self.plot(ui, *alpha, &shown)
        });
        self.hidden = hidden;
        slider
    }

    /// Returns the visible left, bottom, right and top, in the plot's coordinates.
    pub(crate) fn bounds(&self) -> [f64; 4] {
        let ([left, bottom], [right, top]) = (self.bounds.min(), self.bounds.max());
        [left, bottom, right, top]
    }

    pub(crate) fn rounding(&self) -> Rounding {
        self.rounding
    }

    /// Returns where the switch for the rounding, the button for the view, and the plot are.
    pub(crate) fn places(&self) -> [Rect; 3] {
        self.places
    }

    /// Returns the plotted points: all x, then all y of each curve. On the GPU, a curve that is not drawn keeps the y
    /// of its last visible frame. On the CPU, only a curve that refuses alpha has no numbers: NaN.
    pub(crate) fn read(&self, alpha: f64) -> impl Future<Output = Result<Vec<f32>>> + use<> {
        let reading = self.gpu.as_ref().map(OnGpu::read);
        let (bounds, rounding) = (self.bounds, self.rounding);
        async move {
            if let Some(reading) = reading {
                return reading.await;
            }
            let x = points([bounds.min()[0] as f32, bounds.max()[0] as f32]);
            let mut all = x.to_vec();
            for curve in Curve::ALL {
                match curve.factors(alpha) {
                    Ok(factors) => all.extend(curve.on_cpu(with(factors, rounding), &x)?),
                    Err(_) => all.extend([f32::NAN; POINTS]),
                }
            }
            Ok(all)
        }
    }
}

// ---- Internals ----

impl Curves {
    fn plot(&mut self, ui: &mut Ui, alpha: f64, shown: &[(Curve, Factors, Color32)]) {
        let plot = view::plot(ui, "curves", "x", "y").label_formatter(|hover| {
            let (HoverPosition::NearDataPoint { position, .. }
            | HoverPosition::Elsewhere { position }) = hover;
            let mut text = format!("x = {:.3}", position.x);
            for (curve, factors, _) in shown {
                let y = curve.exact(*factors, position.x);
                text += &format!("\n{} = {y:.4}", curve.name());
            }
            Some(text)
        });
        let (view, gpu, rounding) = (&mut self.view, &self.gpu, self.rounding);
        let response = plot.show(ui, |plot| {
            let (curve, factors) = shown
                .first()
                .map_or((Curve::Elu, Factors::elu(alpha)), |(curve, factors, _)| {
                    (*curve, *factors)
                });
            let bounds = view.apply(plot, initial_bounds(alpha), |x| curve.exact(factors, x));
            for &(curve, factors, color) in shown {
                let elu = with(factors, rounding);
                match gpu {
                    Some(gpu) => plot.add(gpu.item(curve, elu, color)),
                    None => {
                        for line in lines(curve, elu, bounds) {
                            plot.line(line.color(color).width(curve.width()));
                        }
                    }
                }
            }
            bounds
        });
        self.bounds = response.inner;
        self.places[2] = response.response.rect;
    }
}

fn with(factors: Factors, rounding: Rounding) -> Elu {
    Elu::from(factors).with_rounding(rounding)
}

/// Returns the curve as one line, or as two if it jumps at 0.
fn lines(curve: Curve, elu: Elu, bounds: PlotBounds) -> Vec<Line<'static>> {
    let x = points([bounds.min()[0] as f32, bounds.max()[0] as f32]);
    let Ok(y) = curve.on_cpu(elu, &x) else {
        return Vec::new(); // all slices have the same length, so this does not happen
    };
    let jump = match curve {
        Curve::EluGradient => x.partition_point(|x| *x <= 0.0),
        _ => 0,
    };
    // Coordinates far outside the picture would lose the precision of the line's direction.
    let (low, high) = (
        bounds.min()[1] - 9.0 * bounds.height(),
        bounds.max()[1] + 9.0 * bounds.height(),
    );
    let points: Vec<[f64; 2]> = std::iter::zip(x, y)
        .map(|(x, y)| [x.into(), f64::from(y).clamp(low, high)])
        .collect();
    let (left, right) = points.split_at(jump);
    [left, right]
        .into_iter()
        .filter(|points| !points.is_empty())
        .map(|points| Line::new(curve.name(), PlotPoints::from(points.to_vec())).allow_hover(false))
        .collect()
}

/// Returns the visible part before the first zoom. It contains the values that the curves tend to, and the gradient
/// at 0.
fn initial_bounds(alpha: f64) -> PlotBounds {
    let reach = if alpha.abs() < view::HUGE {
        1.1 * alpha.abs()
    } else {
        0.0
    };
    PlotBounds::from_min_max([-5.0, -reach.max(2.2)], [3.0, reach.max(3.2)])
}

/// Returns evenly spaced points of a range.
fn points([first, last]: [f32; 2]) -> [f32; POINTS] {
    let step = (last - first) / (POINTS - 1) as f32;
    std::array::from_fn(|i| first + i as f32 * step)
}
