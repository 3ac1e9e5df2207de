//! Resources: connections and other things that calls share.

use std::any::Any;
use std::sync::Arc;

use crate::config::{Config, ConfigField, Object};
use crate::error::Result;
use crate::trace::guarded;

/// A connection, or another thing that calls share. Several calls may use it at once.
///
/// ```
/// use heddle_sdk::{Config, Resource, Result, Secret};
///
/// #[derive(Config)]
/// struct ServiceConfig {
///     url: String,
///     token: Secret,
/// }
///
/// struct Service { url: String }
///
/// impl Resource for Service {
///     const NAME: &'static str = "service";
///     type Config = ServiceConfig;
///
///     fn open(config: ServiceConfig) -> Result<Self> {
///         Ok(Service { url: config.url })
///     }
/// }
/// ```
pub trait Resource: Sized + Send + Sync + 'static {
    /// The name of the type of resource in programs.
    const NAME: &'static str;

    /// What it is, for users.
    const DOC: &'static str = "";

    /// Its settings; `()` for none.
    type Config: Config;

    /// Opens it.
    ///
    /// # Errors
    /// When it cannot be opened. [`Error::config`](crate::Error::config) says that the settings do not fit.
    fn open(config: Self::Config) -> Result<Self>;

    /// Looks whether it still works; the error's message is the problem.
    ///
    /// # Errors
    /// When it is not healthy.
    fn health(&self) -> Result<()> {
        Ok(())
    }

    /// Closes it. No new call can use it any more.
    ///
    /// # Errors
    /// When closing failed.
    fn close(&self) -> Result<()> {
        Ok(())
    }
}

/// A type of resource that a plugin offers.
pub(crate) struct ResourceDefinition {
    pub name: &'static str,
    pub doc: &'static str,
    pub config: Vec<ConfigField>,
    pub config_open: bool,
    pub open: fn(&Object) -> Result<Arc<dyn AnyResource>>,
}

/// A resource whose type is not known here.
pub(crate) trait AnyResource: Send + Sync {
    fn health(&self) -> Result<()>;
    fn close(&self) -> Result<()>;
    fn resource(&self) -> Arc<dyn Any + Send + Sync>;
}

struct Opened<R>(Arc<R>);

impl ResourceDefinition {
    pub fn of<R: Resource>() -> Self {
        Self {
            name: R::NAME,
            doc: R::DOC,
            config: R::Config::fields(),
            config_open: R::Config::OPEN,
            open: open::<R>,
        }
    }
}

fn open<R: Resource>(values: &Object) -> Result<Arc<dyn AnyResource>> {
    let owner = format!("resource `{}`", R::NAME);
    let config = guarded(|| R::Config::read(values).map_err(|problem| problem.of(&owner)))?;
    let resource = guarded(|| R::open(config))?;
    Ok(Arc::new(Opened(Arc::new(resource))))
}

impl<R: Resource> AnyResource for Opened<R> {
    fn health(&self) -> Result<()> {
        guarded(|| self.0.health())
    }

    fn close(&self) -> Result<()> {
        guarded(|| self.0.close())
    }

    fn resource(&self) -> Arc<dyn Any + Send + Sync> {
        self.0.clone()
    }
}
