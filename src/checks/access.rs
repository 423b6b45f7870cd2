//! Can we see?

pub mod api_unreachable;
pub mod ceph_command_unavailable;
pub mod cephcluster_missing;
pub mod permission_missing;
pub mod rook_not_installed;
