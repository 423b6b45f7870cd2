use std::collections::BTreeSet;

use super::{Plugin, driver_object, is_auxiliary, may_pass, not_ready, not_ready_since, plugins};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Severity};
use crate::facts::tables::{NodeRow, PodRow};
use crate::facts::{Facts, Gap, Settled, both};
use crate::lang::{Listed, listed};
use crate::objects::kube::{Lease, Pod};
use crate::say;

check! {
    /// # What it looks at
    /// The Deployments that create, delete, resize and attach volumes: `csi-*plugin-provisioner` of Rook's own
    /// layout, `<driver>-ctrlplugin` of the ceph-csi-operator; how many of their pods are ready, on which
    /// nodes the others are, and which containers of those are not ready; with it, who leads by the Lease of
    /// csi-provisioner. Two minutes are left to a roll-out.
    ///
    /// # Why it matters
    /// With no controller nothing is created, deleted, resized, attached or detached; what is mounted goes on
    /// working. With one of two the driver works, without a reserve. Sidecars for CSI-Addons and metrics can
    /// fail without touching volumes, but the pod is then not Ready.
    ///
    /// # Confirm by hand
    /// `kubectl -n <operator namespace> get deployments,pods -o wide | grep -e provisioner -e ctrlplugin`
    ///
    /// # Fix
    /// Follow the container or the scheduling event that the evidence names; the driver takes up its work by
    /// itself.
    ///
    /// # References
    /// Rook: Troubleshooting/ceph-csi-common-issues; kubernetes-csi external-provisioner, leader election.
    "CSI002" "controller-unhealthy" Csi,
    needs: [CsiDeployments, DaemonSets, CsiPods, Nodes, Objects],
    explained_by: [
        (csi::csi_addons_port_conflict, Object), (csi::host_port_conflict, Object), (csi::sidecar_mismatch, Object),
        (csi::snapshot_support_missing, Object),
    ],
    in_pod,
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let ((plugins, rows), nodes) = both(both(plugins(facts), facts.csi_pods()), facts.nodes())?;
    let controllers: Vec<Plugin<'_>> = plugins.into_iter().filter(Plugin::is_controller).collect();
    if controllers.is_empty() {
        return Ok(Answered::NotApplicable("there is no controller of a Ceph CSI driver"));
    }
    let short = controllers.iter().filter(|controller| controller.ready < controller.wanted || controller.wanted == 0);
    let mut findings = Vec::new();
    let mut blind = Vec::new();
    for controller in short {
        let of_it: Vec<&PodRow> = rows.iter().filter(|row| controller.owns(row)).collect();
        let bad: Vec<&PodRow> = of_it.iter().copied().filter(|row| !row.is_well() || is_lost(row, nodes)).collect();
        let pods = facts.each(bad.clone(), |facts, row| facts.pod(&controller.metadata.namespace, &row.name))?;
        // The pods may be read a moment after the Deployment, and be well by then.
        let lacks_pods = bad.is_empty() && (of_it.is_empty() || of_it.len() < controller.wanted.max(0) as usize);
        let lasts = lacks_pods || pods.seen.iter().any(|(_, pod)| !may_pass(facts, pod));
        if lasts {
            let finding = finding(controller, of_it.len() - bad.len(), &bad, &pods.seen, nodes);
            findings.push(finding.evidence(leader(facts, controller)?));
        }
        blind.extend(pods.blind);
    }
    Ok(Answered::judged(findings).blind(blind))
}

/// Who leads, or led last: external-provisioner names its Lease after the driver. The fault is known without it.
fn leader(facts: &Facts<'_>, controller: &Plugin<'_>) -> Result<Option<Evidence>, Gap> {
    let name = controller.driver().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let Ok(Some(lease)) = facts.object::<Lease>(&controller.metadata.namespace, &name).settled()? else {
        return Ok(None);
    };
    let excerpt = format!("leader of csi-provisioner: {}", lease.spec.holder_identity);
    let field = Evidence::field(&ObjectRef::of::<Lease>(&lease.metadata), "spec.holderIdentity", excerpt);
    Ok(Some(field.at(lease.spec.renew_time)))
}

/// The row of a pod on a lost node still says Running.
fn is_lost(row: &PodRow, nodes: &[NodeRow]) -> bool {
    nodes.iter().any(|node| node.name == row.node && !node.is_ready())
}

/// Whether only such containers are not ready as volumes do not need.
fn works(row: &PodRow, pod: &Pod, nodes: &[NodeRow]) -> bool {
    let idle = not_ready(pod);
    let placed = !row.node.is_empty() && row.status != "Terminating" && !is_lost(row, nodes);
    placed && idle.iter().all(|(container, _)| is_auxiliary(&container.name))
}

fn finding(
    controller: &Plugin<'_>,
    well: usize,
    bad: &[&PodRow],
    seen: &[(&PodRow, &Pod)],
    nodes: &[NodeRow],
) -> Finding {
    let ns = &controller.metadata.namespace;
    let limping: Vec<&Pod> = seen.iter().filter(|(row, pod)| works(row, pod, nodes)).map(|(_, pod)| *pod).collect();
    let (ready, wanted, driver) = (controller.ready, controller.wanted, controller.driver());
    let (severity, summary) = match (well, limping.len()) {
        (0, 0) => (
            Severity::Critical,
            say!(
                "no controller of {} serves ({} of {} pods ready): no volume is created, deleted, resized or attached",
                driver,
                ready,
                wanted
            ),
        ),
        (_, 0) => (
            Severity::Warning,
            say!("{} of {} controller pods of {} are ready: the driver works without a reserve", ready, wanted, driver),
        ),
        _ => (
            Severity::Warning,
            say!(
                "{} of {} controller pods of {} are ready: container {} is not; volumes still work",
                ready,
                wanted,
                driver,
                idle_names(&limping)
            ),
        ),
    };
    let remedy =
        Remedy::guided(say!("follow what its pods say; the driver goes on by itself once one of them is ready"));
    let remedy = match bad.first() {
        Some(row) => remedy.command(format!("kubectl -n {ns} describe pod {}", row.name)),
        None => remedy.command(format!("kubectl -n {ns} describe deployment {}", controller.metadata.name)),
    };
    // A driver that nobody serves is what a waiting claim shares with this finding.
    let unserved = (severity == Severity::Critical).then(|| driver_object(driver));
    let placed = bad.iter().filter(|row| !row.node.is_empty());
    Finding::new(severity, controller.object(), summary, remedy)
        .also(unserved)
        .also(bad.iter().map(|row| controller.pod_object(row)))
        .at(placed.map(|row| Place::node(&row.node)))
        .since(seen.iter().filter_map(|(_, pod)| not_ready_since(pod)).min())
        .evidence([Evidence::field(&controller.object(), "status", format!("{ready} of {wanted} ready"))])
        .evidence(bad.iter().take(4).map(|row| Evidence::pod_row(row, ns)))
}

fn idle_names(pods: &[&Pod]) -> Listed {
    let names: BTreeSet<&str> =
        pods.iter().flat_map(|pod| not_ready(pod)).map(|(container, _)| container.name.as_str()).collect();
    listed(names)
}
