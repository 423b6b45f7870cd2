use std::collections::{BTreeMap, BTreeSet};

use super::lost::{Lost, Sight, look};
use super::{deployment, names, networks};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Severity, Text};
use crate::checks::ceph::{ceph_command, is_muted};
use crate::facts::{Cluster, Facts, Gap};
use crate::objects::rook::CephCluster;
use crate::say;

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
    /// network between the OSDs is then the suspect. An OSD that is down and out and has no pod was taken out
    /// of service and is information.
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
    needs: [Discovery, CephClusters, OsdPods, CephStatus, OsdTree, Objects],
    explained_by: [
        (node::node_not_ready, Node),
        (node::node_rebooted, Node),
        (node::cni_not_ready, Node),
        (node::daemon_unschedulable, Daemon),
        (node::pods_not_created, Daemon),
        (node::host_limits, Daemon),
        (node::node_pressure, Node),
        (node::image_pull_failing, Node),
        (net::multus_missing, Cluster),
        (net::multus_init_crash, Node),
        (net::multus_daemon_down, Node),
        (net::nad_missing, Network),
        (net::nad_default_route, Network),
        (net::nad_host_local_shared, Network),
        (net::attachment_missing, Daemon),
        (net::sandbox_failing, Node),
        (ovn::ovs_ovn_unhealthy, Node),
        (ovn::kube_ovn_cni_unhealthy, Node),
        (ovn::stale_after_reboot, Node),
        (mon::quorum_lost, Cluster),
        (mon::all_mons_down, Cluster),
        (osd::osd_missing, Daemon),
    ],
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let cluster = facts.cluster()?;
    let sight = look(facts)?;
    if sight.lost.is_empty() {
        return Ok(Answered::passed().blind(sight.blind));
    }
    let severity = severity(&sight);
    let object = facts.ceph_cluster()?;
    let findings = together(&sight).iter().map(|osds| finding(cluster, object, &sight, osds, severity)).collect();
    Ok(Answered::judged(findings).blind(sight.blind))
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
    let lost = sight.lost.iter().filter(|osd| !osd.is_retired());
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
    let context = muted || osds.iter().all(|osd| osd.is_retired());
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

fn summary(sight: &Sight<'_>, osds: &[&Lost<'_>], host: &str) -> Text {
    let host = if host.is_empty() { "an unknown host" } else { host };
    let names = names(osds.iter().map(|osd| osd.id));
    let states: BTreeSet<&str> = osds.iter().flat_map(|osd| osd.states()).collect();
    let states = states.into_iter().collect::<Vec<_>>().join(", ");
    let down = osds.iter().any(|osd| osd.ceph.is_some());
    if osds.iter().all(|osd| osd.is_retired()) {
        say!("down, out and without a pod on {}: {}", host, names)
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

fn evidence(cluster: &Cluster, sight: &Sight<'_>, osd: &Lost<'_>) -> Vec<Evidence> {
    let ceph = osd.ceph.map(|node| {
        let within = if node.reweight > 0.0 { "in" } else { "out" };
        let buckets = ["host", "rack", "zone", "datacenter"].into_iter().filter_map(|kind| {
            let name = sight.tree?.bucket_of(osd.id, kind)?;
            Some(format!(", {kind} {name}"))
        });
        Evidence::ceph("osd tree", format!("osd.{} down, {within}{}", osd.id, buckets.collect::<String>()))
    });
    let rows = osd.pods.iter().flat_map(|pods| pods.rows.iter());
    ceph.into_iter().chain(rows.map(|row| Evidence::pod_row(row, &cluster.ns))).collect()
}

fn remedy(cluster: &Cluster, osds: &[&Lost<'_>]) -> Remedy {
    let ns = &cluster.ns;
    let tree = ceph_command(cluster, "osd tree down");
    let first = osds.first();
    let id = first.map_or(0, |osd| osd.id);
    let pod = first.and_then(|osd| osd.pods.as_ref()?.rows.first());
    match pod {
        None if first.is_some_and(|osd| osd.is_retired()) => {
            Remedy::advice(say!("nothing, if it was taken out on purpose; else bring its Deployment back")).command(tree)
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
