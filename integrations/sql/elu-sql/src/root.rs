//! Files only below one directory.

use std::{
    fmt, io,
    ops::Range,
    path::{Path as FilePath, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use datafusion::{
    common::{Result, exec_err, plan_err},
    execution::object_store::ObjectStoreRegistry,
};
use futures::{StreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, local::LocalFileSystem,
    path::Path,
};
use url::Url;

/// Gives queries the files below one directory, and nothing else.
#[derive(Debug)]
pub(crate) struct Registry(Arc<Confined>);

impl Registry {
    /// Fails unless `root` is a directory.
    pub(crate) fn new(root: &FilePath) -> Result<Self> {
        match root.canonicalize() {
            Ok(root) if root.is_dir() => Ok(Self(Arc::new(Confined {
                root,
                files: LocalFileSystem::new(),
            }))),
            Ok(_) => plan_err!(
                "--root needs a directory, found the file {}",
                root.display()
            ),
            Err(error) => plan_err!("--root {}: {error}", root.display()),
        }
    }
}

impl ObjectStoreRegistry for Registry {
    fn register_store(
        &self,
        _url: &Url,
        _store: Arc<dyn ObjectStore>,
    ) -> Option<Arc<dyn ObjectStore>> {
        None
    }

    fn get_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        if url.scheme() == "file" {
            return Ok(Arc::clone(&self.0) as _);
        }
        exec_err!(
            "{url} is outside of {}, the only directory that queries may use (--root)",
            self.0.root.display()
        )
    }
}

// ---- Internals ----

/// The file system with a check of every path.
#[derive(Debug)]
struct Confined {
    /// The directory, without symbolic links.
    root: PathBuf,
    files: LocalFileSystem,
}

impl Confined {
    /// Fails unless the path, with its symbolic links followed, leads below the root.
    fn check(&self, location: &Path) -> object_store::Result<()> {
        let path = self.files.path_to_filesystem(location)?;
        // A file that does not exist yet is where its nearest existing directory is.
        let existing = path.ancestors().find_map(|path| path.canonicalize().ok());
        if existing.is_some_and(|existing| existing.starts_with(&self.root)) {
            return Ok(());
        }
        Err(Error::PermissionDenied {
            path: path.display().to_string(),
            source: Box::new(io::Error::other(format!(
                "{} is outside of {}, the only directory that queries may use (--root)",
                path.display(),
                self.root.display()
            ))),
        })
    }

    fn check_prefix(&self, prefix: Option<&Path>) -> object_store::Result<()> {
        self.check(prefix.unwrap_or(&Path::default()))
    }
}

impl fmt::Display for Confined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "files below {}", self.root.display())
    }
}

#[async_trait]
impl ObjectStore for Confined {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        self.check(location)?;
        self.files.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.check(location)?;
        self.files.put_multipart_opts(location, options).await
    }

    async fn get_opts(
        &self,
        location: &Path,
        options: GetOptions,
    ) -> object_store::Result<GetResult> {
        self.check(location)?;
        self.files.get_opts(location, options).await
    }

    async fn get_ranges(
        &self,
        location: &Path,
        ranges: &[Range<u64>],
    ) -> object_store::Result<Vec<Bytes>> {
        self.check(location)?;
        self.files.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        _locations: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        let error = Error::NotSupported {
            source: "with --root, queries delete no files".into(),
        };
        futures::stream::once(async { Err(error) }).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        match self.check_prefix(prefix) {
            Ok(()) => self.files.list(prefix),
            Err(error) => futures::stream::once(async { Err(error) }).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.check_prefix(prefix)?;
        self.files.list_with_delimiter(prefix).await
    }

    async fn copy_opts(
        &self,
        from: &Path,
        to: &Path,
        options: CopyOptions,
    ) -> object_store::Result<()> {
        self.check(from)?;
        self.check(to)?;
        self.files.copy_opts(from, to, options).await
    }
}
