use std::collections::BTreeMap;

use super::{OVS_FAULTS, namespace, pods};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy};
use crate::checks::net::sandbox::{Blame, Failure, failures, is_settled};
use crate::checks::net::{down, fails_anew, is_out_of_memory, last_words, status_evidence, trouble};
use crate::checks::node::memory_limit_too_small::more_memory;
use crate::facts::tables::PodRow;
use crate::facts::{Facts, Gap, both};
use crate::objects::kube::Pod;
use crate::say;

check! {
    /// # What it looks at
    /// The pods of the DaemonSet `kube-ovn-cni`, node by node: not Ready or crashing; and nodes where sandboxes
    /// fail because `/run/openvswitch/kube-ovn-daemon.sock` is absent or refuses.
    ///
    /// # Why it matters
    /// Every pod of the node asks it for its network, through that socket. It starts to listen only when OVS
    /// answers and the gateway of the join subnet does, so it is often the first to show a fault of either.
    ///
    /// # Confirm by hand
    /// `kubectl -n kube-system get pods -l app=kube-ovn-cni -o wide`, and the log of container `cni-server`:
    /// `waiting for ovs ready`, `network not ready after N ping to gateway`.
    ///
    /// # Fix
    /// If its log names OVS or the gateway, mend ovs-ovn on that node first (OVN007, OVN002). Else delete the
    /// kube-ovn-cni pod of that node: `kubectl rookdoctor fix OVN003` does it, if ovn-central has its leaders and
    /// ovs-ovn there is Ready, and waits.
    ///
    /// # References
    /// kube-ovn #5836 and #6775 (socket gone after a long uptime), #4845, #4730.
    "OVN003" "kube-ovn-cni-unhealthy" Ovn,
    needs: [Discovery, DaemonSets, PodTables, Objects, Logs, SandboxEvents],
    fix: restart_kube_ovn,
    explained_by: [
        (node::node_not_ready, Node), (node::node_rebooted, Node), (node::image_pull_failing, Node),
        (ovn::stale_after_reboot, Node), (ovn::ovs_ovn_unhealthy, Node), (ovn::ovn_central_down, Cluster),
        (ovn::subnet_conflict, Node), (ovn::stale_chassis, Node),
    ],
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let ns = namespace(facts)?;
    let pods = pods(facts, ns, "kube-ovn-cni-")?;
    let (down, failures) = both(down(facts, pods), failures(facts))?;
    let mut blind = down.blind;
    blind.extend(failures.blind.iter().cloned());
    let mut refused: BTreeMap<String, Failure<'_>> = BTreeMap::new();
    for failure in failures.blamed_on(Blame::KubeOvnSocket) {
        refused.entry(failure.node.clone()).or_insert(failure);
    }
    let told = facts.each(down.seen, |facts, (_, pod)| last_words(facts, pod, "cni-server", OVS_FAULTS))?;
    let mut findings = Vec::new();
    for ((_, pod), words) in told.seen {
        let refused = refused.remove(&pod.spec.node_name);
        findings.push(not_ready(pod, words, refused.as_ref()));
    }
    let up = refused.iter().filter_map(|(node, failure)| Some((pods.iter().find(|pod| pod.node == *node)?, failure)));
    let opened = facts.each(up, |facts, (row, _)| facts.pod(ns, &row.name))?;
    blind.extend(opened.blind);
    let unserved = opened.seen.iter().filter(|(_, pod)| is_settled(pod, facts.now()));
    findings.extend(unserved.map(|((row, failure), _)| unreached(ns, row, failure)));
    Ok(Answered::judged(findings).blind(blind))
}

fn not_ready(pod: &Pod, words: Option<Evidence>, refused: Option<&Failure<'_>>) -> Finding {
    let (ns, name, node) = (&pod.metadata.namespace, &pod.metadata.name, &pod.spec.node_name);
    let (how, status) = trouble(pod);
    let log = format!("kubectl -n {ns} logs {name} -c cni-server --tail=50");
    let delete = format!("kubectl -n {ns} delete pod {name}");
    let killed = status.filter(|status| status.terminated().is_some_and(is_out_of_memory));
    let remedy = if let Some(status) = killed {
        more_memory(pod, &status.name)
    } else if fails_anew(pod) {
        Remedy::guided(say!("the image or the configuration of its DaemonSet keeps kube-ovn-cni on {} from starting, and a new pod would fare the same: mend that", node))
            .command(format!("kubectl -n {ns} describe pod {name}"))
    } else if words.is_some() {
        Remedy::guided(say!("its log names OVS or the gateway: mend ovs-ovn on {} first; only then delete this pod, if it does not recover by itself", node))
            .command(format!("kubectl -n {ns} get pods -l app=ovs -o wide --field-selector spec.nodeName={node}"))
            .command(log)
            .command(delete)
    } else {
        Remedy::guided(say!("read its log, then delete the kube-ovn-cni pod of {}", node))
            .command(log)
            .command(delete)
            .auto()
    };
    let summary = say!("kube-ovn-cni on {} {}: no pod of that node gets a network", node, how);
    Finding::critical(ObjectRef::pod(pod), summary, remedy)
        .at([Place::node(node)])
        .since(pod.unready_since())
        .evidence(status.map(|status| status_evidence(pod, status)))
        .evidence(words)
        .evidence(refused.and_then(|failure| failure.events.first()).map(|event| Evidence::event(event)))
}

/// The pod starts or looks well, and plugins do not reach it all the same.
fn unreached(ns: &str, pod: &PodRow, failure: &Failure<'_>) -> Finding {
    let node = &failure.node;
    let ovs = format!("kubectl -n {ns} get pods -l app=ovs -o wide --field-selector spec.nodeName={node}");
    let remedy = Remedy::guided(say!(
        "delete the kube-ovn-cni pod of {}; if the socket stays away, the ovs-ovn pod of that node, and no other",
        node
    ))
    .command(format!("kubectl -n {ns} delete pod {}", pod.name))
    .command(ovs)
    .auto();
    let summary = say!("pods on {} do not reach kube-ovn-cni: {}", node, failure.error);
    Finding::critical(ObjectRef::pod_row(pod, ns, format!("kube-ovn-cni@{node}")), summary, remedy)
        .at([Place::node(node)])
        .evidence([Evidence::pod_row(pod, ns)])
        .evidence(failure.events.first().map(|event| Evidence::event(event)))
}
