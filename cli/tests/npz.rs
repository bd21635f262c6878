//! Tests of `elu run` on `.npz` files: the results, and the archives that it rejects.

use std::{
    fs,
    io::{Cursor, Read, Write},
};

use conformance::native::{check_results, varied};
use ndarray_npy::npy::header::Header;
use wgpu_elu::{
    DType, Op,
    accuracy::{self, Judge, from_bytes, to_bytes},
};
use zip::{
    CompressionMethod::{self, Deflated, Stored},
    DateTime, ZipArchive, ZipWriter,
    write::SimpleFileOptions,
};

#[cfg(unix)]
use crate::common::shell;
use crate::common::{Folder, forward_judge, header, npy, parts};

const TIME: (u16, u8, u8, u8, u8, u8) = (2001, 2, 3, 4, 5, 6);

/// Builds an archive.
fn archive(members: &[(&str, CompressionMethod, Vec<u8>)]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let (year, month, day, hour, minute, second) = TIME;
    let time = DateTime::from_date_and_time(year, month, day, hour, minute, second).unwrap();
    let options = SimpleFileOptions::default().last_modified_time(time);
    for (name, method, content) in members {
        zip.start_file(*name, options.compression_method(*method))
            .unwrap();
        zip.write_all(content).unwrap();
    }
    zip.set_comment("a comment").unwrap();
    zip.finish().unwrap().into_inner()
}

/// Returns a `.npy` file with varied numbers, and the bits of the numbers.
fn floats(descr: &str, fortran: bool, shape: &str, len: usize) -> (Vec<u8>, DType, Vec<u64>) {
    let dtype = match &descr[1..] {
        "f2" => DType::F16,
        "f4" => DType::F32,
        _ => DType::F64,
    };
    let x: Vec<u64> = varied(len)
        .iter()
        .map(|&v| accuracy::bits(dtype, v.into()))
        .collect();
    let data = in_order(descr, dtype, to_bytes(dtype, &x));
    (npy(1, &header(descr, fortran, shape), &data), dtype, x)
}

/// Reverses the bytes of each element if the dtype is big-endian.
fn in_order(descr: &str, dtype: DType, mut bytes: Vec<u8>) -> Vec<u8> {
    if descr.starts_with('>') {
        bytes
            .chunks_exact_mut(dtype.size())
            .for_each(<[u8]>::reverse);
    }
    bytes
}

fn open(bytes: Vec<u8>) -> ZipArchive<Cursor<Vec<u8>>> {
    ZipArchive::new(Cursor::new(bytes)).unwrap()
}

