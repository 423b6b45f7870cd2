use std::collections::BTreeSet;

use jiff::SignedDuration;

use super::{EXTERNAL, PREFIX, daemon, deployment};
use crate::check;
use crate::check::{Answered, Evidence, Finding, Place, Remedy, Severity, Text};
use crate::checks::node::maintenance::in_maintenance;
use crate::checks::opr::older;
use crate::facts::tables::NodeRow;
use crate::facts::{Facts, Gap, Settled};
use crate::lang::{Words, listed};
use crate::objects::kube::{Pod, condition};
use crate::say;

check! {
    /// # What it looks at
    /// Pods of monitors, and of the canaries by which Rook looks for a place, that have no node for more than a
    /// minute, in the scheduler's own words: the condition PodScheduled. Their node selector names the node of a monitor
    /// on a host path; one on a volume may go anywhere that has no other monitor.
    ///
    /// # Why it matters
    /// Such a monitor is out of the quorum, and the failover that Rook begins after twenty minutes meets the same
    /// obstacle: it looks for a node for a canary with the same rules.
    ///
    /// # Confirm by hand
    /// `kubectl -n <ns> describe pod -l app=rook-ceph-mon,mon=<id>`, event FailedScheduling; `kubectl get nodes`.
    ///
    /// # Fix
    /// Give it the node back: uncordon it when no maintenance goes on, bring it up, take its taint away. Only if the
    /// node is gone for good, delete its Node object; Rook then fails the monitor over to a free node, of which there must
    /// be one. `allowMultiplePerNode` trades one fault for a worse one.
    ///
    /// # References
    /// Rook: Storage-Configuration/Advanced/ceph-mon-health, "Failing over a Monitor"; mon/health.go.
    "MON006" "mon-unschedulable" Mon,
    needs: [MonPods, Nodes, Objects],
    explained_by: [(node::node_not_ready, Node), (node::drain_blocked, Node)],
}

/// A volume that is being made keeps a pod waiting for some seconds.
const WAITING: SignedDuration = SignedDuration::from_mins(1);

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    if facts.cluster()?.external {
        return Ok(Answered::NotApplicable(EXTERNAL));
    }
    let ns = facts.cluster()?.ns.as_str();
    let pending = facts.mon_pods()?.iter().filter(|pod| pod.is_pending() && pod.node.is_empty());
    let opened = facts.each(pending, |facts, row| facts.pod(ns, &row.name))?;
    // Nodes only name the place and the remedy: without them the finding stands.
    let nodes = if opened.seen.is_empty() { &[] } else { facts.nodes().settled()?.unwrap_or(&[]) };
    let planned = if opened.seen.is_empty() { BTreeSet::new() } else { in_maintenance(facts)? };
    let findings = opened.seen.iter().filter_map(|(row, pod)| {
        let words = unschedulable(facts, pod)?;
        let id = row.daemon_id(PREFIX)?;
        let found = finding(ns, id, pod, words, nodes).evidence([Evidence::pod_row(row, ns)]);
        let mut blocking = found.at.iter().filter_map(Place::as_node);
        let waits =
            blocking.next().is_some_and(|node| planned.contains(node)) && blocking.all(|it| planned.contains(it));
        Some(if waits { Finding { severity: Severity::Info, ..found } } else { found })
    });
    Ok(Answered::judged(findings.collect()).blind(opened.blind))
}

/// The scheduler's words, if it has tried for long enough.
fn unschedulable<'p>(facts: &Facts<'_>, pod: &'p Pod) -> Option<&'p str> {
    let scheduled = condition(&pod.status.conditions, "PodScheduled").filter(|it| it.status == "False")?;
    let waits = older(facts, pod.metadata.creation_timestamp, WAITING);
    (waits && scheduled.reason == "Unschedulable").then_some(scheduled.message.as_str())
}

