//! What is said of OSDs that are not well, and what to do.

use std::collections::BTreeSet;

use super::lost::{Lost, Sight};
use super::names;
use crate::check::{Evidence, Finding, ObjectRef, Remedy, Text};
use crate::checks::ceph::ceph_command;
use crate::facts::Cluster;
use crate::say;

/// Somebody works on the node: its OSDs come back when it may take pods again.
pub(super) fn while_cordoned(finding: Finding, host: &str) -> Finding {
    let remedy =
        Remedy::guided(say!("when the work on {} is over, uncordon it; the OSDs then come back by themselves", host))
            .command(format!("kubectl uncordon {host}"));
    let line = Evidence::field(&ObjectRef::node(host), "spec.unschedulable", "true");
    Finding { remedy, ..finding }.evidence([line])
}

pub(super) fn summary(sight: &Sight<'_>, osds: &[&Lost<'_>], host: &str) -> Text {
    let host = if host.is_empty() { say!("an unknown host") } else { say!("{}", host) };
    let names = names(osds.iter().map(|osd| osd.id));
    let states: BTreeSet<&str> = osds.iter().flat_map(|osd| osd.states()).collect();
    let states = states.into_iter().collect::<Vec<_>>().join(", ");
    let down = osds.iter().any(|osd| osd.ceph.is_some());
    if osds.iter().all(|osd| osd.is_starting()) {
        say!("starting on {}: {} (pod {})", host, names, states)
    } else if osds.iter().any(|osd| osd.is_unheard()) {
        say!("down for Ceph on {}, although the pod runs: {}", host, names)
    } else if down && states.is_empty() {
        say!("down on {}: {}", host, names)
    } else if down {
        say!("down on {}: {} (pod {})", host, names, states)
    } else if sight.status.is_some() {
        say!("pod not Ready on {}, though Ceph counts the OSD as up: {} ({})", host, names, states)
    } else {
        say!("pod not Ready on {}: {} ({})", host, names, states)
    }
}

pub(super) fn evidence(cluster: &Cluster, sight: &Sight<'_>, osd: &Lost<'_>) -> Vec<Evidence> {
    let ceph = osd.ceph.map(|node| {
        let within = if node.reweight > 0.0 { "in" } else { "out" };
        let buckets = ["host", "rack", "zone", "datacenter"].into_iter().filter_map(|kind| {
            let name = sight.tree?.bucket_of(osd.id, kind)?;
            Some(format!(", {kind} {name}"))
        });
        Evidence::ceph("osd tree", format!("osd.{} {}, {within}{}", osd.id, node.status, buckets.collect::<String>()))
    });
    let rows = osd.pods.iter().flat_map(|pods| pods.rows.iter());
    ceph.into_iter().chain(rows.map(|row| Evidence::pod_row(row, &cluster.ns))).collect()
}

pub(super) fn remedy(cluster: &Cluster, osds: &[&Lost<'_>]) -> Remedy {
    let ns = &cluster.ns;
    let tree = ceph_command(cluster, "osd tree down");
    let first = osds.first();
    let id = first.map_or(0, |osd| osd.id);
    let pod = first.and_then(|osd| osd.pods.as_ref()?.rows.first());
    match pod {
        _ if osds.iter().all(|osd| osd.is_starting()) => {
            Remedy::advice(say!("wait some minutes; take no other OSD down meanwhile")).command(tree)
        }
        None if cluster.external => {
            Remedy::guided(say!("start the OSD again where it runs, outside of this cluster")).command(tree)
        }
        None => Remedy::guided(say!("bring the OSD's Deployment back to one replica"))
            .command(format!("kubectl -n {ns} get deployment rook-ceph-osd-{id}"))
            .command(tree),
        Some(_) if first.is_some_and(|osd| osd.is_unheard()) => Remedy::guided(say!(
            "look for a fault of the storage network: the process runs and its peers do not hear it"
        ))
        .command(format!(
            "kubectl -n {ns} logs deploy/rook-ceph-osd-{id} -c osd | grep -e heartbeat_check -e 'wrongly marked me down'"
        ))
        .command(tree),
        Some(pod) => Remedy::guided(say!("bring the pod back: its events and the log of its OSD say what is missing"))
            .command(format!("kubectl -n {ns} describe pod {}", pod.name))
            .command(format!("kubectl -n {ns} logs {} -c osd --tail=50", pod.name)),
    }
}
