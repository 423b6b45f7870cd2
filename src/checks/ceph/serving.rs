//! Daemons that serve something together (an object store, an NFS server, mirroring): which pods do, and which are
//! down for longer than a start takes.

use std::collections::BTreeMap;

use crate::check::{Evidence, ObjectRef, Place};
use crate::checks::net::{crashing, daemon_place, is_down, status_evidence};
use crate::checks::node::daemon_of;
use crate::facts::tables::PodRow;
use crate::facts::{Facts, Gap, Unknown};
use crate::lang::{Listed, listed};
use crate::objects::kube::Pod;
use crate::say;

/// The pods of one service that no other stands in for.
#[derive(Default)]
pub(super) struct Serving<'s> {
    pub pods: usize,
    pub well: usize,
    pub down: Vec<(&'s PodRow, &'s Pod)>,
}

/// Services by name, and the pods that could not be opened.
pub(super) type Services<'s> = (BTreeMap<&'s str, Serving<'s>>, Vec<Unknown>);

/// Groups pods by the service that a row belongs to. Touches `Nodes` and, where a pod is not well, `Objects`.
pub(super) fn serving<'s>(
    facts: &Facts<'s>,
    rows: &'s [PodRow],
    service: impl Fn(&'s PodRow) -> Option<&'s str>,
) -> Result<Services<'s>, Gap> {
    let nodes = facts.nodes()?;
    // The row of a pod on a lost node still says Running.
    let is_lost = |row: &PodRow| nodes.iter().any(|node| node.name == row.node && !node.is_ready());
    let mut services: BTreeMap<&str, Serving<'s>> = BTreeMap::new();
    let mut suspects = Vec::new();
    for row in rows.iter().filter(|row| !row.is_done() && !row.is_replaced()) {
        let Some(name) = service(row) else { continue };
        let of_it = services.entry(name).or_default();
        of_it.pods += 1;
        if row.is_well() && !is_lost(row) {
            of_it.well += 1;
        } else {
            suspects.push((name, row));
        }
    }
    let opened = facts.each(suspects, |facts, (_, row)| facts.pod(&row.ns, &row.name))?;
    for ((name, row), pod) in opened.seen {
        if is_down(pod, facts.now()) {
            services.entry(name).or_default().down.push((row, pod));
        }
    }
    Ok((services, opened.blind))
}

/// The service that a daemon `<service>-<letter>` belongs to, by the name of its pod.
pub(super) fn lettered<'s>(row: &'s PodRow, prefix: &str) -> Option<&'s str> {
    Some(row.daemon_id(prefix)?.rsplit_once('-')?.0)
}

impl Serving<'_> {
    pub fn objects(&self) -> impl Iterator<Item = ObjectRef> {
        self.down.iter().map(|(_, pod)| ObjectRef::pod(pod))
    }

    pub fn places(&self) -> impl Iterator<Item = Place> {
        self.down.iter().flat_map(|(row, pod)| {
            let node = (!row.node.is_empty()).then(|| Place::node(&row.node));
            [node, daemon_of(row), daemon_place(pod)].into_iter().flatten()
        })
    }

    /// How its pods fail: `rook-ceph-rgw-objects-a-… crashes`.
    pub fn how(&self) -> Listed {
        let one = |(row, pod): &(&PodRow, &Pod)| match crashing(pod) {
            Some(_) => say!("{} crashes", row.name),
            None if row.node.is_empty() => say!("{} finds no node", row.name),
            None => say!("{} is not Ready", row.name),
        };
        listed(self.down.iter().map(one))
    }

    pub fn evidence(&self) -> impl Iterator<Item = Evidence> {
        const SHOWN: usize = 4;
        self.down.iter().take(SHOWN).flat_map(|(row, pod)| {
            let ended = crashing(pod).map(|status| status_evidence(pod, status));
            [Some(Evidence::pod_row(row, &row.ns)), ended].into_iter().flatten()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_is_told_from_the_pods_name() {
        for (pod, prefix, service) in [
            ("rook-ceph-rgw-my-store-a-z694sd9zxt-fsmcg", "rook-ceph-rgw-", Some("my-store")),
            ("rook-ceph-nfs-share-b-z694sd9zxt-fsmcg", "rook-ceph-nfs-", Some("share")),
            ("rook-ceph-fs-mirror-z694sd9zxt-fsmcg", "rook-ceph-fs-mirror-", None),
            ("rook-ceph-tools-bv2bwq8bdh-sm42n", "rook-ceph-rgw-", None),
        ] {
            let row = PodRow {
                ns: "rook-ceph".into(),
                name: pod.into(),
                ready: (1, 1),
                status: "Running".into(),
                restarts: 0,
                restarted: String::new(),
                age: "2d".into(),
                ip: String::new(),
                node: "w1".into(),
            };
            assert_eq!(lettered(&row, prefix), service, "{pod}");
        }
    }
}
