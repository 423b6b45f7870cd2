use std::collections::{BTreeMap, BTreeSet};

use super::clocks::{Wrong, is_off, offsets, raised, said_of, wrong_mons};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Severity, Text};
use crate::facts::tables::PodRow;
use crate::facts::{Facts, Gap, Settled, Unknown, both, kinds, known};
use crate::objects::ceph::{Health, TimeSync};
use crate::say;

check! {
    /// # What it looks at
    /// `ceph time-sync-status`, where the leader of the monitors compares its clock with the others', the health
    /// code MON_CLOCK_SKEW (muted, it is only mentioned), and the Leases in kube-node-lease, which each kubelet renews with its own clock: against this run's clock and
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
    needs: [TimeSync, CephHealth, MonPods, NodeLeases, Nodes],
    explained_by: [],
}

/// `mon_lease`: from here on monitors fall out of the quorum.
const LEASE: f64 = 5.0;

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let kube = both(facts.node_leases().settled(), facts.nodes().settled());
    let (told, (leases, nodes)) = both(of_ceph(facts), kube)?;
    let offsets = match (&leases, &nodes) {
        (Ok(leases), Ok(nodes)) => offsets(leases, nodes, facts.now()),
        _ => BTreeMap::new(),
    };
    let mut findings = of_mons(facts, &told, &offsets);
    let known: BTreeSet<Place> = findings.iter().flat_map(|finding: &Finding| finding.at.clone()).collect();
    let alone =
        offsets.iter().filter(|(node, offset)| is_off(**offset) && !known.contains(&Place::node(node.as_str())));
    findings.extend(alone.map(|(node, offset)| node_finding(node, *offset)));
    Ok(Answered::judged(findings).blind(told.blind).blind(leases.err()).blind(nodes.err()))
}

/// What Ceph tells of clocks, and where its monitors are.
#[derive(Default)]
struct Told<'s> {
    sync: Option<&'s TimeSync>,
    health: Option<&'s Health>,
    mons: &'s [PodRow],
    blind: Vec<Unknown>,
}

/// The provider of an external cluster may keep its answers to itself; the Leases can still be compared.
fn of_ceph<'s>(facts: &Facts<'s>) -> Result<Told<'s>, Gap> {
    let ceph = both(facts.time_sync().settled(), facts.ceph_health().settled());
    let (sync, health, mons) = match both(ceph, facts.mon_pods().settled()) {
        Ok(((sync, health), mons)) => (sync, health, mons),
        Err(Gap::NotOffered(_)) => return Ok(Told::default()),
        Err(gap) => return Err(gap),
    };
    let mut blind = Vec::new();
    let (sync, health) = (known(sync, &mut blind), known(health, &mut blind));
    let mons = known(mons, &mut blind).unwrap_or_default();
    Ok(Told { sync, health, mons, blind })
}

/// By the monitors' own comparison, and what Ceph's health says beyond it.
fn of_mons(facts: &Facts<'_>, told: &Told<'_>, offsets: &BTreeMap<String, f64>) -> Vec<Finding> {
    let raised = told.health.and_then(raised);
    let muted = raised.is_some_and(|code| code.muted);
    let wrong = told.sync.map(wrong_mons).unwrap_or_default();
    let compared: Vec<Finding> = wrong.iter().map(|wrong| mon_finding(facts, told, wrong, offsets, muted)).collect();
    let seen = |mon: &str| wrong.iter().any(|wrong| wrong.mon == mon || wrong.proof.iter().any(|(it, _)| *it == mon));
    let details = raised.into_iter().flat_map(|code| code.details()).filter_map(|text| Some((text, said_of(text)?)));
    let more = details.filter(|(_, (mon, _))| !seen(mon)).map(|(text, (mon, skew))| {
        let summary = say!("clock of {} is {} s off, as Ceph says", host_of(told, mon), format!("{skew:.2}"));
        let said = Evidence::ceph("health detail", format!("MON_CLOCK_SKEW: {text}"));
        placed(facts, told, mon, summary, severity(skew, muted)).evidence([said])
    });
    compared.into_iter().chain(more).collect()
}

