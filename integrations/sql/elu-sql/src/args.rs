//! The command line.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};

use crate::identity::LONG_VERSION;

const AFTER_HELP: &str = "\
Examples:
  elu-sql query \"SELECT id, elu(embedding, 0.5) AS y FROM 'data/*.parquet'\" -o y.parquet
  elu-sql scheduler & elu-sql executor --scheduler 127.0.0.1:50050 &
  elu-sql query --cluster 127.0.0.1:50050 \"SELECT max(elu(x)) FROM '/data/*.parquet'\"

Exit codes: 0 success; 1 an error; 2 a wrong command line; 130 stopped by Ctrl-C. The file of -o appears complete or \
not at all.";

/// Run SQL with elu, selu, celu and the gradients of elu, in one process or on a cluster
#[derive(Parser)]
#[command(name = "elu-sql", version, long_version = LONG_VERSION, after_long_help = AFTER_HELP)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    Query(QueryArgs),
    Scheduler(SchedulerArgs),
    Executor(ExecutorArgs),
}

/// Run a query and print its result, or write it to a Parquet file
#[derive(Args)]
pub(crate) struct QueryArgs {
    /// The query. A file name or pattern in quotes is a table: SELECT elu(x) FROM 'data/*.parquet'
    pub(crate) sql: String,
    /// Write the result to this Parquet file, or to a directory of Parquet files if the name ends in '/'. It must not
    /// exist
    #[arg(short, long, value_name = "PATH")]
    pub(crate) output: Option<PathBuf>,
    /// Run the query on the cluster of this scheduler
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) cluster: Option<String>,
    /// How results are rounded: faithful (within 1 ULP) or nearest (the same bits on every machine)
    #[arg(long, default_value = "faithful")]
    pub(crate) rounding: String,
    /// The number of parts that a table is divided into; by default one for each core, on a cluster 16
    #[arg(long, value_name = "N")]
    pub(crate) partitions: Option<usize>,
    /// Stop the query after this time in seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) time_limit: Option<Duration>,
    /// On a cluster, cancel the query and run it again if no task finishes and no row arrives for this time. It must be
    /// longer than the longest task; more --partitions make tasks shorter
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "300")]
    pub(crate) no_progress_limit: Duration,
    /// On a cluster, how often a query is run again after the loss of an executor or without progress
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(crate) retries: usize,
    /// Wait this long for the first executor of a cluster
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "15")]
    pub(crate) wait_for_executors: Duration,
    /// The number of rows that are printed without -o
    #[arg(long, value_name = "N", default_value_t = 40)]
    pub(crate) rows: usize,
    /// Read and write files of queries only below this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
    /// Set an option of DataFusion or Ballista, as the SQL statement SET does
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub(crate) settings: Vec<String>,
    /// Print no progress
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// Start the scheduler of a cluster
#[derive(Args)]
pub(crate) struct SchedulerArgs {
    /// The address to listen on. Anybody who reaches it can run queries
    #[arg(long, default_value = "127.0.0.1", value_name = "IP")]
    pub(crate) bind: IpAddr,
    /// The port to listen on
    #[arg(long, default_value_t = 50050)]
    pub(crate) port: u16,
    /// The name or address by which executors reach this machine; by default that of --bind
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Option<String>,
    /// Take an executor for dead after this time in seconds without a heartbeat
    #[arg(long, value_name = "SECONDS", default_value_t = 8)]
    pub(crate) executor_timeout: u64,
    /// Read and write files of queries only below this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
}

/// Start an executor of a cluster
#[derive(Args)]
pub(crate) struct ExecutorArgs {
    /// The scheduler of the cluster
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) scheduler: String,
    /// The address to listen on. Anybody who reaches it can read results and run tasks
    #[arg(long, default_value = "127.0.0.1", value_name = "IP")]
    pub(crate) bind: IpAddr,
    /// The first of the two ports to listen on: this one for data, the next one for tasks
    #[arg(long, default_value_t = 50051)]
    pub(crate) port: u16,
    /// The name or address by which the scheduler and other executors reach this machine; by default that of --bind
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Option<String>,
    /// The number of tasks that run at the same time; by default one for each core
    #[arg(long, value_name = "N")]
    pub(crate) tasks: Option<usize>,
    /// The memory for sorts, joins and aggregates in MiB; what does not fit is written to the work directory
    #[arg(long, value_name = "MIB", default_value_t = 2048)]
    pub(crate) memory: u64,
    /// The directory for intermediate results; by default a temporary one, which is removed at the end
    #[arg(long, value_name = "DIR")]
    pub(crate) work_dir: Option<PathBuf>,
    /// Read and write files of queries only below this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
}

// ---- Internals ----

fn seconds(text: &str) -> Result<Duration, String> {
    let error = || format!("needed a number of seconds above 0, found {text:?}");
    let number = text.parse::<f64>().map_err(|_| error())?;
    let duration = Duration::try_from_secs_f64(number).map_err(|_| error())?;
    if duration.is_zero() {
        Err(error())
    } else {
        Ok(duration)
    }
}
