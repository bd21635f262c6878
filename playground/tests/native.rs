//! Tests the playground in a real window with mouse and keyboard events, on an X server without a screen.
//!
//! Each test starts itself again under `xvfb-run`, from Debian's packages `xvfb` and `xauth`. With
//! `PLAYGROUND_PICTURE=keep`, the test saves the picture for the documentation instead of comparing it.
#![cfg(target_os = "linux")]

use std::{
    env,
    fs::File,
    io::BufReader,
    path::Path,
    process::Command,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use eframe::egui::{Context, Options, Pos2, ThemePreference, Ui, pos2};
use playground::{App, Curve, POINTS, Panel, native_options};
use wgpu_elu::Factors;
use winit::platform::x11::EventLoopBuilderExtX11;
use x11rb::{
    connection::Connection,
    protocol::{
        xproto::{self, ConnectionExt as _, ImageFormat, InputFocus},
        xtest::ConnectionExt as _,
    },
    rust_connection::RustConnection,
};

/// The size of the window and of the X server's screen.
const SIZE: [u16; 2] = [1100, 720];
/// The share of the pixels that may differ in two pictures of the same content, less than one word of text.
const TOLERANCE: f64 = 0.0002;
/// The smallest share of the pixels that differs if something has moved.
const MOVED: f64 = 0.006;
/// The left and right end of the device's name, which depends on the driver.
const NAME: [usize; 2] = [600, 1010];
const BAR: usize = 36;
/// Two colours are equal if red, green and blue each differ by at most this much. Drivers round partly covered pixels
/// differently.
const SAME_COLOR: u8 = 64;
const PATIENCE: Duration = Duration::from_secs(60);
const ARROW_LEFT: u32 = 0xff51;

#[test]
fn curves_follow_the_slider() {
    in_a_window("curves_follow_the_slider", &[], Panel::Curves, |window| {
        assert_eq!(window.app().alpha(), 1.0);
        check_plotted(window);
        let first = window.picture();

        let slider = window.app().slider();
        let at = |x: f32| pos2(slider.left() + x, slider.center().y);
        window.drag(at(80.0), at(128.0));
        let dragged = window.app().alpha();
        assert!((1.5..2.0).contains(&dragged), "alpha is {dragged}");
        check_plotted(window);
        let moved = window.picture();
        let difference = first.difference(&moved);
        assert!(difference > MOVED, "only {difference}");

        window.press(ARROW_LEFT);
        let nudged = window.app().alpha();
        assert!(nudged < dragged, "alpha is still {nudged}");
        check_plotted(window);

        window.drag(at(slider.width()), at(128.0));
        window.context.set_theme(ThemePreference::Light);
        let light = window.picture();
        let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/playground.png");
        if env::var_os("PLAYGROUND_PICTURE").is_some_and(|what| what == "keep") {
            light.write(&kept);
        }
        let difference = light.difference(&Picture::read(&kept));
        light.write(&artifact("curves"));
        assert!(
            difference <= TOLERANCE,
            "{} looks different from {}: by {difference}",
            artifact("curves").display(),
            kept.display()
        );
    });
}

#[test]
fn a_field_moves_only_while_it_is_shown() {
    let test = "a_field_moves_only_while_it_is_shown";
    in_a_window(test, &[], Panel::Field, |window| {
        let first = window.glance();
        window.settle();
        let second = window.glance();
        let difference = first.difference(&second);
        assert!(difference > MOVED, "only {difference}");
        second.write(&artifact("field"));

        window.app().show(Panel::Curves);
        window.picture();
        let frames = window.frames.load(Ordering::Relaxed);
        thread::sleep(Duration::from_secs(1));
        assert_eq!(window.frames.load(Ordering::Relaxed), frames);
    });
}

#[test]
fn a_comparison_ends_while_the_window_lives() {
    let test = "a_comparison_ends_while_the_window_lives";
    in_a_window(test, &[], Panel::Comparison, |window| {
        window.click(pos2(45.0, 62.0));
        let (start, mut slowest) = (Instant::now(), Duration::ZERO);
        // The comparison fails if a result is off by more than 1 ULP.
        while window.app().compared().expect("all is well") < 1.0 {
            if start.elapsed() > 5 * PATIENCE {
                window.glance().write(&artifact("comparison"));
                panic!("it does not end");
            }
            let asked = Instant::now();
            window.settle();
            slowest = slowest.max(asked.elapsed());
        }
        assert!(
            start.elapsed() > Duration::from_secs(1),
            "nothing was timed"
        );
        assert!(slowest < start.elapsed() / 3, "no frames for {slowest:?}");
        window.picture().write(&artifact("comparison"));
    });
}

#[test]
fn an_adapter_without_compute_shaders_is_told() {
    let test = "an_adapter_without_compute_shaders_is_told";
    // OpenGL as of 2011.
    let env = [
        ("WGPU_BACKEND", "gl"),
        ("MESA_EXTENSION_OVERRIDE", "-GL_ARB_compute_shader"),
    ];
    in_a_window(test, &env, Panel::Curves, |window| {
        let message = pollster::block_on(window.app().plotted()).expect_err("nothing is plotted");
        let end = "(GL) has no compute shaders, and the playground needs them.";
        assert!(message.ends_with(end), "{message}");
        window.picture().write(&artifact("no-compute"));
    });
}

#[test]
fn an_adapter_that_is_not_there_is_told() {
    let test = "an_adapter_that_is_not_there_is_told";
    if under_xvfb(test, &[("WGPU_ADAPTER_NAME", "Voodoo 2")]) {
        let message = refusal();
        let cause = "Adapter selection failed: none named \"Voodoo 2\" draws to a window, among ";
        assert!(message.contains(cause), "{message}");
    }
}

#[test]
fn no_adapter_at_all_is_told() {
    // Direct3D, which this system does not have.
    let env = [("WGPU_BACKEND", "dx12")];
    let test = "no_adapter_at_all_is_told";
    if under_xvfb(test, &env) {
        refusal();
    }
}

/// Returns the message of a playground that does not open.
fn refusal() -> String {
    let mut playground = Command::new(env!("CARGO_BIN_EXE_playground"));
    let ended = playground.output().expect("it starts");
    let message = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{message}");
    // Mesa may print messages, too.
    let lines = message
        .lines()
        .filter(|line| !line.contains("XDG_RUNTIME_DIR"));
    let [line] = lines.collect::<Vec<_>>()[..] else {
        panic!("not a line: {message}");
    };
    let cause = "playground: there is no adapter to draw with: ";
    assert!(line.starts_with(cause), "{line}");
    line.into()
}

/// Compares every plotted value with the formulas for the kernel's factors.
fn check_plotted(window: &Window) {
    let alpha = window.app().alpha();
    let values = pollster::block_on(window.app().plotted()).expect("it can be read");
    let rows: Vec<&[f32]> = values.chunks(POINTS).collect();
    assert_eq!(rows.len(), 1 + Curve::ALL.len());
    let x = rows[0];
    assert!(x.is_sorted() && x[0] == -5.0 && x[POINTS - 1] >= 2.99);
    for (curve, y) in Curve::ALL.into_iter().zip(&rows[1..]) {
        let factors = curve.factors(alpha).expect("alpha is positive");
        let round = |factor: f64| f64::from(factor as f32);
        let (scale, input_scale) = (round(factors.scale()), round(factors.input_scale()));
        let negative = round(factors.alpha() * factors.scale());
        let rounded = Factors::new(negative / scale, scale, input_scale).expect("they are");
        // The bounds that wgpu-elu guarantees.
        let most_ulp = if input_scale == 1.0 { 1.0 } else { 2.0 };
        for (&x, &y) in x.iter().zip(*y) {
            let exact = curve.exact(rounded, x.into());
            let nearest = (exact as f32).abs();
            let ulp = (f64::from(y) - exact).abs() / f64::from(nearest.next_up() - nearest);
            assert!(
                ulp <= most_ulp,
                "{curve:?} of {x} is {exact}, not {y}: {ulp} ULP off"
            );
        }
    }
}

// ---- Windows ----

/// Returns whether this process has a screen. Otherwise it runs the test in a process with a screen and checks that it
/// passes.
fn under_xvfb(test: &str, env: &[(&str, &str)]) -> bool {
    const INSIDE: &str = "PLAYGROUND_TEST_IS_UNDER_XVFB";
    if env::var_os(INSIDE).is_some() {
        return true;
    }
    // One after another, because two servers that start at the same time may choose the same display number.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let screen = format!("-screen 0 {}x{}x24", SIZE[0], SIZE[1]);
    let status = Command::new("xvfb-run")
        .args(["--auto-servernum", "--server-args", &screen])
        .arg(env::current_exe().expect("it has a path"))
        .args([test, "--exact", "--nocapture"])
        .env(INSIDE, "yes")
        .env_remove("WAYLAND_DISPLAY")
        .envs(env.iter().copied())
        .status()
        .expect("xvfb-run is there: Debian has it in xvfb, which needs xauth");
    assert!(status.success(), "it failed under xvfb-run, see above");
    false
}

/// Opens the playground at a panel in a process of its own, because a process can have only one event loop.
fn in_a_window(test: &str, env: &[(&str, &str)], panel: Panel, drive: fn(&Window)) {
    if under_xvfb(test, env) {
        drive(&Window::open(panel));
    }
}

struct Window {
    app: Arc<Mutex<App>>,
    context: Context,
    frames: Arc<AtomicUsize>,
    x: RustConnection,
    root: xproto::Window,
}

/// The state that eframe and the test share.
struct Shared {
    app: Arc<Mutex<App>>,
    frames: Arc<AtomicUsize>,
}

impl eframe::App for Shared {
    fn ui(&mut self, ui: &mut Ui, frame: &mut eframe::Frame) {
        self.app.lock().expect("no test has failed").ui(ui, frame);
        self.frames.fetch_add(1, Ordering::Relaxed);
    }
}

impl Window {
    fn open(panel: Panel) -> Self {
        let frames = Arc::new(AtomicUsize::new(0));
        let (opened, opening) = mpsc::channel();
        let counted = frames.clone();
        thread::spawn(move || {
            let options = eframe::NativeOptions {
                event_loop_builder: Some(Box::new(|builder| {
                    builder.with_any_thread(true);
                })),
                ..native_options()
            };
            let create = move |creation: &eframe::CreationContext<'_>| {
                let app = Arc::new(Mutex::new(App::new(creation, panel)));
                let shared = (app.clone(), creation.egui_ctx.clone());
                opened.send(shared).expect("the test waits");
                Ok(Box::new(Shared {
                    app,
                    frames: counted,
                }) as Box<dyn eframe::App>)
            };
            eframe::run_native("playground", options, Box::new(create)).expect("a window opens");
        });
        let (app, context) = opening.recv_timeout(PATIENCE).expect("a window opens");
        let (x, screen) = x11rb::connect(None).expect("there is an X server");
        let root = x.setup().roots[screen].root;
        let window = Self {
            app,
            context,
            frames,
            x,
            root,
        };
        window.settle();
        window.focus();
        // The window may be slow while other tests run.
        let forever = PATIENCE.as_secs_f64();
        let options = |options: &mut Options| options.input_options.max_click_duration = forever;
        window.context.options_mut(options);
        window.settle();
        window
    }

    fn app(&self) -> MutexGuard<'_, App> {
        self.app.lock().expect("the window has not failed")
    }

    /// Waits until all events so far are drawn.
    fn settle(&self) {
        let (start, frames) = (Instant::now(), self.frames.load(Ordering::Relaxed));
        while self.frames.load(Ordering::Relaxed) < frames + 3 {
            assert!(start.elapsed() < PATIENCE, "no frames are drawn");
            self.context.request_repaint();
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sets the focus, because there is no window manager.
    fn focus(&self) {
        let (x, time) = (&self.x, x11rb::CURRENT_TIME);
        let tree = x.query_tree(self.root).expect("it is sent");
        for window in tree.reply().expect("there are windows").children {
            let attributes = x.get_window_attributes(window).expect("it is sent");
            let attributes = attributes.reply().expect("it is there");
            if attributes.map_state == xproto::MapState::VIEWABLE {
                x.set_input_focus(InputFocus::PARENT, window, time)
                    .expect("it is sent");
            }
        }
        x.flush().expect("it is sent");
    }

    /// Sends an event of the mouse or the keyboard.
    fn input(&self, kind: u8, detail: u8, at: Pos2) {
        let (x, y) = (at.x.round() as i16, at.y.round() as i16);
        self.x
            .xtest_fake_input(kind, detail, x11rb::CURRENT_TIME, self.root, x, y, 0)
            .and_then(|_| self.x.flush())
            .expect("it is sent");
        self.settle();
    }

    fn click(&self, at: Pos2) {
        self.drag(at, at);
    }

    fn drag(&self, from: Pos2, to: Pos2) {
        self.input(xproto::MOTION_NOTIFY_EVENT, 0, from);
        self.input(xproto::BUTTON_PRESS_EVENT, 1, from);
        self.input(xproto::MOTION_NOTIFY_EVENT, 0, from.lerp(to, 0.5));
        self.input(xproto::MOTION_NOTIFY_EVENT, 0, to);
        self.input(xproto::BUTTON_RELEASE_EVENT, 1, to);
        // Moves the mouse away, so that no hover effect shows.
        self.input(xproto::MOTION_NOTIFY_EVENT, 0, pos2(600.0, 16.0));
        self.settle();
    }

    fn press(&self, symbol: u32) {
        let (first, last) = (self.x.setup().min_keycode, self.x.setup().max_keycode);
        let symbols = self.x.get_keyboard_mapping(first, last - first + 1);
        let symbols = symbols
            .expect("it is sent")
            .reply()
            .expect("there are keys");
        let mut keys = symbols.keysyms.chunks(symbols.keysyms_per_keycode.into());
        let key = keys.position(|key| key[0] == symbol).expect("it is there");
        let key = first + u8::try_from(key).expect("a key code has 8 bits");
        self.input(xproto::KEY_PRESS_EVENT, key, Pos2::ZERO);
        self.input(xproto::KEY_RELEASE_EVENT, key, Pos2::ZERO);
        self.settle();
    }

    /// Returns the current picture of the screen.
    fn glance(&self) -> Picture {
        let [width, height] = SIZE;
        let (format, planes) = (ImageFormat::Z_PIXMAP, !0);
        let image = self
            .x
            .get_image(format, self.root, 0, 0, width, height, planes);
        let image = image.expect("it is sent").reply().expect("it is there");
        let (pixels, _) = image.data.as_chunks::<4>();
        Picture {
            rgb: pixels.iter().flat_map(|&[b, g, r, _]| [r, g, b]).collect(),
        }
    }

    /// Returns the picture of the screen once it no longer changes.
    fn picture(&self) -> Picture {
        let start = Instant::now();
        self.settle();
        let mut last = self.glance();
        loop {
            thread::sleep(Duration::from_millis(300));
            let next = self.glance();
            if next.rgb == last.rgb {
                return next;
            }
            assert!(start.elapsed() < PATIENCE, "it never stands still");
            last = next;
        }
    }
}

// ---- Pictures ----

struct Picture {
    rgb: Vec<u8>,
}

impl Picture {
    /// Returns the share of the pixels that differ.
    fn difference(&self, other: &Self) -> f64 {
        let (a, _) = self.rgb.as_chunks::<3>();
        let (b, _) = other.rgb.as_chunks::<3>();
        let differs = |(a, b): &(&[u8; 3], &[u8; 3])| {
            std::iter::zip(*a, *b).any(|(a, b)| a.abs_diff(*b) > SAME_COLOR)
        };
        let width = usize::from(SIZE[0]);
        let is_name = |at: usize| at / width < BAR && (NAME[0]..NAME[1]).contains(&(at % width));
        let pixels = a.iter().zip(b).enumerate();
        let compared = pixels
            .filter(|(at, _)| !is_name(*at))
            .map(|(_, pixel)| pixel);
        compared.filter(differs).count() as f64 / a.len() as f64
    }

    fn read(path: &Path) -> Self {
        let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut decoder = png::Decoder::new(BufReader::new(file));
        decoder.set_transformations(png::Transformations::EXPAND);
        let mut reader = decoder.read_info().expect("it is a PNG");
        let mut rgb = vec![0; reader.output_buffer_size().expect("it is small")];
        let frame = reader.next_frame(&mut rgb).expect("it has pixels");
        assert_eq!([frame.width, frame.height], SIZE.map(u32::from));
        assert_eq!(frame.color_type, png::ColorType::Rgb);
        Self { rgb }
    }

    fn write(&self, path: &Path) {
        let file = File::create(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut encoder = png::Encoder::new(file, SIZE[0].into(), SIZE[1].into());
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_compression(png::Compression::High);
        let mut writer = encoder.write_header().expect("it can be written");
        writer
            .write_image_data(&self.rgb)
            .expect("it can be written");
    }
}

/// Returns a path for pictures that people can look at.
fn artifact(name: &str) -> std::path::PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("web-artifacts");
    std::fs::create_dir_all(&folder).expect("it can be made");
    folder.join(format!("native-{name}.png"))
}
