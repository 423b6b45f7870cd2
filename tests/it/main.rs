//! The one integration binary: scenarios, the registry, properties, the command line and the API double.

mod api;
mod cli;
mod double;
mod engine;
mod live;
mod properties;
mod registry;
mod scenarios;
mod support;