/// Returns the content of a member, after a check of its checksum.
fn content(zip: &mut ZipArchive<Cursor<Vec<u8>>>, name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    zip.by_name(name).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn float_arrays_are_replaced_and_the_rest_is_kept() {
    let arrays = [
        ("c.npy", Stored, "<f4", false, "(2, 3)", 6),
        ("fortran.npy", Deflated, ">f8", true, "(3, 2)", 6),
        ("half.npy", Deflated, "<f2", false, "(500,)", 500),
        ("zero-d.npy", Stored, ">f4", false, "()", 1),
        ("empty.npy", Deflated, "<f4", false, "(0, 3)", 0),
        ("no extension", Stored, "<f4", false, "(3,)", 3),
    ];
    let ids = npy(1, &header("<i8", false, "(2,)"), &[0xff; 16]);
    let mut members: Vec<_> = arrays
        .iter()
        .map(|&(name, method, descr, fortran, shape, len)| {
            (name, method, floats(descr, fortran, shape, len).0)
        })
        .collect();
    members.insert(1, ("ids.npy", Deflated, ids));
    members.insert(4, ("folder/notes.txt", Deflated, b"notes".repeat(9)));
    members.push(("text.npy", Stored, b"NUMPY".to_vec()));
    let before = archive(&members);
    let folder = Folder::new();
    folder.write("x.npz", &before);
    let stderr = folder.success(&["run", "x.npz", "--device", "cpu"]);
    assert!(
        stderr.starts_with(
            "6 arrays of 516 elements (unchanged: ids (int64), folder/notes.txt (other data) and 1 more) on CPU"
        ),
        "{stderr}"
    );
    let to_file = fs::read(folder.path("x.elu.npz")).unwrap();
    let output = folder.elu(&["run", "x.npz", "--device", "cpu", "-o", "-"]);
    assert_eq!(output.status.code(), Some(0));
    for after in [to_file, output.stdout] {
        let (mut before, mut after) = (open(before.clone()), open(after));
        assert_eq!(after.comment(), b"a comment");
        let names = |zip: &ZipArchive<_>| -> Vec<Vec<u8>> {
            zip.file_names_raw().map(<[u8]>::to_vec).collect()
        };
        assert_eq!(names(&before), names(&after));
        for index in 0..before.len() {
            let (one, other) = (
                before.by_index_raw(index).unwrap(),
                after.by_index_raw(index).unwrap(),
            );
            assert_eq!(one.compression(), other.compression());
            assert_eq!(one.last_modified(), other.last_modified());
            assert_eq!(one.unix_mode(), other.unix_mode());
        }
        for name in ["ids.npy", "folder/notes.txt", "text.npy"] {
            assert_eq!(content(&mut before, name), content(&mut after, name));
        }
        for (name, _, descr, fortran, shape, len) in arrays {
            let (_, dtype, x) = floats(descr, fortran, shape, len);
            let written = content(&mut after, name);
            let mut rest = &written[..];
            let text = Header::from_reader(&mut rest).unwrap().to_string();
            assert_eq!(text, header(descr, fortran, shape).replace(", }", "}"));
            let y = from_bytes(dtype, &in_order(descr, dtype, rest.to_vec()));
            check_results(name, forward_judge(dtype), &x, &[], &y);
        }
    }
}

/// Returns an archive with the arrays `a`, `b` and `ids`.
fn three() -> Vec<u8> {
    let array = |len: usize| floats("<f4", false, &format!("({len},)"), len).0;
    archive(&[
        ("a.npy", Stored, array(3)),
        ("b.npy", Deflated, array(5)),
        (
            "ids.npy",
            Stored,
            npy(1, &header("<i8", false, "(2,)"), &[1; 16]),
        ),
    ])
}

#[test]
fn arrays_are_selected_by_name() {
    let folder = Folder::new();
    folder.write("x.npz", &three());
    let stderr = folder.success(&["run", "x.npz", "-t", "b", "--device", "cpu"]);
    assert!(
        stderr.starts_with("1 array of 5 elements (unchanged: a (float32), ids (int64)) on CPU"),
        "{stderr}"
    );
    let mut before = open(three());
    let mut after = open(fs::read(folder.path("x.elu.npz")).unwrap());
    for (name, is_same) in [("a.npy", true), ("b.npy", false), ("ids.npy", true)] {
        assert_eq!(
            content(&mut before, name) == content(&mut after, name),
            is_same
        );
    }
    for (name, text) in [
        ("c", "no array named \"c\""),
        ("idx", "no array named \"idx\"; similar names: \"ids\""),
        (
            "ids",
            "array \"ids\" is int64, needed float16, float32 or float64, or bfloat16 with --dtype bfloat16",
        ),
    ] {
        let error = folder.error(&["run", "x.npz", "-t", name, "-o", "y.npz"]);
        assert_eq!(error, format!("x.npz: {text}"));
    }
    assert_eq!(
        folder.usage_error(&["run", "x.npz", "-o", "y.npy"]),
        "y.npy: the result is a .npz file like INPUT: use the extension .npz"
    );
}

#[test]
fn arrays_of_bfloat16_need_the_argument_dtype() {
    let folder = Folder::new();
    let dtype = DType::BF16;
    let (floats, _, _) = floats("<f4", false, "(5,)", 5);
    let bits = |skip: usize| -> Vec<u64> {
        let numbers = varied(24 + skip);
        numbers[skip..]
            .iter()
            .map(|&v| accuracy::bits(dtype, v.into()))
            .collect()
    };
    let brain = |skip| {
        npy(
            1,
            &header("<V2", false, "(24,)"),
            &to_bytes(dtype, &bits(skip)),
        )
    };
    folder.write(
        "x.npz",
        &archive(&[("a.npy", Stored, floats), ("b.npy", Stored, brain(0))]),
    );
    folder.write("g.npz", &archive(&[("b.npy", Stored, brain(3))]));
    let run = ["run", "x.npz", "-d", "cpu", "-f"];
    let stderr = folder.success(&run);
    let start = "1 array of 5 elements (unchanged: b (V2)) on CPU";
    assert!(stderr.starts_with(start), "{stderr}");
    assert_eq!(
        folder.error(&[&run[..], &["-t", "b"]].concat()),
        "x.npz: array \"b\" is V2, needed float16, float32 or float64, or bfloat16 with --dtype bfloat16"
    );
    let given = [&run[..], &["--dtype", "bfloat16"]].concat();
    let gradient = ["-t", "b", "--op", "backward", "--grad", "g.npz"];
    for (args, start, op, grad) in [
        (
            &[][..],
            "2 arrays of 29 elements on CPU",
            Op::Forward,
            vec![],
        ),
        (
            &gradient,
            "1 array of 24 elements (unchanged: a (float32)) on",
            Op::Backward,
            bits(3),
        ),
    ] {
        let stderr = folder.success(&[&given[..], args].concat());
        assert!(stderr.starts_with(start), "{stderr}");
        let mut written = open(fs::read(folder.path("x.elu.npz")).unwrap());
        let result = content(&mut written, "b.npy");
        let (start, data) = result.split_at(128);
        assert_eq!(start, npy(1, &header("<V2", false, "(24,)"), &[]));
        let judge = Judge {
            op,
            ..forward_judge(dtype)
        };
        check_results("b", judge, &bits(0), &grad, &from_bytes(dtype, data));
    }
    let (code, _, error) = parts(folder.elu(&[&run[..], &["--dtype", "float32"]].concat()));
    assert_eq!(code, Some(2));
    assert!(
        error.starts_with("error: --dtype of a .npz file can only be bfloat16\n"),
        "{error}"
    );
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let folder = Folder::new();
    folder.write("x.npz", &three());
    let run = |output: &str| {
        folder.success(&["run", "x.npz", "-o", output, "--device", "cpu"]);
        fs::read(folder.path(output)).unwrap()
    };
    assert_eq!(run("y.npz"), run("z.npz"));
}

/// Some programs write members without permissions.
#[test]
fn members_without_permissions_are_written_to_pipes() {
    const ATTRIBUTES: usize = 38;
    let folder = Folder::new();
    let mut bytes = three();
    let start = positions(&bytes, b"PK\x01\x02")[0] + ATTRIBUTES;
    bytes[start..start + 4].fill(0);
    folder.write("x.npz", &bytes);
    let output = folder.elu(&["run", "x.npz", "-o", "-", "--device", "cpu"]);
    assert_eq!(output.status.code(), Some(0));
    folder.success(&["run", "x.npz", "--device", "cpu"]);
    let mut file = open(fs::read(folder.path("x.elu.npz")).unwrap());
    let mut pipe = open(output.stdout);
    assert_eq!(content(&mut file, "a.npy"), content(&mut pipe, "a.npy"));
}

/// NumPy writes every member as ZIP64.
#[test]
fn zip64_archives_are_read() {
    let folder = Folder::new();
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().large_file(true);
    for name in ["a.npy", "b.npy"] {
        zip.start_file(name, options.compression_method(Deflated))
            .unwrap();
        let (file, ..) = floats("<f8", false, "(40, 50)", 2000);
        zip.write_all(&file).unwrap();
    }
    let bytes = zip.finish().unwrap().into_inner();
    folder.write("x.npz", &bytes);
    let stderr = folder.success(&["run", "x.npz", "--device", "cpu"]);
    assert!(
        stderr.starts_with("2 arrays of 4000 elements on CPU"),
        "{stderr}"
    );
}

#[test]
fn archives_are_not_read_from_pipes() {
    let folder = Folder::new();
    let output = folder.elu_with_input(&["run", "-"], &three());
    assert_eq!(
        parts(output),
        (
            Some(1),
            String::new(),
            "elu: standard input: a .npz file cannot be read from a pipe, because its list of contents is at its end: \
             save it to a file first\n"
                .into()
        )
    );
}

/// Returns the error for an archive, without the file's name.
#[track_caller]
fn error_for(bytes: &[u8]) -> String {
    let folder = Folder::new();
    folder.write("x.npz", bytes);
    let text = folder.error(&["run", "x.npz", "--device", "cpu"]);
    text.strip_prefix("x.npz: ").unwrap_or(&text).to_owned()
}

#[test]
fn archives_without_arrays_are_refused() {
    let text = |name, content: &[u8]| error_for(&archive(&[(name, Stored, content.to_vec())]));
    assert_eq!(
        text("notes.txt", b"notes"),
        "found a ZIP archive without arrays, needed a .npy, .npz or .safetensors file: extract it first"
    );
    assert_eq!(
        error_for(&archive(&[])),
        "found an empty ZIP archive, needed a .npy, .npz or .safetensors file: save it again"
    );
    assert_eq!(
        text("model/data.pkl", b"\x80\x02."),
        "found a PyTorch file, needed a .npy, .npz or .safetensors file: load it with torch.load and save its tensors \
         with safetensors.torch.save_file"
    );
    assert_eq!(
        text("model.weights.h5", b"\x89HDF"),
        "found a Keras model, needed a .npy, .npz or .safetensors file: extract model.weights.h5, read it with h5py \
         and save each array with numpy.save"
    );
    let ids = npy(1, &header("<i8", false, "(2,)"), &[1; 16]);
    assert_eq!(
        text("ids.npy", &ids),
        "no array of float16, float32 or float64, or bfloat16 with --dtype bfloat16"
    );
}

#[test]
fn invalid_arrays_are_refused() {
    let text = |content: Vec<u8>| error_for(&archive(&[("a.npy", Deflated, content)]));
    let header = header("<f4", false, "(3,)");
    assert_eq!(
        text(npy(1, &header, &[0; 11])),
        "member \"a\": shape [3] of float32 needs 12 bytes of data, found 11"
    );
    assert_eq!(
        text(npy(1, "42", &[])),
        "member \"a\": bad .npy header: needed '{' at its start, found an integer"
    );
    assert_eq!(
        text(b"\x93NUMPY".to_vec()),
        "member \"a\": truncated .npy header"
    );
}

/// The positions of fields in the headers of a ZIP archive, with the position in the list at the end of the archive and
/// that before the member.
const FLAGS: [usize; 2] = [8, 6];
const METHOD: [usize; 2] = [10, 8];
const SUM: [usize; 2] = [16, 14];
const COMPRESSED: [usize; 2] = [20, 18];
const SIZE: [usize; 2] = [24, 22];
const LOCAL_HEADER: usize = 42;

/// Returns the positions of a signature.
fn positions(bytes: &[u8], signature: &[u8]) -> Vec<usize> {
    (0..bytes.len())
        .filter(|&start| bytes[start..].starts_with(signature))
        .collect()
}

/// Replaces a field in both headers of the member with this index.
fn patch(mut bytes: Vec<u8>, index: usize, field: [usize; 2], value: &[u8]) -> Vec<u8> {
    for (signature, offset) in [b"PK\x01\x02", b"PK\x03\x04"].iter().zip(field) {
        let start = positions(&bytes, &signature[..])[index] + offset;
        bytes[start..start + value.len()].copy_from_slice(value);
    }
    bytes
}

#[test]
fn damaged_archives_are_refused() {
    let good = three();
    assert_eq!(
        error_for(&good[..good.len() / 2]),
        "the archive is damaged or cut off: could not find EOCD"
    );
    for (member, name) in ["a", "b"].iter().enumerate() {
        assert_eq!(
            error_for(&patch(good.clone(), member, SUM, &[1; 4])),
            format!("member {name:?}: the data is damaged: invalid checksum")
        );
    }
    assert_eq!(
        error_for(&patch(good.clone(), 0, METHOD, &[12, 0])),
        "member \"a\": is compressed with Bzip2, needed DEFLATE or no compression: save it again with \
         numpy.savez_compressed"
    );
    assert_eq!(
        error_for(&patch(good.clone(), 1, FLAGS, &[1, 0])),
        "member \"b\": is encrypted, needed an archive without a password"
    );
    let mut other = good.clone();
    let start = positions(&other, b"PK\x03\x04")[1] + 30 + "b.npy".len();
    other[start..start + 8].fill(0xff);
    assert_eq!(
        error_for(&other),
        "member \"b\": the data is damaged: corrupt deflate stream"
    );
}

#[test]
fn ambiguous_archives_are_refused() {
    let mut zip = ZipWriter::new_append(Cursor::new(three())).unwrap();
    // The end of an archive with nine members, whose list is not there.
    let end = b"PK\x05\x06\0\0\0\0\x09\0\x09\0\0\0\0\0\0\x01\0\0\0\0\0";
    zip.set_raw_comment(end[..].into()).unwrap();
    let bytes = zip.finish().unwrap().into_inner();
    assert_eq!(
        error_for(&bytes),
        "the archive is damaged: its comment contains the end of an archive"
    );
}

#[test]
fn ends_that_contradict_the_list_of_members_are_refused() {
    let good = three();
    let end = positions(&good, b"PK\x05\x06")[0];
    // The number of members, the size of the list and a gap after it: readers would find other members.
    let changed = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[end + at] = value;
        bytes
    };
    let fewer = [changed(8, 2), changed(10, 2)];
    let both = {
        let mut bytes = changed(8, 2);
        bytes[end + 10] = 2;
        bytes
    };
    let smaller = changed(12, good[end + 12] - 1);
    let gap = [&good[..end], b"gap", &good[end..]].concat();
    for bytes in fewer.into_iter().chain([both, smaller, gap]) {
        let error = error_for(&bytes);
        assert!(
            error.starts_with("the archive is damaged"),
            "accepted or another error: {error}"
        );
    }
    let more = [&good[..], b"\0"].concat();
    assert_eq!(
        error_for(&more),
        "the archive is damaged: other bytes follow its end"
    );
    let mut renamed = good.clone();
    let local = positions(&renamed, b"PK\x03\x04")[1] + 30;
    renamed[local] = b'q';
    assert_eq!(
        error_for(&renamed),
        "the archive is damaged: member \"q.npy\" has another name in the list of members, \"b.npy\""
    );
}

