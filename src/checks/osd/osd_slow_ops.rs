use std::collections::{BTreeMap, BTreeSet};

use super::{deployment, names, networks, nodes_by_osd};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Severity, Text};
use crate::checks::ceph::{ceph_command, daemons, osds_of, toned};
use crate::facts::{Cluster, Facts, Gap, Settled, both, known};
use crate::objects::ceph::{Health, HealthCheck};
use crate::say;

check! {
    /// # What it looks at
    /// SLOW_OPS, with the OSDs and monitors that it names, the alerts of BlueStore about slow disks
    /// (BLUESTORE_SLOW_OP_ALERT and the stalled reads of the block, DB and WAL device), and MDS_SLOW_METADATA_IO, an
    /// MDS that waits for OSDs. One OSD, the OSDs of one node, or many: that tells a disk from a node and from the
    /// network.
    ///
    /// # Why it matters
    /// A request that waits longer than 30 seconds is a client that hangs. SLOW_OPS names the OSDs that wait, which
    /// are often not the one that is slow: a hung OSD is not among them. The alerts of BlueStore name the disk itself,
    /// and stay for a day after its last slow answer.
    ///
    /// # Confirm by hand
    /// `ceph health detail`, `ceph osd perf` for latencies, and in the OSD's pod
    /// `env -u CEPH_ARGS ceph --admin-daemon /run/ceph/ceph-osd.<id>.asok dump_blocked_ops`. Where a daemon spends its
    /// time is not observable from the API: in its pod `perf record -p <pid>`, `gdb` or `gcore`.
    ///
    /// # Fix
    /// A slow disk: look at its SMART values and the kernel's log, and replace it. One node: its controller, memory or
    /// network. Many: the network between the nodes (MTU, a switch) or one hung OSD, which a restart of its pod frees.
    ///
    /// # References
    /// Ceph: health codes SLOW_OPS, BLUESTORE_SLOW_OP_ALERT and MDS_SLOW_METADATA_IO, "Troubleshooting OSDs". Rook:
    /// Troubleshooting/ceph-common-issues.
    "OSD010" "osd-slow-ops" Osd,
    needs: [Discovery, CephClusters, CephHealth, OsdPods],
    explained_by: [
        (node::node_not_ready, Node), (net::nad_default_route, Network), (net::nad_host_local_shared, Network),
        (ovn::stale_after_reboot, Node), (osd::osd_down, Cluster), (osd::osd_capacity, Daemon),
        (osd::osd_slow_heartbeat, Daemon), (ceph::pgs_unavailable, Cluster),
    ],
}

/// Requests that wait; the older names are those of Ceph before 13.
const WAITING: &[&str] = &["SLOW_OPS", "REQUEST_SLOW", "REQUEST_STUCK"];

/// Disks that were slow.
const DISKS: &[&str] = &[
    "BLUESTORE_SLOW_OP_ALERT",
    "BLOCK_DEVICE_STALLED_READ_ALERT",
    "DB_DEVICE_STALLED_READ_ALERT",
    "WAL_DEVICE_STALLED_READ_ALERT",
];

/// An MDS whose metadata OSDs are slow to take.
const METADATA: &[&str] = &["MDS_SLOW_METADATA_IO"];

/// Whether this check reports the health code.
pub(crate) fn owns(code: &str) -> bool {
    [WAITING, DISKS, METADATA].iter().any(|codes| codes.contains(&code))
}

