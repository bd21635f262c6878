//! The operation, and the file with the incoming gradient, which has the form of INPUT.

use std::{
    collections::HashMap,
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use wgpu_elu::{DType, Op};

use crate::{
    bytes::Ordered,
    device_args::ops,
    entries::Entry,
    input::Input,
    npy::{self, Elements, Form},
    npz,
    safetensors::{self, Tensors},
};

/// The arguments for the operation.
#[derive(clap::Args)]
pub(super) struct OpArgs {
    /// The operation: ELU or a gradient
    ///
    /// The gradients need --grad. backward-from-output is the gradient, computed from the output of ELU, which INPUT
    /// then contains.
    #[arg(long, default_value = "forward", value_parser = ops(), ignore_case = true)]
    pub(super) op: Op,
    /// The incoming gradient: a file like INPUT
    ///
    /// It is the gradient with respect to the output of the function; `-` is standard input. A .npy file must have the
    /// shape, dtype and axis order of INPUT. A .npz or .safetensors file must have such an array, under the same name,
    /// for each array of INPUT that is replaced. With --raw, FILE must have as many elements as INPUT. INPUT must be
    /// one file.
    #[arg(long, value_name = "FILE")]
    pub(super) grad: Option<PathBuf>,
}

impl OpArgs {
    /// Returns a usage error if the arguments contradict each other or `inputs`.
    pub(super) fn check(&self, inputs: &[PathBuf]) -> Result<()> {
        let stdin = Path::new("-");
        match &self.grad {
            None if self.op.has_grad() => Err(crate::conflict(&format!(
                "--op {} needs the incoming gradient: add --grad FILE",
                self.op
            ))),
            Some(_) if !self.op.has_grad() => Err(crate::conflict(
                "--grad needs --op backward or --op backward-from-output",
            )),
            Some(_) if inputs.len() > 1 => Err(crate::conflict(&format!(
                "--grad belongs to one file, but INPUT is {} files: run them one by one",
                inputs.len()
            ))),
            Some(grad) if grad == stdin && inputs[0] == stdin => Err(crate::conflict(
                "INPUT and --grad are both standard input: save one of them to a file",
            )),
            _ => Ok(()),
        }
    }

    /// Opens INPUT, and the file with the incoming gradient if the operation takes it, which must have the same format.
    pub(super) fn open(&self, path: &Path, raw: Option<DType>) -> Result<(Input, Option<Input>)> {
        let open_grad = || {
            self.grad
                .as_deref()
                .map(|path| Input::open(path, raw))
                .transpose()
        };
        // A file that cannot be read is reported before the command waits for standard input.
        let (x, grad) = if path == Path::new("-") {
            let grad = open_grad()?;
            (Input::open(path, raw)?, grad)
        } else {
            (Input::open(path, raw)?, open_grad()?)
        };
        if let Some(grad) = &grad {
            ensure!(
                grad.format() == x.format(),
                "{}: needed a .{} file like INPUT, found a .{} file",
                grad.name(),
                x.format().id(),
                grad.format().id()
            );
        }
        Ok((x, grad))
    }
}

/// A reader of incoming gradients, in this machine's byte order.
pub(super) type Grads<'a> = Box<dyn Read + 'a>;

/// Returns the elements of a `.npy` file, which must have the form of `x`.
pub(super) fn from_npy(
    input: Input,
    x: &Form,
    dtype: Option<DType>,
) -> Result<Elements<Box<dyn Read>>> {
    let name = input.name().to_owned();
    let (reader, size) = input.into_reader()?;
    let read = || -> Result<_> {
        let (form, elements) = npy::read(reader, size, dtype)?;
        check_form(x, &form)?;
        Ok(elements)
    };
    read().with_context(|| name)
}

/// The gradients in a `.npz` file.
pub(super) struct NpzGrads {
    archive: npz::Archive<File>,
    /// The index of the member for each member of INPUT that is replaced.
    indices: Vec<Option<usize>>,
}

impl NpzGrads {
    /// Finds the gradient for each member of `x` that is replaced: those that have a dtype in `dtypes`. `untyped` is
    /// the dtype of elements without a type, as in [`npy::read`].
    pub(super) fn open(
        input: Input,
        x: &mut npz::Archive<File>,
        dtypes: &[Option<DType>],
        untyped: Option<DType>,
    ) -> Result<Self> {
        let file = input.name().to_owned();
        let file = || file.clone();
        let mut archive = npz::Archive::open(input.into_file()?, untyped).with_context(file)?;
        let indices = find(x.entries(), dtypes, archive.entries(), "array").with_context(file)?;
        for (index, grad) in indices.iter().enumerate() {
            let Some(grad) = *grad else { continue };
            let (form, _) = x.array(index)?;
            let mut check = || check_form(&form, &archive.array(grad)?.0);
            let checked = check();
            let name = || format!("{}: array {:?}", file(), x.entries()[index].name);
            checked.with_context(name)?;
        }
        Ok(Self { archive, indices })
    }

    /// Returns the gradients for the member of INPUT with this index, which must be replaced.
    pub(super) fn reader(&mut self, index: usize) -> Result<Grads<'_>> {
        let index = self.indices[index].context("no gradient")?;
        Ok(Box::new(self.archive.array(index)?.1))
    }
}

