use std::collections::BTreeMap;

use jiff::SignedDuration;

use super::{Plugin, ceph_classes, class_objects, configure, driver_object, plugins, rook_version};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Remedy, Text};
use crate::facts::{Facts, Gap, both, kinds};
use crate::objects::kube::{ConfigMap, Event, StorageClass};
use crate::say;

/// Rook deploys CSI within minutes after the CephCluster is made.
const PATIENCE: SignedDuration = SignedDuration::from_mins(10);
/// Controllers try again for ever, at least every quarter of an hour.
const CURRENT: SignedDuration = SignedDuration::from_mins(20);
const SETTINGS: &str = "rook-ceph-operator-config";

check! {
    /// # What it looks at
    /// For each StorageClass of this operator's own drivers (`<operator namespace>.rbd.csi.ceph.com` and
    /// `.cephfs.`): the Deployment of the controller, the DaemonSet of the node plugin, in either layout, and
    /// the CSIDriver; and FailedCreate events of these workloads about a ServiceAccount that does not exist.
    ///
    /// # Why it matters
    /// Without the controller nothing is created, deleted, resized or attached; without the node plugin nothing
    /// is mounted. What is mounted already goes on working.
    ///
    /// # Confirm by hand
    /// `kubectl -n <operator namespace> get deployments,daemonsets,serviceaccounts | grep -i csi`, and
    /// `kubectl get csidrivers`; with the ceph-csi-operator also `kubectl get drivers.csi.ceph.io -A`.
    ///
    /// # Fix
    /// Up to Rook 1.19 the operator deploys the drivers: look at `ROOK_CSI_ENABLE_RBD`, `ROOK_CSI_ENABLE_CEPHFS`
    /// and `ROOK_CSI_DISABLE_DRIVER`, then restart it. From 1.20 the Driver resources are the administrator's:
    /// apply `operator.yaml` again, or the Helm chart `ceph-csi-drivers`. Missing ServiceAccounts come with
    /// `common.yaml` (classic) or `csi-operator.yaml`.
    ///
    /// # References
    /// Rook: Storage-Configuration/Ceph-CSI/ceph-csi-drivers; upgrade guide of Rook 1.20 (classic CSI removed).
    "CSI001" "driver-missing" Csi,
    needs: [
        Discovery, CephClusters, Operators, CsiDeployments, DaemonSets, StorageClasses, CsiDrivers, OperatorEvents, Objects
    ],
    explained_by: [
        (opr::operator_down, Cluster), (csi::csi_operator_down, Cluster), (node::pods_not_created, Object),
    ],
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let ((plugins, classes), (drivers, events)) =
        both(both(plugins(facts), ceph_classes(facts)), both(facts.csi_driver_objects(), facts.operator_events()))?;
    let made = facts.ceph_cluster()?.metadata.creation_timestamp;
    let is_new = made.is_some_and(|made| facts.now().duration_since(made) < PATIENCE);
    let ns = &facts.cluster()?.operator_ns;
    let mut findings: Vec<Finding> =
        plugins.iter().filter_map(|plugin| without_account(facts, plugin, events)).collect();
    let mut wanted: BTreeMap<&str, Vec<&StorageClass>> = BTreeMap::new();
    for class in classes.values() {
        wanted.entry(&class.provisioner).or_default().push(class);
    }
    for (driver, classes) in wanted {
        let Some(family) = family(ns, driver).filter(|_| !is_new) else { continue };
        let of_it = || plugins.iter().filter(|plugin| plugin.is_of_family(family));
        let missing = match (of_it().any(Plugin::is_controller), of_it().any(Plugin::is_node_plugin)) {
            (true, true) if drivers.iter().any(|object| object.metadata.name == driver) => continue,
            // The drivers have another name: CSI007 says so.
            (true, true) if !of_it().any(|plugin| plugin.driver() == driver) => continue,
            (true, true) => {
                findings.push(unregistered(ns, driver));
                continue;
            }
            (false, false) => say!("neither a controller nor a node plugin"),
            (false, true) => say!("no controller"),
            (true, false) => say!("no node plugin"),
        };
        findings.push(absent(facts, driver, family, &missing, &classes)?);
    }
    Ok(Answered::judged(findings))
}

/// `rbd` or `cephfs` if the driver is one that this operator deploys.
fn family(ns: &str, driver: &str) -> Option<&'static str> {
    let kind = driver.strip_prefix(ns)?.strip_prefix('.')?.strip_suffix(".csi.ceph.com")?;
    ["rbd", "cephfs"].into_iter().find(|family| *family == kind)
}

