use std::collections::{BTreeMap, BTreeSet};

use super::{Plugin, ceph_classes, class_objects, driver_object, is_ceph_driver, plugins};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Remedy, Text};
use crate::facts::{Facts, Gap, both, kinds};
use crate::lang::listed;
use crate::objects::kube::StorageClass;
use crate::say;

check! {
    /// # What it looks at
    /// The drivers that StorageClasses and VolumeAttachments name, and the `--drivername` of the DaemonSets of
    /// all namespaces. A driver that the operator should deploy and does not is the affair of CSI001.
    ///
    /// # Why it matters
    /// The name of a driver starts with the namespace of the operator that deploys it (or, up to Rook 1.19, with
    /// `CSI_DRIVER_NAME_PREFIX`), not with that of the CephCluster. Nobody works on a claim whose StorageClass
    /// names another: it stays Pending without any error. A volume keeps the name in its PersistentVolume for
    /// ever, so moving the operator to another namespace strands the volumes that exist.
    ///
    /// # Confirm by hand
    /// `kubectl get storageclass,csidriver` and
    /// `kubectl get pv -o custom-columns=NAME:.metadata.name,DRIVER:.spec.csi.driver`
    ///
    /// # Fix
    /// For a new class: make it anew with the name that is served, as its provisioner cannot be changed. Where
    /// volumes exist under the old name: serve that name again, with the operator in its old namespace or with
    /// `CSI_DRIVER_NAME_PREFIX`; from Rook 1.20 with a Driver resource of that name.
    ///
    /// # References
    /// Rook: Storage-Configuration/Block-Storage-RBD/block-storage, "provisioner"; Helm chart value
    /// `csi.csiDriverNamePrefix`.
    "CSI007" "driver-name-mismatch" Csi,
    needs: [CsiDeployments, DaemonSets, StorageClasses, Attachments],
    explained_by: [(opr::operator_down, Cluster)],
}

/// Who names a driver that nobody serves.
#[derive(Default)]
struct Users<'s> {
    classes: Vec<&'s StorageClass>,
    attachments: Vec<ObjectRef>,
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let ((plugins, classes), (daemon_sets, attachments)) =
        both(both(plugins(facts), ceph_classes(facts)), both(facts.daemon_sets(), facts.attachments()))?;
    let containers = daemon_sets.iter().flat_map(|daemon_set| &daemon_set.spec.template.spec.containers);
    let served: BTreeSet<&str> =
        containers.filter_map(|container| container.flag("--drivername")).filter(|name| is_ceph_driver(name)).collect();
    if served.is_empty() {
        return Ok(Answered::NotApplicable("no Ceph CSI driver is deployed"));
    }
    let ns = &facts.cluster()?.operator_ns;
    let mut users: BTreeMap<&str, Users<'_>> = BTreeMap::new();
    for class in classes.values() {
        users.entry(&class.provisioner).or_default().classes.push(class);
    }
    for row in attachments.iter().filter(|row| is_ceph_driver(&row.attacher)) {
        let object = ObjectRef::new(kinds::VOLUME_ATTACHMENT, "", &row.name);
        users.entry(&row.attacher).or_default().attachments.push(object);
    }
    users.retain(|driver, _| !served.contains(driver) && !is_missing(ns, driver, &plugins));
    let served = say!("{}", listed(served));
    let findings = users.iter().map(|(driver, users)| finding(driver, users, &served));
    Ok(Answered::judged(findings.collect()))
}

/// Whether this operator should serve the name and has not deployed the driver.
fn is_missing(ns: &str, driver: &str, plugins: &[Plugin<'_>]) -> bool {
    let own = driver.strip_prefix(ns).and_then(|rest| rest.strip_prefix('.'));
    let Some(family) = own.and_then(|rest| rest.strip_suffix(".csi.ceph.com")) else { return false };
    let of_it = || plugins.iter().filter(|plugin| plugin.is_of_family(family));
    !(of_it().any(Plugin::is_controller) && of_it().any(Plugin::is_node_plugin))
}

fn finding(driver: &str, users: &Users<'_>, served: &Text) -> Finding {
    let classes = class_objects(users.classes.iter().copied());
    let named = listed(&classes);
    let summary = match (classes.is_empty(), users.attachments.len()) {
        (true, attached) => say!("{} attached volumes are of {}, which nobody serves", attached, driver),
        (false, 0) => say!("{} names the driver {}, which nobody serves", named, driver),
        (false, attached) => {
            say!("{} and {} attached volumes name the driver {}, which nobody serves", named, attached, driver)
        }
    };
    let remedy = if users.attachments.is_empty() {
        Remedy::guided(say!(
            "make the StorageClass anew with a provisioner that is served ({}): it cannot be changed",
            served
        ))
    } else {
        Remedy::guided(say!(
            "serve {} again (operator namespace, CSI_DRIVER_NAME_PREFIX, or a Driver resource of that name): volumes keep their driver's name for ever, and these can be neither detached nor mounted elsewhere",
            driver
        ))
    };
    let remedy = remedy
        .command("kubectl get storageclass,csidriver")
        .command("kubectl get pv -o custom-columns=NAME:.metadata.name,DRIVER:.spec.csi.driver");
    let served = Evidence {
        from: "DaemonSets of all namespaces".into(),
        field: "--drivername".into(),
        at: None,
        excerpt: served.english(),
    };
    Finding::warning(driver_object(driver), summary, remedy)
        .evidence(classes.iter().map(|class| Evidence::field(class, "provisioner", driver)))
        .evidence(users.attachments.first().map(|object| Evidence::field(object, "spec.attacher", driver)))
        .evidence([served])
        .also(classes)
}