/// Gradients are found by their names, so two members must not have the same name in the command's texts.
#[test]
fn names_that_are_not_utf_8_must_stay_different() {
    let array = floats("<f4", false, "(2,)", 2).0;
    let mut bytes = archive(&[("q1.npy", Stored, array.clone()), ("q2.npy", Stored, array)]);
    for start in 0..bytes.len() - 2 {
        match &bytes[start..start + 2] {
            b"q1" => bytes[start + 1] = 0xfe,
            b"q2" => bytes[start + 1] = 0xff,
            _ => {}
        }
    }
    assert_eq!(
        error_for(&bytes),
        "two members have names that differ only in bytes that are not UTF-8"
    );
}

#[test]
fn members_are_named_without_the_extension_if_the_names_stay_different() {
    let folder = Folder::new();
    let array = |len| floats("<f4", false, &format!("({len},)"), len).0;
    let members = [
        ("x", Stored, array(2)),
        ("x.npy", Stored, array(3)),
        ("y.npy", Stored, array(5)),
    ];
    folder.write("x.npz", &archive(&members));
    for (name, len, kept) in [
        ("x", 2, "x.npy (float32), y (float32)"),
        ("x.npy", 3, "x (float32), y (float32)"),
        ("y", 5, "x (float32), x.npy (float32)"),
    ] {
        let stderr = folder.success(&["run", "x.npz", "-f", "-d", "cpu", "-t", name]);
        let start = format!("1 array of {len} elements (unchanged: {kept}) on CPU");
        assert!(stderr.starts_with(&start), "{stderr}");
    }
}

