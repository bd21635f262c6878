//! The session setting.

use std::any::Any;

use datafusion_common::{
    DataFusionError, Result,
    config::{ConfigEntry, ConfigExtension, ConfigOptions, ExtensionOptions},
};
use wgpu_elu::Rounding;

/// The settings of a session: `wgpu_elu.rounding`, which is `faithful` (the default) or `nearest`.
///
/// Add them when you create the session: `SessionConfig::new().with_option_extension(Settings::default())`. SQL can
/// then change them: `SET wgpu_elu.rounding = 'nearest'`.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Settings {
    /// How results are rounded. See [the crate's documentation](crate#rounding).
    pub rounding: Rounding,
}

impl ConfigExtension for Settings {
    const PREFIX: &'static str = "wgpu_elu";
}

impl ExtensionOptions for Settings {
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
        let error = |message| Err(DataFusionError::Configuration(message));
        self.rounding = match (key, value) {
            ("rounding", "faithful") => Rounding::Faithful,
            ("rounding", "nearest") => Rounding::Nearest,
            ("rounding", _) => {
                return error(format!(
                    "wgpu_elu.rounding must be faithful or nearest, found {value:?}"
                ));
            }
            _ => {
                return error(format!("wgpu_elu has the setting rounding, found {key:?}"));
            }
        };
        Ok(())
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        vec![ConfigEntry {
            key: "wgpu_elu.rounding".into(),
            value: Some(self.rounding.name().into()),
            description: "Rounding of elu, selu, celu and gradients: faithful (within 1 ULP) or nearest (the same \
                          bits on every machine)",
        }]
    }
}

// ---- Internals ----

/// Returns the rounding that a session asks for. Without [`Settings`] it is faithful.
pub(crate) fn rounding(options: &ConfigOptions) -> Rounding {
    options
        .extensions
        .get::<Settings>()
        .map_or(Rounding::Faithful, |settings| settings.rounding)
}
