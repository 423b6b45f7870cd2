use super::ports::meant_for;
use super::{Plugin, is_auxiliary, may_pass, not_ready, not_ready_since, plugins};
use crate::check;
use crate::check::{Answered, Evidence, Finding, Place, Remedy, Severity};
use crate::facts::tables::PodRow;
use crate::facts::{Facts, Gap, both};
use crate::lang::listed;
use crate::objects::kube::Pod;
use crate::say;

check! {
    /// # What it looks at
    /// The pods of the node plugins' DaemonSets (`csi-rbdplugin`, `csi-cephfsplugin`, or
    /// `<driver>-nodeplugin` of the ceph-csi-operator) that are not ready on a node that is. Two minutes are
    /// left to a restart. A node that is lost itself is not counted here.
    ///
    /// # Why it matters
    /// The node plugin mounts. Without it no pod with a volume of this driver starts or ends on that node;
    /// what the kernel has mounted goes on working.
    ///
    /// # Confirm by hand
    /// `kubectl -n <operator namespace> get pods -o wide --field-selector spec.nodeName=<node>`, and
    /// `kubectl get csinode <node> -o yaml`: the driver must be in `spec.drivers`.
    ///
    /// # Fix
    /// Follow the container or the scheduling event that the evidence names. Deleting the pod lets the
    /// DaemonSet make it anew; mounts of ceph-fuse or rbd-nbd live inside it and end with it.
    ///
    /// # References
    /// Rook: Troubleshooting/ceph-csi-common-issues, "Node plugin".
    "CSI003" "node-plugin-unhealthy" Csi,
    needs: [CsiDeployments, DaemonSets, CsiPods, Nodes, Objects],
    explained_by: [
        (csi::csi_addons_port_conflict, Object), (csi::host_port_conflict, Object), (csi::sidecar_mismatch, Object),
    ],
    in_pod,
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let ((plugins, rows), nodes) = both(both(plugins(facts), facts.csi_pods()), facts.nodes())?;
    let node_plugins: Vec<Plugin<'_>> = plugins.into_iter().filter(|plugin| !plugin.is_controller()).collect();
    if node_plugins.is_empty() {
        return Ok(Answered::NotApplicable("there is no node plugin of a Ceph CSI driver"));
    }
    let is_lost = |name: &str| nodes.iter().any(|node| node.name == name && !node.is_ready());
    let suspects: Vec<(Plugin<'_>, &PodRow)> = rows
        .iter()
        .filter(|row| !row.is_well() && !is_lost(&row.node))
        .filter_map(|row| Some((*node_plugins.iter().find(|plugin| plugin.owns(row))?, row)))
        .collect();
    let pods = facts.each(suspects, |facts, (plugin, row)| facts.pod(&plugin.metadata.namespace, &row.name))?;
    let mut findings = Vec::new();
    for ((plugin, row), pod) in &pods.seen {
        let node = if row.node.is_empty() { meant_for(pod).unwrap_or_default() } else { &row.node };
        if !is_lost(node) && !may_pass(facts, pod) {
            findings.push(finding(plugin, row, pod, node));
        }
    }
    Ok(Answered::judged(findings).blind(pods.blind))
}

fn finding(plugin: &Plugin<'_>, row: &PodRow, pod: &Pod, node: &str) -> Finding {
    let ns = &plugin.metadata.namespace;
    let idle = not_ready(pod);
    let names = listed(idle.iter().map(|(container, _)| &container.name));
    let mounts = !idle.is_empty() && idle.iter().all(|(container, _)| is_auxiliary(&container.name));
    let place = if node.is_empty() { say!("a node that its pod does not name") } else { say!("{}", node) };
    let (severity, summary) = if mounts {
        let name = &plugin.metadata.name;
        (Severity::Warning, say!("container {} of {} is not ready on {}; mounts still work", names, name, place))
    } else {
        let summary = say!(
            "the node plugin of {} is not ready on {}: no volume can be mounted or unmounted there",
            plugin.driver(),
            place
        );
        (Severity::Critical, summary)
    };
    let remedy = Remedy::guided(say!("follow what the pod says; the driver registers itself once it is ready"))
        .command(format!("kubectl -n {ns} describe pod {}", row.name));
    Finding::new(severity, pod_object(plugin, row, node), summary, remedy)
        .at((!node.is_empty()).then(|| Place::node(node)))
        .since(not_ready_since(pod))
        .evidence([Evidence::pod_row(row, ns)])
        .evidence(idle.iter().filter_map(|(container, status)| {
            let reason = status.map(|status| status.waiting_reason()).filter(|reason| !reason.is_empty())?;
            Some(Evidence::field(&plugin.pod_object(row), format!("container {}", container.name), reason))
        }))
}

fn pod_object(plugin: &Plugin<'_>, row: &PodRow, node: &str) -> crate::check::ObjectRef {
    let object = plugin.pod_object(row);
    let stable = (!node.is_empty()).then(|| format!("{}@{node}", plugin.metadata.name));
    crate::check::ObjectRef { stable: stable.or(object.stable.clone()), ..object }
}
