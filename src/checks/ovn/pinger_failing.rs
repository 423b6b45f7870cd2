use super::{LOG_ERRORS, namespace, pods};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy};
use crate::checks::net::{down, last_words, status_evidence, trouble};
use crate::facts::{Facts, Gap};
use crate::objects::kube::Pod;
use crate::say;

check! {
    /// # What it looks at
    /// The pods of the DaemonSet `kube-ovn-pinger`, node by node: not Ready, or crashing; and then the
    /// last error of its log.
    ///
    /// # Why it matters
    /// The pinger has no task but to try the pod network of its node. Where it does not even start, other pods
    /// with a network of their own do not either: it is the symptom that every node has.
    ///
    /// # Confirm by hand
    /// `kubectl -n kube-system get pods -l app=kube-ovn-pinger -o wide`.
    ///
    /// # Fix
    /// None of its own: mend what it hangs below. `kubectl ko diagnose node <node>` tries the path again.
    ///
    /// # References
    /// Kube-OVN: operation manual, "kubectl-ko plugin"; reference, "kube-ovn-pinger".
    "OVN005" "pinger-failing" Ovn,
    needs: [Discovery, DaemonSets, PodTables, Objects, Logs],
    explained_by: [
        (node::node_not_ready, Node), (node::node_rebooted, Node), (node::cni_not_ready, Node),
        (node::image_pull_failing, Node), (net::sandbox_failing, Node), (net::nad_range_exhausted, Node),
        (net::nad_master_missing, Node), (net::cni_plugin_missing, Node), (net::multus_init_crash, Node),
        (net::multus_daemon_down, Node), (ovn::ovn_central_down, Cluster), (ovn::ovs_ovn_unhealthy, Node),
        (ovn::kube_ovn_cni_unhealthy, Node), (ovn::kube_ovn_controller_unhealthy, Cluster),
        (ovn::stale_after_reboot, Node), (ovn::subnet_conflict, Node), (ovn::provider_network_not_ready, Node),
        (ovn::stale_chassis, Node),
    ],
    symptom,
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let ns = namespace(facts)?;
    let down = down(facts, pods(facts, ns, "kube-ovn-pinger-")?)?;
    let told = facts.each(down.seen, |facts, (_, pod)| last_words(facts, pod, "pinger", LOG_ERRORS))?;
    let findings = told.seen.into_iter().map(|((_, pod), words)| finding(pod, words)).collect();
    Ok(Answered::judged(findings).blind(down.blind))
}

fn finding(pod: &Pod, words: Option<Evidence>) -> Finding {
    let (ns, name, node) = (&pod.metadata.namespace, &pod.metadata.name, &pod.spec.node_name);
    let (how, status) = trouble(pod);
    let remedy = Remedy::advice(say!("the pinger only shows that the pod network of {} fails: see its events", node))
        .command(format!("kubectl -n {ns} describe pod {name}"));
    Finding::warning(ObjectRef::pod(pod), say!("kube-ovn-pinger on {} {}", node, how), remedy)
        .at([Place::node(node)])
        .since(pod.unready_since())
        .evidence(status.map(|status| status_evidence(pod, status)))
        .evidence(words)
}
