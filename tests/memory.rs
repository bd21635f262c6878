//! Tests that memory does not grow over many calls.

use std::{env, fs, process::Command};

use wgpu_elu::{Elu, Tensor};

use conformance::native::{announce, on_every_device, varied};

const CALLS: usize = 10_000;
/// The number of calls after which everything that is created once exists.
const WARM: usize = 100;
/// Less than about a hundred bytes per call, which is less than any wgpu object.
const MOST_GROWTH: usize = 1 << 20;

/// Runs in a separate process, because other tests share this process's memory.
#[test]
fn is_steady() {
    let output = Command::new(env::current_exe().unwrap())
        .args([
            "--exact",
            "memory::is_steady_alone",
            "--ignored",
            "--nocapture",
        ])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    for line in said.lines().chain(complained.lines()) {
        if line.contains("KiB") || line.contains("SKIPPED") {
            announce(line);
        }
    }
    assert!(
        output.status.success() && said.contains("test result: ok. 1 passed"),
        "{said}\n{complained}"
    );
}

#[test]
#[ignore = "run by `is_steady`"]
fn is_steady_alone() {
    on_every_device(|target| {
        let elu = Elu::new(0.5);
        let values = varied(4096);
        let x = Tensor::from_slice(target.device, &values, &[4096]).unwrap();
        let mut before = None;
        for call in 1..=CALLS {
            let y = elu.forward(&x).unwrap();
            // Without this wait, the amount of work in flight would depend on other processes.
            target.device.wait_blocking().unwrap();
            // Reads a result occasionally, as an app does.
            if call % WARM == 0 {
                assert_eq!(y.to_vec_blocking::<f32>().unwrap().len(), values.len());
            }
            if call == WARM {
                before = resident();
            }
        }
        let (Some(before), Some(after)) = (before, resident()) else {
            announce("SKIPPED: growth of memory (/proc does not report it)");
            return;
        };
        println!(
            "{}: {} KiB after {WARM} calls, {} KiB after {CALLS}",
            target.name,
            before >> 10,
            after >> 10
        );
        assert!(after < before + MOST_GROWTH);
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
