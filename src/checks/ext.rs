//! External clusters, a Proxmox VE Ceph among them.

pub mod external_endpoints_stale;
pub mod external_not_connected;
pub mod external_unreachable;
