//! Where a configuration comes from: file, environment, or defaults alone.

use super::Config;
use super::values::ConfigValues;
use crate::error::{Failure, Fault};
use std::path::Path;

impl Config {
    /// Reads `path` (without one: `./causeway.toml` if it is there, else defaults), then the variables of `environment`.
    ///
    /// Relative paths of the file, and of defaults beside it, stand in its folder; those of the environment in the working
    /// directory.
    ///
    /// # Errors
    /// [`Fault::ConfigInvalid`] naming the key in `expressions()`; [`Fault::InputUnreadable`] when `path` cannot be read.
    pub fn load(
        path: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Config, Failure> {
        let implicit = Path::new("causeway.toml");
        let path = path.or_else(|| implicit.is_file().then_some(implicit));
        let mut values = ConfigValues::defaults()?;
        if let Some(path) = path {
            let text = std::fs::read_to_string(path).map_err(|error| {
                Failure::new(Fault::InputUnreadable)
                    .at(path.display().to_string())
                    .because(error)
            })?;
            values.take_file(&text, path.parent().unwrap_or(Path::new("")))?;
        }
        values.take_environment(environment)?;
        values.finish(path.map(Path::to_path_buf))
    }

    /// The defaults alone: no file, no environment.
    ///
    /// # Errors
    /// None that these defaults give.
    pub fn defaults() -> Result<Config, Failure> {
        ConfigValues::defaults()?.finish(None)
    }

    /// [`Config::load`] with this process's environment; variables that are not Unicode are passed over.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn from_environment(path: Option<&Path>) -> Result<Config, Failure> {
        let unicode =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Config::load(path, unicode)
    }
}