#[test]
fn sizes_that_are_wrong_are_refused() {
    let good = three();
    // A ZIP bomb that claims more than its bytes can contain.
    assert_eq!(
        error_for(&patch(good.clone(), 1, SIZE, &[0xf0, 0xff, 0xff, 0xff])),
        "member \"b\": claims 4294967280 bytes, but its 109 compressed bytes can contain at most 112488"
    );
    assert_eq!(
        error_for(&patch(good.clone(), 0, SIZE, &[141])),
        "member \"a\": claims 141 bytes, but its 140 compressed bytes can contain at most 140"
    );
    // Claims that are possible, but wrong.
    assert_eq!(
        error_for(&patch(good.clone(), 1, SIZE, &[147])),
        "member \"b\": shape [5] of float32 needs 20 bytes of data, found 19"
    );
    // A ZIP bomb that claims a small size and contains 4 MB. It has the compressed bytes of a large array.
    let header = header("<f4", false, "(1000,)");
    let bomb = archive(&[("a.npy", Deflated, npy(1, &header, &vec![0; 4_000_000]))]);
    let bomb = patch(bomb, 0, SIZE, &4128u32.to_le_bytes());
    assert_eq!(
        error_for(&bomb),
        "member \"a\": the data is damaged: file is larger than its declared uncompressed size"
    );
}

