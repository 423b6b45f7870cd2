use jiff::Timestamp;

use super::{boots, unplaced, unschedulable};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Severity};
use crate::facts::tables::{NodeRow, PodRow};
use crate::facts::{Each, Facts, Gap, both};
use crate::objects::kube::{Condition, DaemonSet, Node, Pod, condition};
use crate::say;

check! {
    /// # What it looks at
    /// Nodes that are not Ready because their network plugin is not (`NetworkPluginNotReady`, `cni plugin not
    /// initialized`), nodes whose condition NetworkUnavailable (written after their boot) keeps a Rook pod away,
    /// and, on nodes that are Ready, the pods of the CNI's own DaemonSet: calico-node, cilium,
    /// kube-flannel-ds, canal, weave-net, antrea-agent. Kube-OVN has checks of its own.
    ///
    /// # Why it matters
    /// Calico and Cilium leave a node Ready while their agent is down: pods that run go on, no new pod gets a
    /// network. Monitors and OSDs that restart there then hang in ContainerCreating.
    ///
    /// # Confirm by hand
    /// `kubectl describe node <node>` and the log of the agent's pod on that node.
    ///
    /// # Fix
    /// Repair the agent; after a boot give it two minutes.
    ///
    /// # References
    /// Kubernetes: Concepts, Extending Kubernetes, "Network Plugins".
    "NODE007" "cni-not-ready" Node,
    needs: [
        Nodes, DaemonSets, MonPods, MgrPods, OsdPods, PreparePods, MdsPods, RgwPods, GatewayPods, CsiPods, RebootEvents, PodTables,
        Objects,
    ],
    explained_by: [(node::node_rebooted, Node)],
}

/// The agents of the common CNIs. `kube-ovn-cni` is not among them: it has checks of its own.
const AGENTS: &[&str] = &[
    "calico-node",
    "cilium",
    "kube-flannel-ds",
    "kube-flannel",
    "canal",
    "rke2-canal",
    "weave-net",
    "antrea-agent",
    "kube-router",
    "kindnet",
    "aws-node",
    "anetd",
    "ovnkube-node",
];

/// The taint that NetworkUnavailable brings.
const NO_NETWORK: &str = "node.kubernetes.io/network-unavailable";

/// An agent is given this long to become Ready, in seconds.
const PATIENCE: i64 = 120;

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let (nodes, sets) = both(facts.nodes(), facts.daemon_sets())?;
    let lacking = |set: &&DaemonSet| set.status.number_ready < set.status.desired_number_scheduled;
    let agents = sets.iter().filter(|set| AGENTS.contains(&set.metadata.name.as_str())).filter(lacking);
    let pods = facts.each(agents, |facts, set| facts.pods_where(&set.metadata.namespace, &set.pod_labels()));
    let down = nodes.iter().filter(|node| !node.is_ready());
    let objects = facts.each(down, |facts, node| facts.object::<Node>("", &node.name));
    let (pods, objects) = both(pods, objects)?;
    let mut findings: Vec<Finding> =
        objects.seen.iter().filter_map(|(row, node)| plugin_not_ready(row, (*node)?)).collect();
    // Of a node that is not Ready the row says nothing new: NODE001 has it, or the finding above.
    let ready = |row: &PodRow| nodes.iter().any(|node| node.name == row.node && node.is_ready());
    let sick = pods.seen.iter().flat_map(|(set, rows)| rows.iter().map(move |row| (*set, row)));
    let sick = sick.filter(|(_, row)| !row.is_well() && ready(row));
    let agents = facts.each(sick, |facts, (_, row)| facts.pod(&row.ns, &row.name))?;
    findings.extend(agents.seen.iter().filter_map(|((set, row), pod)| agent_down(set, row, pod, facts.now())));
    let refusing = refusing(facts, nodes, &findings)?;
    findings.extend(refusing.seen.into_iter().map(|(_, finding)| finding));
    let blind = [pods.blind, objects.blind, agents.blind, refusing.blind];
    Ok(Answered::judged(findings).blind(blind.into_iter().flatten()))
}

