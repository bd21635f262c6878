//! Tests of `elu run` on `.safetensors` files: the results, and the files that it rejects.

use std::fs;

use conformance::native::check_results;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use wgpu_elu::{DType, accuracy::from_bytes};

use crate::common::{Folder, folder_with_x, forward_judge, model};

#[test]
fn float_tensors_are_replaced() {
    let folder = Folder::new();
    let model = model();
    folder.write("model.safetensors", &model);
    let stderr = folder.success(&["run", "model.safetensors", "--device", "cpu"]);
    assert!(
        stderr.starts_with("5 tensors of 21 elements (unchanged: ids (I64)) on CPU"),
        "{stderr}"
    );
    let written = fs::read(folder.path("model.elu.safetensors")).unwrap();
    assert_eq!(written.len(), model.len());
    let (before, after) = (
        SafeTensors::deserialize(&model).unwrap(),
        SafeTensors::deserialize(&written).unwrap(),
    );
    let (_, metadata) = SafeTensors::read_metadata(&written).unwrap();
    assert_eq!(metadata.metadata().as_ref().unwrap()["made by"], "a test");
    for (name, x) in before.iter() {
        let y = after.tensor(name).unwrap();
        assert_eq!((x.dtype(), x.shape()), (y.dtype(), y.shape()));
        let dtype = match x.dtype() {
            Dtype::F16 => DType::F16,
            Dtype::BF16 => DType::BF16,
            Dtype::F32 => DType::F32,
            Dtype::F64 => DType::F64,
            _ => {
                assert_eq!(x.data(), y.data());
                continue;
            }
        };
        let [x, y] = [x, y].map(|view| from_bytes(dtype, view.data()));
        check_results(name, forward_judge(dtype), &x, &[], &y);
    }

    let stderr = folder.success(&[
        "run",
        "model.safetensors",
        "--tensor",
        "brain",
        "-o",
        "one.safetensors",
    ]);
    assert!(
        stderr.starts_with("1 tensor of 7 elements (unchanged: "),
        "{stderr}"
    );
    let one = fs::read(folder.path("one.safetensors")).unwrap();
    let one = SafeTensors::deserialize(&one).unwrap();
    assert_eq!(
        one.tensor("brain").unwrap().data(),
        after.tensor("brain").unwrap().data()
    );
    assert_eq!(
        one.tensor("half").unwrap().data(),
        before.tensor("half").unwrap().data()
    );
}

#[test]
fn unsuitable_safetensors_files_are_refused() {
    let folder = Folder::new();
    let model = model();
    folder.write("model.safetensors", &model);
    folder.write("short.safetensors", &model[..200]);
    folder.write("cut.safetensors", &model[..model.len() - 3]);
    folder.write("long.safetensors", &[&model[..], &[0; 2]].concat());
    folder.write("start.safetensors", &model[..6]);
    folder.write("ids.safetensors", &{
        let view = TensorView::new(Dtype::I64, vec![2], &[0; 16]).unwrap();
        safetensors::serialize([("ids", view)], None).unwrap()
    });
    let header = br#"{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"b":{"dtype":"F33","shape":[0],"data_offsets":[0,0]}}"#;
    let length = (header.len() as u64).to_le_bytes();
    folder.write("dtype.safetensors", &[&length[..], header].concat());
    let header = br#"{"__metadata__":{"dtype":"bf16"},"x":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#;
    let length = (header.len() as u64).to_le_bytes();
    folder.write("offsets.safetensors", &[&length[..], header].concat());
    fs::create_dir(folder.path("folder.safetensors")).unwrap();
    for (args, text) in [
        (
            &["model.safetensors", "--tensor", "no"][..],
            "model.safetensors: no tensor named \"no\"",
        ),
        (
            &["model.safetensors", "--tensor", "ids"],
            "model.safetensors: tensor \"ids\" is I64, needed F16, BF16, F32 or F64",
        ),
        (
            &["ids.safetensors"],
            "ids.safetensors: no tensor of F16, BF16, F32 or F64",
        ),
        (
            &["short.safetensors"],
            "short.safetensors: not a .safetensors file: the header needs 400 bytes, found 192",
        ),
        (
            &["start.safetensors"],
            "start.safetensors: not a .safetensors file: the length of the header needs 8 bytes, found 6",
        ),
        (
            &["cut.safetensors"],
            "cut.safetensors: the tensors need 88 bytes of data, found 85",
        ),
        (
            &["long.safetensors"],
            "long.safetensors: the tensors need 88 bytes of data, found 90",
        ),
        (
            &["dtype.safetensors"],
            "dtype.safetensors: not a .safetensors file: tensor \"b\" has the unknown dtype \"F33\"",
        ),
        (
            &["offsets.safetensors"],
            "offsets.safetensors: not a .safetensors file: invalid shape, data type, or offset for tensor",
        ),
        (
            &["folder.safetensors"],
            "folder.safetensors: needed a .npy, .npz or .safetensors file, found a directory",
        ),
    ] {
        let stderr = folder.error(&[&["run"], args, &["-o", "y.safetensors"]].concat());
        assert_eq!(stderr, text);
    }
    let output = folder_with_x().elu(&["run", "x.npy", "--tensor", "a"]);
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("--tensor needs a .npz or .safetensors file as INPUT"));
}

#[test]
fn the_summary_of_many_tensors_is_short() {
    let folder = Folder::new();
    let view = || TensorView::new(Dtype::U8, vec![1], &[7]).unwrap();
    let ids = (0..100_000).map(|index| (format!("layer.{index}.ids"), view()));
    let float = TensorView::new(Dtype::F32, vec![1], &[0; 4]).unwrap();
    let tensors = ids.chain([("x".to_owned(), float)]);
    let bytes = safetensors::serialize(tensors, None).unwrap();
    folder.write("many.safetensors", &bytes);
    let stderr = folder.success(&["run", "many.safetensors", "--device", "cpu"]);
    let list = "layer.0.ids (U8), layer.1.ids (U8), layer.10.ids (U8)";
    let start = format!("1 tensor of 1 element (unchanged: {list} and 99997 more) on CPU");
    assert!(stderr.starts_with(&start), "{stderr}");
    assert!(stderr.len() <= 200, "{stderr}");

    assert_eq!(
        folder.error(&[
            "run",
            "many.safetensors",
            "--tensor",
            "layer.77777.idz",
            "-o",
            "-"
        ]),
        "many.safetensors: no tensor named \"layer.77777.idz\"; similar names: \"layer.77777.ids\", \
         \"layer.7777.ids\", \"layer.777.ids\""
    );
}
