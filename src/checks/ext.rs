//! External clusters, a Proxmox VE Ceph among them.

pub mod external_credentials_wrong;
pub mod external_endpoints_stale;
pub mod external_not_connected;
pub mod external_unreachable;

use crate::facts::{Unknown, Why};

/// Ceph answered the command, and refused its user: that is not out of reach.
pub(crate) fn refuses(unknown: &Unknown) -> bool {
    matches!(&unknown.why, Why::Failed { stderr, .. } if stderr.to_lowercase().contains("permission denied"))
}
