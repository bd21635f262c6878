//! Runs the examples as programs, and checks what they print and draw. `cargo test` builds them.

use std::{
    collections::BTreeSet,
    env,
    f64::consts::TAU,
    fs::File,
    io::BufReader,
    path::Path,
    process::{Command, Output},
};

use wgpu_elu::reference;

use conformance::native::{gpus, on_every_gpu};

/// Returns the command that runs an example. Cargo puts the examples next to the folder of this test program.
fn example(name: &str) -> Command {
    let this = env::current_exe().unwrap();
    let folder = this.ancestors().nth(2).unwrap().join("examples");
    let program = folder.join(format!("{name}{}", env::consts::EXE_SUFFIX));
    assert!(
        program.exists(),
        "{} does not exist: `cargo test` builds it, but `cargo test --test` does not",
        program.display()
    );
    Command::new(program)
}

/// Returns the command that runs an example in an environment in which wgpu finds no adapter.
fn example_without_adapters(name: &str) -> Command {
    let absent_backend = if cfg!(target_vendor = "apple") {
        "dx12"
    } else {
        "metal"
    };
    let mut command = example(name);
    command
        .env("WGPU_BACKEND", absent_backend)
        .env_remove("WGPU_ADAPTER_NAME");
    command
}

/// Returns what a program printed. Panics if it failed.
#[track_caller]
fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn hello_prints_elu_of_six_numbers() {
    let text = printed(&example_without_adapters("hello").output().unwrap());
    let (device, lines) = text.split_once('\n').unwrap();
    assert!(device.starts_with("on CPU"), "{text}");
    let pairs: Vec<[f64; 2]> = lines
        .lines()
        .map(|line| {
            let (x, y) = line
                .strip_prefix("ELU(")
                .unwrap()
                .split_once(") = ")
                .unwrap();
            [x, y].map(|number| number.parse().unwrap())
        })
        .collect();
    assert_eq!(pairs.len(), 6);
    for [x, y] in pairs {
        let exact = reference::elu(x, 1.0);
        assert!(
            (y - exact).abs() <= f64::from(f32::EPSILON) * exact.abs(),
            "{text}"
        );
    }
}

#[test]
fn fuse_stays_within_its_error_bound() {
    on_every_gpu(|gpu, name| {
        let mut fuse = example("fuse");
        fuse.env("WGPU_BACKEND", gpu.info().backend.to_str());
        fuse.env("WGPU_ADAPTER_NAME", &gpu.info().name);
        let text = printed(&fuse.output().unwrap());
        let (before, after) = text.split_once(": max error ").unwrap();
        assert_eq!(
            before.split_once(" on ").unwrap().0,
            "1024 outputs",
            "{name}"
        );
        let percent: f64 = after.split_once(' ').unwrap().0.parse().unwrap();
        assert!(percent > 0.0 && percent < 100.0, "{name}: {text}");
    });
}

/// Runs `test` with the command for the example `embed`, once for each backend that has an adapter. The example lets
/// wgpu choose the adapter.
fn on_every_backend(test: impl Fn(Command, &str)) {
    let backends: BTreeSet<_> = gpus()
        .iter()
        .map(|gpu| gpu.info().backend.to_str())
        .collect();
    for backend in backends {
        let mut embed = example("embed");
        embed.env("WGPU_BACKEND", backend);
        test(embed, backend);
    }
}

#[test]
fn embed_draws_waves_and_their_elu() {
    on_every_backend(|mut embed, backend| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("waves.png");
        let text = printed(&embed.arg(&path).output().unwrap());
        assert_eq!(
            text,
            format!("picture of waves and their ELU: {}\n", path.display())
        );
        check_picture(&path, backend);
    });
}

