//! Multus and network attachments.

pub mod attachment_missing;
pub mod multus_daemon_down;
pub mod multus_init_crash;
pub mod multus_missing;
pub mod nad_default_route;
pub mod nad_gateway;
pub mod nad_host_local_shared;
pub mod nad_invalid;
pub mod nad_missing;
pub mod sandbox_failing;

use crate::check::{ObjectRef, Place};
use crate::facts::{Facts, Gap};
use crate::objects::multus::{NetworkAttachment, Selection, selections};

/// A network that the CephCluster puts its daemons on.
pub(crate) struct StorageNetwork<'s> {
    /// `public` or `cluster`.
    pub role: &'s str,
    pub selection: Selection,
    /// None if it does not exist.
    pub attachment: Option<&'s NetworkAttachment>,
}

impl StorageNetwork<'_> {
    pub fn object(&self) -> ObjectRef {
        ObjectRef::new(crate::facts::kinds::NETWORK_ATTACHMENT, &self.selection.ns, &self.selection.name)
    }

    pub fn place(&self) -> Place {
        Place::Network(self.selection.full_name())
    }
}

/// The networks that the CephCluster's selectors name, `public` before `cluster`; each NAD once, as both
/// selectors may name the same. None unless the provider is Multus.
pub(crate) fn storage_networks<'s>(facts: &Facts<'s>) -> Result<Vec<StorageNetwork<'s>>, Gap> {
    let cluster = facts.ceph_cluster()?;
    if cluster.spec.network.provider != "multus" {
        return Ok(Vec::new());
    }
    let attachments = facts.network_attachments()?;
    let mut networks: Vec<StorageNetwork<'s>> = Vec::new();
    for role in ["public", "cluster"] {
        let Some(text) = cluster.spec.network.selectors.get(role) else { continue };
        // A selector that cannot be read is NET005's to report.
        let selection = selections(text, &cluster.metadata.namespace).ok().and_then(|all| all.into_iter().next());
        let Some(selection) = selection else { continue };
        if networks.iter().all(|network| network.selection != selection) {
            let is_it = |nad: &&NetworkAttachment| nad.full_name() == selection.full_name();
            networks.push(StorageNetwork { role, attachment: attachments.iter().find(is_it), selection });
        }
    }
    Ok(networks)
}
