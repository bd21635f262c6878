//! Tests of system calls and drivers that fail, and of wrong environment variables.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt, chown},
    },
    process::{Command, Stdio},
};

use conformance::native::announce;

use crate::common::{
    ELU, Folder, folder_with_x, has_unnamed_files, header, in_folder, npy, parts, shell,
};

// ---- System calls ----

/// Runs `elu run x.npy` on the CPU with more arguments. `faults` are arguments of strace that make system calls fail.
fn with_faults(folder: &Folder, faults: &[&str], args: &[&str]) -> (Option<i32>, String, String) {
    let mut strace = strace(folder, faults);
    let output = strace.args(["run", "x.npy", "--device", "cpu"]).args(args);
    parts(
        output
            .output()
            .expect("strace is installed by scripts/test"),
    )
}

/// Returns the command, which is run by strace with the arguments `faults`.
fn strace(folder: &Folder, faults: &[&str]) -> Command {
    let mut strace = Command::new("strace");
    strace
        .args(["-f", "-qq", "-o", "trace"])
        .args(faults)
        .arg(ELU);
    in_folder(&mut strace, folder);
    strace
}

/// Returns the names of the traced system calls, in the order in which they were made.
fn calls(folder: &Folder) -> Vec<String> {
    let trace = fs::read_to_string(folder.path("trace")).unwrap();
    let calls = trace.lines().filter_map(|line| {
        let call = line.split_once(' ')?.1.trim_start();
        // strace writes `???` if the process ends while a thread is in a call.
        Some(call.split_once('(')?.0.to_owned()).filter(|name| name != "???")
    });
    calls.collect()
}

#[test]
fn a_file_is_synced_before_it_gets_its_name_and_its_directory_after() {
    let folder = folder_with_x();
    let traced = ["-e", "trace=fsync,linkat,link,rename"];
    let (code, _, error) = with_faults(&folder, &traced, &["-o", "y.npy"]);
    assert_eq!(code, Some(0), "{error}");
    let link = if has_unnamed_files(&folder) {
        "linkat"
    } else {
        "link"
    };
    assert_eq!(calls(&folder), ["fsync", link, "fsync"]);
    let (code, _, error) = with_faults(&folder, &traced, &["-o", "y.npy", "--force"]);
    assert_eq!(code, Some(0), "{error}");
    assert_eq!(calls(&folder), ["fsync", "rename", "fsync"]);
}

#[test]
fn errors_of_syncing_are_reported() {
    let folder = folder_with_x();
    let fault = ["-e", "trace=fsync", "-e", "inject=fsync:error=EIO:when=1"];
    assert_eq!(
        with_faults(&folder, &fault, &["-o", "y.npy"]),
        (
            Some(1),
            String::new(),
            "elu: y.npy: Input/output error (os error 5)\n".into()
        )
    );
    assert_eq!(folder.names(), ["trace", "x.npy"]);
    let fault = ["-e", "trace=fsync", "-e", "inject=fsync:error=EIO:when=2"];
    assert_eq!(
        with_faults(&folder, &fault, &["-o", "y.npy"]),
        (
            Some(1),
            String::new(),
            "elu: y.npy: written, but a power cut may lose it, because its directory was not synced: Input/output \
             error (os error 5)\n"
                .into()
        )
    );
    assert_eq!(folder.names(), ["trace", "x.npy", "y.npy"]);
}

/// The file systems of some network mounts cannot sync. The result is then as safe as it can be.
#[test]
fn a_file_system_that_cannot_sync_is_no_error() {
    let folder = folder_with_x();
    for error in ["EINVAL", "ENOSYS", "EOPNOTSUPP"] {
        for more in [&[][..], &["--force"]] {
            let fault = format!("inject=fsync:error={error}");
            let args = [&["-o", "y.npy"], more].concat();
            let (code, _, error) =
                with_faults(&folder, &["-e", "trace=fsync", "-e", &fault], &args);
            assert_eq!(code, Some(0), "{error}");
            assert_eq!(folder.names(), ["trace", "x.npy", "y.npy"]);
        }
        fs::remove_file(folder.path("y.npy")).unwrap();
    }
}

