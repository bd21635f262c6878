//! Nothing but the benchmarks in `elu.rs`: a package needs a library or a binary.
