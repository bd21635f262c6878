//! Tests the playground in a real window with mouse and keyboard events, on an X server without a screen.
//!
//! Each test starts itself again under `xvfb-run`, which needs Debian's packages `xvfb` and `xauth`. One test compares
//! its window with `docs/playground.png`. With `PLAYGROUND_PICTURE=keep`, it replaces that picture instead.
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
        xproto::{
            self, AutoRepeatMode, ChangeKeyboardControlAux, ConnectionExt as _, ImageFormat,
            InputFocus,
        },
        xtest::ConnectionExt as _,
    },
    rust_connection::RustConnection,
};

/// The size of the window and of the X server's screen.
const SIZE: [u16; 2] = [1100, 720];
/// The largest share of the pixels that may differ in two pictures of the same content. One word of text has more
/// pixels.
const TOLERANCE: f64 = 0.0002;
/// The smallest share of the pixels that must differ if something has moved.
const MOVED: f64 = 0.006;
/// The left and right end of the device's name, in pixels. Comparisons leave it out, because it depends on the driver.
const NAME: [usize; 2] = [600, 1028];
/// The height of the bar with the device's name, in pixels.
const BAR: usize = 36;
/// Two colours count as equal if red, green and blue each differ by at most this much, because drivers draw partly
/// covered pixels differently.
const SAME_COLOR: u8 = 64;
const TIMEOUT: Duration = Duration::from_secs(60);
/// The X keysym of the left arrow key.
const ARROW_LEFT: u32 = 0xff51;

#[test]
fn curves_follow_the_slider() {
    in_a_window("curves_follow_the_slider", &[], Panel::Curves, |window| {
        assert_eq!(window.app().alpha(), 1.0);
        check_plotted(window);
        let first = window.picture();

        let slider = window.app().slider();
        // `x` is in points from the slider's left end. The handle is at about 80 for alpha 1.
        let at = |x: f32| pos2(slider.left() + x, slider.center().y);
        window.drag(at(80.0), at(128.0));
        let dragged = window.app().alpha();
        assert!((1.5..2.0).contains(&dragged), "alpha is {dragged}");
        check_plotted(window);
        let moved = window.picture();
        let difference = first.difference(&moved);
        assert!(difference > MOVED, "only {difference} of the pixels differ");

        window.press(ARROW_LEFT);
        let stepped = window.app().alpha();
        assert!(stepped < dragged, "alpha is still {stepped}");
        check_plotted(window);

        window.drag(at(slider.width()), at(128.0));
        window.context.set_theme(ThemePreference::Light);
        let light = window.picture();
        let saved = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/playground.png");
        if env::var_os("PLAYGROUND_PICTURE").is_some_and(|setting| setting == "keep") {
            light.write(&saved);
        }
        let difference = light.difference(&Picture::read(&saved));
        light.write(&artifact("curves"));
        assert!(
            difference <= TOLERANCE,
            "{} differs from {} in {difference} of the pixels",
            artifact("curves").display(),
            saved.display()
        );
    });
}

#[test]
fn a_field_moves_only_while_it_is_shown() {
    let test = "a_field_moves_only_while_it_is_shown";
    in_a_window(test, &[], Panel::Field, |window| {
        let first = window.screenshot();
        window.settle();
        let second = window.screenshot();
        let difference = first.difference(&second);
        assert!(difference > MOVED, "only {difference} of the pixels differ");
        second.write(&artifact("field"));

        window.app().show(Panel::Curves);
        window.picture();
        let frames = window.frames.load(Ordering::Relaxed);
        thread::sleep(Duration::from_secs(1));
        assert_eq!(window.frames.load(Ordering::Relaxed), frames);
    });
}

