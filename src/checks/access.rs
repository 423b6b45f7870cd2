//! Can we see?

pub mod api_unreachable;
pub mod ceph_command_unavailable;
pub mod cephcluster_missing;
pub mod permission_missing;
pub mod rook_not_installed;
pub mod webhook_dead;

use crate::check::ObjectRef;
use crate::facts::{Facts, Gap, Kind, Select, both, kinds};
use crate::objects::kube::{MutatingWebhooks, ValidatingWebhooks, Webhook};

/// An object that tells the API server to call webhooks.
pub(crate) struct Configuration<'s> {
    pub kind: Kind,
    pub name: &'s str,
    pub webhooks: &'s [Webhook],
}

impl Configuration<'_> {
    /// Whether all its webhooks are served from this namespace.
    pub fn is_served_from(&self, namespace: &str) -> bool {
        let from = |webhook: &Webhook| {
            let service = webhook.client_config.service.as_ref();
            service.is_some_and(|service| service.namespace == namespace)
        };
        !self.webhooks.is_empty() && self.webhooks.iter().all(from)
    }

    /// `validatingwebhookconfiguration`, as kubectl takes it.
    pub fn word(&self) -> String {
        self.kind.kind.to_lowercase()
    }
}

/// The configurations that a webhook of this name is in.
pub(crate) fn configurations<'s>(facts: &Facts<'s>, webhook: &str) -> Result<Vec<Configuration<'s>>, Gap> {
    let (validating, mutating) = both(
        facts.list::<ValidatingWebhooks>(None, Select::all()),
        facts.list::<MutatingWebhooks>(None, Select::all()),
    )?;
    let validating = validating.iter().map(|it| (kinds::VALIDATING_WEBHOOKS, &it.metadata.name, &it.webhooks));
    let mutating = mutating.iter().map(|it| (kinds::MUTATING_WEBHOOKS, &it.metadata.name, &it.webhooks));
    let named = validating.chain(mutating).filter(|(.., webhooks)| webhooks.iter().any(|it| it.name == webhook));
    Ok(named.map(|(kind, name, webhooks)| Configuration { kind, name, webhooks }).collect())
}

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
