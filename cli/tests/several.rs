//! Tests of `elu run` on several files.

use std::fs;

use crate::common::{Folder, folder_with_x, header, model, npy, parts, read};

/// Returns a folder with `x.npy`, three zeros, and `y.npy`, two.
fn folder_with_two() -> Folder {
    let folder = folder_with_x();
    folder.write("y.npy", &npy(1, &header("<f4", false, "(2,)"), &[0; 8]));
    folder
}

/// Runs the command on the CPU. Returns the exit code, and the lines on standard error. A line about a result is
/// replaced by its start and its output.
fn run(folder: &Folder, args: &[&str]) -> (Option<i32>, Vec<String>) {
    let args = [&["run", "--device", "cpu"], args].concat();
    let (code, output, error) = parts(folder.elu(&args));
    assert_eq!(output, "");
    let short = |line: &str| match (line.split_once(" on CPU"), line.split_once(" ms -> ")) {
        (Some((what, _)), Some((_, output))) => format!("{what} -> {output}"),
        _ if line.starts_with("total: ") => {
            let (start, time) = line.rsplit_once(", ").unwrap();
            assert!(time.ends_with(" ms"), "{line}");
            start.to_owned()
        }
        _ => line.to_owned(),
    };
    (code, error.lines().map(short).collect())
}

#[test]
fn every_file_gets_its_output() {
    let folder = folder_with_two();
    folder.write("model.safetensors", &model());
    assert_eq!(
        run(&folder, &["x.npy", "y.npy", "model.safetensors"]),
        (
            Some(0),
            [
                "3 float32 -> x.elu.npy",
                "2 float32 -> y.elu.npy",
                "5 tensors of 21 elements (unchanged: ids (I64)) -> model.elu.safetensors",
                "total: 3 files, 26 elements",
            ]
            .map(String::from)
            .into()
        )
    );
    assert_eq!(read(&folder.path("x.elu.npy")).1, [0.0; 3]);
    assert_eq!(read(&folder.path("y.elu.npy")).1, [0.0; 2]);
    assert!(folder.path("model.elu.safetensors").exists());
}

#[test]
fn an_output_directory_keeps_the_names() {
    let folder = folder_with_two();
    fs::copy(folder.path("x.npy"), folder.path("blob")).unwrap();
    let args = ["x.npy", "y.npy", "blob", "--output-dir", "a/b/"];
    let lines = [
        "3 float32 -> a/b/x.npy",
        "2 float32 -> a/b/y.npy",
        "3 float32 -> a/b/blob.npy",
        "total: 3 files, 8 elements",
    ];
    assert_eq!(
        run(&folder, &args),
        (Some(0), lines.map(String::from).into())
    );
    let names = fs::read_dir(folder.path("a/b")).unwrap().count();
    assert_eq!(names, 3);
    // The directory may exist, and one file may be the only one. `.` is a directory, too.
    let args = ["x.npy", "--output-dir", "a/b", "--force"];
    assert_eq!(
        run(&folder, &args),
        (Some(0), vec!["3 float32 -> a/b/x.npy".into()])
    );
    let args = ["x.npy", "y.npy", "--output-dir", "."];
    assert_eq!(
        run(&folder, &args).1,
        [
            "elu: ./x.npy: already exists: use --force to replace it",
            "elu: ./y.npy: already exists: use --force to replace it",
            "elu: 2 of 2 outputs cannot be written, so nothing was written",
        ]
    );
}

#[test]
fn an_output_directory_that_cannot_be_created_is_an_error() {
    let folder = folder_with_two();
    assert_eq!(
        folder.error(&["run", "x.npy", "--output-dir", "y.npy"]),
        "y.npy: needed a directory, found a file"
    );
    assert_eq!(
        folder.error(&["run", "x.npy", "--output-dir", "y.npy/out"]),
        "y.npy: needed a directory, found a file"
    );
    // Nothing is created if no input can be read.
    assert_eq!(
        folder.error(&["run", "no.npy", "--output-dir", "out"]),
        "no.npy: No such file or directory (os error 2)"
    );
}

