use jiff::{SignedDuration, Timestamp};

use super::budgets::{held_up, is_tight};
use super::maintenance::{cordoned_at, in_maintenance};
use super::{bound_to, daemon_of, rook_pods, unplaced, unschedulable};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Severity, Text};
use crate::facts::tables::{NodeRow, PodRow};
use crate::facts::{Facts, Gap, both};
use crate::lang::listed;
use crate::objects::kube::{DisruptionBudget, Node, Pod};
use crate::say;

check! {
    /// # What it looks at
    /// Cordoned nodes: since when, whether a Pending Rook pod would fit there, and whether a
    /// PodDisruptionBudget holds up a drain, for an hour or more: then all that is left of Rook's pods on the node
    /// is what the budget covers. Beside them the taint `node.kubernetes.io/out-of-service` on a node that is Ready
    /// again and that a Pending pod is refused by.
    ///
    /// # Why it matters
    /// A cordon alone harms nothing, and for half an hour it is taken for maintenance that goes on. It does harm when a monitor, an OSD or a provisioner finds no other node: then
    /// the operator's failover runs into the same wall. A drain that waits for Rook's budget of OSDs goes on
    /// once the placement groups are clean; it must not be forced.
    ///
    /// # Confirm by hand
    /// `kubectl get nodes`, `kubectl describe node <node>`, `kubectl -n <ns> get poddisruptionbudgets`. A reboot
    /// without a drain can hang on Ceph mounts that lack `_netdev`, which is not observable from the API: the host's
    /// console says `libceph: connect … error -101`. Drain first, uncordon afterwards.
    ///
    /// # Fix
    /// Ask whoever cordoned the node; if no maintenance is going on, `kubectl uncordon <node>`.
    ///
    /// # References
    /// Kubernetes: "Safely Drain a Node", "Non-graceful node shutdown"; Rook:
    /// CRDs/Cluster/ceph-cluster-crd, `disruptionManagement`.
    "NODE011" "drain-blocked" Node,
    needs: [Nodes, MonPods, MgrPods, OsdPods, PreparePods, MdsPods, RgwPods, GatewayPods, CsiPods, Objects, DisruptionBudgets],
    explained_by: [],
}

const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";
/// A drain waits for placement groups for minutes; after an hour somebody should look.
const STUCK: SignedDuration = SignedDuration::from_mins(60);
/// In the scheduler's words for a cordoned node.
const CORDON: &[&str] = &["were unschedulable", "node.kubernetes.io/unschedulable"];

type Pending<'s> = (&'s PodRow, &'s Pod);

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let (nodes, pods) = both(facts.nodes(), unplaced(facts))?;
    let refused = |texts: &[&str]| -> Vec<Pending<'_>> {
        let says = |pod: &Pod| unschedulable(pod).is_some_and(|it| texts.iter().any(|text| it.message.contains(text)));
        pods.seen.iter().filter(|(_, pod)| says(pod)).copied().collect()
    };
    let (by_cordon, by_taint) = (refused(CORDON), refused(&[OUT_OF_SERVICE]));
    let suspects: Vec<&NodeRow> = nodes.iter().filter(|node| node.is_cordoned() || !by_taint.is_empty()).collect();
    if suspects.is_empty() {
        return Ok(Answered::passed().blind(pods.blind));
    }
    let opened = facts.each(suspects.iter().copied(), |facts, row| facts.object::<Node>("", &row.name));
    let budgets = facts.each([()], |facts, ()| facts.disruption_budgets());
    let ((opened, budgets), rook) = both(both(opened, budgets), rook_pods(facts))?;
    let planned = in_maintenance(facts)?;
    let object = |row: &NodeRow| opened.seen.iter().find(|(seen, _)| seen.name == row.name).and_then(|(_, node)| *node);
    let tight = budgets.seen.iter().flat_map(|(_, all)| all.iter()).filter(is_tight).collect::<Vec<_>>();
    let mut findings = Vec::new();
    for row in suspects {
        if row.is_cordoned() {
            let carried: Vec<&PodRow> = rook.rows.iter().copied().filter(|pod| pod.node == row.name).collect();
            let waiting = object(row).map(|node| held_up(node, &carried, &tight)).unwrap_or_default();
            let found = cordoned(row, object(row), &held(row, &by_cordon), &waiting, facts.now());
            let severity = if planned.contains(row.name.as_str()) { Severity::Info } else { found.severity };
            findings.push(Finding { severity, ..found });
        } else if let Some(node) = object(row).filter(|node| row.is_ready() && is_out_of_service(node)) {
            findings.push(out_of_service(node, &held(row, &by_taint)));
        }
    }
    let blind = [pods.blind, opened.blind, budgets.blind, rook.blind];
    Ok(Answered::judged(findings).blind(blind.into_iter().flatten()))
}

