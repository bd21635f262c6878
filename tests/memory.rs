//! Tests that the memory of a process does not grow over many calls.

use std::{env, fs, process::Command};

use wgpu_elu::{Elu, Tensor};

use conformance::native::{announce, on_every_device, varied};

const CALLS: usize = 10_000;
/// The number of calls after which everything that is created only once exists.
const WARM_UP_CALLS: usize = 100;
/// The largest growth that is allowed, in bytes: about 100 bytes per call, which is less than any wgpu object takes.
const MAX_GROWTH: usize = 1 << 20;

/// Runs the test below in a separate process, because other tests use the memory of this process.
#[test]
fn memory_does_not_grow() {
    let output = Command::new(env::current_exe().unwrap())
        .args([
            "--exact",
            "memory::memory_does_not_grow_in_this_process",
            "--ignored",
            "--nocapture",
        ])
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    for line in stdout.lines().chain(stderr.lines()) {
        if line.contains("KiB") || line.contains("SKIPPED") {
            announce(line);
        }
    }
    assert!(
        output.status.success() && stdout.contains("test result: ok. 1 passed"),
        "{stdout}\n{stderr}"
    );
}

#[test]
#[ignore = "run by `memory_does_not_grow`"]
fn memory_does_not_grow_in_this_process() {
    on_every_device(|target| {
        let elu = Elu::new(0.5);
        let values = varied(4096);
        let x = Tensor::from_slice(target.device, &values, &[4096]).unwrap();
        let mut before = None;
        for call in 1..=CALLS {
            let y = elu.forward(&x).unwrap();
            // Waits, because the amount of work in flight would otherwise depend on other processes.
            target.device.wait_blocking().unwrap();
            // Reads a result occasionally, as an app does.
            if call % WARM_UP_CALLS == 0 {
                assert_eq!(y.to_vec_blocking::<f32>().unwrap().len(), values.len());
            }
            if call == WARM_UP_CALLS {
                before = resident();
            }
        }
        let (Some(before), Some(after)) = (before, resident()) else {
            announce("SKIPPED: the growth of memory (/proc does not report it)");
            return;
        };
        println!(
            "{}: {} KiB after {WARM_UP_CALLS} calls, {} KiB after {CALLS}",
            target.name,
            before >> 10,
            after >> 10
        );
        assert!(after < before + MAX_GROWTH, "{}: memory grew", target.name);
    });
}

/// Returns the resident memory of this process in bytes (`proc_pid_status(5)`), if the system reports it.
fn resident() -> Option<usize> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kib = status.lines().find_map(|line| {
        let kib = line.strip_prefix("VmRSS:")?.strip_suffix("kB")?;
        kib.trim().parse::<usize>().ok()
    })?;
    Some(kib << 10)
}
