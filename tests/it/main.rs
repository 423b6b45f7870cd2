//! The one integration binary: scenarios, the registry, properties, the command line and the API double.

// A test that cannot go on says where by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod anonymous;
mod api;
mod browser;
mod capture;
mod cli;
mod completion;
mod cost;
mod diff;
mod double;
mod engine;
mod fixes;
mod foreign;
mod formats;
mod hostile;
mod live;
mod overviews;
mod plants;
mod properties;
mod rbac;
mod redaction;
mod registry;
mod release;
mod scenarios;
mod serve;
mod support;
mod written;