/// The gradients in a `.safetensors` file. Its tensors may be in another order than those of INPUT.
pub(super) struct SafetensorsGrads {
    file: File,
    tensors: Tensors,
    /// The position of each tensor's data in the file.
    positions: Vec<u64>,
    /// The index of the tensor for each tensor of INPUT that is replaced.
    indices: Vec<Option<usize>>,
}

impl SafetensorsGrads {
    /// Finds the gradient for each tensor of `x` that is replaced: those that have a dtype in `dtypes`.
    pub(super) fn open(input: Input, x: &[Entry], dtypes: &[Option<DType>]) -> Result<Self> {
        let name = input.name().to_owned();
        let file = input.into_file()?;
        let open = || -> Result<_> {
            let size = file.metadata()?.len();
            let (tensors, _) = safetensors::read(&file, Some(size))?;
            let indices = find(x, dtypes, tensors.entries(), "tensor")?;
            for (x, index) in x.iter().zip(&indices) {
                let Some(index) = *index else { continue };
                let form = |entry: &Entry| format!("shape {:?} of {}", entry.shape, entry.stored);
                let checked = check_same(&form(x), &form(&tensors.entries()[index]));
                checked.with_context(|| format!("tensor {:?}", x.name))?;
            }
            Ok((tensors, indices))
        };
        let (tensors, indices) = open().with_context(|| name)?;
        Ok(Self {
            file,
            positions: tensors.positions(),
            tensors,
            indices,
        })
    }

    /// Returns the gradients for the tensor of INPUT with this index, which must be replaced.
    pub(super) fn reader(&self, index: usize) -> Result<Grads<'_>> {
        let index = self.indices[index].context("no gradient")?;
        let entry = &self.tensors.entries()[index];
        let element_size = entry.dtype.map_or(1, DType::size);
        let mut file = &self.file;
        file.seek(SeekFrom::Start(self.positions[index]))?;
        let data = file.take(entry.size);
        Ok(Box::new(Ordered::new(
            data,
            element_size,
            safetensors::BIG_ENDIAN,
        )))
    }
}

/// Fails unless both texts, which describe the data of INPUT and of the gradient, are the same.
pub(super) fn check_same(needed: &str, found: &str) -> Result<()> {
    ensure!(needed == found, "needed {needed} like INPUT, found {found}");
    Ok(())
}

// ---- Internals ----

/// Fails unless the gradient has the form of `x`. The byte order may differ.
fn check_form(x: &Form, grad: &Form) -> Result<()> {
    let describe = |form: &Form| {
        // The axis order of fewer than two axes has no meaning.
        let order = match (form.shape().len(), form.is_fortran_order()) {
            (0 | 1, _) => "",
            (_, true) => " in Fortran order",
            (_, false) => " in C order",
        };
        format!("shape {:?} of {}{order}", form.shape(), form.dtype())
    };
    check_same(&describe(x), &describe(grad))
}

/// Returns for each entry of INPUT that is replaced the index of the entry of the same name in `grads`. `one` is the
/// format's word for an entry.
fn find(
    x: &[Entry],
    dtypes: &[Option<DType>],
    grads: &[Entry],
    one: &str,
) -> Result<Vec<Option<usize>>> {
    let by_name = grads.iter().enumerate();
    let by_name: HashMap<_, _> = by_name.map(|(i, grad)| (&*grad.name, i)).collect();
    let mut indices = Vec::with_capacity(x.len());
    for (entry, dtype) in x.iter().zip(dtypes) {
        let index = by_name.get(&*entry.name).copied();
        indices.push(match (dtype, index) {
            (None, _) => None,
            (Some(_), Some(index)) => Some(index),
            (Some(_), None) => bail!(
                "no {one} named {:?}, whose gradient INPUT needs",
                entry.name
            ),
        });
    }
    Ok(indices)
}