#[test]
fn members_that_share_bytes_or_names_are_refused() {
    let good = three();
    let list = positions(&good, b"PK\x01\x02");
    let mut overlapping = good.clone();
    overlapping.copy_within(
        list[0] + LOCAL_HEADER..list[0] + LOCAL_HEADER + 4,
        list[1] + LOCAL_HEADER,
    );
    assert_eq!(
        error_for(&overlapping),
        "the archive is damaged: its members overlap"
    );
    let beyond = patch(good.clone(), 2, COMPRESSED, &[0xff, 0xff]);
    assert_eq!(
        error_for(&beyond),
        "the archive is damaged: its members overlap"
    );
    let mut same = good.clone();
    same[list[1] + 46] = b'a';
    assert_eq!(
        error_for(&same),
        "two members of the archive have the same name"
    );
}

/// Dropping the writer of the archive must not complete it.
#[test]
fn a_failure_leaves_no_complete_archive() {
    let folder = Folder::new();
    // The list of members is larger than the buffer of the output.
    let names: Vec<String> = (0..20_000).map(|index| format!("{index:060}")).collect();
    let kept = names.iter().map(|name| (name.as_str(), Stored, vec![]));
    let (file, ..) = floats("<f4", false, "(3,)", 3);
    let members: Vec<_> = kept.chain([("b.npy", Stored, file)]).collect();
    let bytes = patch(archive(&members), names.len(), SUM, &[1; 4]);
    folder.write("x.npz", &bytes);
    let output = folder.elu(&["run", "x.npz", "-o", "-", "--device", "cpu"]);
    let stdout = output.stdout.clone();
    assert!(stdout.len() > 1 << 20, "{}", stdout.len());
    assert!(positions(&stdout, b"PK\x01\x02").is_empty());
    let (code, _, error) = parts(output);
    let text = "elu: x.npz: member \"b\": the data is damaged: invalid checksum\n";
    assert_eq!((code, error.as_str()), (Some(1), text));
}

