//! Can we see?

pub mod api_unreachable;
pub mod ceph_command_unavailable;
pub mod cephcluster_missing;
pub mod permission_missing;
pub mod rook_not_installed;

use crate::check::ObjectRef;

/// The API server itself, which no object stands for.
pub(crate) fn api_server() -> ObjectRef {
    ObjectRef {
        api_version: String::new(),
        kind: "APIServer".to_owned(),
        namespace: String::new(),
        name: "kubernetes".to_owned(),
        stable: None,
    }
}