/// Checks that the picture is what embed.wgsl draws. Up to 0.5 % of the pixels may differ, because rounding moves the
/// lines at which a colour changes.
fn check_picture(path: &Path, name: &str) {
    const SIZE: usize = 512;
    let file = BufReader::new(File::open(path).unwrap());
    let mut reader = png::Decoder::new(file).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((info.width, info.height), (1024, 512));
    let mut wrong = 0;
    for (i, found) in pixels.chunks(4).enumerate() {
        let (row, column) = (i / (2 * SIZE), i % (2 * SIZE));
        let [x, y] = [column % SIZE, row].map(|v| v as f64 * TAU / SIZE as f64);
        let wave = 2.0 * (2.0 * x + y.sin()).sin() * y.cos() + (3.0 * y - x).sin();
        let value = if column < SIZE {
            wave
        } else {
            reference::elu(wave, 1.0)
        };
        let color = if value < 0.0 {
            [0.12, 0.38, 0.75]
        } else {
            [0.93, 0.49, 0.13]
        };
        let quarters = value.abs() * 4.0;
        let mix = (quarters / 12.0).sqrt().min(1.0);
        let shade = if quarters.fract() < 0.12 { 0.75 } else { 1.0 };
        let expected = color.map(|part| 255.0 * shade * (1.0 + (part - 1.0) * mix));
        let is_close = expected
            .iter()
            .zip(found)
            .all(|(a, &b)| (a - f64::from(b)).abs() < 2.0);
        wrong += usize::from(!is_close || found[3] != 255);
    }
    assert!(
        wrong < pixels.len() / 4 / 200,
        "{name}: {wrong} pixels have another colour"
    );
}

/// Checks that the program failed, and that it printed one line with an error that contains `cause`.
#[track_caller]
fn check_error(output: &Output, cause: &str) {
    let error = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    // Mesa may print a message about this variable.
    let lines = error
        .lines()
        .filter(|line| !line.contains("XDG_RUNTIME_DIR"));
    let [line] = lines.collect::<Vec<_>>()[..] else {
        panic!("needed one line, found: {error}");
    };
    assert!(
        line.starts_with("error: ") && line.contains(cause),
        "{line}"
    );
}

#[test]
fn examples_that_find_no_adapter_fail_with_one_line() {
    for (name, cause) in [
        ("embed", "No suitable graphics adapter found"),
        ("fuse", "no GPU with compute shaders"),
    ] {
        check_error(&example_without_adapters(name).output().unwrap(), cause);
    }
}

#[test]
fn an_unknown_adapter_name_is_an_error() {
    for name in ["hello", "fuse"] {
        let mut command = example_without_adapters(name);
        command.env("WGPU_ADAPTER_NAME", "Voodoo 2");
        check_error(&command.output().unwrap(), "no adapter named \"Voodoo 2\"");
    }
}

#[cfg(unix)]
#[test]
fn an_environment_variable_that_is_not_utf8_is_an_error() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

    for name in ["WGPU_ADAPTER_NAME", "WGPU_BACKEND", "WGPU_POWER_PREF"] {
        let output = example("hello")
            .env(name, OsStr::from_bytes(b"a\xff"))
            .output();
        let error = format!("{name}: needed valid UTF-8, found \"a\u{fffd}\"");
        check_error(&output.unwrap(), &error);
    }
}

/// If no thread can be started, as in a container that limits the number of processes, the calling thread does the
/// work.
#[cfg(target_os = "linux")]
#[test]
fn no_threads_are_needed() {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=clone,clone3"]);
    strace.args(["-e", "inject=clone,clone3:error=EAGAIN"]);
    let hello = example_without_adapters("hello");
    strace.arg(hello.get_program());
    strace.envs(
        hello
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    let output = strace.output().expect("scripts/test installs strace");
    let text = printed(&output);
    let device = text.lines().next().unwrap();
    assert!(device.ends_with(", 1 thread)"), "{text}");
}

/// On Linux, every write to `/dev/full` fails, as on a full disk.
#[cfg(target_os = "linux")]
#[test]
fn a_picture_on_a_full_disk_is_an_error() {
    on_every_backend(|mut embed, _| {
        check_error(&embed.arg("/dev/full").output().unwrap(), "/dev/full: ");
    });
}
