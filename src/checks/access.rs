//! Can we see?

pub mod api_unreachable;
pub mod ceph_command_unavailable;
pub mod cephcluster_missing;
pub mod permission_missing;
pub mod rook_not_installed;
pub mod webhook_dead;

use crate::check::ObjectRef;

/// A webhook by the name that the API server calls it in its messages; they do not name its configuration.
pub(crate) fn webhook_object(name: &str) -> ObjectRef {
    ObjectRef {
        api_version: "admissionregistration.k8s.io/v1".to_owned(),
        kind: "Webhook".to_owned(),
        namespace: String::new(),
        name: name.to_owned(),
        stable: None,
    }
}

/// The webhook that a message says could not be called.
pub(crate) fn failed_webhook(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("failed calling webhook \"")?;
    rest.split_once('"').map(|(name, _)| name)
}

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
