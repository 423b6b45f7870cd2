use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Severity};
use crate::facts::tables::{NodeRow, PodRow};
use crate::facts::{Facts, Gap, Settled, both};
use crate::objects::ceph::{TimeSkew, TimeSync};
use crate::objects::kube::Lease;
use crate::say;

check! {
    /// # What it looks at
    /// `ceph time-sync-status`, where the leader of the monitors compares its clock with the others', and the
    /// Leases in kube-node-lease, which each kubelet renews with its own clock: against this run's clock and
    /// against the majority of nodes.
    ///
    /// # Why it matters
    /// Ceph warns above 0.05 s (`mon_clock_drift_allowed`). Near the lease of 5 s monitors lose their elections
    /// and the quorum flaps; far beyond, cephx tickets and certificates are judged expired or not yet valid. The
    /// leader's own row is always 0: when all others are off alike, it is the leader's clock that is wrong. A
    /// skew that is no larger than the latency beside it speaks of the network.
    ///
    /// # Confirm by hand
    /// `ceph time-sync-status`, `kubectl -n kube-node-lease get leases -o custom-columns=NODE:.metadata.name,
    /// RENEWED:.spec.renewTime`, and `chronyc tracking` on the node.
    ///
    /// # Fix
    /// Repair the time source on that node and step its clock. The warning goes within 30 s, a new one takes up
    /// to five minutes. Do not raise `mon_clock_drift_allowed`.
    ///
    /// # References
    /// Ceph: rados/configuration/mon-config-ref, "Clock"; rados/operations/health-checks, MON_CLOCK_SKEW;
    /// Rook issues 2286, 4875 and 13465.
    "NODE004" "node-clock-skew" Node,
    needs: [TimeSync, MonPods, NodeLeases, Nodes],
    explained_by: [],
}

/// `mon_clock_drift_allowed`
const DRIFT: f64 = 0.05;
/// `mon_lease`: from here on monitors fall out of the quorum.
const LEASE: f64 = 5.0;
/// A Lease is renewed every ten seconds, and `now` was noted some seconds before it was read.
const FUTURE: f64 = 10.0;
/// A Ready node renews within 40 s; one whose Lease looks older has a slow clock.
const PAST: f64 = -60.0;

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let ceph = both(facts.time_sync().settled(), facts.mon_pods().settled());
    let kube = both(facts.node_leases().settled(), facts.nodes().settled());
    let ((sync, mons), (leases, nodes)) = both(settled_not_offered(ceph), kube)?;
    let (mut findings, mut blind) = (Vec::new(), Vec::new());
    let offsets = match (&leases, &nodes) {
        (Ok(leases), Ok(nodes)) => offsets(leases, nodes, facts.now()),
        _ => BTreeMap::new(),
    };
    if let Some(Ok(sync)) = &sync {
        let rows: &[PodRow] = if let Some(Ok(rows)) = &mons { rows } else { &[] };
        findings.extend(wrong_mons(sync).iter().map(|wrong| mon_finding(facts, wrong, rows, &offsets)));
    }
    let told: BTreeSet<Place> = findings.iter().flat_map(|finding: &Finding| finding.at.clone()).collect();
    let alone = offsets
        .iter()
        .filter(|(node, offset)| (**offset > FUTURE || **offset < PAST) && !told.contains(&Place::node(node.as_str())));
    findings.extend(alone.map(|(node, offset)| node_finding(node, *offset)));
    blind.extend(sync.and_then(Result::err).into_iter().chain(mons.and_then(Result::err)));
    blind.extend(leases.err().into_iter().chain(nodes.err()));
    Ok(Answered::judged(findings).blind(blind))
}

type Pair<A, B> = (Option<A>, Option<B>);

/// The provider of an external cluster may keep its answers to itself; the Leases can still be compared.
fn settled_not_offered<A, B>(pair: Result<(A, B), Gap>) -> Result<Pair<A, B>, Gap> {
    match pair {
        Ok((a, b)) => Ok((Some(a), Some(b))),
        Err(Gap::NotOffered(_)) => Ok((None, None)),
        Err(gap) => Err(gap),
    }
}

/// A monitor whose clock is wrong, as far as the others tell.
struct Wrong<'t> {
    mon: &'t str,
    skew: f64,
    latency: f64,
    /// The rows that prove it.
    proof: Vec<(&'t str, &'t TimeSkew)>,
    is_leader: bool,
}

fn wrong_mons(sync: &TimeSync) -> Vec<Wrong<'_>> {
    let rows: Vec<(&str, &TimeSkew)> = sync.time_skew_status.iter().map(|(mon, row)| (mon.as_str(), row)).collect();
    let leader = rows.iter().find(|(_, row)| row.skew == 0.0 && row.latency == 0.0).map(|(mon, _)| *mon);
    let others: Vec<_> = rows.into_iter().filter(|(mon, _)| Some(*mon) != leader).collect();
    let skewed: Vec<_> = others.iter().copied().filter(|(_, row)| row.skew.abs() > DRIFT).collect();
    let Some((_, first)) = skewed.first() else { return Vec::new() };
    let alike = skewed.iter().all(|(_, row)| (row.skew - first.skew).abs() <= DRIFT.max(first.skew.abs() / 5.0));
    match leader {
        Some(mon) if others.len() > 1 && skewed.len() == others.len() && alike => {
            let latency = skewed.iter().map(|(_, row)| row.latency).fold(0.0, f64::max);
            vec![Wrong { mon, skew: -first.skew, latency, proof: skewed, is_leader: true }]
        }
        _ => skewed
            .iter()
            .map(|&(mon, row)| Wrong {
                mon,
                skew: row.skew,
                latency: row.latency,
                proof: vec![(mon, row)],
                is_leader: false,
            })
            .collect(),
    }
}

