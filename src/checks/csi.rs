//! CSI.

pub mod controller_unhealthy;
pub mod csi_addons_port_conflict;
pub mod host_port_conflict;
pub mod mount_failing;
pub mod node_plugin_unhealthy;
pub mod provisioning_failing;
pub mod volume_stuck_attached;
