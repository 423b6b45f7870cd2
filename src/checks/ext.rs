//! External clusters, a Proxmox VE Ceph among them.

pub mod external_credentials_wrong;
pub mod external_endpoints_stale;
pub mod external_not_connected;
pub mod external_unreachable;
pub mod provider_needs;

/// Ceph was reached, and said no: that is a matter of credentials.
pub(crate) fn is_refusal(error: &str) -> bool {
    ["ermission denied", "EACCES", "EPERM", "not permitted", "handle_auth_bad_method", "keyring"]
        .iter()
        .any(|words| error.contains(words))
}