#[test]
fn outputs_are_checked_before_the_work() {
    let folder = folder_with_two();
    folder.write("z.npy", &fs::read(folder.path("x.npy")).unwrap());
    folder.write("y.elu.npy", b"precious");
    fs::create_dir(folder.path("z.elu.npy")).unwrap();
    let before = folder.names();
    assert_eq!(
        run(&folder, &["x.npy", "y.npy", "z.npy"]),
        (
            Some(1),
            [
                "elu: y.elu.npy: already exists: use --force to replace it",
                "elu: z.elu.npy: needed a file to write, found a directory",
                "elu: 2 of 3 outputs cannot be written, so nothing was written",
            ]
            .map(String::from)
            .into()
        )
    );
    assert_eq!(folder.names(), before);
    assert_eq!(
        run(&folder, &["x.npy", "y.npy", "--force"]).0,
        Some(0),
        "outputs are replaced with --force"
    );
    assert_eq!(read(&folder.path("y.elu.npy")).1, [0.0; 2]);
}

#[test]
fn a_file_that_fails_does_not_stop_the_others() {
    let folder = folder_with_two();
    folder.write("bad.npy", b"bad");
    let short = npy(1, &header("<f4", false, "(9,)"), &[0; 8]);
    folder.write("short.npy", &short);
    assert_eq!(
        run(
            &folder,
            &["bad.npy", "x.npy", "no.npy", "short.npy", "y.npy"]
        ),
        (
            Some(1),
            [
                "elu: bad.npy: not a .npy file: it does not start with \\x93NUMPY",
                "3 float32 -> x.elu.npy",
                "elu: no.npy: No such file or directory (os error 2)",
                "elu: short.npy: shape [9] of float32 needs 36 bytes of data, found 8",
                "2 float32 -> y.elu.npy",
                "total: 2 files, 5 elements",
                "elu: 3 of 5 files failed",
            ]
            .map(String::from)
            .into()
        )
    );
    assert_eq!(
        folder.names(),
        [
            "bad.npy",
            "short.npy",
            "x.elu.npy",
            "x.npy",
            "y.elu.npy",
            "y.npy"
        ]
    );
    // Errors about the device or alpha have the name of the file as well.
    folder.write(
        "double.npy",
        &npy(1, &header("<f8", false, "(1,)"), &[0; 8]),
    );
    assert_eq!(
        run(&folder, &["x.npy", "double.npy", "-a", "1e39", "-f"]),
        (
            Some(1),
            [
                "elu: x.npy: --alpha \"1e39\": for float32, needed inf or a float32 number, at most 3.4028235e38 in \
                 magnitude",
                "1 float64 -> double.elu.npy",
                "total: 1 file, 1 element",
                "elu: 1 of 2 files failed",
            ]
            .map(String::from)
            .into()
        )
    );
}

#[test]
fn an_unavailable_device_is_reported_once() {
    let folder = folder_with_two();
    let error = folder.error(&["run", "x.npy", "y.npy", "--adapter", "Voodoo 2"]);
    let start = "--adapter: found no adapter named \"Voodoo 2\"; ";
    assert!(error.starts_with(start), "{error}");
}

#[test]
fn results_are_skipped() {
    let folder = folder_with_two();
    run(&folder, &["x.npy"]);
    let all = ["x.elu.npy", "x.npy", "y.npy", "--force"];
    let lines = [
        "skipped x.elu.npy, which is named like a result: to apply ELU to it, give it as the only INPUT",
        "3 float32 -> x.elu.npy",
        "2 float32 -> y.elu.npy",
        "total: 2 files, 5 elements",
    ];
    assert_eq!(
        run(&folder, &all),
        (Some(0), lines.map(String::from).into())
    );
    let all = [
        "x.elu.npy",
        "x.npy",
        "y.elu.npy",
        "y.npy",
        "--output-dir",
        "out",
    ];
    let lines = [
        "skipped 2 files that are named like results, such as x.elu.npy: to apply ELU to one of them, give it as the \
         only INPUT",
        "3 float32 -> out/x.npy",
        "2 float32 -> out/y.npy",
        "total: 2 files, 5 elements",
    ];
    assert_eq!(
        run(&folder, &all),
        (Some(0), lines.map(String::from).into())
    );
    // A file that is left over is reported as if it were the only one.
    assert_eq!(
        run(&folder, &["no.npy", "y.elu.npy", "-q"]),
        (
            Some(1),
            vec!["elu: no.npy: No such file or directory (os error 2)".into()]
        )
    );
    assert_eq!(
        folder.usage_error(&["run", "x.elu.npy", "y.elu.npy"]),
        "every INPUT is named like a result, such as x.elu.npy: to apply ELU to one of them, give it as the only INPUT"
    );
    let one = run(&folder, &["x.elu.npy"]);
    assert_eq!(one, (Some(0), vec!["3 float32 -> x.elu.elu.npy".into()]));
    // Without a header, any extension and none can be that of a result.
    for name in ["a.bin", "a.elu.bin", "b", "b.elu"] {
        folder.write(name, &[0; 4]);
    }
    let raw = [
        "a.bin",
        "a.elu.bin",
        "b",
        "b.elu",
        "--raw",
        "float32",
        "-f",
        "-q",
    ];
    assert_eq!(run(&folder, &raw), (Some(0), vec![]));
    let names = folder.names();
    assert!(
        !names
            .iter()
            .any(|name| name.contains("elu.elu.b") || name == "b.elu.elu")
    );
}