/// A directory may be writable but not readable, such as a drop box.
#[test]
fn a_directory_that_cannot_be_read_is_synced_with_its_file_system() {
    let folder = folder_with_x();
    let path = folder.0.path().to_str().unwrap().to_owned();
    let traced = ["-P", &path, "-e", "trace=openat,syncfs"];
    let output = ["-o", &format!("{path}/y.npy"), "--force"];
    let (code, _, error) = with_faults(&folder, &traced, &output);
    assert_eq!(code, Some(0), "{error}");
    // The directory is opened to be synced.
    assert_eq!(calls(&folder), ["openat"]);
    // The path of y.npy is traced as well, because syncfs gets the descriptor of the new file.
    let fault = [
        "-P",
        &path,
        "-P",
        output[1],
        "-e",
        "trace=openat,syncfs",
        "-e",
        "inject=openat:error=EACCES:when=1",
    ];
    let (code, _, error) = with_faults(&folder, &fault, &output);
    assert_eq!(code, Some(0), "{error}");
    assert_eq!(calls(&folder), ["openat", "syncfs"]);
}

/// Network file systems report an exceeded quota when a file is closed.
#[test]
fn an_error_of_closing_is_reported() {
    let folder = folder_with_x();
    let mut cases = vec![
        (1, "", &["-o", "y.npy"][..]),
        (1, "", &["-o", "x.npy", "--force"]),
    ];
    if has_unnamed_files(&folder) {
        // A file without a name that cannot get one is copied, so that two files are synced and closed.
        cases.push((2, "inject=linkat:error=EPERM", &["-o", "y.npy"]));
    }
    for (files, other_fault, args) in cases {
        let other_fault = match other_fault {
            "" => vec!["-e", "trace=fsync,close"],
            fault => vec!["-e", "trace=fsync,close,linkat", "-e", fault],
        };
        let (code, _, error) = with_faults(&folder, &other_fault, args);
        assert_eq!(code, Some(0), "{error}");
        let _ = fs::remove_file(folder.path("y.npy"));
        // The number of calls of close before the sync of the last file.
        let (mut syncs, mut closes) = (0, 0);
        for call in calls(&folder) {
            syncs += usize::from(call == "fsync");
            if syncs == files {
                break;
            }
            closes += usize::from(call == "close");
        }
        let fault = format!("inject=close:error=EDQUOT:when={}", closes + 1);
        let fault = [&other_fault[..], &["-e", &fault]].concat();
        let (code, _, error) = with_faults(&folder, &fault, args);
        assert_eq!(
            (code, error),
            (
                Some(1),
                format!("elu: {}: Disk quota exceeded (os error 122)\n", args[1])
            )
        );
        assert_eq!(folder.names(), ["trace", "x.npy"]);
    }
}

/// The file systems of some network mounts and of FUSE have neither links nor files without a name.
#[test]
fn a_file_system_without_links_is_enough() {
    let folder = folder_with_x();
    let path = folder.0.path().to_str().unwrap().to_owned();
    let y = format!("{path}/y.npy");
    let no_links = ["-e", "inject=linkat:error=EPERM"];
    // The first two calls that open the folder try to create a file without a name.
    let no_unnamed = [
        "-P",
        &path,
        "-e",
        "inject=openat:error=EOPNOTSUPP:when=1..2",
    ];
    let neither = [&no_unnamed[..], &["-P", &y], &no_links].concat();
    for faults in [&no_links[..], &no_unnamed, &neither] {
        let faults = [&["-e", "trace=linkat,openat"], faults].concat();
        let (code, _, error) = with_faults(&folder, &faults, &["-o", &y]);
        assert_eq!(code, Some(0), "{faults:?}: {error}");
        if faults.contains(&no_links[1]) {
            let refused = fs::read_to_string(folder.path("trace")).unwrap();
            assert!(refused.contains("EPERM"), "{refused}");
        }
        assert_eq!(folder.names(), ["trace", "x.npy", "y.npy"], "{faults:?}");
        let [x, y] = ["x.npy", "y.npy"].map(|name| fs::read(folder.path(name)).unwrap());
        assert_eq!(x, y, "{faults:?}");
        fs::remove_file(folder.path("y.npy")).unwrap();
    }
}