/// Nodes that are Ready and take no pod since they have no network, if one of Rook's pods says that it waits for such
/// a node. Beside those that were found already: a row does not show the condition, so all of them are opened.
fn refusing<'s>(facts: &Facts<'s>, nodes: &'s [NodeRow], found: &[Finding]) -> Result<Each<&'s NodeRow, Finding>, Gap> {
    let pending = unplaced(facts)?;
    let refused = |pod: &Pod| unschedulable(pod).is_some_and(|words| words.message.contains(NO_NETWORK));
    if !pending.seen.iter().any(|(_, pod)| refused(pod)) {
        return Ok(Each { seen: Vec::new(), blind: pending.blind });
    }
    let known = |node: &NodeRow| found.iter().any(|finding| finding.at.contains(&Place::node(&node.name)));
    let suspects = nodes.iter().filter(|node| node.is_ready() && !known(node));
    let opened = facts.each(suspects, |facts, node| facts.object::<Node>("", &node.name));
    let (opened, boots) = both(opened, boots(facts, |_| true))?;
    let unavailable = opened.seen.into_iter().filter_map(|(row, node)| {
        let said = condition(&node?.status.conditions, "NetworkUnavailable").filter(|it| it.status == "True")?;
        // What was written before the boot says nothing of the network after it.
        let is_old = boots.seen.get(&row.name).is_some_and(|boot| said.last_heartbeat_time < Some(boot.at));
        // A boot that was not seen may be younger still.
        let is_sure = boots.blind.is_empty();
        (is_sure && !is_old).then(|| (row, unavailable(row, said)))
    });
    let seen = unavailable.collect();
    let blind = [pending.blind, opened.blind, boots.blind].into_iter().flatten().collect();
    Ok(Each { seen, blind })
}

fn unavailable(row: &NodeRow, said: &Condition) -> Finding {
    let object = ObjectRef::node(&row.name);
    let summary = say!("node {} is Ready, but its network is not set up: it takes no pods", row.name);
    let remedy = Remedy::guided(say!(
        "look at what sets up the network of {}: the CNI's agent there, or the cloud's route controller",
        row.name
    ))
    .command(format!("kubectl describe node {}", row.name))
    .command(format!("kubectl get pods -A -o wide --field-selector spec.nodeName={}", row.name));
    let excerpt = format!("True, {}: {}", said.reason, said.message);
    let evidence = Evidence::field(&object, "status.conditions[NetworkUnavailable]", excerpt);
    Finding::new(Severity::Critical, object, summary, remedy)
        .at([Place::node(&row.name)])
        .since(said.last_transition_time)
        .evidence([evidence.at(said.last_heartbeat_time)])
}

fn plugin_not_ready(row: &NodeRow, node: &Node) -> Option<Finding> {
    let says = |ready: &&Condition| {
        let words = ["NetworkPluginNotReady", "cni plugin not initialized", "network plugin is not ready"];
        ready.status == "False" && words.iter().any(|word| ready.message.contains(word))
    };
    let ready = condition(&node.status.conditions, "Ready").filter(says)?;
    let object = ObjectRef::node(&row.name);
    let summary = say!("network plugin of node {} is not ready: no pod can start there", row.name);
    let remedy = Remedy::guided(say!("look at the CNI's agent on {} and at /etc/cni/net.d of the host", row.name))
        .command(format!("kubectl describe node {}", row.name))
        .command(format!("kubectl get pods -A -o wide --field-selector spec.nodeName={}", row.name));
    let evidence = Evidence::field(&object, "status.conditions[Ready]", &ready.message).at(ready.last_transition_time);
    let finding = Finding::new(Severity::Critical, object, summary, remedy).at([Place::node(&row.name)]);
    Some(finding.since(ready.last_transition_time).evidence([evidence]))
}

/// None while it may only be starting: in a roll-out, or after a boot.
fn agent_down(set: &DaemonSet, row: &PodRow, pod: &Pod, now: Timestamp) -> Option<Finding> {
    let ready = condition(&pod.status.conditions, "Ready").filter(|ready| ready.status != "True")?;
    let since = ready.last_transition_time;
    let is_young = since.is_some_and(|since| now.duration_since(since).as_secs() < PATIENCE);
    if is_young && !row.status.ends_with("CrashLoopBackOff") {
        return None;
    }
    let (ns, name) = (&set.metadata.namespace, &set.metadata.name);
    let object = ObjectRef::pod(pod);
    let summary = say!("{} on node {} is not Ready: pods that start there get no network", name, row.node);
    let remedy = Remedy::guided(say!("read the log of {} and repair what it names", row.name))
        .command(format!("kubectl -n {ns} describe pod {}", row.name))
        .command(format!("kubectl -n {ns} logs {} --all-containers --tail=50", row.name));
    let said = Evidence::field(&object, "status.conditions[Ready]", &ready.message).at(since);
    let finding = Finding::warning(object, summary, remedy).at([Place::node(&row.node)]);
    Some(finding.since(since).evidence([Evidence::pod_row(row, ns), said]))
}
