use std::collections::BTreeMap;

use super::unregistered::{is_settled, missing, unregistered};
use super::{Plugin, is_young, plugins};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Text};
use crate::facts::tables::PodRow;
use crate::facts::{Facts, Gap, Select, both};
use crate::lang::Words;
use crate::objects::csi_addons::CsiAddonsNode;
use crate::say;

check! {
    /// # What it looks at
    /// The CSIAddonsNodes of the operator's namespace: those that are `Failed` or `Retrying`, with the controller's
    /// words decoded; those that the controller never looked at; and sidecars `csi-addons` that run for minutes and
    /// have none. Where CSI-Addons is not installed the question does not arise.
    ///
    /// # Why it matters
    /// Volumes are made and mounted without CSI-Addons. But reclaiming space, network fencing of a lost node,
    /// rotation of keys and replication go through these connections; after three tries the controller deletes the
    /// object, so that a missing one says the same as a failed one.
    ///
    /// # Confirm by hand
    /// `kubectl -n <operator namespace> get csiaddonsnodes`, and the log of `csi-addons-controller-manager`.
    ///
    /// # Fix
    /// By the words: let the controller through the NetworkPolicies to the sidecar's port, give the sidecar's
    /// ServiceAccount the right to create TokenReviews, bring both sides to one release. Then delete the sidecar's
    /// pod or the CSIAddonsNode: it is made anew.
    ///
    /// # References
    /// kubernetes-csi-addons: docs/csiaddonsnode.md, internal/controller/csiaddons/csiaddonsnode_controller.go,
    /// internal/kubernetes/token/grpc.go.
    "CSI014" "csi-addons-node-failed" Csi,
    needs: [Discovery, CsiDeployments, DaemonSets, CsiPods, Objects],
    explained_by: [
        (node::node_not_ready, Node), (node::service_proxy_down, Node), (csi::csi_addons_port_conflict, Object),
        (csi::host_port_conflict, Object), (csi::sidecar_mismatch, Object), (csi::controller_unhealthy, Object),
        (csi::node_plugin_unhealthy, Object),
    ],
}

/// Why the controller does not reach a sidecar.
const WORDS: &[(&str, Words, Words)] = &[
    (
        "failed to review token",
        || say!("the sidecar may not review the controller's token"),
        || {
            say!(
                "let the sidecar's ServiceAccount create tokenreviews.authentication.k8s.io (Rook's common.yaml of this release)"
            )
        },
    ),
    (
        "Unauthenticated",
        || say!("the sidecar refuses the controller's token"),
        || say!("let controller and sidecars be of one release, with authentication on both sides or on none"),
    ),
    (
        "authentication handshake failed",
        || say!("only one side of the connection speaks TLS"),
        || say!("let controller and sidecars be of one release, with authentication on both sides or on none"),
    ),
    (
        "connection refused",
        || say!("nothing listens on the sidecar's port"),
        || say!("look at the log of container csi-addons in that pod"),
    ),
    (
        "deadline exceeded",
        || say!("its packets do not arrive"),
        || say!("let the NetworkPolicies and firewalls admit the controller to the sidecar's port"),
    ),
    (
        "i/o timeout",
        || say!("its packets do not arrive"),
        || say!("let the NetworkPolicies and firewalls admit the controller to the sidecar's port"),
    ),
    (
        "failed to resolve endpoint",
        || say!("the pod that it names is gone"),
        || say!("delete the CSIAddonsNode; the sidecar of the pod that runs now makes its own"),
    ),
];

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let ns = facts.cluster()?.operator_ns.as_str();
    let nodes = facts.list::<CsiAddonsNode>(Some(ns), Select::all());
    let (nodes, (plugins, rows)) = both(nodes, both(plugins(facts), facts.csi_pods()))?;
    let mut groups: BTreeMap<String, Vec<&CsiAddonsNode>> = BTreeMap::new();
    let mut untouched = Vec::new();
    for node in nodes.iter().filter(|node| node.metadata.deletion_timestamp.is_none()) {
        let row = node.pod().and_then(|pod| rows.iter().find(|row| row.name == pod));
        match node.status.state.as_str() {
            // The first tries may well come before the sidecar listens.
            "Failed" | "Retrying" if !row.is_some_and(PodRow::is_new) => {
                groups.entry(decode(&node.status.message).0.english()).or_default().push(node);
            }
            "" if !is_young(facts, node.metadata.creation_timestamp) => untouched.push(node),
            _ => {}
        }
    }
    let mut findings: Vec<Finding> = groups.values().filter_map(|nodes| failed(nodes, &plugins, rows)).collect();
    findings.extend(ignored(&untouched));
    let lacking = unregistered(nodes, &plugins, rows);
    let mut opened = facts.each(lacking, |facts, (_, row)| facts.pod(ns, &row.name))?;
    opened.seen.retain(|(_, pod)| is_settled(facts, pod));
    let lacking: Vec<_> = opened.seen.iter().map(|(lacking, _)| *lacking).collect();
    findings.extend(missing(ns, &lacking));
    Ok(Answered::judged(findings).blind(opened.blind))
}

