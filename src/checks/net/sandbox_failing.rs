use super::multus_pods;
use super::sandbox::{Blame, Failure, failures, missing_nad};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Severity};
use crate::facts::tables::PodRow;
use crate::facts::{Cluster, Facts, Gap, Settled, both};
use crate::say;

check! {
    /// # What it looks at
    /// The events FailedCreatePodSandBox of the last minutes whose pod still has no sandbox, grouped by node
    /// and by the innermost error: kubelet, runtime, Multus and its shim each wrap what the last plugin said.
    ///
    /// # Why it matters
    /// A pod without a sandbox does not start, and waits in ContainerCreating with an error of several lines
    /// of which only the end counts. One group is one fault, however many pods show it.
    ///
    /// # Confirm by hand
    /// `kubectl get events -A --field-selector reason=FailedCreatePodSandBox --sort-by=.lastTimestamp`.
    ///
    /// # Fix
    /// The finding usually hangs below the check that owns its error. Alone, the quoted words of the plugin
    /// say where to look: `Link not found` is an interface that the node lacks, `failed to find plugin` a
    /// binary that it lacks, `no IP addresses available` a range that is used up.
    ///
    /// # References
    /// Multus: docs/troubleshooting; containernetworking/plugins; Kube-OVN: FAQ.
    "NET023" "sandbox-failing" Net,
    needs: [SandboxEvents, DaemonSets, PodTables, Objects],
    explained_by: [
        (node::node_not_ready, Node), (node::node_rebooted, Node), (node::cni_not_ready, Node),
        (net::multus_missing, Node), (net::multus_init_crash, Object), (net::multus_daemon_down, Object),
        (net::multus_unauthorized, Object), (net::cni_start_order, Node),
        (net::nad_missing, Network), (ovn::ovn_central_down, Cluster), (ovn::ovs_ovn_unhealthy, Node),
        (ovn::kube_ovn_cni_unhealthy, Node), (ovn::kube_ovn_controller_unhealthy, Cluster),
        (ovn::stale_after_reboot, Node),
    ],
    symptom,
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let cluster = facts.cluster()?;
    let (failures, multus) = both(failures(facts), multus_pods(facts).settled())?;
    // They only tie a failure to its cause.
    let multus = multus.unwrap_or_default();
    let guilty = |failure: &Failure<'_>| multus_on(&multus, failure);
    let findings = failures.groups.iter().filter_map(|failure| Some(finding(cluster, failure)?.also(guilty(failure))));
    let findings = findings.collect();
    Ok(Answered::judged(findings).blind(failures.blind))
}

/// The Multus pod of the node, if the error is that it does not serve or may not ask; a plugin's error is not
/// its fault.
fn multus_on(multus: &[&PodRow], failure: &Failure<'_>) -> Option<ObjectRef> {
    let on_node = multus.iter().find(|pod| pod.node == failure.node);
    let pod = on_node.filter(|_| matches!(failure.blame, Blame::Multus | Blame::MultusToken))?;
    Some(ObjectRef::new(crate::facts::kinds::POD, &pod.ns, &pod.name))
}

fn finding(cluster: &Cluster, failure: &Failure<'_>) -> Option<Finding> {
    let newest = *failure.events.first()?;
    let ours = |ns: &String| *ns == cluster.ns || *ns == cluster.operator_ns;
    let hurt = failure.events.iter().filter(|event| ours(&event.involved_object.namespace)).count();
    let severity = if hurt > 0 { Severity::Critical } else { Severity::Warning };
    let pods = failure.events.len();
    let count = if pods == 1 { "1 pod".to_owned() } else { format!("{pods} pods") };
    let node = if failure.node.is_empty() { "a node" } else { failure.node.as_str() };
    let summary = say!("{} on {} ({} of Rook) cannot get a network: {}", count, node, hurt, failure.error);
    let about = &newest.involved_object;
    let remedy = Remedy::advice(say!("see what the plugin says on {}: {}", node, advice(&failure.error)))
        .command(format!("kubectl -n {} describe pod {}", about.namespace, about.name));
    let object = if failure.node.is_empty() {
        ObjectRef::new(crate::facts::kinds::POD, &about.namespace, &about.name)
    } else {
        ObjectRef::node(&failure.node)
    };
    let network = missing_nad(&newest.message).map(|(ns, name)| Place::Network(format!("{ns}/{name}")));
    let since = failure.events.iter().filter_map(|event| event.first_seen()).min();
    Some(
        Finding::new(severity, object, summary, remedy)
            .detail(kind(&failure.error))
            .at(Some(&failure.node).filter(|node| !node.is_empty()).map(Place::node))
            .at(network)
            .since(since)
            .evidence(failure.events.iter().take(2).map(|event| Evidence::event(event))),
    )
}

/// The signs of an error, its short name (stable from run to run), and where to look.
const SIGNS: &[(&str, &str, &str)] = &[
    ("multus.sock", "multus-socket", "the Multus daemon of the node does not answer"),
    ("kube-ovn-daemon.sock", "kube-ovn-socket", "kube-ovn-cni of the node does not answer"),
    ("cannot find a network-attachment-definition", "nad-missing", "the NetworkAttachmentDefinition does not exist"),
    ("Link not found", "link-not-found", "the node has no such interface: compare `master` with `ip link`"),
    ("failed to find plugin \"multus", "multus-plugin", "the Multus pod of the node did not install its plugin"),
    (
        "failed to find plugin",
        "plugin-missing",
        "install the reference CNI plugins into the runtime's plugin directory",
    ),
    ("no IP addresses available", "range-exhausted", "the range of host-local is used up, or leaked on that node"),
    ("Could not allocate IP", "range-exhausted", "the range of whereabouts is used up, or leaked"),
    ("NoAvailableAddress", "range-exhausted", "the Kube-OVN Subnet has no free address"),
    ("no address allocated", "no-address", "kube-ovn-controller gave no address: its log says why"),
    (
        "connection is unauthorized: Unauthorized",
        "calico-unauthorized",
        "the token of Calico's plugin expired: delete the calico-node pod of the node",
    ),
    ("Unauthorized", "unauthorized", "the token of Multus expired: delete the Multus pod of the node"),
    ("readinessindicatorfile", "default-network-not-ready", "the default network of the node is not up yet"),
    ("i/o timeout", "api-unreachable", "the node does not reach the API server's Service address"),
    ("no route to host", "api-unreachable", "the node does not reach the API server's Service address"),
];

fn sign(error: &str) -> Option<&'static (&'static str, &'static str, &'static str)> {
    SIGNS.iter().find(|(sign, ..)| error.contains(sign))
}

fn kind(error: &str) -> &'static str {
    sign(error).map_or("other", |(_, kind, _)| kind)
}

fn advice(error: &str) -> &'static str {
    sign(error).map_or("its words are in the event", |(.., advice)| advice)
}
