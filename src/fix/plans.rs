//! The fixes, one file each: a pure function from facts and a finding to a plan.

pub mod enable_application;
pub mod restart_ovs;
