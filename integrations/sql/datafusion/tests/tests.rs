//! The tests of the functions, without a query engine. `elu-sql` tests them in queries.

mod bounds; // what the planner assumes about results: range and order
mod errors; // messages, word for word
mod memory; // which buffers are reused
mod nested; // lists, dictionaries and slices
mod planning; // types, nullability, metadata, documentation and settings
mod support; // calls a function as DataFusion does
mod values; // numbers, nulls and alpha
