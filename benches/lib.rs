//! An empty library, because a package needs a library or a binary. The benchmarks are in `elu.rs`.
