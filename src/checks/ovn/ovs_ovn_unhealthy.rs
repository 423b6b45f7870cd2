use super::{OVS_FAULTS, namespace, pods};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy};
use crate::checks::net::{down, fails_anew, is_out_of_memory, last_words, status_evidence, trouble};
use crate::checks::node::memory_limit_too_small::set_memory;
use crate::facts::{Facts, Gap};
use crate::objects::kube::{ContainerStatus, Pod};
use crate::say;

check! {
    /// # What it looks at
    /// The pods of the DaemonSet `ovs-ovn` (label `app=ovs`), node by node: not Ready, or crashing.
    ///
    /// # Why it matters
    /// It is the node's data plane: ovsdb-server, ovs-vswitchd and ovn-controller. Flows in the kernel live on
    /// for a while, but nothing new is programmed, kube-ovn-cni waits for OVS, and after an unclean end the
    /// node's pods have no network at all.
    ///
    /// # Confirm by hand
    /// `kubectl -n kube-system get pods -l app=ovs -o wide`, and the log of container `openvswitch`.
    ///
    /// # Fix
    /// Delete the ovs-ovn pod of that node and wait until it and kube-ovn-cni are Ready before touching another;
    /// `kubectl rookdoctor fix OVN002` does it, with the guards of OVN007. Where its memory limit or its image is at
    /// fault a new pod fares no better: change the DaemonSet, with OnDelete, so that you choose when each node goes.
    ///
    /// # References
    /// kube-ovn #1946, #3519, #4219 (flows flushed after an abnormal restart), #1575, #2291.
    "OVN002" "ovs-ovn-unhealthy" Ovn,
    needs: [Discovery, DaemonSets, PodTables, Objects, Logs],
    fix: restart_ovs,
    explained_by: [
        (node::node_not_ready, Node), (node::node_rebooted, Node), (node::image_pull_failing, Node), (ovn::stale_after_reboot, Node),
    ],
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let ns = namespace(facts)?;
    let down = down(facts, pods(facts, ns, "ovs-ovn-")?)?;
    let told = facts.each(down.seen, |facts, (_, pod)| last_words(facts, pod, "openvswitch", OVS_FAULTS))?;
    let findings = told.seen.into_iter().map(|((_, pod), words)| finding(pod, words)).collect();
    Ok(Answered::judged(findings).blind(down.blind))
}

fn finding(pod: &Pod, words: Option<Evidence>) -> Finding {
    let node = &pod.spec.node_name;
    let (how, status) = trouble(pod);
    let summary = say!("ovs-ovn on {} {}: the node's pod network is not programmed", node, how);
    Finding::critical(ObjectRef::pod(pod), summary, remedy(pod))
        .at([Place::node(node)])
        .since(pod.unready_since())
        .evidence(status.map(|status| status_evidence(pod, status)))
        .evidence(words)
}

fn remedy(pod: &Pod) -> Remedy {
    let (ns, name, node) = (&pod.metadata.namespace, &pod.metadata.name, &pod.spec.node_name);
    let log = format!("kubectl -n {ns} logs {name} -c openvswitch --tail=50");
    let delete = format!("kubectl -n {ns} delete pod {name}");
    let wait = format!(
        "kubectl -n {ns} wait pod -l app=ovs --field-selector spec.nodeName={node} --for=condition=Ready --timeout=10m"
    );
    let owner = pod.metadata.controller().map_or("ovs-ovn", |owner| owner.name.as_str());
    let mut ends = pod.statuses().filter(|status| !status.ready).filter_map(ContainerStatus::terminated);
    if ends.any(is_out_of_memory) {
        let strategy = r#"{"spec":{"updateStrategy":{"type":"OnDelete","rollingUpdate":null}}}"#;
        return Remedy::guided(say!(
            "give openvswitch more memory. With OnDelete no pod is replaced before it is deleted: begin with {}, and go on to each other node only when the monitors have quorum and PGs are clean; stop at the first node that is not Ready",
            node
        ))
        .command(format!("kubectl -n {ns} patch daemonset {owner} --type merge -p '{strategy}'"))
        .command(set_memory(pod, "daemonset", owner, "openvswitch"))
        .command(delete)
        .command(wait);
    }
    if fails_anew(pod) {
        return Remedy::guided(say!(
            "the image or the configuration of its DaemonSet keeps ovs-ovn on {} from starting, and a new pod would fare the same: mend that",
            node
        ))
        .command(format!("kubectl -n {ns} describe pod {name}"));
    }
    Remedy::guided(say!(
        "see that ovn-central has its leaders (OVN001), then delete the ovs-ovn pod of {} only, and wait until it and kube-ovn-cni there are Ready",
        node
    ))
    .command(log)
    .command(delete)
    .command(wait)
    .auto()
}