fn mon_finding(
    facts: &Facts<'_>,
    told: &Told<'_>,
    wrong: &Wrong<'_>,
    offsets: &BTreeMap<String, f64>,
    muted: bool,
) -> Finding {
    let host = host_of(told, wrong.mon);
    let amount = format!("{:.2}", wrong.skew.abs());
    let amount = if wrong.skew > 0.0 { say!("{} s fast", amount) } else { say!("{} s slow", amount) };
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
    let evidence = wrong.proof.iter().map(|(mon, row)| {
        Evidence::ceph("time-sync-status", format!("mon.{mon}: skew {:.4} s, latency {:.4} s", row.skew, row.latency))
    });
    let lease = node_of(told, wrong.mon).and_then(|node| Some((node, *offsets.get(node)?)));
    let lease = lease.filter(|(_, offset)| *offset > 0.0).map(|(node, offset)| lease_evidence(node, offset));
    placed(facts, told, wrong.mon, summary, severity(wrong.skew, muted)).evidence(evidence.chain(lease))
}

/// A mute says that somebody knows; but past the lease the quorum itself is at stake.
fn severity(skew: f64, muted: bool) -> Severity {
    match skew.abs() >= LEASE {
        true => Severity::Critical,
        false if muted => Severity::Info,
        false => Severity::Warning,
    }
}

fn node_of<'s>(told: &Told<'s>, mon: &str) -> Option<&'s str> {
    let is_it = |row: &&PodRow| row.daemon_id("rook-ceph-mon-") == Some(mon) && !row.node.is_empty();
    told.mons.iter().find(is_it).map(|row| row.node.as_str())
}

fn host_of(told: &Told<'_>, mon: &str) -> Text {
    match node_of(told, mon) {
        Some(node) => say!("node {} (mon.{})", node, mon),
        None => say!("the host of mon.{}", mon),
    }
}

fn placed(facts: &Facts<'_>, told: &Told<'_>, mon: &str, summary: Text, severity: Severity) -> Finding {
    let node = node_of(told, mon);
    let object = match (node, facts.cluster()) {
        (Some(node), _) => ObjectRef::node(node),
        (None, Ok(cluster)) => ObjectRef::cluster(cluster),
        (None, Err(_)) => ObjectRef::node(""),
    };
    Finding::new(severity, object, summary, remedy(host_of(told, mon))).detail(format!("mon.{mon}")).at([
        Place::daemon("mon", mon),
    ]
    .into_iter()
    .chain(node.map(Place::node)))
}

fn node_finding(node: &str, offset: f64) -> Finding {
    let seconds = offset.abs().round();
    let summary = match offset > 0.0 {
        true => say!("clock of node {} is about {} s fast against the other nodes", node, seconds),
        false => say!("clock of node {} is about {} s slow against the other nodes", node, seconds),
    };
    Finding::warning(ObjectRef::node(node), summary, remedy(say!("node {}", node)))
        .at([Place::node(node)])
        .evidence([lease_evidence(node, offset)])
}

fn lease_evidence(node: &str, offset: f64) -> Evidence {
    let object = ObjectRef::new(kinds::LEASE, "kube-node-lease", node);
    let side = if offset > 0.0 { "in the future" } else { "ago" };
    Evidence::field(&object, "spec.renewTime", format!("{:.1} s {side}", offset.abs()))
}

fn remedy(host: Text) -> Remedy {
    Remedy::guided(say!(
        "repair the time source of {} and step its clock; on that host run the commands; the warning goes within 30 s; do not raise mon_clock_drift_allowed",
        host
    ))
    .command("chronyc tracking")
    .command("chronyc sources -v")
    .command("chronyc makestep")
}
