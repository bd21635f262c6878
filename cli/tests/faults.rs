//! Tests of system calls, drivers and streams that fail.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileTypeExt, MetadataExt, PermissionsExt, chown},
    },
    process::{Command, Output},
    thread,
};

use conformance::native::announce;

use crate::common::{ELU, Folder, header, npy};

/// Returns the dictionary in the header as the command writes it, which NumPy ends with a comma.
fn written_header(shape: &str) -> String {
    header("<f4", false, shape).replace(", }", "}")
}

/// Returns a folder with `x.npy`, three zeros.
fn folder_with_x() -> Folder {
    let folder = Folder::new();
    folder.write("x.npy", &npy(1, &written_header("(3,)"), &[0; 12]));
    folder
}

/// Returns the exit code, standard output and standard error.
fn parts(output: Output) -> (Option<i32>, String, String) {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// Runs a line of the shell in the folder. `$ELU` is the command.
fn shell(folder: &Folder, line: &str) -> (Option<i32>, String, String) {
    let mut sh = Command::new("bash");
    let sh = sh.args(["-c", line]).env("ELU", ELU);
    parts(in_folder(sh, folder).output().unwrap())
}

fn in_folder<'a>(command: &'a mut Command, folder: &Folder) -> &'a mut Command {
    command
        .current_dir(folder.0.path())
        .env("XDG_RUNTIME_DIR", folder.0.path())
        .env_remove("WGPU_ADAPTER_NAME")
}

// ---- System calls ----

/// Runs `elu run x.npy` on the CPU with more arguments. `faults` are arguments of strace that make system calls fail.
fn with_faults(folder: &Folder, faults: &[&str], args: &[&str]) -> (Option<i32>, String, String) {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o", "trace"]).args(faults);
    strace
        .args([ELU, "run", "x.npy", "--device", "cpu"])
        .args(args);
    let output = in_folder(&mut strace, folder).output();
    parts(output.expect("strace is installed by scripts/test"))
}

/// The system calls that write, name and sync files, in the order in which they were made.
fn calls(folder: &Folder) -> Vec<String> {
    let trace = fs::read_to_string(folder.path("trace")).unwrap();
    let calls = trace.lines().filter_map(|line| {
        let call = line.split_once(' ')?.1.trim_start();
        Some(call.split_once('(')?.0.to_owned())
    });
    calls.collect()
}

