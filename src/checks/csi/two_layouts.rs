use std::collections::BTreeMap;

use jiff::SignedDuration;

use super::{Plugin, driver_object, plugins};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Remedy};
use crate::facts::{Facts, Gap, both, kinds};
use crate::lang::listed;
use crate::objects::kube::Meta;
use crate::say;

/// A migration takes the old workloads away within this time.
const PATIENCE: SignedDuration = SignedDuration::from_mins(30);

check! {
    /// # What it looks at
    /// Workloads of one Ceph CSI driver in both layouts (Rook's own `csi-rbdplugin` beside `<driver>-nodeplugin`
    /// of the ceph-csi-operator) in the operator's namespace, and DaemonSets of several namespaces that all serve
    /// the same driver name. Half an hour is left to a migration. A left-over ConfigMap is no second layout.
    ///
    /// # Why it matters
    /// Both register one driver name with the kubelet at one socket and take it from each other; both
    /// controllers listen, and on the host network they want the same ports. Which of them answers changes with
    /// every restart, with the images and settings of that one.
    ///
    /// # Confirm by hand
    /// `kubectl get daemonsets,deployments -A | grep -e csi-rbdplugin -e csi-cephfsplugin -e csi.ceph.com`
    ///
    /// # Fix
    /// Keep what the operator is configured for and delete the workloads of the other layout. Mounts of the
    /// kernel stay; mounts of ceph-fuse and rbd-nbd live in the node plugin's pod and end with it, so drain the
    /// node first where they are used.
    ///
    /// # References
    /// Rook: Storage-Configuration/Ceph-CSI/ceph-csi-drivers; rook issue 5629 (two Rooks on one host network);
    /// `ROOK_USE_CSI_OPERATOR`, true by default since Rook 1.18, the only layout since 1.20.
    "CSI018" "two-layouts" Csi,
    needs: [CsiDeployments, DaemonSets],
    explained_by: [(opr::operator_down, Cluster)],
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let (plugins, daemon_sets) = both(plugins(facts), facts.daemon_sets())?;
    if plugins.is_empty() {
        return Ok(Answered::NotApplicable("no Ceph CSI driver is deployed"));
    }
    let lasts = |metas: &[&Meta]| {
        let newest = metas.iter().filter_map(|meta| meta.creation_timestamp).max();
        newest.is_none_or(|newest| facts.now().duration_since(newest) >= PATIENCE)
    };
    let mut findings = Vec::new();
    for family in ["rbd", "cephfs"] {
        let of_it = plugins.iter().filter(|plugin| plugin.is_of_family(family) && plugin.wanted > 0);
        let (new, old): (Vec<&Plugin<'_>>, Vec<_>) = of_it.partition(|plugin| plugin.is_of_csi_operator());
        let both: Vec<&Meta> = new.iter().chain(&old).map(|plugin| plugin.metadata).collect();
        if !new.is_empty() && !old.is_empty() && lasts(&both) {
            findings.extend(layouts(&old, &new));
        }
    }
    let mut by_driver: BTreeMap<&str, BTreeMap<&str, &Meta>> = BTreeMap::new();
    for daemon_set in daemon_sets.iter().filter(|daemon_set| daemon_set.status.desired_number_scheduled > 0) {
        let containers = &daemon_set.spec.template.spec.containers;
        if let Some(driver) = containers.iter().find_map(|container| container.flag("--drivername")) {
            by_driver.entry(driver).or_default().insert(&daemon_set.metadata.namespace, &daemon_set.metadata);
        }
    }
    let is_ours = |driver: &str| plugins.iter().any(|plugin| plugin.driver() == driver);
    let shared = by_driver.iter().filter(|(driver, by_ns)| by_ns.len() > 1 && is_ours(driver));
    let shared = shared.map(|(driver, by_ns)| (driver, by_ns.values().copied().collect::<Vec<_>>()));
    findings.extend(shared.filter(|(_, metas)| lasts(metas)).filter_map(|(driver, metas)| namespaces(driver, &metas)));
    Ok(Answered::judged(findings))
}

fn layouts(old: &[&Plugin<'_>], new: &[&Plugin<'_>]) -> Option<Finding> {
    let first = old.first()?;
    let names = |plugins: &[&Plugin<'_>]| listed(plugins.iter().map(|plugin| plugin.object()));
    let summary = say!("{} runs in two layouts: {} beside {}", first.driver(), names(old), names(new));
    let ns = &first.metadata.namespace;
    let mut remedy = Remedy::guided(say!(
        "if ROOK_USE_CSI_OPERATOR is true, or Rook is 1.20 or later, delete the workloads of the classic layout, one by one; drain a node first where ceph-fuse or rbd-nbd mounts live in its node plugin"
    ))
    .command(format!("kubectl -n {ns} get configmap rook-ceph-operator-config -o yaml | grep ROOK_USE_CSI_OPERATOR"));
    for plugin in old {
        let kind = plugin.kind.kind.to_lowercase();
        remedy = remedy.command(format!("kubectl -n {ns} delete {kind} {}", plugin.metadata.name));
    }
    let evidence = |plugin: &&&Plugin<'_>| {
        Evidence::field(&plugin.object(), "status", format!("{} of {} ready", plugin.ready, plugin.wanted))
    };
    let finding = Finding::warning(first.object(), summary, remedy)
        .also(old.iter().skip(1).chain(new).map(|plugin| plugin.object()))
        .also([driver_object(first.driver())])
        .evidence(old.iter().chain(new).collect::<Vec<_>>().iter().map(evidence));
    Some(finding)
}

fn namespaces(driver: &str, metas: &[&Meta]) -> Option<Finding> {
    let objects: Vec<ObjectRef> =
        metas.iter().map(|meta| ObjectRef::new(kinds::DAEMON_SET, &meta.namespace, &meta.name)).collect();
    let (first, rest) = objects.split_first()?;
    let summary = say!("{} is served by node plugins of several namespaces: {}", driver, listed(&objects));
    let remedy = Remedy::guided(say!(
        "keep the node plugins of one operator, or give the other operator's drivers a name of their own (its namespace, or CSI_DRIVER_NAME_PREFIX)"
    ))
    .command("kubectl get daemonsets,deployments -A | grep -e csi-rbdplugin -e csi-cephfsplugin -e csi.ceph.com");
    let finding = Finding::warning(first.clone(), summary, remedy)
        .also(rest.iter().cloned())
        .also([driver_object(driver)])
        .evidence(objects.iter().map(|object| Evidence::field(object, "--drivername", driver)));
    Some(finding)
}
