//! The registry: every check, by area, in the order of the catalogue.

pub mod net;

use crate::check::Check;

/// Every check, in the order of the catalogue.
pub static ALL: &[&Check] = &[&net::nad_default_route::CHECK];

/// Codes that existed once and are never reused, each with the check that took over.
pub const RETIRED: &[(&str, &str)] = &[("OSD015", "CEPH006")];
