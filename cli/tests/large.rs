//! Tests of files that are larger than the command's buffers, and of signals.

use std::{
    fs,
    io::{Read, Write},
    process::{Child, ChildStdin, Command},
    thread,
    time::{Duration, Instant},
};

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use wgpu_elu::{DType, Device, Elu, Tensor};

use conformance::native::{announce, gpus, varied};

use crate::common::{ELU, Folder, header, npy};

/// More elements than all chunks hold together.
const LEN: usize = 5_000_001;

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

fn with<'a>(args: &[&'a str], device: &'a [String]) -> Vec<&'a str> {
    let device = device.iter().map(String::as_str);
    args.iter().copied().chain(device).collect()
}

/// Returns ELU of these elements on the device, as bytes.
fn elu(device: &Device, dtype: DType, x: &[u8]) -> Vec<u8> {
    let shape = [x.len() / dtype.size()];
    let x = Tensor::from_bytes(device, dtype, x, &shape).unwrap();
    let y = Elu::new(1.0).forward(&x).unwrap();
    y.to_bytes_blocking().unwrap()
}

/// Reverses the byte order. The results have the byte order of the file.
fn swapped(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.chunks_exact_mut(4).for_each(<[u8]>::reverse);
    bytes
}

#[test]
fn npy_files_of_many_chunks() {
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
            folder.success(&with(&["run", "x.npy", "-o", "y.npy", "--force"], &args));
            let written = fs::read(folder.path("y.npy")).unwrap();
            let start = written.len() - data.len();
            assert!(written[start..] == expected, "{device} {order}");
        }
        // From a pipe, whose end is not known in advance.
        let header = header("<f4", false, &format!("({LEN},)"));
        let names = folder.names();
        let mut child = folder.start(&with(&["run", "-", "-o", "z.npy"], &args));
        let file = npy(1, &header, &x[..x.len() - 1]);
        child.stdin.take().unwrap().write_all(&file).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(
            String::from_utf8(output.stderr).unwrap(),
            "elu: standard input: shape [5000001] of float32 needs 20000004 bytes of data, found 20000003\n"
        );
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(folder.names(), names);
    }
}

#[test]
fn safetensors_files_of_many_chunks() {
    let x = bytemuck::cast_slice(&varied(LEN)).to_vec();
    let (whole, even) = (x.len(), x.len() - 4);
    let tensors = [
        ("floats", Dtype::F32, whole / 4, &x[..]),
        ("bytes", Dtype::U8, whole, &x),
        ("doubles", Dtype::F64, even / 8, &x[..even]),
        ("halves", Dtype::BF16, whole / 2, &x),
    ];
    let views = tensors
        .map(|(name, dtype, len, data)| (name, TensorView::new(dtype, vec![len], data).unwrap()));
    let folder = Folder::new();
    let model = safetensors::serialize(views, None).unwrap();
    folder.write("x.safetensors", &model);
    for (device, args) in devices() {
        let named = ["--tensor", "floats", "--tensor", "halves", "--force"];
        let args = with(&[&["run", "x.safetensors"], &named[..]].concat(), &args);
        let said = folder.success(&args);
        assert!(
            said.starts_with("2 tensors of 15000003 elements (unchanged: "),
            "{said}"
        );
        let written = fs::read(folder.path("x.elu.safetensors")).unwrap();
        let written = SafeTensors::deserialize(&written).unwrap();
        for (name, dtype) in [("floats", DType::F32), ("halves", DType::BF16)] {
            let y = written.tensor(name).unwrap();
            assert!(y.data() == elu(&device, dtype, &x), "{device} {name}");
        }
        assert!(written.tensor("bytes").unwrap().data() == x, "{device}");
        assert!(
            written.tensor("doubles").unwrap().data() == &x[..even],
            "{device}"
        );
    }
}