/// Where the trouble seems to be.
#[derive(Debug, PartialEq, Eq)]
enum Suspect<'n> {
    /// BlueStore itself says that these disks are slow.
    Disks(BTreeSet<i64>),
    One(i64),
    Node(&'n str),
    Many,
    Monitors,
    /// Only MDS complain.
    Metadata,
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let (health, pods) = both(facts.ceph_health(), facts.osd_pods().settled())?;
    let codes = WAITING.iter().chain(DISKS).chain(METADATA);
    let raised: Vec<(&str, &HealthCheck)> = codes.filter_map(|code| Some((*code, health.checks.get(*code)?))).collect();
    if raised.is_empty() {
        return Ok(Answered::passed());
    }
    // Where the OSDs run makes the suspicion narrower, and the finding stands without.
    let mut blind = Vec::new();
    let rows = known(pods, &mut blind).unwrap_or_default();
    let nodes = nodes_by_osd(rows);
    let of = |codes: &[&str]| -> BTreeSet<i64> {
        raised.iter().filter(|(code, _)| codes.contains(code)).flat_map(|(_, check)| osds_of(check)).collect()
    };
    let (waiting, slow) = (of(WAITING), of(DISKS));
    let mons: BTreeSet<&str> = raised.iter().flat_map(|(_, check)| monitors(check)).collect();
    let mds: BTreeSet<&str> = METADATA.iter().filter_map(|code| health.checks.get(*code)).flat_map(servers).collect();
    let suspect = if raised.iter().all(|(code, _)| METADATA.contains(code)) {
        Suspect::Metadata
    } else {
        suspect(&waiting, slow, &nodes)
    };
    let finding = finding(facts.cluster()?, health, &raised, &suspect, &waiting, &mons, &mds);
    let many = if suspect == Suspect::Many { networks(facts.ceph_cluster()?, &["public", "cluster"]) } else { vec![] };
    Ok(Answered::judged(vec![finding.at(many)]).blind(blind))
}

fn monitors(check: &HealthCheck) -> impl Iterator<Item = &str> {
    let texts = check.details().chain([check.summary.message.as_str()]);
    texts.flat_map(daemons).filter(|(kind, _)| *kind == "mon").map(|(_, id)| id)
}

/// `mds.shared-a(mds.0): 12 slow metadata IOs are blocked > 30 secs`: a server, and then its rank.
fn servers(check: &HealthCheck) -> impl Iterator<Item = &str> {
    check.details().filter_map(|detail| daemons(detail).find(|(kind, _)| *kind == "mds")).map(|(_, id)| id)
}

fn suspect<'n>(waiting: &BTreeSet<i64>, slow: BTreeSet<i64>, nodes: &BTreeMap<i64, &'n str>) -> Suspect<'n> {
    let of_node: BTreeSet<Option<&str>> = waiting.iter().map(|osd| nodes.get(osd).copied()).collect();
    let all: BTreeSet<&str> = nodes.values().copied().collect();
    match (waiting.len(), of_node.first()) {
        _ if !slow.is_empty() => Suspect::Disks(slow),
        (0, _) => Suspect::Monitors,
        (1, _) => Suspect::One(waiting.first().copied().unwrap_or_default()),
        (_, Some(Some(node))) if of_node.len() == 1 && all.len() > 1 => Suspect::Node(node),
        _ => Suspect::Many,
    }
}

fn finding(
    cluster: &Cluster,
    health: &Health,
    raised: &[(&str, &HealthCheck)],
    suspect: &Suspect<'_>,
    waiting: &BTreeSet<i64>,
    mons: &BTreeSet<&str>,
    mds: &BTreeSet<&str>,
) -> Finding {
    let severity = raised.iter().map(|(_, check)| toned(check, Severity::Warning)).max().unwrap_or(Severity::Warning);
    let hidden = health.raised("OSDMAP_FLAGS").filter(|flags| flags.summary.message.contains("nodown"));
    let (summary, remedy) = words(suspect, waiting, mons, mds, hidden.is_some());
    let perf = ceph_command(cluster, "osd perf");
    let object = match suspect {
        _ if cluster.external => ObjectRef::cluster(cluster),
        Suspect::One(osd) => deployment(&cluster.ns, *osd),
        Suspect::Disks(osds) if osds.len() == 1 => deployment(&cluster.ns, osds.first().copied().unwrap_or_default()),
        Suspect::Node(node) => ObjectRef::node(node),
        _ => ObjectRef::cluster(cluster),
    };
    let blocked = waiting.first().filter(|_| !cluster.external).map(|osd| {
        format!(
            "kubectl -n {} exec deploy/rook-ceph-osd-{osd} -c osd -- env -u CEPH_ARGS ceph --admin-daemon /run/ceph/ceph-osd.{osd}.asok dump_blocked_ops",
            cluster.ns
        )
    });
    let remedy = [Some(perf), blocked].into_iter().flatten().fold(Remedy::guided(remedy), Remedy::command);
    let slow = if let Suspect::Disks(osds) = suspect { osds.clone() } else { BTreeSet::new() };
    let node = if let Suspect::Node(node) = suspect { Some(Place::node(*node)) } else { None };
    let codes = raised.iter().map(|(code, check)| {
        let message = check.summary.message.trim_end_matches('.');
        Evidence::ceph("health detail", format!("[{}] {code}: {message}", check.severity))
    });
    let details = raised.iter().flat_map(|(_, check)| check.details().take(4));
    Finding::new(severity, object, summary, remedy)
        .at(waiting.union(&slow).map(|osd| Place::daemon("osd", osd)))
        .at(mons.iter().map(|mon| Place::daemon("mon", mon)))
        .at(mds.iter().map(|mds| Place::daemon("mds", mds)))
        .at(node)
        .evidence(codes)
        .evidence(details.map(|detail| Evidence::ceph("health detail", detail.trim())))
        .evidence(hidden.map(|flags| Evidence::ceph("health detail", &flags.summary.message)))
}