#[test]
fn two_inputs_with_the_same_output_are_a_usage_error() {
    let folder = folder_with_two();
    for name in ["a", "b"] {
        fs::create_dir(folder.path(name)).unwrap();
        fs::copy(folder.path("x.npy"), folder.path(name).join("x.npy")).unwrap();
    }
    fs::copy(folder.path("x.npy"), folder.path("x")).unwrap();
    for (args, names, output) in [
        (&["x", "x.npy"][..], "x and x.npy", "x.elu.npy"),
        (
            &["a/x.npy", "b/x.npy", "--output-dir", "out"],
            "a/x.npy and b/x.npy",
            "out/x.npy",
        ),
        (
            &["a/x.npy", "x.npy", "-f", "--output-dir", "."],
            "a/x.npy and x.npy",
            "./x.npy",
        ),
    ] {
        assert_eq!(
            folder.usage_error(&[&["run"], args].concat()),
            format!(
                "{names} have the same output {output}: run them one by one, with different outputs"
            )
        );
    }
    for (args, names) in [
        (&["x.npy", "x.npy"][..], "x.npy and x.npy"),
        (&["x.npy", "y.npy", "./x.npy"], "x.npy and ./x.npy"),
        (&["a/../x.npy", "x.npy"], "a/../x.npy and x.npy"),
    ] {
        assert_eq!(
            folder.usage_error(&[&["run"], args].concat()),
            format!("{names} are the same file: name it once")
        );
    }
    // An output that would replace another input before it is read.
    fs::copy(folder.path("x.npy"), folder.path("a/b.npy")).unwrap();
    folder.write("b.npy", &crate::common::model());
    for args in [
        &["a/b.npy", "b.npy", "--output-dir", "."][..],
        &["b.npy", "a/b.npy", "--output-dir", "."],
    ] {
        assert_eq!(
            folder.usage_error(&[&["run", "-f"], args].concat()),
            "the output of a/b.npy is b.npy, which is another INPUT: run them one by one, with different outputs"
        );
    }
    // Different outputs in one directory.
    let (code, _) = run(&folder, &["a/x.npy", "b/x.npy"]);
    assert_eq!(code, Some(0));
}

#[test]
fn arguments_for_one_input_are_usage_errors() {
    let folder = folder_with_two();
    for (args, text) in [
        (
            &["x.npy", "y.npy", "-o", "z.npy"][..],
            "--output names one file, but INPUT is 2 files: use --output-dir",
        ),
        (
            &["x.npy", "y.npy", "-o", "-"],
            "--output names one file, but INPUT is 2 files: use --output-dir",
        ),
        (
            &["x.npy", "-"],
            "- is standard input, which must be the only INPUT",
        ),
        (
            &["-", "--output-dir", "out"],
            "--output-dir needs files as INPUT, but - is standard input: use --output",
        ),
        (
            &["x.npy", "-o", "z.npy", "--output-dir", "out"],
            "the argument '--output <OUTPUT>' cannot be used with '--output-dir <DIR>'",
        ),
        (
            &["x.npy", "--output-dir", ""],
            "a value is required for '--output-dir <DIR>' but none was supplied",
        ),
        // Some of several inputs show that the command line is wrong.
        (
            &["x.npy", "y.npy", "--tensor", "a"],
            "--tensor needs a .npz or .safetensors file as INPUT",
        ),
    ] {
        let (code, lines) = run(&folder, args);
        assert_eq!(lines[0], format!("error: {text}"), "{args:?}");
        assert_eq!(code, Some(2), "{args:?}");
        assert_eq!(folder.names(), ["x.npy", "y.npy"]);
    }
}

