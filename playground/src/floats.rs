//! The panel that zooms into one curve until single floats are visible. It shows three results for each of a few
//! neighbouring inputs: of the usual formula, and of the CPU path with either rounding.

use std::ops::RangeInclusive;

use eframe::egui::{Color32, ComboBox, Rect, Slider, SliderClamping, Ui};
use egui_plot::{
    GridInput, GridMark, HoverPosition, Line, MarkerShape, PlotBounds, PlotPoint, Points,
};
use wgpu_elu::{Elu, Factors, Result, Rounding};

use crate::{
    alpha,
    curves::Curve,
    legend::{self, Entry},
    palette, view,
};

/// The number of inputs on either side of the middle.
const REACH: i64 = 16;
/// The number of points of the exact curve between two inputs.
const STEPS: i64 = 4;

pub(crate) struct Floats {
    curve: Curve,
    /// The input in the middle.
    x: f64,
    hidden: [bool; 3],
    /// What was shown last, for tests.
    errors: [f64; 3],
}

impl Default for Floats {
    fn default() -> Self {
        Self {
            curve: Curve::Elu,
            x: -0.1,
            hidden: [false; 3],
            errors: [f64::NAN; 3],
        }
    }
}

impl Floats {
    /// Shows the panel. Returns the position of the slider for alpha.
    pub(crate) fn show(&mut self, ui: &mut Ui, alpha: &mut f64) -> Rect {
        let (curve, x) = (&mut self.curve, &mut self.x);
        let note = "One unit on either axis is one float32. Computed by the CPU path. naive: the formula with exp(x) \
            - 1 (the gradient: exp(x)), in float32.";
        let slider = alpha::show(ui, alpha, [note, ""], |ui| {
            ComboBox::from_id_salt("curve")
                .selected_text(curve.name())
                .width(120.0)
                .show_ui(ui, |ui| {
                    for other in Curve::ALL {
                        ui.selectable_value(curve, other, other.name());
                    }
                });
            if ui.available_size_before_wrap().x < 340.0 {
                ui.end_row(); // a slider does not wrap by itself
            }
            ui.add(
                Slider::new(x, -16.0..=-1e-6)
                    .logarithmic(true)
                    .clamping(SliderClamping::Never)
                    .custom_formatter(|x, _| format!("{:.4e}", x as f32))
                    .text("x"),
            );
        });
        let results = match Results::new(self.curve, *alpha, self.x as f32) {
            Ok(results) => results,
            Err(reason) => {
                self.errors = [f64::NAN; 3];
                alpha::show_error(ui, &reason);
                return slider;
            }
        };
        self.errors = results.errors();
        let colors = palette::floats(ui.visuals());
        let entries: Vec<Entry> = (0..3)
            .map(|i| Entry {
                marker: MARKERS[i].1,
                color: colors[i],
                name: format!(
                    "{}\n{} of {} not nearest\nmax error {:.*} ULP",
                    NAMES[i],
                    results.count_not_nearest(i),
                    results.x.len(),
                    if self.errors[i] < 9.995 { 2 } else { 0 },
                    self.errors[i]
                ),
                is_drawn: true,
            })
            .collect();
        let mut hidden = self.hidden;
        legend::around(ui, &entries, &mut hidden, |ui| {
            results.plot(ui, self.hidden, colors);
        });
        self.hidden = hidden;
        slider
    }

    /// Returns the largest errors of the naive, the faithful and the nearest results in ULP, or NaN if they are not
    /// shown.
    pub(crate) fn errors(&self) -> [f64; 3] {
        self.errors
    }
}

// ---- Internals ----

/// The names of the three results.
const NAMES: [&str; 3] = ["naive", "faithful", "nearest"];

/// The markers of the three results: as a shape in the plot, and as text in the legend.
const MARKERS: [(MarkerShape, &str); 3] = [
    (MarkerShape::Up, "▲"),
    (MarkerShape::Circle, "●"),
    (MarkerShape::Square, "■"),
];

/// The results for neighbouring inputs. In the plot, floats are numbered in their order, with 0 for those in the
/// middle.
struct Results {
    x: Vec<f32>,
    exact: Vec<f64>,
    /// The naive, the faithful and the nearest results.
    y: [Vec<f32>; 3],
    /// Points of the exact curve, in the plot's coordinates.
    line: Vec<[f64; 2]>,
    middle: [i64; 2],
}

