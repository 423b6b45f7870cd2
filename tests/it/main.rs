//! The one integration binary: scenarios, the registry, properties, the command line and the API double.

// A test that cannot go on says where by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod anonymous;
mod api;
mod browser;
mod capture;
mod cli;
mod completion;
mod contexts;
mod cost;
mod diff;
mod double;
mod engine;
mod fixes;
mod foreign;
mod formats;
mod hostile;
mod languages;
mod live;
mod manifests;
mod overviews;
mod plants;
mod properties;
mod publish;
mod rbac;
#[cfg(unix)]
mod readme;
mod redaction;
mod registry;
mod release;
mod scenarios;
mod serve;
mod support;
mod suppress;
mod timeline;
mod waiting;
mod written;
