use super::multus_pods;
use super::sandbox::{Blame, Failure, failures, missing_nad, without_address};
use crate::check;
use crate::check::{Answered, Finding, ObjectRef, Place, Remedy, Text};
use crate::checks::ovn;
use crate::facts::tables::PodRow;
use crate::facts::{Cluster, Facts, Gap, Settled, both};
use crate::lang::Words;
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
    /// say where to look. A range that is used up (NET009), an interface that the node lacks (NET013) and a
    /// plugin that it lacks (NET014) are not told here once more.
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
        (ovn::stale_after_reboot, Node), (ovn::subnet_exhausted, Network), (ovn::subnet_conflict, Network),
        (ovn::ovn_database_broken, Network), (ovn::provider_network_not_ready, Node), (ovn::stale_chassis, Node),
    ],
    symptom,
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let cluster = facts.cluster()?;
    let (failures, multus) = both(failures(facts), multus_pods(facts).settled())?;
    // They only tie a failure to its cause.
    let multus = multus.unwrap_or_default();
    let guilty = |failure: &Failure<'_>| multus_on(&multus, failure);
    let left = failures.groups.iter().filter(|failure| !is_told_elsewhere(failure.blame));
    let findings = left.filter_map(|failure| Some(finding(cluster, failure)?.also(guilty(failure))));
    let findings = findings.collect();
    Ok(Answered::judged(findings).blind(failures.blind))
}

/// These errors are the whole fault: what another check says of them leaves nothing to add.
fn is_told_elsewhere(blame: Blame) -> bool {
    matches!(blame, Blame::RangeExhausted | Blame::MasterMissing | Blame::PluginMissing)
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
    let node = failure.node_name();
    let summary = say!("{} on {} cannot get a network: {}", failure.victims(cluster), node, failure.error);
    let about = &newest.involved_object;
    let remedy = Remedy::advice(say!("see what the plugin says on {}: {}", node, advice(&failure.error)))
        .command(format!("kubectl -n {} describe pod {}", about.namespace, about.name));
    let network = missing_nad(&newest.message).map(|(ns, name)| Place::Network(format!("{ns}/{name}")));
    let network = network.or_else(|| without_address(&newest.message).map(ovn::network));
    Some(failure.finding(cluster, failure.object(), summary, remedy).detail(kind(&failure.error)).at(network))
}

/// The signs of an error, its short name (stable from run to run), and where to look.
const SIGNS: &[(&str, &str, Words)] = &[
    ("multus.sock", "multus-socket", || say!("the Multus daemon of the node does not answer")),
    ("kube-ovn-daemon.sock", "kube-ovn-socket", || say!("kube-ovn-cni of the node does not answer")),
    ("cannot find a network-attachment-definition", "nad-missing", || {
        say!("the NetworkAttachmentDefinition does not exist")
    }),
    ("failed to find plugin \"multus", "multus-plugin", || {
        say!("the Multus pod of the node did not install its plugin")
    }),
    ("device or resource busy", "link-busy", || {
        say!("the interface is a bridge's, or has children of another kind already")
    }),
    ("NoAvailableAddress", "range-exhausted", || say!("the Kube-OVN Subnet has no free address")),
    ("no address allocated", "no-address", || say!("kube-ovn-controller gave no address: its log says why")),
    ("connection is unauthorized: Unauthorized", "calico-unauthorized", || {
        say!("the token of Calico's plugin expired: delete the calico-node pod of the node")
    }),
    ("Unauthorized", "unauthorized", || say!("the token of Multus expired: delete the Multus pod of the node")),
    ("readinessindicatorfile", "default-network-not-ready", || say!("the default network of the node is not up yet")),
    ("i/o timeout", "api-unreachable", || say!("the node does not reach the API server's Service address")),
    ("no route to host", "api-unreachable", || say!("the node does not reach the API server's Service address")),
];

fn sign(error: &str) -> Option<&'static (&'static str, &'static str, Words)> {
    SIGNS.iter().find(|(sign, ..)| error.contains(sign))
}

fn kind(error: &str) -> &'static str {
    sign(error).map_or("other", |(_, kind, _)| kind)
}

fn advice(error: &str) -> Text {
    sign(error).map_or_else(|| say!("its words are in the event"), |(.., advice)| advice())
}
