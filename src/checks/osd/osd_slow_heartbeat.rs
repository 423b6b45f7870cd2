use std::collections::{BTreeMap, BTreeSet};

use super::{names, networks, nodes_by_osd};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Severity};
use crate::checks::ceph::ceph_command;
use crate::facts::{self, Facts, Gap, Settled, known};
use crate::objects::ceph::HealthCheck;
use crate::say;

check! {
    /// # What it looks at
    /// The health codes OSD_SLOW_PING_TIME_FRONT (public network) and OSD_SLOW_PING_TIME_BACK (cluster network)
    /// and the pairs of OSDs in their details: which OSDs, which node, which network.
    ///
    /// # Why it matters
    /// Heartbeats that take a second delay every write, and a little more of it takes OSDs down. One node in
    /// every pair means that node's interface, cable or bond; only one network means that network; pairs all
    /// over the cluster mean a switch, the MTU or load. Ceph keeps the means of 1, 5 and 15 minutes and reports
    /// the worst, so the code stays up to fifteen minutes after the cause is gone; with every pair "possibly
    /// improving" it is information. An OSD that merely hung leaves the same trace.
    ///
    /// # Confirm by hand
    /// `ceph health detail`; on the active mgr `ceph daemon mgr.<id> dump_osd_network`; between two hosts
    /// `ping -M do -s 8972 <storage address>` where jumbo frames are used.
    ///
    /// # Fix
    /// Repair the node's or the network's fault. Do not raise `mon_warn_on_slow_ping_time`.
    ///
    /// # References
    /// Ceph: health codes OSD_SLOW_PING_TIME_*, "Network Performance Checks".
    "OSD009" "osd-slow-heartbeat" Osd,
    needs: [Discovery, CephClusters, CephHealth, OsdPods],
    explained_by: [
        (node::node_not_ready, Node),
        (node::node_rebooted, Node),
        (net::nad_default_route, Network),
        (net::nad_host_local_shared, Network),
        (net::mtu_mismatch, Network),
        (net::nad_networks_overlap, Network),
        (ovn::stale_after_reboot, Node), (ovn::stale_chassis, Node),
        (osd::osd_down, Daemon),
    ],
}

/// `Slow OSD heartbeats on back from osd.3 [] to osd.5 [] (down) 21408.117 msec possibly improving`
struct Pair<'t> {
    from: i64,
    to: i64,
    text: &'t str,
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let (health, pods) = facts::both(facts.ceph_health(), facts.osd_pods().settled())?;
    let sides = [("OSD_SLOW_PING_TIME_FRONT", "public"), ("OSD_SLOW_PING_TIME_BACK", "cluster")];
    let raised: Vec<(&str, &HealthCheck)> =
        sides.iter().filter_map(|(code, side)| Some((*side, health.checks.get(*code)?))).collect();
    if raised.is_empty() {
        return Ok(Answered::passed());
    }
    let mut blind = Vec::new();
    let rows = known(pods, &mut blind).unwrap_or_default();
    let nodes = nodes_by_osd(rows);
    let pairs: Vec<Pair<'_>> = raised.iter().flat_map(|(_, code)| code.details()).filter_map(pair).collect();
    let osds = suspects(&pairs);
    let node = common_node(&pairs, &nodes);
    let context = raised.iter().all(|(_, code)| code.muted)
        || (!pairs.is_empty() && pairs.iter().all(|pair| pair.text.contains("possibly improving")));
    let severity = if context { Severity::Info } else { Severity::Warning };
    let where_to = match node {
        Some(node) => say!("node {}", node),
        None if osds.is_empty() => say!("the OSDs"),
        None => say!("{}", names(osds.iter().copied())),
    };
    let roles: Vec<&str> = raised.iter().map(|(role, _)| *role).collect();
    // The cluster network alone lifts both sides: one thread of the OSD waits for the other's answers.
    let (summary, remedy) = match roles.as_slice() {
        ["public"] => (
            say!("heartbeats over the public network (front) are slow towards {}", where_to),
            say!("find what slows the public network (front) towards {}", where_to),
        ),
        ["cluster"] => (
            say!("heartbeats over the cluster network (back) are slow towards {}", where_to),
            say!("find what slows the cluster network (back) towards {}", where_to),
        ),
        _ => (
            say!("heartbeats over both networks (front and back) are slow towards {}", where_to),
            say!(
                "find what slows both networks (front and back) towards {}; a slow cluster network alone also lifts the public side",
                where_to
            ),
        ),
    };
    let cluster = facts.cluster()?;
    let remedy = Remedy::guided(remedy)
        .command(ceph_command(cluster, "health detail"))
        .command(ceph_command(cluster, "osd tree"));
    let finding = Finding::new(severity, ObjectRef::cluster(cluster), summary, remedy)
        .at(osds.iter().map(|id| Place::daemon("osd", id)))
        .at(node.map(Place::node))
        .at(networks(facts.ceph_cluster()?, &roles))
        .evidence(raised.iter().map(|(_, code)| Evidence::ceph("health detail", &code.summary.message)))
        .evidence(pairs.iter().take(4).map(|pair| Evidence::ceph("health detail", pair.text)));
    Ok(Answered::judged(vec![finding]).blind(blind))
}