fn mon_finding(facts: &Facts<'_>, wrong: &Wrong<'_>, mons: &[PodRow], offsets: &BTreeMap<String, f64>) -> Finding {
    let daemon = format!("mon.{}", wrong.mon);
    let placed = mons.iter().find(|row| row.daemon_id("rook-ceph-mon-") == Some(wrong.mon) && !row.node.is_empty());
    let node = placed.map(|row| row.node.as_str());
    let host = node.map_or_else(|| format!("the host of {daemon}"), |node| format!("node {node} ({daemon})"));
    let amount = format!("{:.2} s {}", wrong.skew.abs(), if wrong.skew > 0.0 { "fast" } else { "slow" });
    let summary = if wrong.latency >= wrong.skew.abs() / 2.0 {
        say!(
            "clock of {} seems {}, but the latency to it is {} s: look at the network between the monitors first",
            host,
            amount,
            wrong.latency
        )
    } else if wrong.is_leader {
        say!("clock of {} is {}: all other monitors differ from this leader alike", host, amount)
    } else {
        say!("clock of {} is {}", host, amount)
    };
    let severity = if wrong.skew.abs() >= LEASE { Severity::Critical } else { Severity::Warning };
    let object = match (node, facts.cluster()) {
        (Some(node), _) => ObjectRef::node(node),
        (None, Ok(cluster)) => ObjectRef::cluster(cluster),
        (None, Err(_)) => ObjectRef::node(""),
    };
    let evidence = wrong.proof.iter().map(|(mon, row)| {
        Evidence::ceph("time-sync-status", format!("mon.{mon}: skew {:.4} s, latency {:.4} s", row.skew, row.latency))
    });
    let lease = node.and_then(|node| Some((node, *offsets.get(node)?))).filter(|(_, offset)| *offset > 0.0);
    let lease = lease.map(|(node, offset)| lease_evidence(node, offset));
    Finding::new(severity, object, summary, remedy(&host))
        .detail(daemon)
        .at([Place::daemon("mon", wrong.mon)].into_iter().chain(node.map(Place::node)))
        .evidence(evidence.chain(lease))
}

fn node_finding(node: &str, offset: f64) -> Finding {
    let host = format!("node {node}");
    let way = if offset > 0.0 { "fast" } else { "slow" };
    let summary = say!("clock of {} is about {} s {} against the other nodes", host, offset.abs().round(), way);
    Finding::warning(ObjectRef::node(node), summary, remedy(&host))
        .at([Place::node(node)])
        .evidence([lease_evidence(node, offset)])
}

fn lease_evidence(node: &str, offset: f64) -> Evidence {
    let object = ObjectRef::new(crate::facts::kinds::LEASE, "kube-node-lease", node);
    let side = if offset > 0.0 { "in the future" } else { "ago" };
    Evidence::field(&object, "spec.renewTime", format!("{:.1} s {side}", offset.abs()))
}

fn remedy(host: &str) -> Remedy {
    Remedy::guided(say!(
        "repair the time source of {} and step its clock; on that host run the commands; the warning goes within 30 s; do not raise mon_clock_drift_allowed",
        host
    ))
    .command("chronyc tracking")
    .command("chronyc sources -v")
    .command("chronyc makestep")
}

/// How far in the future each Ready node's Lease was renewed. If most are off, it is this run's clock that is
/// wrong, and nodes are compared with the middle one.
fn offsets(leases: &[Lease], nodes: &[NodeRow], now: Timestamp) -> BTreeMap<String, f64> {
    let ready = |name: &str| nodes.iter().any(|node| node.name == name && node.is_ready());
    let offset = |lease: &Lease| Some(lease.spec.renew_time?.duration_since(now).as_secs_f64());
    let leases = leases.iter().filter(|lease| ready(&lease.metadata.name));
    let mut all: BTreeMap<String, f64> =
        leases.filter_map(|lease| Some((lease.metadata.name.clone(), offset(lease)?))).collect();
    let mut sorted: Vec<f64> = all.values().copied().collect();
    sorted.sort_by(f64::total_cmp);
    // Of two nodes nobody can say which is wrong.
    let Some(middle) = sorted.get(sorted.len() / 2).copied().filter(|_| sorted.len() > 2) else {
        return BTreeMap::new();
    };
    if !(PAST..=FUTURE).contains(&middle) {
        all.values_mut().for_each(|offset| *offset -= middle);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sync(rows: &[(&str, f64, f64)]) -> TimeSync {
        let row = |skew: f64, latency: f64| TimeSkew { skew, latency, health: String::new() };
        TimeSync { time_skew_status: rows.iter().map(|(mon, s, l)| ((*mon).to_owned(), row(*s, *l))).collect() }
    }

    #[test]
    fn the_leader_is_wrong_when_all_others_differ_alike() {
        let wrong = |rows: &[(&str, f64, f64)]| -> Vec<String> {
            wrong_mons(&sync(rows)).iter().map(|wrong| format!("{} {:+.1}", wrong.mon, wrong.skew)).collect()
        };
        let leader = ("a", 0.0, 0.0);
        assert_eq!(wrong(&[leader, ("b", 0.0, 0.001), ("c", 1.5, 0.001)]), ["c +1.5"]);
        assert_eq!(wrong(&[leader, ("b", 1.5, 0.001), ("c", 1.49, 0.001)]), ["a -1.5"]);
        assert_eq!(wrong(&[leader, ("b", 1.5, 0.001), ("c", -0.4, 0.001)]), ["b +1.5", "c -0.4"]);
        assert_eq!(wrong(&[leader, ("b", 1.5, 0.001)]), ["b +1.5"]);
        assert!(wrong(&[leader, ("b", 0.04, 0.001), ("c", -0.05, 0.001)]).is_empty());
    }
}