/// A new file never replaces a file that another program created during the work.
#[test]
fn a_file_that_appears_during_the_work_is_kept() {
    let folder = folder_with_x();
    let path = folder.0.path().to_str().unwrap().to_owned();
    let output = format!("{path}/y.npy");
    let trace = ["-e", "trace=linkat,openat"];
    let neither = ["-P", &path, "-P", &output];
    let neither = [
        &neither[..],
        &["-e", "inject=openat:error=EOPNOTSUPP:when=1..2"],
        &["-e", "inject=linkat:error=EPERM"],
    ];
    for faults in [vec![], neither.concat()] {
        let mut elu = strace(&folder, &[&trace[..], &faults].concat());
        elu.args(["run", "-", "--device", "cpu", "-o", &output]);
        elu.stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut child = elu.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let file = npy(1, &header("<f4", false, "(1000,)"), &[0; 4000]);
        std::io::Write::write_all(&mut stdin, &file[..1000]).unwrap();
        // The trace shows when the output has been checked and the temporary file has been created.
        let trace = || fs::read_to_string(folder.path("trace")).unwrap_or_default();
        while trace().matches(&path).count() < 2 {
            assert!(child.try_wait().unwrap().is_none(), "the command has ended");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        folder.write("y.npy", b"other");
        std::io::Write::write_all(&mut stdin, &file[1000..]).unwrap();
        drop(stdin);
        let (code, _, error) = parts(child.wait_with_output().unwrap());
        assert_eq!(
            (code, error),
            (
                Some(1),
                format!(
                    "elu: {output}: another program created this file during the work: use --force to replace it\n"
                )
            ),
            "{faults:?}"
        );
        assert_eq!(fs::read(folder.path("y.npy")).unwrap(), b"other");
        for name in ["trace", "y.npy"] {
            fs::remove_file(folder.path(name)).unwrap();
        }
        assert_eq!(folder.names(), ["x.npy"]);
    }
}

/// If the new file cannot get the group of the old one, its own group must not get the old group's permissions.
#[test]
fn a_group_that_is_lost_loses_its_permissions() {
    let folder = folder_with_x();
    let y = folder.write("y.npy", b"old");
    if chown(&y, None, Some(65534)).is_err() {
        announce("SKIPPED: replacing a file of another group (only root may give files away)");
        return;
    }
    fs::set_permissions(&y, fs::Permissions::from_mode(0o664)).unwrap();
    let fault = ["-e", "trace=fchown", "-e", "inject=fchown:error=EPERM"];
    let (code, _, error) = with_faults(&folder, &fault, &["-o", "y.npy", "--force"]);
    assert_eq!(code, Some(0), "{error}");
    let after = fs::metadata(&y).unwrap();
    assert_eq!(after.mode() & 0o7777, 0o644);
    assert_ne!(after.gid(), 65534);
}

/// The temporary file beside a secret file is secret, too.
#[test]
fn nobody_else_can_read_an_unfinished_secret() {
    let folder = folder_with_x();
    let y = folder.write("y.npy", b"old");
    fs::set_permissions(&y, fs::Permissions::from_mode(0o600)).unwrap();
    let (code, _, error) = with_faults(
        &folder,
        &["-e", "trace=openat"],
        &["-o", "y.npy", "--force"],
    );
    assert_eq!(code, Some(0), "{error}");
    let trace = fs::read_to_string(folder.path("trace")).unwrap();
    let created: Vec<&str> = trace
        .lines()
        .filter(|line| line.contains(".elu-"))
        .collect();
    // One file checks the directory before the work.
    assert_eq!(created.len(), 2, "{trace}");
    for line in created {
        assert!(line.contains("O_EXCL|O_CLOEXEC, 0600)"), "{line}");
    }
    assert_eq!(fs::metadata(&y).unwrap().mode() & 0o7777, 0o600);
}

/// If the permissions of a secret file cannot be read, it is not replaced by a file that others can read.
#[test]
fn a_secret_whose_permissions_cannot_be_read_stays_secret() {
    let folder = folder_with_x();
    let y = folder.write("y.npy", b"old");
    let y = y.to_str().unwrap();
    let mut errors = 0;
    for number in 1.. {
        fs::write(y, b"old").unwrap();
        fs::set_permissions(y, fs::Permissions::from_mode(0o600)).unwrap();
        let stat = format!("inject=statx,stat,newfstatat:error=EIO:when={number}+");
        let faults = ["-P", y, "-e", "trace=statx,stat,newfstatat", "-e", &stat];
        let (code, _, error) = with_faults(&folder, &faults, &["-o", y, "--force"]);
        assert_eq!(fs::metadata(y).unwrap().mode() & 0o7777, 0o600, "{number}");
        if code == Some(0) {
            break;
        }
        assert_eq!(
            (code, error),
            (
                Some(1),
                format!("elu: {y}: Input/output error (os error 5)\n")
            )
        );
        assert_eq!(fs::read(y).unwrap(), b"old");
        assert_eq!(folder.names(), ["trace", "x.npy", "y.npy"]);
        errors += 1;
    }
    // The file is looked at before the work, when the output is checked, and when the writing starts.
    assert!(errors >= 2, "{errors}");
}

/// Some file systems, such as FAT, have no permissions.
#[test]
fn permissions_that_cannot_be_set_are_no_error() {
    let folder = folder_with_x();
    let y = folder.write("y.npy", b"old");
    fs::set_permissions(&y, fs::Permissions::from_mode(0o644)).unwrap();
    for error in ["EPERM", "EOPNOTSUPP"] {
        let fault = format!("inject=fchmod:error={error}");
        let fault = ["-e", "trace=fchmod", "-e", &fault];
        let (code, _, error) = with_faults(&folder, &fault, &["-o", "y.npy", "--force"]);
        assert_eq!(code, Some(0), "{error}");
        assert_eq!(calls(&folder), ["fchmod"]);
        assert_eq!(fs::metadata(&y).unwrap().mode() & 0o777, 0o600);
        fs::set_permissions(&y, fs::Permissions::from_mode(0o644)).unwrap();
    }
}

/// A container may limit the number of processes so that no thread can be started.
#[test]
fn without_threads_the_calling_thread_does_the_work() {
    let folder = folder_with_x();
    // Long enough to be divided among threads.
    let data = vec![0; 4 << 20];
    let header = header("<f4", false, &format!("({},)", 1 << 20));
    folder.write("x.npy", &npy(1, &header, &data));
    let fault = [
        "-e",
        "trace=clone,clone3",
        "-e",
        "inject=clone,clone3:error=EAGAIN",
    ];
    let (code, _, summary) = with_faults(&folder, &fault, &["-o", "y.npy"]);
    assert_eq!(code, Some(0), "{summary}");
    assert!(summary.contains(", 1 thread), alpha 1, "), "{summary}");
    let [x, y] = ["x.npy", "y.npy"].map(|name| fs::read(folder.path(name)).unwrap());
    assert!(x == y);

    for args in [
        &["check", "--device", "cpu", "--dtype", "float16"][..],
        &["bench", "--device", "cpu", "--max", "2^20"],
        &["info"],
    ] {
        let output = strace(&folder, &fault).args(args).output().unwrap();
        let (code, _, error) = parts(output);
        assert_eq!((code, &*error), (Some(0), ""), "{args:?}");
    }
}

// ---- The environment ----

#[test]
fn environment_variables_that_are_not_valid_are_usage_errors() {
    let folder = folder_with_x();
    let not_utf8 = OsStr::from_bytes(b"\xff");
    for (name, needed) in [
        (
            "WGPU_BACKEND",
            "vulkan, metal, dx12 or gl, or several separated by commas",
        ),
        ("WGPU_POWER_PREF", "low, high or none"),
        ("WGPU_ADAPTER_NAME", "a name"),
        ("RAYON_NUM_THREADS", "a number of threads"),
        ("RUST_LOG", "a log level such as info"),
    ] {
        let mut elu = Command::new(ELU);
        in_folder(&mut elu, &folder).args(["run", "x.npy", "-o", "-"]);
        let output = elu.env(name, not_utf8).output().unwrap();
        assert_eq!(
            parts(output),
            (
                Some(2),
                String::new(),
                format!("elu: {name} \"\\xFF\": needed {needed}, found bytes that are not UTF-8\n")
            )
        );
        if ["WGPU_ADAPTER_NAME", "RUST_LOG"].contains(&name) {
            continue; // every text is valid
        }
        let output = elu.env(name, "many").output().unwrap();
        assert_eq!(
            parts(output),
            (
                Some(2),
                String::new(),
                format!("elu: {name} \"many\": needed {needed}\n")
            )
        );
    }
}

/// The CPU needs none of the variables that select an adapter.
#[test]
fn variables_for_adapters_do_not_matter_to_the_cpu() {
    let folder = folder_with_x();
    for name in ["WGPU_BACKEND", "WGPU_POWER_PREF", "WGPU_ADAPTER_NAME"] {
        let mut elu = Command::new(ELU);
        in_folder(&mut elu, &folder).args(["run", "x.npy", "-o", "-", "--device", "cpu"]);
        let output = elu.env(name, OsStr::from_bytes(b"\xff")).output().unwrap();
        let (code, _, error) = parts(output);
        assert_eq!(code, Some(0), "{error}");
    }
}

#[test]
fn too_many_threads_are_limited_and_the_limit_is_reported() {
    let folder = folder_with_x();
    let max = wgpu_elu::cpu::max_threads();
    if rayon::ThreadPoolBuilder::new()
        .num_threads(max)
        .build()
        .is_err()
    {
        announce(
            "SKIPPED: more threads than the command starts (this machine does not allow so many)",
        );
        return;
    }
    let mut elu = Command::new(ELU);
    in_folder(&mut elu, &folder).args(["run", "x.npy", "-o", "-", "--device", "cpu"]);
    let output = elu.env("RAYON_NUM_THREADS", "65535").output().unwrap();
    let (code, _, error) = parts(output);
    assert_eq!(code, Some(0), "{error}");
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(
        lines[0],
        format!("elu: RAYON_NUM_THREADS is 65535, which is limited to {max}")
    );
    assert!(lines[1].contains(&format!(", {max} threads)")), "{error}");
}

/// Wayland's library, which Mesa's drivers call, would print errors.
#[test]
fn nothing_is_printed_without_a_valid_xdg_runtime_dir() {
    let folder = folder_with_x();
    for line in [
        "unset XDG_RUNTIME_DIR; $ELU info",
        "XDG_RUNTIME_DIR= $ELU info",
        "XDG_RUNTIME_DIR=run $ELU info",
    ] {
        let (code, _, error) = shell(&folder, line);
        assert_eq!((code, &*error), (Some(0), ""), "{line}");
    }
}

// ---- Drivers ----

/// wgpu does not recognize Mesa's softpipe as a software adapter, so `auto` tries it, but it cannot create a device.
#[test]
fn the_next_adapter_replaces_one_that_cannot_create_a_device() {
    let folder = folder_with_x();
    let env = "export GALLIUM_DRIVER=softpipe WGPU_BACKEND=gl";
    let (_, adapters, _) = shell(&folder, &format!("{env}; $ELU info"));
    if !adapters.contains("softpipe") {
        announce(
            "SKIPPED: an adapter that cannot create a device (Mesa's softpipe is not installed)",
        );
        return;
    }
    let failure = "adapter softpipe (GL) could not create a device: ";
    let line = format!("\nauto selects: CPU, because {failure}");
    assert!(adapters.contains(&line), "{adapters}");
    let (code, _, summary) = shell(&folder, &format!("{env}; $ELU run x.npy -o -"));
    assert_eq!(code, Some(0), "{summary}");
    assert!(summary.contains(&format!("; {failure}")), "{summary}");
    let (code, _, error) = shell(&folder, &format!("{env}; $ELU run x.npy -o - -d gpu"));
    assert_eq!(code, Some(1), "{error}");
    assert!(
        error.starts_with(&format!("elu: --device gpu: {failure}")),
        "{error}"
    );
}

/// The functions of Vulkan that wgpu calls for a tensor's ELU and that can fail.
///
/// Two failures end the process inside wgpu 30, so the test leaves them out. `FAILING_CALL` and `FAILING_NUMBER` of the
/// driver in `tests/data/driver` reproduce them:
///
/// - `vkCreateSemaphore`, 3: a segmentation fault. If the semaphore for the second submission cannot be created, the
///   queue destroys the first one twice (wgpu-hal-30.0.1/src/vulkan/mod.rs, `RelaySemaphores::advance`).
/// - `vkEnumerateInstanceVersion`, 1: an abort. The loader then offers only Vulkan 1.0, and wgpu calls
///   `vkGetSemaphoreCounterValue` of Vulkan 1.2, for which ash has no function.
///
/// `vkFreeDescriptorSets` is left out as well, because Vulkan does not let it fail. If it fails nevertheless, wgpu
/// panics while a [`Stream`](wgpu_elu::Stream) is dropped.
const CALLS: [&str; 26] = [
    "vkCreateInstance",
    "vkEnumeratePhysicalDevices",
    "vkCreateDevice",
    "vkCreateCommandPool",
    "vkAllocateCommandBuffers",
    "vkBeginCommandBuffer",
    "vkEndCommandBuffer",
    "vkCreateFence",
    "vkGetSemaphoreCounterValue",
    "vkWaitSemaphores",
    "vkQueueSubmit",
    "vkQueueWaitIdle",
    "vkDeviceWaitIdle",
    "vkCreateBuffer",
    "vkAllocateMemory",
    "vkBindBufferMemory",
    "vkMapMemory",
    "vkFlushMappedMemoryRanges",
    "vkCreateShaderModule",
    "vkCreateComputePipelines",
    "vkCreatePipelineLayout",
    "vkCreateDescriptorSetLayout",
    "vkCreateDescriptorPool",
    "vkAllocateDescriptorSets",
    "vkEnumerateDeviceExtensionProperties",
    "vkCreateSemaphore",
];

/// Runs the command with a driver that passes every call to lavapipe, except that one call fails.
#[test]
fn a_driver_that_fails_is_an_error_on_one_line() {
    const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/driver/icd.c");
    // VkResult: VK_ERROR_OUT_OF_HOST_MEMORY, VK_ERROR_OUT_OF_DEVICE_MEMORY and VK_ERROR_DEVICE_LOST.
    const RESULTS: [&str; 3] = ["-1", "-2", "-4"];

    let Some(lavapipe) = lavapipe() else {
        announce("SKIPPED: a Vulkan driver that fails (lavapipe is not installed)");
        return;
    };
    let folder = folder_with_x();
    let library = folder.path("libicd.so").display().to_string();
    let mut compiler = Command::new("clang");
    let compiler = compiler.args(["-shared", "-fPIC", "-o", &library, SOURCE, "-ldl"]);
    assert!(compiler.status().unwrap().success());
    let manifest = serde_json::json!({
        "file_format_version": "1.0.0",
        "ICD": { "library_path": library, "api_version": "1.3.0" },
    });
    folder.write("icd.json", manifest.to_string().as_bytes());
    let run = |env: &[(&str, &str)]| {
        let mut elu = Command::new(ELU);
        in_folder(&mut elu, &folder)
            .args(["run", "x.npy", "-o", "y.npy", "-f", "--device", "gpu"])
            .env("VK_DRIVER_FILES", folder.path("icd.json"))
            .env_remove("VK_ADD_DRIVER_FILES")
            .env("WGPU_BACKEND", "vulkan")
            .env("WGPU_DEBUG", "0")
            .env("WGPU_VALIDATION", "0")
            .env("WRAPPED_DRIVER", &lavapipe)
            .env("FAILURES", folder.path("failures"))
            .envs(env.iter().copied());
        parts(elu.output().unwrap())
    };
    let (code, _, summary) = run(&[]);
    assert_eq!(code, Some(0), "{summary}");
    let mut failed_calls = 0;
    for call in CALLS {
        for result in RESULTS {
            for number in ["1", "2", "4"] {
                let _ = fs::remove_file(folder.path("failures"));
                let env = [
                    ("FAILING_CALL", call),
                    ("FAILING_NUMBER", number),
                    ("FAILING_RESULT", result),
                ];
                let (code, _, error) = run(&env);
                if !folder.path("failures").exists() {
                    break; // the command calls this function fewer than `number` times
                }
                failed_calls += 1;
                // wgpu ignores some errors, and retries after others.
                assert!(
                    matches!(code, Some(0 | 1)) && error.lines().count() == 1,
                    "{env:?}: {code:?} {error}"
                );
                // The library returns errors. The command would report a panic as an internal error.
                let panics = ["panicked at", "internal error"];
                assert!(
                    !panics.iter().any(|words| error.contains(words)),
                    "{env:?}: {error}"
                );
                assert_eq!(
                    code == Some(1),
                    error.starts_with("elu: "),
                    "{env:?}: {error}"
                );
            }
        }
    }
    assert!(failed_calls >= 100, "{failed_calls}");
}

/// Returns the file name of lavapipe's library.
fn lavapipe() -> Option<String> {
    let manifests = fs::read_dir("/usr/share/vulkan/icd.d").ok()?.flatten();
    let mut manifests = manifests.map(|entry| entry.path());
    let manifest = manifests.find(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("lvp_icd")
    })?;
    let manifest: serde_json::Value = serde_json::from_slice(&fs::read(manifest).ok()?).ok()?;
    Some(manifest["ICD"]["library_path"].as_str()?.to_owned())
}
