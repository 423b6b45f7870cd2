use jiff::{SignedDuration, Timestamp};

use super::{LogOf, OVS_FAULTS, namespace, pods, proof};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy};
use crate::checks::net::multus_daemon_sets;
use crate::checks::node::{Boot, boots};
use crate::facts::tables::PodRow;
use crate::facts::{Facts, Gap, LogLine, Unknown, both};
use crate::objects::kube::{DaemonSet, Pod};
use crate::say;

check! {
    /// # What it looks at
    /// Nodes that booted at least five minutes ago and whose kube-ovn-cni was not Ready a moment since, while
    /// other nodes are well; and there the logs of kube-ovn-cni and ovs-ovn, for the words of a fault of OVS:
    /// `network not ready after N ping to gateway`, `br-int.mgmt: connection failed`, `db.sock`.
    ///
    /// # Why it matters
    /// After a reboot the kubelet starts the containers of ovs-ovn again in their old pod. Its probes look at
    /// processes, so it may be Ready while ovn-controller never reached the bridge. The node then has no path
    /// to its gateway, kube-ovn-cni gives up and starts again, and every pod there hangs: CoreDNS, the pinger,
    /// gateways, monitors, OSDs. That the pod is older than the boot proves nothing: it is so everywhere.
    ///
    /// # Confirm by hand
    /// `kubectl -n kube-system logs <kube-ovn-cni pod> -c cni-server --tail=20`, and in the ovs-ovn pod of the
    /// node `ovs-vsctl show` and `tail /var/log/ovn/ovn-controller.log`.
    ///
    /// # Fix
    /// Delete the ovs-ovn pod of that node and wait until it and kube-ovn-cni are Ready; the rest comes by
    /// itself. One node at a time, with the monitors' quorum and clean PGs before the next, and never while
    /// ovn-central has no leader.
    ///
    /// # References
    /// kube-ovn #4845, #4730, #5836; #1575 (why not without ovn-central).
    "OVN007" "stale-after-reboot" Ovn,
    needs: [Discovery, DaemonSets, PodTables, Objects, Logs, RebootEvents, CsiPods],
    fix: restart_ovs,
    explained_by: [(node::node_not_ready, Node), (ovn::ovn_central_down, Cluster)],
}

/// Longer than a sound start takes.
const SETTLED: SignedDuration = SignedDuration::from_mins(5);

/// A node whose network did not come back after its boot.
struct Suspect<'s> {
    cni: &'s Pod,
    ovs: &'s PodRow,
    boot: Boot,
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let ns = namespace(facts)?;
    let (cnis, ovs) = both(pods(facts, ns, "kube-ovn-cni-"), pods(facts, ns, "ovs-ovn-"))?;
    let well = cnis.iter().filter(|row| row.is_well()).count();
    let sick: Vec<&PodRow> = cnis.iter().filter(|row| !row.is_well() && !row.node.is_empty()).collect();
    // Where most nodes fail together the fault is not this node's.
    if sick.is_empty() || well < sick.len() {
        return Ok(Answered::passed());
    }
    let opened = facts.each(sick.iter(), |facts, row| facts.pod(ns, &row.name));
    let (opened, boots) = both(opened, boots(facts, |node| sick.iter().any(|row| row.node == node)))?;
    let mut blind: Vec<Unknown> = opened.blind;
    let mut suspects = Vec::new();
    for (row, cni) in opened.seen {
        let Some(ovs) = ovs.iter().find(|ovs| ovs.node == row.node) else { continue };
        match boots.seen.get(&row.node) {
            Some(boot) if down_since_boot(cni, boot.at, facts.now()) => {
                suspects.push(Suspect { cni, ovs, boot: boot.clone() });
            }
            Some(_) => {}
            None => blind.extend(boots.blind.iter().cloned()),
        }
    }
    let proven = facts.each(suspects, |facts, suspect| fault(facts, ns, suspect))?;
    blind.extend(proven.blind);
    let multus = multus_daemon_sets(facts)?;
    let findings = proven.seen.iter().filter_map(|(suspect, line)| Some(finding(ns, suspect, line.as_ref()?, &multus)));
    Ok(Answered::judged(findings.collect()).blind(blind))
}

