//! The one integration binary: scenarios, the registry, properties, the command line and the API double.

// A test that cannot go on says where by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod api;
mod cli;
mod cost;
mod double;
mod engine;
mod fixes;
mod live;
mod overviews;
mod properties;
mod registry;
mod scenarios;
mod serve;
mod support;
mod written;
