//! The command line.

use std::{fmt, net::IpAddr, path::PathBuf, time::Duration};

use clap::{
    Args, CommandFactory, Parser, Subcommand, ValueEnum, builder::RangedU64ValueParser,
    error::ErrorKind, value_parser,
};

use crate::{api::in_address, identity::LONG_VERSION};

const AFTER_HELP: &str = "\
Examples:
  elu-sql query \"SELECT id, elu(embedding, 0.5) AS y FROM 'data/*.parquet'\" -o y.parquet
  elu-sql scheduler & elu-sql executor --scheduler 127.0.0.1:50050 &
  elu-sql query --cluster 127.0.0.1:50050 \"SELECT max(elu(x)) FROM '/data/*.parquet'\"

Exit codes: 0 success; 1 an error; 2 a wrong command line; a query returns 130 after Ctrl-C and 143 after SIGTERM. The file \
of -o appears complete or not at all.";

/// Run SQL with elu, selu, celu and the gradients of elu, in one process or on a cluster
#[derive(Parser)]
#[command(name = "elu-sql", version, long_version = LONG_VERSION.as_str(), after_long_help = AFTER_HELP)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

impl Cli {
    /// Parses the command line of this process.
    pub(crate) fn command_line() -> Result<Command, clap::Error> {
        let command = Self::try_parse()?.command;
        let address = match &command {
            Command::Query(_) => None,
            Command::Scheduler(args) => Some(&args.address),
            Command::Executor(args) => Some(&args.address),
        };
        match address {
            Some(AddressArgs { bind, host: None }) if bind.is_unspecified() => {
                let message = format!(
                    "--bind {bind} needs --host: the name by which others reach this machine"
                );
                Err(Self::command().error(ErrorKind::MissingRequiredArgument, message))
            }
            _ => Ok(command),
        }
    }
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
    #[arg(long, value_name = "HOST:PORT", value_parser = host_port)]
    pub(crate) cluster: Option<HostPort>,
    /// How results are rounded
    #[arg(long, value_enum, default_value_t = Rounding::Faithful)]
    pub(crate) rounding: Rounding,
    /// The number of parts that a table is divided into; by default one for each core, on a cluster 16
    #[arg(long, value_name = "N", value_parser = at_least_1())]
    pub(crate) partitions: Option<usize>,
    /// Stop the query after this time in seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) time_limit: Option<Duration>,
    /// On a cluster, cancel the query and run it again if no task finishes and no row arrives for this time. Waiting for
    /// other jobs counts. It must be longer than the longest task; more --partitions make tasks shorter
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "300")]
    pub(crate) no_progress_limit: Duration,
    /// On a cluster, run the query again at most N times after the loss of an executor or without progress
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(crate) retries: usize,
    /// Wait this long for the first executor of a cluster
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "15")]
    pub(crate) wait_for_executors: Duration,
    /// The number of rows that are printed without -o
    #[arg(long, value_name = "N", default_value_t = 40)]
    pub(crate) rows: usize,
    /// Let the query read and write files only below this directory. It does not limit -o. On a cluster, give it to the
    /// scheduler and to every executor as well
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
    /// Set an option of DataFusion or Ballista, as the SQL statement SET does
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting)]
    pub(crate) settings: Vec<(String, String)>,
    /// Print no progress
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// Start the scheduler of a cluster
#[derive(Args)]
pub(crate) struct SchedulerArgs {
    #[command(flatten)]
    pub(crate) address: AddressArgs,
    /// The port to listen on
    #[arg(long, default_value_t = 50050, value_parser = value_parser!(u16).range(1..))]
    pub(crate) port: u16,
    /// Consider an executor dead after this time in seconds without a heartbeat. There is one every 2 seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 8, value_parser = value_parser!(u64).range(5..))]
    pub(crate) executor_timeout: u64,
    /// Let queries read and write files only below this directory. Give it to every executor as well
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
}

/// Start an executor of a cluster
#[derive(Args)]
pub(crate) struct ExecutorArgs {
    /// The scheduler of the cluster
    #[arg(long, value_name = "HOST:PORT", value_parser = host_port)]
    pub(crate) scheduler: HostPort,
    #[command(flatten)]
    pub(crate) address: AddressArgs,
    /// The first of the two ports to listen on: this one for data, the next one for tasks
    #[arg(long, default_value_t = 50051, value_parser = value_parser!(u16).range(1..=65534))]
    pub(crate) port: u16,
    /// The number of tasks that run at the same time; by default one for each core
    #[arg(long, value_name = "N", value_parser = at_least_1())]
    pub(crate) tasks: Option<usize>,
    /// The memory for sorts, joins and aggregates in MiB; what does not fit is written to the work directory
    #[arg(long, value_name = "MIB", default_value_t = 2048, value_parser = value_parser!(u64).range(1..=1 << 30))]
    pub(crate) memory: u64,
    /// The directory for intermediate results; by default a temporary one, which is removed at the end
    #[arg(long, value_name = "DIR")]
    pub(crate) work_dir: Option<PathBuf>,
    /// Let tasks read and write files only below this directory. Give it to the scheduler as well
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
}

/// Where a server listens.
#[derive(Args)]
pub(crate) struct AddressArgs {
    /// The address to listen on. Anyone who reaches it can run queries and read results
    #[arg(long, default_value = "127.0.0.1", value_name = "IP")]
    pub(crate) bind: IpAddr,
    /// The name or address by which other machines reach this one; by default that of --bind
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Option<String>,
}

impl AddressArgs {
    /// Returns the name by which others reach this process, as addresses contain it.
    pub(crate) fn host(&self) -> String {
        match &self.host {
            Some(host) => in_address(host),
            None => self.bind_host(),
        }
    }

    /// Returns the address to listen on, as addresses with a port contain it.
    pub(crate) fn bind_host(&self) -> String {
        in_address(&self.bind.to_string())
    }
}

/// A host, with brackets if it is an IPv6 address, and a port.
#[derive(Clone, Debug)]
pub(crate) struct HostPort {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// How results are rounded.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Rounding {
    /// Within 1 ULP
    Faithful,
    /// The same bits on every machine
    Nearest,
}

impl Rounding {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Faithful => "faithful",
            Self::Nearest => "nearest",
        }
    }
}

// ---- Internals ----

fn at_least_1() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..)
}

fn host_port(text: &str) -> Result<HostPort, String> {
    let parts = text.rsplit_once(':').and_then(|(host, port)| {
        let is_host = !host.is_empty() && (!host.contains(':') || host.starts_with('['));
        Some((host, port.parse().ok()?)).filter(|_| is_host)
    });
    match parts {
        Some((host, port)) => Ok(HostPort {
            host: host.into(),
            port,
        }),
        None => Err("needed HOST:PORT, or [ADDRESS]:PORT for an IPv6 address".into()),
    }
}

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) => Ok((name.into(), value.into())),
        None => Err("needed NAME=VALUE".into()),
    }
}

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
