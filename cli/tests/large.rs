//! Tests with files that are larger than the command's buffers, and with signals.

use std::{
    fs,
    io::{Read, Write},
    process::{Child, ChildStdin, Command},
    thread,
    time::{Duration, Instant},
};

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use signal_hook::consts::{SIGALRM, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGXCPU};
use wgpu_elu::{DType, Device, Elu, Tensor};

use conformance::native::{announce, gpus, varied};

use crate::common::{ELU, Folder, header, npy};

/// A number of elements that fills more chunks than a [`Stream`](wgpu_elu::Stream) holds at the same time: 48 MB in
/// float32. A chunk has 4 MiB on the CPU and on software adapters, and about 7 or 11 MiB on other GPUs.
const LEN: usize = 12_000_001;

/// Returns the CPU and every adapter, with the arguments that select them.
fn devices() -> Vec<(Device, Vec<String>)> {
    let mut devices = vec![(Device::Cpu, vec!["--device".into(), "cpu".into()])];
    for gpu in gpus() {
        let device = Device::Gpu(gpu.clone());
        let name = device.to_string();
        devices.push((device, vec!["--adapter".into(), name]));
    }
    devices
}

/// Returns `args` followed by the arguments that select the device.
fn with_device<'a>(args: &[&'a str], device: &'a [String]) -> Vec<&'a str> {
    let device = device.iter().map(String::as_str);
    args.iter().copied().chain(device).collect()
}

/// Computes ELU with alpha 1 on the device. `x` and the result are bytes of elements.
fn elu(device: &Device, dtype: DType, x: &[u8]) -> Vec<u8> {
    let shape = [x.len() / dtype.size()];
    let x = Tensor::from_bytes(device, dtype, x, &shape).unwrap();
    let y = Elu::new(1.0).forward(&x).unwrap();
    y.to_bytes_blocking().unwrap()
}

/// Returns the bytes with the other byte order.
fn swapped(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.chunks_exact_mut(4).for_each(<[u8]>::reverse);
    bytes
}

#[test]
fn npy_files_of_many_chunks_have_the_same_results() {
    let x = bytemuck::cast_slice(&varied(LEN)).to_vec();
    for (device, args) in devices() {
        let folder = Folder::new();
        let y = elu(&device, DType::F32, &x);
        for (order, data, expected) in [
            ("<f4", x.clone(), y.clone()),
            (">f4", swapped(&x), swapped(&y)),
        ] {
            let header = header(order, false, &format!("({LEN},)"));
            folder.write("x.npy", &npy(1, &header, &data));
            folder.success(&with_device(
                &["run", "x.npy", "-o", "y.npy", "--force"],
                &args,
            ));
            let written = fs::read(folder.path("y.npy")).unwrap();
            let start = written.len() - data.len();
            assert!(written[start..] == expected, "{device} {order}");
        }
        // Data from a pipe, whose length is unknown, ends one byte too early.
        let header = header("<f4", false, &format!("({LEN},)"));
        let names = folder.names();
        let mut child = folder.start(&with_device(&["run", "-", "-o", "z.npy"], &args));
        let file = npy(1, &header, &x[..x.len() - 1]);
        child.stdin.take().unwrap().write_all(&file).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(
            String::from_utf8(output.stderr).unwrap(),
            "elu: standard input: shape [12000001] of float32 needs 48000004 bytes of data, found 48000003\n"
        );
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(folder.names(), names);
    }
}