impl Results {
    fn new(curve: Curve, alpha: f64, x: f32) -> std::result::Result<Self, String> {
        let describe = |error: wgpu_elu::Error| format!("{} is not drawn: {error}", curve.name());
        let factors = rounded(curve.factors(alpha).map_err(describe)?).map_err(describe)?;
        let middle = number(x);
        let x: Vec<f32> = (-REACH..=REACH).map(|i| float(middle + i)).collect();
        let on_cpu = |rounding| {
            let elu = Elu::from(factors).with_rounding(rounding);
            curve.on_cpu(elu, &x).map_err(describe)
        };
        let naive = x.iter().map(|x| naive(curve, factors, *x)).collect();
        let y = [
            naive,
            on_cpu(Rounding::Faithful)?,
            on_cpu(Rounding::Nearest)?,
        ];
        let exact = |x: f64| curve.exact(factors, x);
        let values: Vec<f64> = x.iter().map(|x| exact((*x).into())).collect();
        let finite = |y: &f64| (*y as f32).is_finite();
        if !x.iter().all(|x| x.is_finite())
            || !values.iter().all(finite)
            || !y[0].iter().all(|y| y.is_finite())
        {
            return Err("Not drawn: x, or a result, is infinite or no number.".into());
        }
        let y_middle = number(y[2][REACH as usize]);
        let line = (-REACH * STEPS..=REACH * STEPS)
            .map(|i| {
                let (whole, part) = (
                    i.div_euclid(STEPS),
                    i.rem_euclid(STEPS) as f64 / STEPS as f64,
                );
                let [left, right] = [0, 1].map(|i| f64::from(float(middle + whole + i)));
                let y = position(exact(left + part * (right - left)));
                [whole as f64 + part, y - y_middle as f64]
            })
            .collect();
        Ok(Self {
            x,
            exact: values,
            y,
            line,
            middle: [middle, y_middle],
        })
    }

    /// Returns the largest errors of the three results in ULP.
    fn errors(&self) -> [f64; 3] {
        self.y.each_ref().map(|y| {
            let errors = std::iter::zip(y, &self.exact).map(|(y, exact)| error(*y, *exact));
            errors.fold(0.0, f64::max)
        })
    }

    /// Returns how many results are not the nearest float.
    fn count_not_nearest(&self, i: usize) -> usize {
        let pairs = std::iter::zip(&self.y[i], &self.y[2]);
        pairs.filter(|(y, nearest)| y != nearest).count()
    }

    fn plot(&self, ui: &mut Ui, hidden: [bool; 3], colors: [Color32; 3]) {
        let [x_middle, y_middle] = self.middle;
        let place = |i: usize, y: f32| [i as f64 - REACH as f64, (number(y) - y_middle) as f64];
        // All visible points lie at least one float inside the picture.
        let visible = (0..3).filter(|i| !hidden[*i]);
        let heights = visible
            .flat_map(|i| self.y[i].iter().map(|y| place(0, *y)[1]))
            .chain(self.line.iter().map(|point| point[1]));
        let (low, high) = heights.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), y| {
            (low.min(y), high.max(y))
        });
        let reach = REACH as f64 + 0.8;
        let margin = 0.04 * (high - low) + 0.8;
        let bounds = PlotBounds::from_min_max([-reach, low - margin], [reach, high + margin]);
        // A line for each float, or for each 2^n-th if that would be too many.
        let spacer = |length: f32| {
            move |input: GridInput| {
                let (first, last) = input.bounds;
                let lines = f64::from(length / 8.0).max(2.0);
                let step = ((last - first) / lines).max(1.0).log2().ceil().exp2();
                let marks = (first / step).ceil() as i64..=(last / step).floor() as i64;
                marks
                    .map(|i| GridMark {
                        value: i as f64 * step,
                        // Only the largest steps get a number.
                        step_size: if i % 8 == 0 { 8.0 * step } else { step },
                    })
                    .collect()
            }
        };
        let size = ui.available_size();
        let signed = |mark: GridMark, _: &RangeInclusive<f64>| match mark.value == 0.0 {
            true => "0".into(),
            false => format!("{:+}", mark.value),
        };
        let x_label = format!("floats from x = {:e}", float(x_middle));
        let y_label = format!("floats from y = {:e}", float(y_middle));
        view::plot(ui, "floats", x_label, y_label)
            .x_grid_spacer(spacer(size.x))
            .y_grid_spacer(spacer(size.y))
            .x_axis_formatter(signed)
            .y_axis_formatter(signed)
            .label_formatter(|hover| {
                let HoverPosition::NearDataPoint {
                    plot_name,
                    position,
                    ..
                } = hover
                else {
                    return None;
                };
                let i = usize::try_from(position.x as i64 + REACH).ok()?;
                let y = float(y_middle + position.y as i64);
                let (x, exact) = (*self.x.get(i)?, *self.exact.get(i)?);
                Some(format!(
                    "{plot_name}\nx = {x:e}\ny = {y:e}\nexact {exact:.12e}\nerror {:.2} ULP",
                    error(y, exact)
                ))
            })
            .show(ui, |plot| {
                plot.set_plot_bounds(bounds);
                let gray = plot.ctx().global_style().visuals.weak_text_color();
                let line = Line::new("exact", self.line.clone());
                plot.line(line.color(gray).width(2.0).allow_hover(false));
                // The squares are the largest, so they are drawn first.
                for i in [2, 1, 0].into_iter().filter(|i| !hidden[*i]) {
                    let points: Vec<PlotPoint> = self.y[i]
                        .iter()
                        .enumerate()
                        .map(|(i, y)| place(i, *y).into())
                        .collect();
                    plot.points(
                        Points::new(NAMES[i], egui_plot::PlotPoints::Owned(points))
                            .shape(MARKERS[i].0)
                            .color(colors[i])
                            .radius([5.0, 3.0, 6.0][i]),
                    );
                }
            });
    }
}

