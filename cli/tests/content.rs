//! Tests of formats that are recognized by content: files with wrong names or without an extension, and files of other
//! formats.

use std::fs;

use crate::common::{Folder, folder_with_x, header, model, npy, parts};

#[test]
fn the_content_decides_the_format() {
    let folder = folder_with_x();
    let x = fs::read(folder.path("x.npy")).unwrap();
    let model = model();
    // The blobs of download caches have no extension.
    folder.write("blob", &model);
    folder.write("wrong.npy", &model);
    folder.write("wrong.safetensors", &x);
    folder.success(&["run", "x.npy", "--device", "cpu"]);
    folder.success(&["run", "blob", "--device", "cpu"]);
    folder.success(&["run", "wrong.npy", "--device", "cpu"]);
    folder.success(&["run", "wrong.safetensors", "--device", "cpu"]);
    let read = |name: &str| fs::read(folder.path(name)).unwrap();
    assert_eq!(read("wrong.elu.npy"), read("x.elu.npy"));
    assert_eq!(read("wrong.elu.safetensors"), read("blob.elu.safetensors"));

    assert_eq!(
        folder.usage_error(&["run", "wrong.npy", "-o", "z.npy"]),
        "z.npy: the result is a .safetensors file like INPUT: use the extension .safetensors"
    );
    let output = folder.elu_with_input(&["run", "-", "--device", "cpu"], &model);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(output.stdout, read("blob.elu.safetensors"));
}

#[test]
fn a_length_that_looks_like_another_signature_is_a_length() {
    let folder = Folder::new();
    // 0x8b1f bytes, the signature of gzip.
    let mut header = b"{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}".to_vec();
    header.resize(0x8b1f, b' ');
    let length = u64::try_from(header.len()).unwrap().to_le_bytes();
    folder.write("blob", &[&length[..], &header, &[0; 4]].concat());
    folder.success(&["run", "blob", "--device", "cpu"]);
}

#[test]
fn other_formats_are_named_with_advice() {
    let folder = Folder::new();
    let needed = "needed a .npy, .npz or .safetensors file";
    let mut old_pytorch = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.".to_vec();
    old_pytorch.extend([0x80, 2]);
    let pickle = "a pickle file, {}: load it in Python and save each array with numpy.save";
    let page =
        "a web page, {}: download the file again and check the address, which may need a login";
    for (start, text) in [
        (&b""[..], "no data, {}"),
        (
            b"x,y\n1,2\n",
            "an unknown format, {}, or --raw for numbers without a header",
        ),
        (
            b"\x1f\x8b\x08\0\0\0\0\0\0\x03",
            "a gzip file, {}: decompress it with gunzip first",
        ),
        (
            b"\x89HDF\r\n\x1a\n\0\0",
            "an HDF5 file, {}: read it with h5py and save each array with numpy.save",
        ),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n",
            "a Git LFS pointer, {}: run `git lfs pull` to get the file",
        ),
        (
            &old_pytorch,
            "a PyTorch file, {}: load it with torch.load and save its tensors with safetensors.torch.save_file",
        ),
        (b"\x80\x02]q\0.", pickle),
        (b"\x80\x03]q\0.", pickle),
        (b"\x80\x04\x95\x10\0\0\0\0\0\0\0", pickle),
        (b"\x80\x05N.", pickle),
        (b"<!DOCTYPE html><title>Sign in</title>", page),
        (b"\xef\xbb\xbf\r\n <html lang=en>", page),
    ] {
        let text = format!("found {}", text.replace("{}", needed));
        folder.write("blob", start);
        assert_eq!(folder.error(&["run", "blob"]), format!("blob: {text}"));
        let output = folder.elu_with_input(&["run", "-"], start);
        let expected = format!("elu: standard input: {text}\n");
        assert_eq!(parts(output), (Some(1), String::new(), expected));
    }
}

/// If the content is unknown, the reader of the extension explains what is wrong.
#[test]
fn the_extension_decides_if_the_content_is_unknown() {
    let folder = Folder::new();
    for (name, text) in [
        (
            "x.npy",
            "not a .npy file: it does not start with \\x93NUMPY",
        ),
        (
            "x.NPZ",
            "the archive is damaged or cut off: could not find EOCD",
        ),
        (
            "x.safetensors",
            "not a .safetensors file: the length of the header needs 8 bytes, found 7",
        ),
    ] {
        folder.write(name, b"unknown");
        assert_eq!(folder.error(&["run", name]), format!("{name}: {text}"));
    }
}

#[test]
fn the_output_is_checked_before_standard_input_is_read() {
    let folder = folder_with_x();
    let mut child = folder.start(&["run", "-", "-o", "x.npy"]);
    let _stdin = child.stdin.take(); // stays open
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        parts(output),
        (
            Some(1),
            String::new(),
            "elu: x.npy: already exists: use --force to replace it\n".into()
        )
    );
}

#[test]
fn files_of_a_few_bytes_are_refused() {
    let folder = Folder::new();
    let file = npy(1, &header("<f4", false, "(3,)"), &[0; 12]);
    for length in [1, 5, 6] {
        folder.write("blob", &file[..length]);
        let text = if length < 6 {
            "found an unknown format, needed a .npy, .npz or .safetensors file, or --raw for numbers without a header"
        } else {
            "truncated .npy header"
        };
        assert_eq!(folder.error(&["run", "blob"]), format!("blob: {text}"));
    }
}
