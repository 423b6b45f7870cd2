use super::multus_pods;
use super::sandbox::{Blame, Failure, failures, is_settled};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy};
use crate::facts::{Facts, Gap, both};
use crate::objects::kube::Pod;
use crate::say;

check! {
    /// # What it looks at
    /// Sandboxes that fail because the API server refuses the token of Multus: `error getting pod: Unauthorized` or
    /// `error waiting for pod: Unauthorized`, said after the Multus pod of that node was made.
    ///
    /// # Why it matters
    /// Multus asks the API server for every pod that it serves, by a kubeconfig with a token that ends. Thin Multus
    /// wrote that token once, when its pod started, until it learnt to watch it; a new signing key or a clock that is
    /// far off ends it early. From then on no pod of the node starts or stops; those that run go on running.
    ///
    /// # Confirm by hand
    /// `kubectl get events -A --field-selector reason=FailedCreatePodSandBox`; on the node `timedatectl`, and the
    /// age of `/etc/cni/net.d/multus.d/multus.kubeconfig`.
    ///
    /// # Fix
    /// Delete the Multus pod of that node: the new one writes a new token. `kubectl rookdoctor fix NET004` does it
    /// and waits. If it comes back, upgrade Multus to a release that renews it.
    ///
    /// # References
    /// multus-cni #852, #1094; kubespray #12002.
    "NET004" "multus-unauthorized" Net,
    needs: [DaemonSets, PodTables, Objects, SandboxEvents],
    fix: restart_multus,
    explained_by: [(node::node_clock_skew, Node)],
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let (pods, failures) = both(multus_pods(facts), failures(facts))?;
    if pods.is_empty() {
        return Ok(Answered::NotApplicable("there are no Multus pods"));
    }
    let blind = failures.blind.clone();
    // On a node without a Multus pod the plugin was left behind, and NET001 has the word.
    let refused = failures
        .blamed_on(Blame::MultusToken)
        .filter_map(|failure| Some((*pods.iter().find(|pod| pod.node == failure.node)?, failure)));
    let opened = facts.each(refused, |facts, (row, _)| facts.pod(&row.ns, &row.name))?;
    let is_current = |failure: &Failure<'_>, pod: &Pod| {
        let seen = failure.events.first().and_then(|event| event.last_seen());
        is_settled(pod, facts.now()) && seen.is_none_or(|seen| pod.status.start_time.is_none_or(|start| seen > start))
    };
    let refused = opened.seen.iter().filter(|((_, failure), pod)| is_current(failure, pod));
    let findings = refused.map(|((_, failure), pod)| finding(pod, failure)).collect();
    Ok(Answered::judged(findings).blind(blind).blind(opened.blind))
}

fn finding(pod: &Pod, failure: &Failure<'_>) -> Finding {
    let (ns, name, node) = (&pod.metadata.namespace, &pod.metadata.name, &failure.node);
    let summary = say!("the API server refuses the token of Multus on {}: no pod of that node gets a network", node);
    let remedy = Remedy::guided(say!(
        "delete the Multus pod on {}, which makes a new token; pods of that node then start by themselves. If it comes back, compare the clock of the node, and upgrade Multus to a release that renews the token",
        node
    ))
    .command(format!("kubectl -n {ns} delete pod {name}"))
    .auto();
    let object = ObjectRef::pod(pod);
    let started = pod.status.start_time.map(|start| Evidence::field(&object, "status.startTime", start));
    Finding::critical(object, summary, remedy)
        .at([Place::node(node)])
        .since(failure.events.iter().filter_map(|event| event.first_seen()).min())
        .evidence(failure.events.iter().take(2).map(|event| Evidence::event(event)))
        .evidence(started)
}
