use std::collections::{BTreeMap, BTreeSet};

use super::lost::{Lost, Sight, look};
use super::lost_told::{evidence, remedy, summary, while_cordoned};
use super::{deployment, networks};
use crate::check;
use crate::check::{Answered, Finding, ObjectRef, Place, Severity};
use crate::checks::ceph::is_muted;
use crate::checks::node::maintenance::in_maintenance;
use crate::facts::{Cluster, Facts, Gap, Settled, both};
use crate::objects::rook::CephCluster;

check! {
    /// # What it looks at
    /// `ceph osd tree` for OSDs that are down, and the rows of the OSD pods for those that are not Ready. Where
    /// Ceph cannot be asked the pods alone are reported, as what they are. When every OSD of a node is down,
    /// one finding names the node.
    ///
    /// # Why it matters
    /// Every placement group of that OSD has one copy less, and after `mon_osd_down_out_interval` (ten minutes)
    /// Ceph begins to copy its data elsewhere. OSDs down in two failure domains at once may stop I/O. A pod can
    /// be Running and Ready while Ceph counts the OSD as down: its probe asks the local socket only, so the
    /// network between the OSDs is then the suspect. On a node that is cordoned and Ready the OSDs come back
    /// with `uncordon`. One whose pod was made less than five minutes ago and has not failed is information. An OSD
    /// that was taken out of service (out or destroyed, and without a pod) is OSD013's.
    ///
    /// # Confirm by hand
    /// `ceph osd tree down`, `kubectl -n <ns> get pods -l app=rook-ceph-osd -o wide`, and in the log of a
    /// running OSD `heartbeat_check: no reply` or `wrongly marked me down`.
    ///
    /// # Fix
    /// Repair the node, network or disk that the finding hangs below; the OSD then comes back by itself. Do
    /// not purge an OSD before its data is safe (`ceph osd safe-to-destroy`).
    ///
    /// # References
    /// Ceph: "Monitoring OSDs and PGs", health codes OSD_DOWN and OSD_HOST_DOWN. Rook: "Ceph OSD Management".
    "OSD007" "osd-down" Osd,
    needs: [Discovery, CephClusters, Nodes, OsdPods, CephStatus, OsdTree, Objects],
    explained_by: [
        (net::multus_missing, Cluster), (net::nad_missing, Network), (net::nad_default_route, Network),
        (net::nad_host_local_shared, Network), (net::nad_overlaps_cluster_network, Network),
        (net::nad_networks_overlap, Network), (net::mtu_mismatch, Network), (mon::quorum_lost, Cluster),
        (mon::all_mons_down, Cluster), (osd::osd_missing, Daemon), (osd::osd_crashing, Daemon),
        (osd::encryption_key_unavailable, Daemon), (osd::osd_phantom, Daemon), (osd::osd_flags_left, Daemon),
    ],
    in_pod,
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let cluster = facts.cluster()?;
    let sight = look(facts)?;
    if sight.lost.is_empty() {
        return Ok(Answered::passed().blind(sight.blind));
    }
    let severity = severity(&sight);
    // A cordoned node changes the advice, never the fault.
    let (object, nodes) = both(facts.ceph_cluster(), facts.nodes().settled())?;
    let cordoned = nodes.into_iter().flatten().filter(|node| node.is_cordoned() && node.is_ready());
    let cordoned: BTreeSet<&str> = cordoned.map(|node| node.name.as_str()).collect();
    let planned = in_maintenance(facts)?;
    let groups = together(&sight);
    let findings = groups.iter().map(|osds| {
        let found = finding(cluster, object, &sight, osds, severity);
        let host = osds.first().map_or("", |osd| osd.host.as_str());
        // One node at a time is maintenance; a second one that is down meanwhile is not.
        let severity = if planned.contains(host) && groups.len() == 1 { Severity::Info } else { found.severity };
        let found = Finding { severity, ..found };
        if cordoned.contains(host) { while_cordoned(found, host) } else { found }
    });
    Ok(Answered::judged(findings.collect()).blind(sight.blind))
}

/// The OSDs of a node that are all down alike share one finding; others have one each.
fn together<'r, 's>(sight: &'r Sight<'s>) -> Vec<Vec<&'r Lost<'s>>> {
    let mut by_host: BTreeMap<&str, Vec<&Lost<'s>>> = BTreeMap::new();
    for osd in &sight.lost {
        by_host.entry(&osd.host).or_default().push(osd);
    }
    let mut groups = Vec::new();
    for (host, osds) in by_host {
        let alike = osds.windows(2).all(|pair| pair[0].is_unheard() == pair[1].is_unheard());
        if !host.is_empty() && alike && osds.len() >= sight.count_on(host) {
            groups.push(osds);
        } else {
            groups.extend(osds.into_iter().map(|osd| vec![osd]));
        }
    }
    groups
}

/// Redundancy covers one failure domain; more than one is an outage or next to it.
fn severity(sight: &Sight<'_>) -> Severity {
    let lost = sight.lost.iter().filter(|osd| !osd.is_starting());
    let hosts: BTreeSet<&str> = lost.map(|osd| osd.host.as_str()).collect();
    let none_up = sight.status.is_some_and(|status| status.osdmap.num_up_osds == 0);
    if hosts.len() > 1 || none_up { Severity::Critical } else { Severity::Warning }
}

fn finding(
    cluster: &Cluster,
    object: &CephCluster,
    sight: &Sight<'_>,
    osds: &[&Lost<'_>],
    severity: Severity,
) -> Finding {
    let muted = sight.status.is_some_and(|status| is_muted(&status.health, "OSD_DOWN"));
    let context = muted || osds.iter().all(|osd| osd.is_starting());
    let severity = if context { Severity::Info } else { severity };
    let host = osds.first().map_or("", |osd| osd.host.as_str());
    let deployments = osds.iter().map(|osd| deployment(&cluster.ns, osd.id));
    let finding = |object| Finding::new(severity, object, summary(sight, osds, host), remedy(cluster, osds));
    let finding = match osds {
        [osd] if cluster.external => finding(ObjectRef::cluster(cluster)).detail(format!("osd.{}", osd.id)),
        _ if cluster.external => finding(ObjectRef::cluster(cluster)).detail(host),
        [osd] => finding(deployment(&cluster.ns, osd.id)),
        _ => finding(ObjectRef::node(host)).also(deployments),
    };
    let node = (!host.is_empty() && !cluster.external).then(|| Place::node(host));
    // A process that runs and is not heard points at the network between the daemons.
    let roles: &[&str] = if osds.iter().any(|osd| osd.is_unheard()) { &["public", "cluster"] } else { &[] };
    finding
        .at(osds.iter().map(|osd| Place::daemon("osd", osd.id)))
        .at(node)
        .at(networks(object, roles))
        .evidence(osds.iter().flat_map(|osd| evidence(cluster, sight, osd)))
}