fn decode(message: &str) -> (Text, Text) {
    let known = WORDS.iter().find(|(text, ..)| message.contains(text));
    match known {
        Some((_, why, fix)) => (why(), fix()),
        None => (say!("of the error that it quotes"), say!("read the log of csi-addons-controller-manager")),
    }
}

/// The sidecar's pod as the checks of CSI name it, and its node.
fn pods<'p>(nodes: &[&CsiAddonsNode], plugins: &[Plugin<'p>], rows: &'p [PodRow]) -> Vec<(ObjectRef, &'p PodRow)> {
    let row = |node: &CsiAddonsNode| rows.iter().find(|row| node.pod() == Some(row.name.as_str()));
    let named = nodes.iter().filter_map(|node| row(node)).filter_map(|row| {
        let plugin = plugins.iter().find(|plugin| plugin.owns(row))?;
        Some((plugin.pod_object(row), row))
    });
    named.collect()
}

fn failed(nodes: &[&CsiAddonsNode], plugins: &[Plugin<'_>], rows: &[PodRow]) -> Option<Finding> {
    let mut objects = nodes.iter().map(|node| ObjectRef::of::<CsiAddonsNode>(&node.metadata));
    let (first, node) = (objects.next()?, *nodes.first()?);
    let (why, fix) = decode(&node.status.message);
    let summary = if nodes.len() == 1 {
        say!("CSI-Addons does not reach the sidecar of {}: {}", first.name, why)
    } else {
        say!("CSI-Addons does not reach {} sidecars, such as that of {}: {}", nodes.len(), first.name, why)
    };
    let (ns, name) = (first.namespace.clone(), first.name.clone());
    let remedy = Remedy::guided(fix)
        .command(format!("kubectl -n {ns} get csiaddonsnode {name} -o yaml"))
        .command(format!("kubectl -n {ns} get networkpolicies"));
    let pods = pods(nodes, plugins, rows);
    let evidence = nodes.iter().take(4).map(|node| {
        let object = ObjectRef::of::<CsiAddonsNode>(&node.metadata);
        Evidence::field(&object, "status", format!("{}: {}", node.status.state, node.status.message))
    });
    Some(
        Finding::warning(first, summary, remedy)
            .also(objects)
            .at(pods.iter().filter(|(_, row)| !row.node.is_empty()).map(|(_, row)| Place::node(&row.node)))
            .also(pods.iter().map(|(object, _)| object.clone()))
            .evidence(evidence),
    )
}

/// Sidecars wait for a controller that nobody installed: CSI-Addons is switched on, and not used.
fn ignored(nodes: &[&CsiAddonsNode]) -> Option<Finding> {
    let mut objects = nodes.iter().map(|node| ObjectRef::of::<CsiAddonsNode>(&node.metadata));
    let first = objects.next()?;
    let summary = say!("no controller of CSI-Addons looked at {} sidecars: nothing uses them", nodes.len());
    let remedy = Remedy::advice(say!("install the controller of CSI-Addons, or switch the sidecars off"))
        .command("kubectl get deployments -A -l control-plane=controller-manager,app.kubernetes.io/name=csi-addons");
    let evidence = Evidence::field(&first, "status.state", "none");
    Some(Finding::info(first, summary, remedy).also(objects).detail("ignored").evidence([evidence]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_controllers_words_are_told_apart() {
        for (message, why) in [
            (
                "Connection failed: rpc error: code = Unknown desc = failed to review token tokenreviews is forbidden. Retrying attempt 2/3.",
                "review",
            ),
            (
                "Connection failed: rpc error: code = Unauthenticated desc = invalid token. Retrying attempt 1/3.",
                "refuses",
            ),
            ("Connection failed: context deadline exceeded. Retrying attempt 3/3.", "packets"),
            (
                "Failed to establish connection with sidecar: dial tcp 10.0.0.3:9070: connect: connection refused",
                "listens",
            ),
            ("something new", "quotes"),
        ] {
            assert!(decode(message).0.english().contains(why), "{message}");
        }
    }
}
