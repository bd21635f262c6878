//! How the processes of a cluster recognize each other's version.
//!
//! Ballista looks functions up by their names and compares only its own version. So an executor carries our version in
//! its id, which the scheduler lists, and a client in its session's settings.

use std::{any::Any, sync::LazyLock};

use ballista_core::{BALLISTA_VERSION, ids::new_instance_id};
use datafusion::{
    DATAFUSION_VERSION,
    common::{
        DataFusionError, Result,
        config::{ConfigEntry, ConfigExtension, ExtensionOptions},
    },
    execution::FunctionRegistry,
};
use wgpu_elu_datafusion::VERSION;

/// What `--version` prints.
pub(crate) static LONG_VERSION: LazyLock<String> = LazyLock::new(|| {
    format!(
        "{VERSION}\nfunctions: elu, selu, celu, elu_backward, elu_backward_from_output, and each with _nearest\n\
         DataFusion {DATAFUSION_VERSION}, Ballista {BALLISTA_VERSION}"
    )
});

/// Returns the id for a new executor.
pub(crate) fn new_executor_id() -> String {
    format!("elu-sql_{VERSION}_{}", new_instance_id())
}

/// Fails if an executor has other functions than this program. `address` is its host and port.
pub(crate) fn check_executor(id: &str, address: &str) -> anyhow::Result<()> {
    let parts: Vec<_> = id.splitn(3, '_').collect();
    match parts[..] {
        ["elu-sql", VERSION, _] => Ok(()),
        ["elu-sql", found, _] => anyhow::bail!(
            "executor {address} is elu-sql {found}, this is {VERSION}: start the same version on every machine"
        ),
        _ => anyhow::bail!(
            "executor {address} is not elu-sql {VERSION} and may lack its functions: it registered as {id:?}"
        ),
    }
}

/// The functions of a session, for the log.
pub(crate) fn functions(registry: &dyn FunctionRegistry) -> String {
    let names = wgpu_elu_datafusion::functions();
    let names: Vec<_> = names.iter().map(|function| function.name()).collect();
    let names: Vec<_> = names
        .into_iter()
        .filter(|name| registry.udf(name).is_ok())
        .collect();
    names.join(", ")
}

/// How a client identifies itself: the settings `elu_sql.version` and `elu_sql.client`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Client {
    /// The version of the client's functions. Empty for a client that is not elu-sql.
    pub(crate) version: String,
    /// An id of the client. It is also the name of its jobs.
    pub(crate) id: String,
}

impl Client {
    pub(crate) fn new() -> Self {
        Self {
            version: VERSION.into(),
            id: format!("elu-sql {}", new_instance_id()),
        }
    }

    /// Fails if the client has other functions than this scheduler.
    pub(crate) fn check(&self, scheduler: &str) -> Result<()> {
        if self.version.is_empty() || self.version == VERSION {
            return Ok(());
        }
        Err(DataFusionError::Configuration(format!(
            "scheduler {scheduler} is elu-sql {VERSION}, the client is {}: start the same version on every machine",
            self.version
        )))
    }
}

impl ConfigExtension for Client {
    const PREFIX: &'static str = "elu_sql";
}

impl ExtensionOptions for Client {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn cloned(&self) -> Box<dyn ExtensionOptions> {
        Box::new(self.clone())
    }

    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        match key {
            "version" => self.version = value.into(),
            "client" => self.id = value.into(),
            _ => {
                return Err(DataFusionError::Configuration(format!(
                    "elu_sql has the settings version and client, found {key:?}"
                )));
            }
        }
        Ok(())
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        let entry = |key: &str, value: &str, description| ConfigEntry {
            key: format!("{}.{key}", Self::PREFIX),
            value: Some(value.into()),
            description,
        };
        vec![
            entry(
                "version",
                &self.version,
                "Version of the client's functions",
            ),
            entry(
                "client",
                &self.id,
                "Id of the client, whose lease it renews",
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_executor_of_another_version_is_named() {
        assert!(check_executor(&new_executor_id(), "host:1").is_ok());
        let error = |id| {
            check_executor(id, "10.0.0.7:50051")
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            error("elu-sql_0.0.9_abc"),
            format!(
                "executor 10.0.0.7:50051 is elu-sql 0.0.9, this is {VERSION}: start the same version on every machine"
            )
        );
        assert_eq!(
            error("5d3f"),
            format!(
                "executor 10.0.0.7:50051 is not elu-sql {VERSION} and may lack its functions: it registered as \"5d3f\""
            )
        );
    }

    #[test]
    fn a_client_of_another_version_is_named() {
        let mut client = Client::new();
        assert!(client.check("127.0.0.1:50050").is_ok());
        client.set("version", "0.0.9").unwrap();
        assert_eq!(
            client
                .check("127.0.0.1:50050")
                .unwrap_err()
                .strip_backtrace(),
            format!(
                "Invalid or Unsupported Configuration: scheduler 127.0.0.1:50050 is elu-sql {VERSION}, the client is \
                 0.0.9: start the same version on every machine"
            )
        );
    }
}