/// Pods that this node could take: bound to it, or to none.
fn held<'s>(row: &NodeRow, pending: &[Pending<'s>]) -> Vec<Pending<'s>> {
    let fits = |pod: &Pod| bound_to(pod).is_none_or(|host| host == row.name);
    pending.iter().filter(|(_, pod)| fits(pod)).copied().collect()
}

fn is_out_of_service(node: &Node) -> bool {
    node.spec.taints.iter().any(|taint| taint.key == OUT_OF_SERVICE)
}

fn cordoned(
    row: &NodeRow,
    node: Option<&Node>,
    held: &[Pending<'_>],
    waiting: &[&DisruptionBudget],
    now: Timestamp,
) -> Finding {
    let object = ObjectRef::node(&row.name);
    let since = node.and_then(cordoned_at);
    let by = node.and_then(|node| node.metadata.written_by(&["f:spec", "f:unschedulable"]));
    let mut said = vec![Evidence::field(&object, "spec.unschedulable", "true").at(since)];
    said.extend(
        by.map(|by| Evidence::field(&object, "metadata.managedFields", format!("set by {}", by.manager)).at(by.time)),
    );
    let at = [Place::node(&row.name)];
    said.extend(waiting.iter().map(|budget| {
        let budget = ObjectRef::of::<DisruptionBudget>(&budget.metadata);
        Evidence::field(&budget, "status.disruptionsAllowed", "0: a drain waits for it")
    }));
    if let (true, Some(budget)) = (held.is_empty(), waiting.first()) {
        let (ns, name) = (&budget.metadata.namespace, &budget.metadata.name);
        let long = since.is_some_and(|since| now.duration_since(since) >= STUCK);
        let severity = if long { Severity::Warning } else { Severity::Info };
        let summary = say!("drain of node {} waits for the PodDisruptionBudget {}", row.name, name);
        let remedy = Remedy::guided(say!("make Ceph healthy and the drain goes on by itself: the budget allows the next pod once the other monitors are in quorum and all placement groups are active+clean; do not force the drain and do not delete the budget"))
            .command(format!("kubectl -n {ns} get poddisruptionbudgets"))
            .command(format!("kubectl -n {ns} describe poddisruptionbudget {name}"));
        return Finding::new(severity, object, summary, remedy).at(at).since(since).evidence(said);
    }
    if held.is_empty() {
        let summary = say!("node {} is cordoned; it keeps no Rook pod from running", row.name);
        let remedy =
            Remedy::advice(say!("uncordon it after the maintenance")).command(format!("kubectl uncordon {}", row.name));
        return Finding::info(object, summary, remedy).at(at).since(since).evidence(said);
    }
    let names: Vec<Text> = held.iter().map(|(row, _)| name_of(row)).collect();
    said.extend(held.iter().filter_map(words));
    let summary = say!("node {} is cordoned, and there is no other node for {}", row.name, listed(names));
    let remedy = Remedy::guided(say!("ask whoever cordoned {}; if no maintenance is going on, uncordon it", row.name))
        .command(format!("kubectl uncordon {}", row.name));
    Finding::warning(object, summary, remedy).at(at).since(since).evidence(said)
}

/// `mon.c`, or the pod's own name where it is no daemon.
fn name_of(row: &PodRow) -> Text {
    match daemon_of(row) {
        Some(Place::Daemon(daemon)) => say!("{}", daemon),
        _ => say!("pod {}", row.name),
    }
}

fn out_of_service(node: &Node, held: &[Pending<'_>]) -> Finding {
    let object = ObjectRef::of::<Node>(&node.metadata);
    let name = &node.metadata.name;
    let summary = say!("node {} still has the taint out-of-service: nothing may run there", name);
    let remedy = Remedy::guided(say!("take the taint off once {} is well again and its volumes are detached", name))
        .command(format!("kubectl taint nodes {name} {OUT_OF_SERVICE}-"));
    let taint = Evidence::field(&object, "spec.taints", OUT_OF_SERVICE);
    Finding::warning(object, summary, remedy)
        .at([Place::node(name.as_str())])
        .evidence([taint].into_iter().chain(held.iter().filter_map(words)))
}

fn words((_, pod): &Pending<'_>) -> Option<Evidence> {
    let words = unschedulable(pod)?;
    let field = "status.conditions[PodScheduled]";
    Some(Evidence::field(&ObjectRef::pod(pod), field, &words.message).at(words.last_transition_time))
}
