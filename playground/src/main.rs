//! ELU inside an egui app: egui's own device and queue compute and draw it, on the desktop and in the browser.
//!
//! Run `cargo run --release` in this folder, or `scripts/web serve` in the repository's root for the browser.

use playground::{App, Panel, native_options};

fn main() -> std::process::ExitCode {
    // eframe's own log messages about a failed start are suppressed, because the code below prints the error.
    env_logger::init_from_env(env_logger::Env::default().default_filter_or("error,eframe=off"));
    let panel = match std::env::args().nth(1) {
        None => Panel::Curves,
        Some(name) => match Panel::named(&name) {
            Some(panel) => panel,
            None => {
                let names = Panel::ALL.map(Panel::name).join(", ");
                eprintln!("playground: {name}: needed the name of a panel: {names}");
                return std::process::ExitCode::from(2);
            }
        },
    };
    let started = eframe::run_native(
        "wgpu-elu playground",
        native_options(),
        Box::new(move |context| Ok(Box::new(App::new(context, panel)))),
    );
    match started {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(eframe::Error::Wgpu(error)) => {
            eprintln!("playground: there is no adapter to draw with: {error}");
            std::process::ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("playground: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}
