//! Tests of `elu run` on `.safetensors` files: the results, and the files that it rejects.

use std::fs;

use conformance::native::check_results;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use wgpu_elu::{DType, accuracy::from_bytes};

use crate::common::{Folder, forward_judge, model};

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
    folder.write("model.safetensors", &model());
    folder.write("short.safetensors", &model()[..200]);
    folder.write("ids.safetensors", &{
        let view = TensorView::new(Dtype::I64, vec![2], &[0; 16]).unwrap();
        safetensors::serialize([("ids", view)], None).unwrap()
    });
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
            "short.safetensors: not a .safetensors file: invalid header length",
        ),
        (
            &["folder.safetensors"],
            "folder.safetensors: needed a .safetensors file, found a directory",
        ),
    ] {
        let stderr = folder.error(&[&["run"], args, &["-o", "y.safetensors"]].concat());
        assert_eq!(stderr, text);
    }
    let output = folder.elu(&["run", "x.npy", "--tensor", "a"]);
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("--tensor needs a .safetensors file as INPUT"));
}