#[test]
fn safetensors_files_of_many_chunks_have_the_same_results() {
    let x = bytemuck::cast_slice(&varied(LEN)).to_vec();
    let (len, len_for_f64) = (x.len(), x.len() - 4);
    let tensors = [
        ("floats", Dtype::F32, len / 4, &x[..]),
        ("bytes", Dtype::U8, len, &x),
        ("doubles", Dtype::F64, len_for_f64 / 8, &x[..len_for_f64]),
        ("halves", Dtype::BF16, len / 2, &x),
    ];
    let views = tensors
        .map(|(name, dtype, len, data)| (name, TensorView::new(dtype, vec![len], data).unwrap()));
    let folder = Folder::new();
    let model = safetensors::serialize(views, None).unwrap();
    folder.write("x.safetensors", &model);
    for (device, args) in devices() {
        let selection = ["--tensor", "floats", "--tensor", "halves", "--force"];
        let args = with_device(&[&["run", "x.safetensors"], &selection[..]].concat(), &args);
        let stderr = folder.success(&args);
        assert!(
            stderr.starts_with("2 tensors of 36000003 elements (unchanged: "),
            "{stderr}"
        );
        let written = fs::read(folder.path("x.elu.safetensors")).unwrap();
        let written = SafeTensors::deserialize(&written).unwrap();
        for (name, dtype) in [("floats", DType::F32), ("halves", DType::BF16)] {
            let y = written.tensor(name).unwrap();
            assert!(y.data() == elu(&device, dtype, &x), "{device} {name}");
        }
        assert!(written.tensor("bytes").unwrap().data() == x, "{device}");
        assert!(
            written.tensor("doubles").unwrap().data() == &x[..len_for_f64],
            "{device}"
        );
    }
}

/// When the error occurs, a part of the output is already on standard output, so the exit code must report the error.
#[test]
fn standard_input_that_ends_too_early_is_an_error() {
    let x = bytemuck::cast_slice(&varied(LEN)).to_vec();
    let header = header("<f4", false, &format!("({},)", 2 * LEN));
    for (device, args) in devices() {
        let folder = Folder::new();
        let mut child = folder.start(&with_device(&["run", "-", "-o", "-"], &args));
        let mut stdin = child.stdin.take().unwrap();
        let output = thread::scope(|scope| {
            scope.spawn(|| {
                stdin.write_all(&npy(1, &header, &x)).unwrap();
                drop(stdin);
            });
            child.wait_with_output().unwrap()
        });
        let (needed, found) = (8 * LEN, 4 * LEN);
        assert_eq!(
            String::from_utf8(output.stderr).unwrap(),
            format!(
                "elu: standard input: shape [{}] of float32 needs {needed} bytes of data, found {found}\n",
                2 * LEN
            ),
            "{device}"
        );
        assert_eq!(output.status.code(), Some(1), "{device}");
        let header = 10 + usize::from(u16::from_le_bytes([output.stdout[8], output.stdout[9]]));
        let y = &output.stdout[header..];
        assert!(
            y.len() > 1 << 20 && elu(&device, DType::F32, &x).starts_with(y),
            "{device}: {} bytes",
            y.len()
        );
    }
}

/// Sends more data than the command may hold in memory, and checks its peak memory.
#[cfg(target_os = "linux")]
#[test]
fn memory_does_not_grow_with_the_input() {
    const FILE_SIZE: usize = 320 << 20;
    const MAX_MEMORY: usize = 200 << 20;
    for (device, args) in devices() {
        let folder = Folder::new();
        let mut child = folder.start(&with_device(&["run", "-", "-o", "/dev/null"], &args));
        let mut stdin = child.stdin.take().unwrap();
        // Big-endian data is buffered once more, to reverse its bytes. One device is enough to test that.
        let order = if device == Device::Cpu { ">f4" } else { "<f4" };
        let header = header(order, false, &format!("({},)", FILE_SIZE / 4));
        stdin.write_all(&npy(1, &header, &[])).unwrap();
        let piece = vec![0x80; 1 << 20];
        for _ in 0..FILE_SIZE / piece.len() {
            stdin.write_all(&piece).unwrap();
        }
        // Everything is written to the pipe, which holds little, so the command has read nearly all of it. It waits for
        // the end of the input.
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        drop(stdin);
        assert!(child.wait().unwrap().success());
        let peak = status.lines().find_map(|line| {
            let kib = line.strip_prefix("VmHWM:")?.strip_suffix("kB")?;
            kib.trim().parse::<usize>().ok()
        });
        match peak {
            Some(peak) => assert!(
                1024 * peak < MAX_MEMORY,
                "{device}: {peak} KiB for {FILE_SIZE} bytes"
            ),
            None => announce("SKIPPED: the check of peak memory (/proc does not report it)"),
        }
    }
}

#[cfg(not(target_os = "linux"))]
#[test]
fn memory_does_not_grow_with_the_input() {
    announce("SKIPPED: the check of peak memory (only Linux reports it)");
}