#[test]
fn a_window_draws_during_a_comparison() {
    let test = "a_window_draws_during_a_comparison";
    in_a_window(test, &[], Panel::Comparison, |window| {
        window.click(pos2(45.0, 62.0)); // the button "Compare"
        let (start, mut slowest) = (Instant::now(), Duration::ZERO);
        // The comparison fails if a result is off by more than 1 ULP.
        while window
            .app()
            .comparison_progress()
            .expect("the comparison runs")
            < 1.0
        {
            if start.elapsed() > 5 * TIMEOUT {
                window.screenshot().write(&artifact("comparison"));
                panic!("the comparison does not end");
            }
            let requested = Instant::now();
            window.settle();
            slowest = slowest.max(requested.elapsed());
        }
        assert!(
            start.elapsed() > Duration::from_secs(1),
            "nothing was timed"
        );
        assert!(slowest < start.elapsed() / 3, "no frame for {slowest:?}");
        window.picture().write(&artifact("comparison"));
    });
}

#[test]
fn the_cpu_replaces_an_adapter_without_compute_shaders() {
    let test = "the_cpu_replaces_an_adapter_without_compute_shaders";
    // Makes Mesa report OpenGL without compute shaders, as before OpenGL 4.3.
    let env = [
        ("WGPU_BACKEND", "gl"),
        ("MESA_EXTENSION_OVERRIDE", "-GL_ARB_compute_shader"),
    ];
    in_a_window(test, &env, Panel::Curves, |window| {
        let reason = window.app().fallback().map(str::to_owned);
        let reason = reason.expect("the adapter cannot compute");
        let end = "(GL) does not support compute shaders, so the CPU computes.";
        assert!(reason.ends_with(end), "{reason}");
        check_plotted(window);
        window.picture().write(&artifact("no-compute"));
        window.app().show(Panel::Field);
        let first = window.screenshot();
        window.settle();
        let difference = first.difference(&window.screenshot());
        assert!(difference > MOVED, "only {difference} of the pixels differ");
    });
}

#[test]
fn the_example_draws_elu() {
    // cargo puts this test into the folder `deps` next to the folder `examples`.
    let test = env::current_exe().expect("the test has a path");
    let folder = test.ancestors().nth(2).expect("cargo has folders");
    if under_xvfb("the_example_draws_elu", &[]) {
        let mut example = Command::new(folder.join("examples/egui")).spawn().expect(
            "the example is built: run cargo test without --test, or cargo build --example egui",
        );
        let (x, screen) = x11rb::connect(None).expect("the X server is available");
        let root = x.setup().roots[screen].root;
        let start = Instant::now();
        // The line crosses the window, in the colour of `egui.wgsl`.
        let drawn = loop {
            let picture = screenshot(&x, root);
            if picture.count([214, 94, 0]) >= 100 || start.elapsed() > TIMEOUT {
                break picture;
            }
            thread::sleep(Duration::from_millis(300));
        };
        let ended = example.try_wait().expect("the example has a status");
        let _ = example.kill(); // fails if it has ended
        example.wait().expect("the example has a status");
        assert!(ended.is_none(), "the example has ended: {ended:?}");
        drawn.write(&artifact("example"));
        let count = drawn.count([214, 94, 0]);
        assert!(count >= 100, "the line has {count} pixels");
        // At the left edge, x is -5 and ELU -0.99. The line of y = x would begin below the window, and one of zeros at
        // row 311.
        let row = (0..600).find(|row| is_near(drawn.pixel(5, *row), [214, 94, 0]));
        assert!(
            row.is_some_and(|row| row.abs_diff(383) <= 4),
            "the line begins at row {row:?}"
        );
    }
}

#[test]
fn the_guide_shows_a_part_of_the_example() {
    let guide = include_str!("../../docs/embedding.md");
    let (_, section) = guide.split_once("## egui").expect("the guide has it");
    let (_, code) = section.split_once("```rust,ignore\n").expect("it has code");
    let (code, _) = code.split_once("```").expect("the code ends");
    let trimmed = |text: &str| text.lines().map(str::trim).collect::<Vec<_>>().join("\n");
    let example = trimmed(include_str!("../examples/egui.rs"));
    assert!(example.contains(&trimmed(code)), "{code}");
}