/// More files than a process may have open.
#[cfg(target_os = "linux")]
#[test]
fn the_number_of_files_is_not_limited() {
    let folder = folder_with_x();
    for index in 0..40 {
        fs::copy(folder.path("x.npy"), folder.path(&format!("x{index}.npy"))).unwrap();
    }
    let line = "ulimit -n 30; $ELU run x?*.npy --device cpu";
    let (code, _, error) = crate::common::shell(&folder, line);
    assert_eq!(code, Some(0), "{error}");
    let last = error.lines().last().unwrap();
    assert!(
        last.starts_with("total: 40 files, 120 elements, "),
        "{error}"
    );
}

/// A signal leaves the results that are complete, and no temporary file.
#[cfg(target_os = "linux")]
#[test]
fn a_signal_leaves_complete_results_only() {
    use std::{
        io::Write,
        process::Command,
        thread,
        time::{Duration, Instant},
    };

    let folder = folder_with_two();
    let made = Command::new("mkfifo").arg(folder.path("pipe.npy")).status();
    assert!(made.unwrap().success());
    folder.write("pipe.elu.npy", b"precious");
    folder.write("y.elu.npy", b"old");
    let mut env = Command::new("env");
    env.args(["--default-signal=INT", crate::common::ELU]);
    let args = [
        "run", "x.npy", "pipe.npy", "y.npy", "--force", "--device", "cpu",
    ];
    let mut child = folder.start_as(env, &args);
    let mut pipe = fs::File::options()
        .write(true)
        .open(folder.path("pipe.npy"))
        .unwrap();
    let start = npy(1, &header("<f4", false, "(1000,)"), &[0; 400]);
    pipe.write_all(&start).unwrap();
    let known = [
        "pipe.elu.npy",
        "pipe.npy",
        "x.elu.npy",
        "x.npy",
        "y.elu.npy",
        "y.npy",
    ];
    let started = Instant::now();
    // Waits for the result of x.npy and for the temporary file of the next result.
    while !(folder.path("x.elu.npy").exists() && folder.names().len() > known.len()) {
        assert!(started.elapsed() < Duration::from_secs(60));
        assert!(child.try_wait().unwrap().is_none(), "the command has ended");
        thread::sleep(Duration::from_millis(5));
    }
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    let (code, _, error) = parts(child.wait_with_output().unwrap());
    assert_eq!(code, Some(130), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    assert_eq!(folder.names(), known);
    assert_eq!(read(&folder.path("x.elu.npy")).1, [0.0; 3]);
    assert_eq!(fs::read(folder.path("pipe.elu.npy")).unwrap(), b"precious");
    assert_eq!(fs::read(folder.path("y.elu.npy")).unwrap(), b"old");
}

/// A directory that was created must be on the disk before the files in it are reported as written.
#[cfg(target_os = "linux")]
#[test]
fn the_parents_of_new_directories_are_synced() {
    let folder = folder_with_x();
    let line =
        "strace -f -qq -y -o trace -e trace=mkdir,fsync $ELU run x.npy --output-dir a/b -d cpu";
    let (code, _, error) = crate::common::shell(&folder, line);
    assert_eq!(code, Some(0), "{error}");
    let trace = fs::read_to_string(folder.path("trace")).unwrap();
    let root = fs::canonicalize(folder.0.path())
        .unwrap()
        .display()
        .to_string();
    let calls: Vec<String> = trace
        .lines()
        .map(|line| {
            line.split_once(' ')
                .unwrap()
                .1
                .trim_start()
                .replace(&root, "ROOT")
        })
        .filter(|call| call.starts_with("mkdir") || call.contains("ROOT"))
        .map(|call| {
            call.split(['(', '<', '"', '>'])
                .take(3)
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect();
    let directories = ["mkdir  a", "ROOT", "mkdir  a/b", "ROOT/a"];
    for (call, expected) in calls.iter().zip(directories) {
        assert!(call.ends_with(expected), "{calls:?}");
    }
    assert!(calls.len() >= 6, "{calls:?}");
}
