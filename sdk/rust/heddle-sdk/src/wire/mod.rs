//! The messages of the plugin protocol, generated from `heddle/udf_bridge/plugin.proto` (`make generate`).

#[allow(missing_docs, clippy::all, clippy::undocumented_unsafe_blocks)]
mod generated;

pub use generated::*;