fn words(
    suspect: &Suspect<'_>,
    waiting: &BTreeSet<i64>,
    mons: &BTreeSet<&str>,
    mds: &BTreeSet<&str>,
    nodown: bool,
) -> (Text, Text) {
    let osds = names(waiting.iter().copied());
    match suspect {
        Suspect::Disks(slow) => (
            say!("slow disks: BlueStore complains about {}", names(slow.iter().copied())),
            say!(
                "look at the latency, the SMART values and the kernel's log of these disks; the alert stays a day after its cause"
            ),
        ),
        Suspect::One(_) => (
            say!("requests wait in {} alone, which points to its disk", osds),
            say!("look at what these requests wait for, and at the latency of its disk"),
        ),
        Suspect::Node(node) => (
            say!("requests wait in {}, all on node {}", osds, node),
            say!("look at the node's network, disk controller and memory"),
        ),
        Suspect::Many if nodown => (
            say!("requests wait in {}, and the flag nodown hides an OSD that does not answer", osds),
            say!("take the flag nodown away (ceph osd unset nodown); the OSD that hangs then shows as down"),
        ),
        Suspect::Many => (
            say!("requests wait in {}, which points to the network or to one hung OSD", osds),
            say!(
                "look for an OSD that does not answer (it is not among those that wait), then at the network between the nodes"
            ),
        ),
        Suspect::Monitors => {
            let mons: Vec<String> = mons.iter().map(|mon| format!("mon.{mon}")).collect();
            let summary = match mons.as_slice() {
                [] => say!("requests wait in daemons that Ceph does not name"),
                mons => say!("requests wait in {}", mons.join(", ")),
            };
            (
                summary,
                say!(
                    "look at the disk below the monitor's data and at its node; a restart of its pod drops requests that hang"
                ),
            )
        }
        Suspect::Metadata => {
            let mds: Vec<String> = mds.iter().map(|mds| format!("mds.{mds}")).collect();
            let summary = match mds.as_slice() {
                [] => say!("an MDS waits for OSDs that are slow to take its metadata"),
                mds => say!("{} waits for OSDs that are slow to take its metadata", mds.join(", ")),
            };
            (summary, say!("look for a slow disk among the OSDs of the metadata pool, and at the network to them"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_named_and_not_its_rank() {
        let told = "mds.shared-a(mds.0): 12 slow metadata IOs are blocked > 30 secs, oldest blocked for 63 secs";
        let check = serde_json::from_value(serde_json::json!({"detail": [{"message": told}]})).unwrap();
        assert_eq!(servers(&check).collect::<Vec<_>>(), ["shared-a"]);
    }

    #[test]
    fn one_disk_or_many() {
        let nodes = BTreeMap::from([(0, "w1"), (3, "w1"), (1, "w2")]);
        let no_disk = BTreeSet::new;
        for (waiting, slow, found) in [
            (vec![0], no_disk(), Suspect::One(0)),
            (vec![0, 3], no_disk(), Suspect::Node("w1")),
            (vec![0, 1], no_disk(), Suspect::Many),
            (vec![7, 8], no_disk(), Suspect::Many),
            (vec![0, 1], BTreeSet::from([3]), Suspect::Disks(BTreeSet::from([3]))),
            (vec![], no_disk(), Suspect::Monitors),
        ] {
            assert_eq!(suspect(&waiting.into_iter().collect(), slow, &nodes), found);
        }
        let single = BTreeMap::from([(0, "w1"), (3, "w1")]);
        assert_eq!(suspect(&BTreeSet::from([0, 3]), BTreeSet::new(), &single), Suspect::Many);
    }
}
