//! An egui app that computes and draws ELU with egui's own device and queue, on the desktop and in the browser.
//!
//! Run `cargo run --release` in this folder, or `scripts/web serve` in the repository's root for the browser.

use playground::{App, Panel, native_options};

fn main() -> std::process::ExitCode {
    // Suppresses eframe's log messages about a failed start, because the code below prints the error.
    env_logger::init_from_env(env_logger::Env::default().default_filter_or("error,eframe=off"));
    let panel = match std::env::args().nth(1) {
        None => Panel::Curves,
        Some(name) => match Panel::named(&name) {
            Some(panel) => panel,
            None => {
                let names = Panel::ALL.map(Panel::name).join(", ");
                eprintln!("playground: unknown panel {name}; needed one of: {names}");
                return std::process::ExitCode::from(2);
            }
        },
    };
    let started = eframe::run_native(
        "wgpu-elu playground",
        native_options(),
        Box::new(move |context| Ok(Box::new(App::new(context, panel, None)?))),
    );
    match started {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(eframe::Error::Wgpu(error)) => {
            eprintln!("playground: no adapter found that can draw: {error}");
            std::process::ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("playground: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}