/// A part of the output is already written when the error occurs, so the exit code must report it.
#[test]
fn standard_input_that_ends_too_soon() {
    let x = bytemuck::cast_slice(&varied(LEN)).to_vec();
    let header = header("<f4", false, &format!("({},)", 2 * LEN));
    for (device, args) in devices() {
        let folder = Folder::new();
        let mut child = folder.start(&with(&["run", "-", "-o", "-"], &args));
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

/// Sends more data than the command may hold in memory, and checks the memory that it used.
#[cfg(target_os = "linux")]
#[test]
fn constant_memory() {
    const FILE: usize = 320 << 20;
    const MOST: usize = 200 << 20;
    for (device, args) in devices() {
        let folder = Folder::new();
        let mut child = folder.start(&with(&["run", "-", "-o", "/dev/null"], &args));
        let mut stdin = child.stdin.take().unwrap();
        let order = if device == Device::Cpu { ">f4" } else { "<f4" };
        let header = header(order, false, &format!("({},)", FILE / 4));
        stdin.write_all(&npy(1, &header, &[])).unwrap();
        let piece = vec![0x80; 1 << 20];
        for _ in 0..FILE / piece.len() {
            stdin.write_all(&piece).unwrap();
        }
        // The command has read everything except for the contents of the pipe, and waits for the end.
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        drop(stdin);
        assert!(child.wait().unwrap().success());
        let peak = status.lines().find_map(|line| {
            let kib = line.strip_prefix("VmHWM:")?.strip_suffix("kB")?;
            kib.trim().parse::<usize>().ok()
        });
        match peak {
            Some(peak) => assert!(1024 * peak < MOST, "{device}: {peak} KiB of {FILE} bytes"),
            None => announce("SKIPPED: the peak of memory (/proc does not report it)"),
        }
    }
}

#[cfg(not(target_os = "linux"))]
#[test]
fn constant_memory() {
    announce("SKIPPED: the peak of memory (only Linux reports it)");
}

fn send(signal: &str, child: &Child) {
    let pid = child.id().to_string();
    let sent = Command::new("kill").args([signal, &pid]).status().unwrap();
    assert!(sent.success());
}

#[test]
fn signals_leave_nothing_behind() {
    for (device, args) in devices() {
        for (signal, code, fed) in [
            ("-INT", 130, 0),
            ("-INT", 130, 4 * LEN),
            (
                "-TERM",
                if cfg!(target_os = "linux") { 143 } else { 130 },
                1000,
            ),
        ] {
            let command = if cfg!(target_os = "linux") {
                // A shell may have set some signals to be ignored in this process.
                elu_by_env("--default-signal=INT,TERM")
            } else {
                Command::new(ELU)
            };
            let run = Unfinished::start(command, &device, &args, fed);
            send(signal, &run.child);
            run.leaves_nothing(code);
        }
    }
}

/// A signal that `nohup` ignores stays ignored.
#[cfg(target_os = "linux")]
#[test]
fn ignored_signals_stay_ignored() {
    let args = ["--device".into(), "cpu".into()];
    let nohup = elu_by_env("--ignore-signal=HUP");
    let mut run = Unfinished::start(nohup, &Device::Cpu, &args, 1000);
    send("-HUP", &run.child);
    thread::sleep(Duration::from_millis(200));
    assert!(run.child.try_wait().unwrap().is_none());
    send("-TERM", &run.child);
    run.leaves_nothing(143);
}

/// `env` replaces itself by the command, so the command has its process id.
fn elu_by_env(option: &str) -> Command {
    let mut env = Command::new("env");
    env.args([option, ELU]);
    env
}

/// The command while it works, with a file that it would replace.
struct Unfinished {
    folder: Folder,
    child: Child,
    /// Kept open, so that the command waits for more input.
    _stdin: ChildStdin,
    device: String,
}

impl Unfinished {
    fn start(command: Command, device: &Device, args: &[String], fed: usize) -> Self {
        let data = vec![0; fed];
        let header = header("<f4", false, &format!("({},)", 2 * LEN));
        let folder = Folder::new();
        folder.write("y.npy", b"precious");
        let args = with(&["run", "-", "-o", "y.npy", "--force"], args);
        let mut child = folder.start_as(command, &args);
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(&npy(1, &header, &data)).unwrap();
        let begun = Instant::now();
        while folder.names().len() < 2 {
            assert!(begun.elapsed() < Duration::from_secs(60), "{device}");
            thread::sleep(Duration::from_millis(5));
        }
        Self {
            folder,
            child,
            _stdin: stdin,
            device: device.to_string(),
        }
    }

    fn leaves_nothing(mut self, code: i32) {
        let status = self.child.wait().unwrap();
        let mut said = String::new();
        let mut stderr = self.child.stderr.take().unwrap();
        stderr.read_to_string(&mut said).unwrap();
        let device = self.device;
        assert_eq!(
            (status.code(), &*said),
            (Some(code), ""),
            "{device} {status}"
        );
        assert_eq!(self.folder.names(), ["y.npy"], "{device}");
        let kept = fs::read(self.folder.path("y.npy")).unwrap();
        assert_eq!(kept, b"precious", "{device}");
    }
}