fn absent(
    facts: &Facts<'_>,
    driver: &str,
    family: &str,
    missing: &Text,
    classes: &[&StorageClass],
) -> Result<Finding, Gap> {
    let ns = &facts.cluster()?.operator_ns;
    let (settings, version) = both(facts.object::<ConfigMap>(ns, SETTINGS), rook_version(facts))?;
    let value = |key: &str| settings.and_then(|map| map.data.get(key)).map_or("", String::as_str);
    let enable = format!("ROOK_CSI_ENABLE_{}", family.to_uppercase());
    let is_admins = version.is_some_and(|version| version >= (1, 20, 0));
    let off = if is_admins {
        None
    } else if value(&enable) == "false" {
        Some((enable.as_str(), "false", "true"))
    } else {
        (value("ROOK_CSI_DISABLE_DRIVER") == "true").then_some(("ROOK_CSI_DISABLE_DRIVER", "true", "false"))
    };
    let remedy = match off {
        Some((key, is, _)) => {
            Remedy::guided(say!("the operator's setting {} is {}: change it if these volumes are wanted", key, is))
        }
        None if is_admins => Remedy::guided(say!(
            "from Rook 1.20 the Driver resources are the administrator's: apply operator.yaml of the release again, or the Helm chart ceph-csi-drivers"
        )),
        None => Remedy::guided(say!(
            "let the operator deploy the drivers: it does so when it starts, and its log says why it cannot"
        )),
    };
    let remedy = match off {
        Some((key, _, wanted)) => remedy.command(configure(ns, &format!("\"{key}\":\"{wanted}\""))),
        None if is_admins => {
            remedy.command(format!("kubectl -n {ns} get drivers.csi.ceph.io,operatorconfigs.csi.ceph.io"))
        }
        None => remedy
            .command(format!("kubectl -n {ns} rollout restart deployment rook-ceph-operator"))
            .command(format!("kubectl -n {ns} logs deployment/rook-ceph-operator | grep -i csi")),
    };
    let summary = say!("there is {} of {}: its volumes cannot be used", missing, driver);
    let object = driver_object(driver);
    let workloads = Evidence {
        from: format!("Deployments and DaemonSets in {ns}"),
        field: String::new(),
        at: None,
        excerpt: format!("{} of {family} among them", missing.english()),
    };
    let settings = ObjectRef::new(kinds::CONFIG_MAP, ns, SETTINGS);
    let classes = class_objects(classes.iter().copied());
    let finding = Finding::critical(object, summary, remedy)
        .evidence([workloads])
        .evidence(classes.iter().map(|class| Evidence::field(class, "provisioner", driver)))
        .evidence(off.map(|(key, is, _)| Evidence::field(&settings, format!("data.{key}"), is)))
        .also(classes);
    Ok(finding)
}

fn unregistered(ns: &str, driver: &str) -> Finding {
    let object = driver_object(driver);
    let summary =
        say!("the object {} is missing: Kubernetes attaches and mounts with defaults that may not fit", object);
    let remedy = Remedy::guided(say!("let the operator make it anew: it does so when it starts"))
        .command(format!("kubectl -n {ns} rollout restart deployment rook-ceph-operator"));
    let evidence = Evidence::field(&object, "metadata", "no such CSIDriver, though the driver is deployed");
    Finding::warning(object, summary, remedy).evidence([evidence])
}

/// A workload whose pods are refused because their ServiceAccount does not exist.
fn without_account(facts: &Facts<'_>, plugin: &Plugin<'_>, events: &[Event]) -> Option<Finding> {
    let name = &plugin.metadata.name;
    let about = |event: &Event| {
        let of = &event.involved_object.name;
        // A Deployment's pods are made by a ReplicaSet, whose name adds a hash.
        of == name || of.rsplit_once('-').is_some_and(|(deployment, _)| deployment == name)
    };
    let is_current = |event: &Event| event.last_seen().is_some_and(|seen| facts.now().duration_since(seen) <= CURRENT);
    let says = |event: &Event| event.message.contains("serviceaccount") && event.message.contains("not found");
    let refused = events.iter().filter(|event| event.reason == "FailedCreate" && about(event) && says(event));
    let event = refused.filter(|event| is_current(event)).max_by_key(|event| event.last_seen())?;
    let account = &plugin.template.spec.service_account_name;
    let ns = &plugin.metadata.namespace;
    let source = if plugin.is_of_csi_operator() { "csi-operator.yaml" } else { "common.yaml" };
    let summary =
        say!("the pods of {} cannot be made: ServiceAccount {}/{} does not exist", plugin.object(), ns, account);
    let remedy = Remedy::guided(say!(
        "apply {} of the installed Rook release again, or upgrade its Helm release; the pods then follow by themselves",
        source
    ))
    .command(format!("kubectl -n {ns} get serviceaccounts"));
    let finding = Finding::critical(plugin.object(), summary, remedy)
        .also([driver_object(plugin.driver())])
        .since(event.first_seen())
        .evidence([Evidence::event(event)]);
    Some(finding)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_operators_own_drivers_are_expected() {
        for (driver, expected) in [
            ("rook-ceph.rbd.csi.ceph.com", Some("rbd")),
            ("rook-ceph.cephfs.csi.ceph.com", Some("cephfs")),
            ("rook-ceph.nfs.csi.ceph.com", None),
            ("other.rbd.csi.ceph.com", None),
            ("rbd.csi.ceph.com", None),
        ] {
            assert_eq!(family("rook-ceph", driver), expected, "{driver}");
        }
    }
}
