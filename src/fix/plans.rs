//! The fixes, one file each: a pure function from facts and a finding to a plan.

pub mod attachment_missing;
pub mod nad_routes;
pub mod restart_ovs;
