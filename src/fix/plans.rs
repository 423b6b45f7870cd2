//! The fixes, one file each: a pure function from facts and a finding to a plan.

pub mod archive_crashes;
pub mod attachment_missing;
pub mod csi_addons_ports;
pub mod delete_webhook;
pub mod enable_application;
pub mod fail_over_mgr;
pub mod nad_routes;
pub mod raise_memory_limit;
pub mod reconcile_again;
pub mod release_addresses;
pub mod restart_kube_ovn;
pub mod restart_multus;
pub mod restart_node_plugin;
pub mod restart_operator;
pub mod restart_ovs;
pub mod rewrite_csi_config;
pub mod unset_flags;
pub mod update_toolbox;