#[test]
fn an_unknown_adapter_name_is_reported() {
    let test = "an_unknown_adapter_name_is_reported";
    if under_xvfb(test, &[("WGPU_ADAPTER_NAME", "Voodoo 2")]) {
        let message = refusal();
        let cause =
            "Adapter selection failed: no adapter named \"Voodoo 2\" can draw to a window; found: ";
        assert!(message.contains(cause), "{message}");
    }
}

#[test]
fn a_system_without_adapters_is_reported() {
    // Selects Direct3D, which Linux does not have.
    let env = [("WGPU_BACKEND", "dx12")];
    let test = "a_system_without_adapters_is_reported";
    if under_xvfb(test, &env) {
        refusal();
    }
}

/// Starts the playground, which must fail. Returns its error message.
fn refusal() -> String {
    let mut playground = Command::new(env!("CARGO_BIN_EXE_playground"));
    let output = playground.output().expect("the playground starts");
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    // Mesa may print messages, too.
    let lines = message
        .lines()
        .filter(|line| !line.contains("XDG_RUNTIME_DIR"));
    let [line] = lines.collect::<Vec<_>>()[..] else {
        panic!("needed one line: {message}");
    };
    let start = "playground: no adapter found that can draw: ";
    assert!(line.starts_with(start), "{line}");
    line.into()
}

/// Compares every plotted value with its formula, with the factors rounded as in the kernel.
fn check_plotted(window: &Window) {
    let alpha = window.app().alpha();
    let values = pollster::block_on(window.app().plotted()).expect("the points are read");
    let rows: Vec<&[f32]> = values.chunks(POINTS).collect();
    assert_eq!(rows.len(), 1 + Curve::ALL.len());
    let x = rows[0];
    assert!(x.is_sorted() && x[0] == -5.0 && x[POINTS - 1] >= 2.99);
    for (curve, y) in Curve::ALL.into_iter().zip(&rows[1..]) {
        let factors = curve.factors(alpha).expect("alpha is positive");
        let round = |factor: f64| f64::from(factor as f32);
        let (scale, input_scale) = (round(factors.scale()), round(factors.input_scale()));
        let negative = round(factors.alpha() * factors.scale());
        let rounded =
            Factors::new(negative / scale, scale, input_scale).expect("the factors are valid");
        for (&x, &y) in x.iter().zip(*y) {
            let exact = curve.exact(rounded, x.into());
            let nearest = (exact as f32).abs();
            let ulp = (f64::from(y) - exact).abs() / f64::from(nearest.next_up() - nearest);
            assert!(
                ulp <= 1.0,
                "{curve:?} of {x} is {y}, exact {exact}: off by {ulp} ULP"
            );
        }
    }
}

// ---- Windows ----

/// Returns whether this process runs under `xvfb-run`. If not, runs the test in a new process under `xvfb-run`, and
/// checks that it passes there.
fn under_xvfb(test: &str, env: &[(&str, &str)]) -> bool {
    const INSIDE: &str = "PLAYGROUND_TEST_IS_UNDER_XVFB";
    if env::var_os(INSIDE).is_some() {
        return true;
    }
    // Starts one server after another, because two that start at the same time may choose the same display number.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let screen = format!("-screen 0 {}x{}x24", SIZE[0], SIZE[1]);
    let status = Command::new("xvfb-run")
        .args(["--auto-servernum", "--server-args", &screen])
        .arg(env::current_exe().expect("the test has a path"))
        .args([test, "--exact", "--nocapture"])
        .env(INSIDE, "yes")
        .env_remove("WAYLAND_DISPLAY")
        .envs(env.iter().copied())
        .status()
        .expect("xvfb-run starts: it needs Debian's packages xvfb and xauth");
    assert!(
        status.success(),
        "the test failed under xvfb-run: see above"
    );
    false
}

/// Runs a test with the window of a playground that shows `panel`. Each test runs in its own process, because a process
/// can have only one event loop.
fn in_a_window(test: &str, env: &[(&str, &str)], panel: Panel, drive: fn(&Window)) {
    if under_xvfb(test, env) {
        drive(&Window::open(panel));
    }
}

