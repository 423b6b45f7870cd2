use std::collections::BTreeMap;

use super::multus_init_crash::init_crash;
use super::sandbox::{Blame, Failure, failures, is_settled};
use super::{down, fails_anew, is_out_of_memory, multus_pods, status_evidence, trouble};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Severity};
use crate::checks::node::memory_limit_too_small::more_memory;
use crate::facts::tables::PodRow;
use crate::facts::{Facts, Gap, both};
use crate::objects::kube::{ContainerStatus, Pod};
use crate::say;

check! {
    /// # What it looks at
    /// The Multus pods whose main container crashes, is out of memory or stays not Ready, and nodes where the
    /// shim says that the daemon's socket is missing.
    ///
    /// # Why it matters
    /// Thick Multus serves every pod of its node through `/run/multus/multus.sock`. While the daemon is down
    /// no pod there starts or stops; those that run go on running. After a reboot all pods ask at once, and
    /// the limit of 50Mi that the upstream manifest sets may be too small for that. Thin Multus is only a plugin
    /// on disk: while its pod is down pods go on to start, until the token that it keeps fresh ends.
    ///
    /// # Confirm by hand
    /// `kubectl -n kube-system get pods -l name=multus -o wide`, and
    /// `kubectl get events -A --field-selector reason=FailedCreatePodSandBox`.
    ///
    /// # Fix
    /// Delete the Multus pod of that node; `kubectl rookdoctor fix NET003` does it and waits for the new one. If it
    /// was out of memory a new pod fares no better: raise the limit of the DaemonSet to 256Mi or more, with
    /// maxUnavailable 1, so that its pods are replaced node by node and no further than to the first that fails.
    ///
    /// # References
    /// multus-cni #1346, #1349, #1383, #1416 (memory), #1331, #1361 (socket).
    "NET003" "multus-daemon-down" Net,
    needs: [DaemonSets, PodTables, Objects, SandboxEvents],
    fix: restart_multus,
    explained_by: [
        (node::node_not_ready, Node), (node::node_rebooted, Node), (node::image_pull_failing, Node), (node::memory_limit_too_small, Object),
        (net::multus_missing, Node),
        (net::multus_init_crash, Node), (net::cni_start_order, Node), (ovn::stale_after_reboot, Node),
    ],
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let pods = multus_pods(facts)?;
    if pods.is_empty() {
        return Ok(Answered::NotApplicable("there are no Multus pods"));
    }
    let (down, failures) = both(down(facts, pods.iter().copied()), failures(facts))?;
    let mut blind = down.blind;
    blind.extend(failures.blind.iter().cloned());
    let mut refused: BTreeMap<String, Failure<'_>> = BTreeMap::new();
    for failure in failures.blamed_on(Blame::Multus) {
        refused.entry(failure.node.clone()).or_insert(failure);
    }
    let mut findings = Vec::new();
    for (_, pod) in &down.seen {
        let refused = refused.remove(&pod.spec.node_name);
        // A daemon that its init container keeps from starting is NET002's.
        if init_crash(pod).is_none() {
            findings.push(stopped(pod, refused.as_ref()));
        }
    }
    // A pod that is down and could not be read may be NET002's.
    let well = refused
        .iter()
        .filter_map(|(node, failure)| Some((*pods.iter().find(|pod| pod.node == *node && pod.is_well())?, failure)));
    let opened = facts.each(well, |facts, (row, _)| facts.pod(&row.ns, &row.name))?;
    blind.extend(opened.blind);
    let unserved = opened.seen.iter().filter(|(_, pod)| is_settled(pod, facts.now()));
    findings.extend(unserved.map(|((row, failure), _)| unreached(row, failure)));
    Ok(Answered::judged(findings).blind(blind))
}

fn stopped(pod: &Pod, refused: Option<&Failure<'_>>) -> Finding {
    let node = &pod.spec.node_name;
    let (how, container) = trouble(pod);
    let killed = container.filter(|status| status.terminated().is_some_and(is_out_of_memory));
    let how = if killed.is_some() { say!("is killed for memory") } else { how };
    let remedy = remedy(pod, killed);
    let (severity, summary) = if is_thin(pod) && refused.is_none() {
        (
            Severity::Warning,
            say!(
                "the thin Multus on {} {}: pods still get their networks by the plugin on disk, until its token ends",
                node,
                how
            ),
        )
    } else {
        (Severity::Critical, say!("the Multus daemon on {} {}: no pod of that node gets a network", node, how))
    };
    Finding::new(severity, ObjectRef::pod(pod), summary, remedy)
        .at([Place::node(node)])
        .since(pod.unready_since())
        .evidence(container.map(|status| status_evidence(pod, status)))
        .evidence(refused.and_then(|failure| failure.events.first()).map(|event| Evidence::event(event)))
}

fn remedy(pod: &Pod, killed: Option<&ContainerStatus>) -> Remedy {
    let (ns, name, node) = (&pod.metadata.namespace, &pod.metadata.name, &pod.spec.node_name);
    let owner = pod.metadata.controller().map_or("kube-multus-ds", |owner| owner.name.as_str());
    if let Some(status) = killed {
        return more_memory(pod, &status.name);
    }
    if fails_anew(pod) {
        return Remedy::guided(say!("the image or the configuration of its DaemonSet keeps the Multus pod on {} from starting, and a new pod would fare the same: mend that", node))
            .command(format!("kubectl -n {ns} describe pod {name}"))
            .command(format!("kubectl -n {ns} get daemonset {owner} -o yaml"));
    }
    Remedy::guided(say!("delete the Multus pod on {}; pods of that node then start by themselves", node))
        .command(delete(ns, name))
        .auto()
}

/// Thin Multus is a plugin that the runtime calls; its pod only keeps configuration and token fresh.
fn is_thin(pod: &Pod) -> bool {
    let words = pod.spec.containers.iter().flat_map(|container| container.command.iter().chain(&container.args));
    words.into_iter().any(|word| word.ends_with("/thin_entrypoint") || word.ends_with("/entrypoint.sh"))
}

/// The pod looks well, and the shim does not reach it all the same.
fn unreached(pod: &PodRow, failure: &Failure<'_>) -> Finding {
    let summary = say!("pods on {} do not reach the Multus daemon: {}", failure.node, failure.error);
    let remedy = Remedy::guided(say!(
        "delete the Multus pod on {}; if the socket stays away, compare the shim's and the daemon's socketDir",
        failure.node
    ))
    .command(delete(&pod.ns, &pod.name))
    .auto();
    let owner = pod.name.rsplit_once('-').map_or(pod.name.as_str(), |(owner, _)| owner);
    Finding::critical(ObjectRef::pod_row(pod, &pod.ns, format!("{owner}@{}", failure.node)), summary, remedy)
        .at([Place::node(&failure.node)])
        .evidence([Evidence::pod_row(pod, &pod.ns)])
        .evidence(failure.events.first().map(|event| Evidence::event(event)))
}

fn delete(ns: &str, pod: &str) -> String {
    format!("kubectl -n {ns} delete pod {pod}")
}
