//! The fixes, one file each: a pure function from facts and a finding to a plan.

pub mod restart_kube_ovn;
pub mod restart_multus;
pub mod restart_node_plugin;
pub mod restart_ovs;