#[test]
fn a_file_is_synced_before_it_gets_its_name_and_its_directory_after() {
    let folder = folder_with_x();
    let traced = ["-e", "trace=fsync,linkat,rename"];
    let (code, _, error) = with_faults(&folder, &traced, &["-o", "y.npy"]);
    assert_eq!(code, Some(0), "{error}");
    assert_eq!(calls(&folder), ["fsync", "linkat", "fsync"]);
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

/// Network file systems report an exceeded quota when a file is closed.
#[test]
fn an_error_of_closing_is_reported() {
    let folder = folder_with_x();
    for args in [&["-o", "y.npy"][..], &["-o", "x.npy", "--force"]] {
        let (code, _, error) = with_faults(&folder, &["-e", "trace=fsync,close"], args);
        assert_eq!(code, Some(0), "{error}");
        let calls = calls(&folder);
        let synced = calls.iter().position(|call| call == "fsync").unwrap();
        let _ = fs::remove_file(folder.path("y.npy"));
        // The close that follows the first sync.
        let fault = format!("inject=close:error=EDQUOT:when={}", synced + 1);
        let fault = ["-e", "trace=fsync,close", "-e", &fault];
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
    let no_links = ["-e", "trace=linkat", "-e", "inject=linkat:error=EPERM"];
    // The first two calls that open the folder try to create a file without a name.
    let no_unnamed = [
        "-P",
        &path,
        "-e",
        "trace=openat",
        "-e",
        "inject=openat:error=EOPNOTSUPP:when=1..2",
    ];
    for faults in [&no_links[..], &no_unnamed] {
        let output = ["-o", &format!("{path}/y.npy")];
        let (code, _, error) = with_faults(&folder, faults, &output);
        assert_eq!(code, Some(0), "{faults:?}: {error}");
        assert_eq!(folder.names(), ["trace", "x.npy", "y.npy"], "{faults:?}");
        let [x, y] = ["x.npy", "y.npy"].map(|name| fs::read(folder.path(name)).unwrap());
        assert_eq!(x, y, "{faults:?}");
        fs::remove_file(folder.path("y.npy")).unwrap();
    }
}

/// A container may limit the number of processes so that no thread can be started.
#[test]
fn without_threads_the_calling_thread_does_the_work() {
    let folder = folder_with_x();
    // Long enough to be divided among threads.
    let data = vec![0; 4 << 20];
    let header = written_header(&format!("({},)", 1 << 20));
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
        let mut strace = Command::new("strace");
        strace
            .args(["-f", "-qq", "-o", "trace"])
            .args(fault)
            .arg(ELU);
        let output = in_folder(strace.args(args), &folder).output().unwrap();
        let (code, _, error) = parts(output);
        assert_eq!((code, &*error), (Some(0), ""), "{args:?}");
    }
}

// ---- Files ----

#[test]
fn writers_that_replace_the_same_file_do_not_disturb_each_other() {
    let folder = folder_with_x();
    for _ in 0..20 {
        let _ = fs::remove_file(folder.path("y.npy"));
        let run = || folder.elu(&["run", "x.npy", "-o", "y.npy", "-f", "--device", "cpu"]);
        let outputs = thread::scope(|scope| {
            [scope.spawn(run), scope.spawn(run)].map(|thread| thread.join().unwrap())
        });
        for output in outputs {
            let (code, _, error) = parts(output);
            assert_eq!(code, Some(0), "{error}");
        }
    }
    assert_eq!(folder.names(), ["x.npy", "y.npy"]);
}

#[test]
fn a_replaced_file_keeps_its_owner_but_not_the_right_to_act_as_its_owner() {
    let folder = folder_with_x();
    let y = folder.write("y.npy", b"old");
    let is_root = fs::metadata(&y).unwrap().uid() == 0;
    if is_root {
        chown(&y, Some(65534), Some(65534)).unwrap();
    } else {
        announce("SKIPPED: replacing the file of another user (only root may give files away)");
    }
    fs::set_permissions(&y, fs::Permissions::from_mode(0o6751)).unwrap();
    let before = fs::metadata(&y).unwrap();
    folder.success(&["run", "x.npy", "-o", "y.npy", "--force"]);
    let after = fs::metadata(&y).unwrap();
    assert_eq!((after.uid(), after.gid()), (before.uid(), before.gid()));
    assert_eq!(after.mode() & 0o7777, 0o751);
}

#[test]
fn a_block_device_is_overwritten_only_with_force() {
    let is_block_device = |entry: &fs::DirEntry| {
        let kind = entry.file_type();
        kind.is_ok_and(|kind| kind.is_block_device())
    };
    let device = fs::read_dir("/dev")
        .unwrap()
        .flatten()
        .find(is_block_device);
    let Some(device) = device.map(|entry| entry.path().display().to_string()) else {
        announce("SKIPPED: a block device as the output (/dev has none)");
        return;
    };
    assert_eq!(
        folder_with_x().error(&["run", "x.npy", "-o", &device]),
        format!("{device}: is a block device: use --force to overwrite its data")
    );
}

/// KILL cannot be handled, but on Linux a new file has no name until it is complete.
#[test]
fn a_killed_process_leaves_no_new_file() {
    let folder = Folder::new();
    let mut child = folder.start(&["run", "-", "-o", "y.npy", "--device", "cpu"]);
    let mut stdin = child.stdin.take().unwrap();
    let start = npy(1, &header("<f4", false, "(1000,)"), &[0; 400]);
    std::io::Write::write_all(&mut stdin, &start).unwrap();
    let descriptors = format!("/proc/{}/fd", child.id());
    let has_file = || {
        let links = fs::read_dir(&descriptors).unwrap().flatten();
        let mut targets = links.filter_map(|link| fs::read_link(link.path()).ok());
        targets.any(|target| target.starts_with(folder.0.path()))
    };
    while !has_file() {
        assert!(child.try_wait().unwrap().is_none(), "the command has ended");
        thread::sleep(std::time::Duration::from_millis(5));
    }
    assert_eq!(folder.names(), [""; 0]);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(folder.names(), [""; 0]);
}

// ---- Streams ----

#[test]
fn paths_of_descriptors_are_the_open_descriptors() {
    let folder = folder_with_x();
    let x = fs::read(folder.path("x.npy")).unwrap();
    std::os::unix::fs::symlink("/dev/stdout", folder.path("link")).unwrap();
    for (output, redirection) in [
        ("/dev/stdout", ">>"),
        ("/proc/self/fd/1", ">>"),
        ("link", ">>"),
        ("-", ">>"),
        ("/dev/fd/5", "5>>"),
        ("/proc/self/fd/5", "5>>"),
    ] {
        folder.write("log", b"old\n");
        let line = format!("$ELU run x.npy --force -o {output} {redirection} log");
        let (code, _, error) = shell(&folder, &line);
        assert_eq!(code, Some(0), "{output}: {error}");
        let log = fs::read(folder.path("log")).unwrap();
        assert_eq!(log, [b"old\n", &x[..]].concat(), "{output}");
    }
    assert_eq!(
        folder.error(&["run", "x.npy", "-o", "/dev/fd/99"]),
        "/dev/fd/99: file descriptor 99 is not open"
    );
}

#[test]
fn a_closed_standard_output_is_an_error() {
    let folder = folder_with_x();
    for args in [
        "run x.npy -o -",
        "run x.npy -o /dev/stdout",
        "shader",
        "info",
        "check --device cpu --dtype float16",
        "--help",
    ] {
        for xdg in ["", "unset XDG_RUNTIME_DIR; "] {
            let (code, _, error) = shell(&folder, &format!("{xdg}$ELU {args} >&-"));
            let error = error.lines().last().unwrap_or_default();
            let path = if args.contains("/dev/stdout") {
                "/dev/stdout: "
            } else {
                ""
            };
            assert_eq!(
                error,
                format!("elu: {path}standard output: is closed"),
                "{args}"
            );
            assert_eq!(code, Some(1), "{args}");
        }
    }
    // A file needs no standard output.
    let (code, _, error) = shell(&folder, "$ELU run x.npy -o y.npy >&-");
    assert_eq!(code, Some(0), "{error}");
}

#[test]
fn a_full_or_closed_standard_error_is_no_panic() {
    let folder = folder_with_x();
    for stderr in ["2>/dev/full", "2>&-"] {
        for (args, expected) in [
            ("run x.npy -o - > y.npy", 0),
            ("run no.npy", 1),
            ("run", 2),
            ("run x.npy --alpha two", 2),
        ] {
            let (code, ..) = shell(&folder, &format!("$ELU {args} {stderr}"));
            assert_eq!(code, Some(expected), "{args} {stderr}");
        }
    }
}

/// The reader of a pipe, such as `head`, may stop before it has read everything.
#[test]
fn a_broken_pipe_ends_the_command_quietly() {
    let folder = Folder::new();
    // More than a pipe holds.
    let header = header("<f4", false, &format!("({},)", 1 << 20));
    folder.write("x.npy", &npy(1, &header, &vec![0; 4 << 20]));
    for args in ["run x.npy -o -", "info", "shader", "run --help"] {
        let (code, output, error) = shell(
            &folder,
            &format!("$ELU {args} | head -c 1; exit ${{PIPESTATUS[0]}}"),
        );
        assert_eq!(code, Some(0), "{args}");
        assert_eq!(output.chars().count(), 1, "{args}");
        assert_eq!(error, "", "{args}");
    }
}

#[test]
fn every_report_is_tried_before_the_command_fails() {
    let folder = Folder::new();
    for command in [
        "bench --device cpu --max 2^10",
        "check --device cpu --dtype float16",
    ] {
        let line = format!("$ELU {command} --json /dev/full --plot plot.svg --force");
        let (code, table, error) = shell(&folder, &line);
        assert_eq!(
            error,
            "elu: /dev/full: No space left on device (os error 28)\n"
        );
        assert_eq!(code, Some(1), "{line}");
        assert!(table.lines().count() > 5, "{table}");
        let plot = fs::read_to_string(folder.path("plot.svg")).unwrap();
        assert!(plot.starts_with("<svg"));
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
        if name == "WGPU_ADAPTER_NAME" {
            continue; // every name is valid
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

#[test]
fn too_many_threads_are_limited_with_a_word() {
    let folder = folder_with_x();
    let mut elu = Command::new(ELU);
    in_folder(&mut elu, &folder).args(["run", "x.npy", "-o", "-", "--device", "cpu"]);
    let output = elu.env("RAYON_NUM_THREADS", "65535").output().unwrap();
    let (code, _, error) = parts(output);
    let max = wgpu_elu::cpu::max_threads();
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
fn nothing_is_printed_if_xdg_runtime_dir_is_not_set() {
    let folder = folder_with_x();
    let (code, _, error) = shell(&folder, "unset XDG_RUNTIME_DIR; $ELU info");
    assert_eq!((code, &*error), (Some(0), ""));
}

// ---- Drivers ----

/// Mesa's softpipe is no software adapter to wgpu, but cannot create a device.
#[test]
fn an_adapter_that_cannot_create_a_device_is_passed_over_with_the_reason() {
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

/// The functions of Vulkan that wgpu calls for a tensor's ELU and that can fail. Two are missing, because wgpu 30 then
/// crashes: `vkEnumerateDeviceExtensionProperties` and the third `vkCreateSemaphore`.
const CALLS: [&str; 24] = [
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
                    break; // the call was made less often
                }
                failed_calls += 1;
                // wgpu ignores some errors, and retries after others.
                assert!(
                    matches!(code, Some(0 | 1)) && error.lines().count() == 1,
                    "{env:?}: {code:?} {error}"
                );
                assert!(!error.contains("panicked at"), "{env:?}: {error}");
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