fn pair(text: &str) -> Option<Pair<'_>> {
    let osd = |word: &str| {
        let rest = text.split(word).nth(1)?;
        rest.split_whitespace().next()?.parse().ok()
    };
    Some(Pair { from: osd(" from osd.")?, to: osd(" to osd.")?, text })
}

/// The fewest OSDs that every pair has one of, greedily: what most pairs share comes first.
fn suspects(pairs: &[Pair<'_>]) -> BTreeSet<i64> {
    let mut left: Vec<&Pair<'_>> = pairs.iter().collect();
    let mut found = BTreeSet::new();
    while !left.is_empty() {
        let mut counts: BTreeMap<i64, usize> = BTreeMap::new();
        for pair in &left {
            // The far end counts a little more: it is the one that was slow to answer.
            *counts.entry(pair.to).or_default() += 3;
            *counts.entry(pair.from).or_default() += 2;
        }
        let Some((&worst, _)) = counts.iter().max_by_key(|(_, count)| **count) else { break };
        found.insert(worst);
        left.retain(|pair| pair.to != worst && pair.from != worst);
    }
    found
}

/// The one node that every pair touches, if the pairs are more than one and the nodes are known.
fn common_node<'n>(pairs: &[Pair<'_>], nodes: &BTreeMap<i64, &'n str>) -> Option<&'n str> {
    let ends = |pair: &Pair<'_>| -> BTreeSet<&'n str> {
        [pair.from, pair.to].iter().filter_map(|osd| nodes.get(osd).copied()).collect()
    };
    let mut all = pairs.iter().map(ends);
    let first = all.next()?;
    let common = all.fold(first, |common, ends| common.intersection(&ends).copied().collect());
    let mut common = common.into_iter();
    common.next().filter(|_| common.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_that_most_pairs_share_is_suspected() {
        let texts = [
            "Slow OSD heartbeats on back from osd.3 [] to osd.5 [] (down) 21408.117 msec",
            "Slow OSD heartbeats on back from osd.0 [] to osd.5 [] (down) 19377.902 msec",
            "Slow OSD heartbeats on back from osd.2 [] to osd.1 [] 14119.006 msec possibly improving",
        ];
        let pairs: Vec<_> = texts.iter().filter_map(|text| pair(text)).collect();
        assert_eq!(suspects(&pairs), BTreeSet::from([1, 5]));
        let nodes = BTreeMap::from([(0, "w1"), (3, "w1"), (5, "w3"), (2, "w3"), (1, "w2")]);
        assert_eq!(common_node(&pairs, &nodes), Some("w3"));
        assert_eq!(common_node(&pairs, &BTreeMap::from([(5, "w3")])), None);
    }
}