/// Returns the factors as the kernels round them. Dividing by `scale` and multiplying by it again changes the product
/// by at most 1 ULP of f64.
fn rounded(factors: Factors) -> Result<Factors> {
    let round = |factor: f64| f64::from(factor as f32);
    let negative = round(factors.alpha() * factors.scale());
    let (scale, input_scale) = (round(factors.scale()), round(factors.input_scale()));
    Factors::new(negative / scale, scale, input_scale)
}

/// Returns what the usual code computes: `exp(x) - 1` in float32.
fn naive(curve: Curve, factors: Factors, x: f32) -> f32 {
    let [alpha, scale, input_scale] =
        [factors.alpha(), factors.scale(), factors.input_scale()].map(|factor| factor as f32);
    match (curve, x < 0.0) {
        (Curve::EluGradient, _) if x <= 0.0 => alpha * x.exp(),
        (Curve::EluGradient, _) => 1.0,
        (_, true) => scale * alpha * ((input_scale * x).exp() - 1.0),
        (_, false) => scale * x,
    }
}

/// Returns the number of a float in the order of all floats. Both zeros have the number 0.
fn number(value: f32) -> i64 {
    let magnitude = i64::from(value.to_bits() & 0x7fff_ffff);
    if value.is_sign_negative() {
        -magnitude
    } else {
        magnitude
    }
}

/// Returns the float with this number. It is infinite or no number if there is no such float.
fn float(number: i64) -> f32 {
    let magnitude = f32::from_bits(number.unsigned_abs().min(0x7fff_ffff) as u32);
    if number < 0 { -magnitude } else { magnitude }
}

/// Returns the number of the float that `value` equals, or a fraction for a value between two floats.
fn position(value: f64) -> f64 {
    let near = value as f32;
    let below = if f64::from(near) > value {
        near.next_down()
    } else {
        near
    };
    let (low, high) = (f64::from(below), f64::from(below.next_up()));
    number(below) as f64 + (value - low) / (high - low)
}

/// Returns the error in ULP.
fn error(y: f32, exact: f64) -> f64 {
    (number(y) as f64 - position(exact)).abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_numbered_without_gaps() {
        for value in [-1.0, -f32::MIN_POSITIVE, -1e-45, 0.0, 1e-45, 0.5, f32::MAX] {
            assert_eq!(float(number(value)), value);
            assert_eq!(float(number(value) + 1), value.next_up());
            assert_eq!(position(value.into()), number(value) as f64);
        }
        assert_eq!(
            position(1.0 + f64::from(f32::EPSILON) / 4.0),
            number(1.0) as f64 + 0.25
        );
        assert_eq!(
            position(-1.0 - f64::from(f32::EPSILON) / 4.0),
            number(-1.0) as f64 - 0.25
        );
    }

    #[test]
    fn nearest_is_the_best_and_naive_the_worst() {
        for curve in [Curve::Elu, Curve::Selu, Curve::Celu] {
            for (alpha, x) in [(1.0, -0.1), (1.5, -1e-3), (0.3, -1e-5)] {
                let results = Results::new(curve, alpha, x).expect("the results are finite");
                let [naive, faithful, nearest] = results.errors();
                assert!(
                    nearest <= 0.5 && faithful <= 1.0,
                    "{curve:?}: {faithful}, {nearest}"
                );
                assert!(naive > 2.0, "{curve:?}: {naive}");
                assert_eq!(results.count_not_nearest(2), 0);
                assert!(results.count_not_nearest(0) > 16);
            }
        }
    }

    #[test]
    fn results_that_are_no_numbers_are_reported() {
        for (alpha, x) in [(f64::NAN, -0.1), (f64::INFINITY, -0.1), (1.0, f32::NAN)] {
            let reason = Results::new(Curve::Elu, alpha, x).err();
            assert_eq!(
                reason.as_deref(),
                Some("Not drawn: x, or a result, is infinite or no number.")
            );
        }
        let reason = Results::new(Curve::Celu, -1.0, -0.1).err();
        let needed = "CELU is not drawn: alpha must be between 2^-64 and 2^64, found -1";
        assert_eq!(reason.as_deref(), Some(needed));
    }
}