fn finding(ns: &str, id: &str, pod: &Pod, words: &str, nodes: &[NodeRow]) -> Finding {
    let (mon, is_canary) = id.split_once('-').map_or((id, false), |(mon, _)| (mon, true));
    let bound = pod.spec.node_selector.get("kubernetes.io/hostname").map(String::as_str);
    let blocked = blocked(words, bound, nodes);
    let why = why(words, bound, &blocked);
    let object = deployment(ns, id);
    let summary = if is_canary {
        say!("the canary of mon.{} finds no node: {}", mon, why)
    } else {
        say!("mon.{} finds no node: {}", mon, why)
    };
    let scheduled = Evidence::field(&object, "pod status.conditions[PodScheduled]", words);
    let places = [daemon(mon)].into_iter().chain(blocked.iter().map(|node| Place::node(node.name.as_str())));
    Finding::warning(object, summary, remedy(ns, id, &blocked))
        .since(pod.metadata.creation_timestamp)
        .at(places.chain(bound.map(Place::node)))
        .evidence([scheduled])
}

/// The nodes that would be right and are barred: the one it is bound to, else those that are cordoned or away, if
/// the scheduler says that this matters.
fn blocked<'n>(words: &str, bound: Option<&str>, nodes: &'n [NodeRow]) -> Vec<&'n NodeRow> {
    let cordon = words.contains("were unschedulable") || words.contains("node.kubernetes.io/unschedulable");
    let away = words.contains("node.kubernetes.io/unreachable") || words.contains("node.kubernetes.io/not-ready");
    let barred = |node: &&NodeRow| (cordon && node.is_cordoned()) || (away && !node.is_ready());
    nodes.iter().filter(barred).filter(|node| bound.is_none_or(|bound| bound == node.name)).collect()
}

fn why(words: &str, bound: Option<&str>, blocked: &[&NodeRow]) -> Text {
    const KNOWN: &[(&str, Words)] = &[
        ("anti-affinity", || say!("other nodes have a monitor")),
        ("Insufficient", || say!("too little CPU or memory is free")),
        ("PersistentVolumeClaim", || say!("its volume is not bound")),
        ("volume node affinity", || say!("its volume is on another node")),
    ];
    let state = |node: &&NodeRow| match node.is_ready() {
        true => say!("{} is cordoned", node.name),
        false => say!("{} is not Ready", node.name),
    };
    let reasons = blocked.iter().map(state);
    let reasons = reasons.chain(KNOWN.iter().filter(|(text, _)| words.contains(text)).map(|(_, reason)| reason()));
    let bound = bound.filter(|_| blocked.is_empty());
    let mut reasons: Vec<Text> = reasons.chain(bound.map(|bound| say!("it is bound to {}", bound))).collect();
    reasons.sort_by_key(Text::english);
    reasons.dedup();
    if reasons.is_empty() { say!("{}", words) } else { say!("{}", listed(reasons)) }
}

fn remedy(ns: &str, id: &str, blocked: &[&NodeRow]) -> Remedy {
    let cordoned: Vec<&str> = blocked.iter().filter(|it| it.is_ready()).map(|it| it.name.as_str()).collect();
    let describe = format!("kubectl -n {ns} describe deploy {PREFIX}{id}");
    if !cordoned.is_empty() {
        let names = cordoned.join(" ");
        return Remedy::guided(say!("ask whoever cordoned {} whether maintenance goes on; if not, uncordon it: the scheduler places the monitor within seconds (do not delete the monitor and do not set allowMultiplePerNode)", names))
            .command(format!("kubectl uncordon {names}"));
    }
    if let Some(node) = blocked.first() {
        return Remedy::guided(say!("bring {} back, and the monitor with its data; only if that node is gone for good and no process of it can run any more, delete its Node object, and Rook fails the monitor over to a free node while the others hold the quorum", node.name))
            .command(format!("kubectl describe node {}", node.name));
    }
    Remedy::guided(say!("give the scheduler a node that fits by its own words; delete no monitor")).command(describe)
}