/// The writer of the archive prints errors itself unless it is kept from noticing them.
#[cfg(unix)]
#[test]
fn errors_of_writing_are_reported_once() {
    let folder = Folder::new();
    let array = |len: usize| floats("<f4", false, &format!("({len},)"), len).0;
    // The first fails when the end of the archive is written, because it fits into a buffer until then.
    for members in [
        vec![("a.npy", Stored, array(50_000))],
        vec![("a.npy", Stored, array(1_000_000))],
        vec![("a.npy", Deflated, array(1_000_000))],
        vec![
            ("a.npy", Stored, array(3)),
            ("b.txt", Stored, vec![7; 4_000_000]),
        ],
    ] {
        folder.write("x.npz", &archive(&members));
        let line = "ulimit -f 8; $ELU run x.npz -o y.npz --device cpu";
        let error = "elu: y.npz: needed a file of more than 8192 bytes, the limit of `ulimit -f`\n";
        assert_eq!(shell(&folder, line), (Some(1), String::new(), error.into()));
        if std::path::Path::new("/dev/full").exists() {
            assert_eq!(
                folder.error(&["run", "x.npz", "-o", "/dev/full", "--device", "cpu"]),
                "/dev/full: No space left on device (os error 28)"
            );
        }
    }
    assert_eq!(folder.names(), ["x.npz"]);
}