/// Sends a signal to the command.
fn send(signal: &str, child: &Child) {
    let pid = child.id().to_string();
    let sent = Command::new("kill").args([signal, &pid]).status().unwrap();
    assert!(sent.success());
}

#[test]
fn signals_leave_no_temporary_file() {
    for (device, args) in devices() {
        for (signal, number, data_size) in [
            ("-INT", SIGINT, 0),
            ("-INT", SIGINT, 4 * LEN),
            // On other systems the command ends as for SIGINT, because ctrlc does not say which signal has arrived.
            (
                "-TERM",
                if cfg!(target_os = "linux") {
                    SIGTERM
                } else {
                    SIGINT
                },
                1000,
            ),
            ("-QUIT", SIGQUIT, 1000),
            ("-XCPU", SIGXCPU, 1000),
            ("-USR1", SIGUSR1, 1000),
            ("-USR2", SIGUSR2, 1000),
            ("-ALRM", SIGALRM, 1000),
        ] {
            let command = if cfg!(target_os = "linux") {
                // If the shell that started the tests ignores these signals, the command would inherit that.
                elu_through_env("--default-signal=INT,TERM,QUIT,XCPU,USR1,USR2,ALRM")
            } else {
                Command::new(ELU)
            };
            let run = Unfinished::start(command, &device, &args, data_size);
            send(signal, &run.child);
            run.check_end(128 + number);
        }
    }
}

/// A signal that was ignored when the command started, for example by `nohup`, stays ignored.
#[cfg(target_os = "linux")]
#[test]
fn ignored_signals_stay_ignored() {
    let args = ["--device".into(), "cpu".into()];
    let nohup = elu_through_env("--ignore-signal=HUP");
    let mut run = Unfinished::start(nohup, &Device::Cpu, &args, 1000);
    send("-HUP", &run.child);
    thread::sleep(Duration::from_millis(200));
    assert!(run.child.try_wait().unwrap().is_none());
    send("-TERM", &run.child);
    run.check_end(128 + SIGTERM);
}

/// Returns the command, started by `env` with an option for signals. `env` replaces its process with the command, so
/// both have the same process id.
fn elu_through_env(option: &str) -> Command {
    let mut env = Command::new("env");
    env.args([option, ELU]);
    env
}

/// A running command that waits for more input. If it got all input, it would replace the file `y.npy`.
struct Unfinished {
    folder: Folder,
    child: Child,
    /// The command's input. It stays open, so that the command waits.
    _stdin: ChildStdin,
    device: String,
}

impl Unfinished {
    /// Starts the command, and sends `data_size` bytes of the file's data. Returns when the temporary file exists.
    fn start(command: Command, device: &Device, args: &[String], data_size: usize) -> Self {
        let data = vec![0; data_size];
        let header = header("<f4", false, &format!("({},)", 2 * LEN));
        let folder = Folder::new();
        folder.write("y.npy", b"precious");
        let args = with_device(&["run", "-", "-o", "y.npy", "--force"], args);
        let mut child = folder.start_as(command, &args);
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(&npy(1, &header, &data)).unwrap();
        let started = Instant::now();
        while folder.names().len() < 2 {
            assert!(started.elapsed() < Duration::from_secs(60), "{device}");
            thread::sleep(Duration::from_millis(5));
        }
        Self {
            folder,
            child,
            _stdin: stdin,
            device: device.to_string(),
        }
    }

    /// Checks that the command ends with this exit code, prints nothing, leaves `y.npy` unchanged, and leaves no other
    /// file.
    fn check_end(mut self, code: i32) {
        let status = self.child.wait().unwrap();
        let mut errors = String::new();
        let mut stderr = self.child.stderr.take().unwrap();
        stderr.read_to_string(&mut errors).unwrap();
        let device = self.device;
        assert_eq!(
            (status.code(), &*errors),
            (Some(code), ""),
            "{device} {status}"
        );
        assert_eq!(self.folder.names(), ["y.npy"], "{device}");
        let content = fs::read(self.folder.path("y.npy")).unwrap();
        assert_eq!(content, b"precious", "{device}");
    }
}
