//! Tests of the command `elu-sql`. `scripts/cluster` tests clusters under load, and kills their processes.

mod cluster; // a scheduler and executors: versions, functions, errors
mod files; // -o and --root
mod functions; // the functions in SQL
mod messages; // errors on one line, signals, time limits
mod support; // runs the command
