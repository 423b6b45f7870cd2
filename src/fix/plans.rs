//! The fixes, one file each: a pure function from facts and a finding to a plan.

pub mod csi_addons_ports;
pub mod raise_memory_limit;
pub mod restart_ovs;
pub mod rewrite_csi_config;