/// The playground's window, with a connection to the X server that sends events to it.
struct Window {
    app: Arc<Mutex<App>>,
    context: Context,
    frames: Arc<AtomicUsize>,
    x: RustConnection,
    root: xproto::Window,
}

/// The app that eframe runs. It shares its state with the test.
struct Shared {
    app: Arc<Mutex<App>>,
    frames: Arc<AtomicUsize>,
}

impl eframe::App for Shared {
    fn ui(&mut self, ui: &mut Ui, frame: &mut eframe::Frame) {
        self.app
            .lock()
            .expect("the test has not failed")
            .ui(ui, frame);
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
                let app = Arc::new(Mutex::new(App::new(creation, panel, None)?));
                let shared = (app.clone(), creation.egui_ctx.clone());
                opened.send(shared).expect("the test waits");
                Ok(Box::new(Shared {
                    app,
                    frames: counted,
                }) as Box<dyn eframe::App>)
            };
            eframe::run_native("playground", options, Box::new(create)).expect("a window opens");
        });
        let (app, context) = opening.recv_timeout(TIMEOUT).expect("a window opens");
        let (x, screen) = x11rb::connect(None).expect("the X server is available");
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
        // The window may be slow while other tests run, so a click may take as long as the timeout.
        let forever = TIMEOUT.as_secs_f64();
        let options = |options: &mut Options| options.input_options.max_click_duration = forever;
        window.context.options_mut(options);
        window.settle();
        window
    }

    fn app(&self) -> MutexGuard<'_, App> {
        self.app.lock().expect("the window has not failed")
    }

    /// Waits for three frames, so that the effects of all events so far are drawn.
    fn settle(&self) {
        let (start, frames) = (Instant::now(), self.frames.load(Ordering::Relaxed));
        while self.frames.load(Ordering::Relaxed) < frames + 3 {
            assert!(start.elapsed() < TIMEOUT, "no frames are drawn");
            self.context.request_repaint();
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sets the keyboard focus to the window, because there is no window manager that would do so.
    fn focus(&self) {
        let (x, time) = (&self.x, x11rb::CURRENT_TIME);
        let tree = x.query_tree(self.root).expect("the request is sent");
        for window in tree.reply().expect("the server replies").children {
            let attributes = x
                .get_window_attributes(window)
                .expect("the request is sent");
            let attributes = attributes.reply().expect("the server replies");
            if attributes.map_state == xproto::MapState::VIEWABLE {
                x.set_input_focus(InputFocus::PARENT, window, time)
                    .expect("the request is sent");
            }
        }
        x.flush().expect("the request is sent");
    }

    /// Sends an event of the mouse or the keyboard.
    fn input(&self, kind: u8, detail: u8, at: Pos2) {
        let (x, y) = (at.x.round() as i16, at.y.round() as i16);
        self.x
            .xtest_fake_input(kind, detail, x11rb::CURRENT_TIME, self.root, x, y, 0)
            .and_then(|_| self.x.flush())
            .expect("the request is sent");
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

    /// Presses and releases the key with this keysym.
    fn press(&self, symbol: u32) {
        let (first, last) = (self.x.setup().min_keycode, self.x.setup().max_keycode);
        let symbols = self.x.get_keyboard_mapping(first, last - first + 1);
        let symbols = symbols
            .expect("the request is sent")
            .reply()
            .expect("the server replies");
        let mut keys = symbols.keysyms.chunks(symbols.keysyms_per_keycode.into());
        let key = keys
            .position(|key| key[0] == symbol)
            .expect("the keyboard has the key");
        let key = first + u8::try_from(key).expect("a key code has 8 bits");
        // Otherwise the server repeats a key that a busy machine releases late.
        let once = ChangeKeyboardControlAux::new().auto_repeat_mode(AutoRepeatMode::OFF);
        self.x
            .change_keyboard_control(&once)
            .expect("the request is sent");
        self.input(xproto::KEY_PRESS_EVENT, key, Pos2::ZERO);
        self.input(xproto::KEY_RELEASE_EVENT, key, Pos2::ZERO);
        self.settle();
    }

    fn screenshot(&self) -> Picture {
        screenshot(&self.x, self.root)
    }

    /// Returns the picture of the screen once it no longer changes.
    fn picture(&self) -> Picture {
        let start = Instant::now();
        self.settle();
        let mut last = self.screenshot();
        loop {
            thread::sleep(Duration::from_millis(300));
            let next = self.screenshot();
            if next.rgb == last.rgb {
                return next;
            }
            assert!(start.elapsed() < TIMEOUT, "the picture keeps changing");
            last = next;
        }
    }
}

// ---- Pictures ----

/// Returns the current picture of the screen.
fn screenshot(x: &RustConnection, root: xproto::Window) -> Picture {
    let [width, height] = SIZE;
    let image = x
        .get_image(ImageFormat::Z_PIXMAP, root, 0, 0, width, height, !0)
        .expect("the request is sent")
        .reply()
        .expect("the server replies");
    let (pixels, _) = image.data.as_chunks::<4>();
    Picture {
        rgb: pixels.iter().flat_map(|&[b, g, r, _]| [r, g, b]).collect(),
    }
}

struct Picture {
    rgb: Vec<u8>,
}

fn is_near(pixel: [u8; 3], color: [u8; 3]) -> bool {
    std::iter::zip(pixel, color).all(|(a, b)| a.abs_diff(b) <= 2)
}

impl Picture {
    /// Returns the number of pixels with this colour, or one that is almost the same.
    fn count(&self, color: [u8; 3]) -> usize {
        let (pixels, _) = self.rgb.as_chunks::<3>();
        pixels
            .iter()
            .filter(|pixel| is_near(**pixel, color))
            .count()
    }

    fn pixel(&self, x: usize, y: usize) -> [u8; 3] {
        let (pixels, _) = self.rgb.as_chunks::<3>();
        pixels[y * usize::from(SIZE[0]) + x]
    }

    /// Returns the share of the pixels that differ, from 0 to 1.
    fn difference(&self, other: &Self) -> f64 {
        let (a, _) = self.rgb.as_chunks::<3>();
        let (b, _) = other.rgb.as_chunks::<3>();
        let differs = |(a, b): &(&[u8; 3], &[u8; 3])| {
            std::iter::zip(*a, *b).any(|(a, b)| a.abs_diff(*b) > SAME_COLOR)
        };
        let width = usize::from(SIZE[0]);
        let is_name = |i: usize| i / width < BAR && (NAME[0]..NAME[1]).contains(&(i % width));
        let pixels = a.iter().zip(b).enumerate();
        let compared = pixels.filter(|(i, _)| !is_name(*i)).map(|(_, pixel)| pixel);
        compared.filter(differs).count() as f64 / a.len() as f64
    }

    fn read(path: &Path) -> Self {
        let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut decoder = png::Decoder::new(BufReader::new(file));
        decoder.set_transformations(png::Transformations::EXPAND);
        let mut reader = decoder.read_info().expect("the file is a PNG");
        let mut rgb = vec![
            0;
            reader
                .output_buffer_size()
                .expect("the picture fits into memory")
        ];
        let frame = reader.next_frame(&mut rgb).expect("the file has pixels");
        assert_eq!([frame.width, frame.height], SIZE.map(u32::from));
        assert_eq!(frame.color_type, png::ColorType::Rgb);
        Self { rgb }
    }

    fn write(&self, path: &Path) {
        let file = File::create(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut encoder = png::Encoder::new(file, SIZE[0].into(), SIZE[1].into());
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_compression(png::Compression::High);
        let mut writer = encoder.write_header().expect("the file is written");
        writer
            .write_image_data(&self.rgb)
            .expect("the file is written");
    }
}

/// Returns the path for a picture that is kept for people to look at.
fn artifact(name: &str) -> std::path::PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("web-artifacts");
    std::fs::create_dir_all(&folder).expect("the folder is created");
    folder.join(format!("native-{name}.png"))
}