/// Not Ready from its boot on. One that was Ready in between has another fault.
fn down_since_boot(cni: &Pod, boot: Timestamp, now: Timestamp) -> bool {
    let since = cni.unready_since().is_some_and(|since| since.duration_since(boot) <= SETTLED);
    !cni.is_ready() && since && now.duration_since(boot) >= SETTLED
}

/// The last words of an OVS fault since the boot.
fn fault(facts: &Facts<'_>, ns: &str, suspect: &Suspect<'_>) -> Result<Option<Evidence>, Gap> {
    let cni = LogOf { pod: &suspect.cni.metadata.name, container: "cni-server", previous: false };
    let before = LogOf { previous: true, ..cni };
    let below = LogOf { pod: &suspect.ovs.name, container: "openvswitch", previous: false };
    let is_it = |line: &LogLine| {
        let since = line.at.is_none_or(|at| at >= suspect.boot.at);
        since && OVS_FAULTS.iter().any(|text| line.text.contains(text))
    };
    proof(facts, ns, &[cni, below, before], is_it)
}

fn finding(ns: &str, suspect: &Suspect<'_>, line: &Evidence, multus: &[&DaemonSet]) -> Finding {
    let Suspect { cni, ovs, boot } = suspect;
    let (node, cni_name) = (&ovs.node, &cni.metadata.name);
    let wait = |app: &str| {
        format!(
            "kubectl -n {ns} wait pod -l app={app} --field-selector spec.nodeName={node} --for=condition=Ready --timeout=5m"
        )
    };
    let mut remedy = Remedy::guided(say!(
        "delete the ovs-ovn pod of {} only, and wait; the pods of the node then start by themselves. First: ovn-central has its leaders, the monitors have quorum without this node, PGs are active. If kube-ovn-cni ({}) or Multus there is not Ready after that, delete its pod as well. Another node only after this one is well and PGs are clean",
        node,
        cni_name
    ))
    .command(format!("kubectl -n {ns} get pods -l app=ovn-central -L ovn-nb-leader,ovn-sb-leader,ovn-northd-leader"))
    .command(format!("kubectl -n {ns} delete pod {}", ovs.name))
    .command(wait("ovs"))
    .command(wait("kube-ovn-cni"));
    if let Some(multus) = multus.first() {
        let label = multus.pod_labels();
        remedy = remedy.command(format!(
            "kubectl -n {} get pods -l {label} -o wide --field-selector spec.nodeName={node}",
            multus.metadata.namespace
        ));
    }
    let summary = say!(
        "since the boot of {} its OVS has no path to the gateway: ovs-ovn there is stale, and no pod of the node gets a network",
        node
    );
    let cni_object = ObjectRef::pod(cni);
    let unready = Evidence::field(&cni_object, "status.conditions[Ready]", "False").at(cni.unready_since());
    let remedy = remedy.auto();
    Finding::critical(ObjectRef::pod_row(ovs, ns, format!("ovs-ovn@{node}")), summary, remedy)
        .at([Place::node(node)])
        .since(Some(boot.at))
        .evidence([line.clone(), unready, Evidence::pod_row(ovs, ns)])
        .evidence(boot.evidence.iter().take(2).cloned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn only_a_pod_that_never_came_back_is_stale() {
        let pod = |ready: &str, since: &str| -> Pod {
            let condition = serde_json::json!({"type": "Ready", "status": ready, "lastTransitionTime": since});
            serde_json::from_value(serde_json::json!({"status": {"conditions": [condition]}})).unwrap()
        };
        let (boot, now) = (at("2025-06-30T10:34:00Z"), at("2025-06-30T10:42:00Z"));
        assert!(down_since_boot(&pod("False", "2025-06-30T10:35:00Z"), boot, now));
        assert!(down_since_boot(&pod("False", "2025-06-30T10:30:00Z"), boot, now), "down since before the boot");
        assert!(!down_since_boot(&pod("True", "2025-06-30T10:35:00Z"), boot, now));
        assert!(!down_since_boot(&pod("False", "2025-06-30T10:41:00Z"), boot, now), "was Ready in between");
        assert!(!down_since_boot(&pod("False", "2025-06-30T10:35:00Z"), boot, at("2025-06-30T10:37:00Z")));
    }
}
