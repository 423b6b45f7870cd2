//! CSI.

pub mod backend_missing;
pub(crate) mod clash;
pub mod client_fenced;
pub mod cluster_config_stale;
pub mod controller_unhealthy;
pub mod csi_addons_node_failed;
pub mod csi_addons_port_conflict;
pub mod csi_operator_down;
pub mod driver_missing;
pub mod driver_name_mismatch;
pub mod driver_not_registered;
pub(crate) mod errors;
pub mod host_port_conflict;
pub mod mount_failing;
pub mod node_plugin_unhealthy;
pub(crate) mod ports;
pub mod provisioning_failing;
pub mod secret_reference_broken;
pub mod sidecar_mismatch;
pub mod snapshot_support_missing;
pub mod two_layouts;
mod unregistered;
pub mod volume_operation_failing;
pub mod volume_stuck_attached;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use self::clash::Clash;
use crate::check::{ObjectRef, Remedy};
use crate::facts::tables::PodRow;
use crate::facts::{Facts, Gap, Kind, Settled, both, kinds};
use crate::lang::{Listed, listed};
use crate::objects::kube::{Container, ContainerStatus, Meta, Pod, StorageClass, Template, condition};
use crate::say;

/// A Deployment or DaemonSet that serves a Ceph CSI driver: the controller, or the node plugin.
#[derive(Clone, Copy)]
pub(crate) struct Plugin<'s> {
    pub kind: Kind,
    pub metadata: &'s Meta,
    pub template: &'s Template,
    pub wanted: i32,
    pub ready: i32,
}

impl<'s> Plugin<'s> {
    /// Creates, deletes, resizes and attaches volumes; a node plugin mounts them.
    pub fn is_controller(&self) -> bool {
        self.kind == kinds::DEPLOYMENT
    }

    /// Whether the ceph-csi-operator made it, and not Rook itself: only that one names it after the driver.
    pub fn is_of_csi_operator(&self) -> bool {
        self.metadata.name.contains(".csi.ceph.com-")
    }

    /// `rook-ceph.rbd.csi.ceph.com`; the name of the workload where no container tells.
    pub fn driver(&self) -> &'s str {
        let told = self.template.spec.containers.iter().find_map(|container| container.flag("--drivername"));
        told.unwrap_or(&self.metadata.name)
    }

    /// Whether it serves volumes of `rbd` or `cephfs`, in either layout.
    pub fn is_of_family(&self, family: &str) -> bool {
        let name = &self.metadata.name;
        name.starts_with(&format!("csi-{family}plugin")) || name.contains(&format!(".{family}.csi.ceph.com-"))
    }

    /// Whether it mounts: not one of the helpers that CSI-Addons and Multus add as DaemonSets.
    pub fn is_node_plugin(&self) -> bool {
        let name = &self.metadata.name;
        !self.is_controller() && !name.ends_with("-csi-addons") && !name.contains("plugin-holder-")
    }

    pub fn owns(&self, row: &PodRow) -> bool {
        let name = &self.metadata.name;
        if self.is_controller() { row.is_of_deployment(name) } else { row.is_of_daemon_set(name) }
    }

    pub fn object(&self) -> ObjectRef {
        ObjectRef::new(self.kind, &self.metadata.namespace, &self.metadata.name)
    }

    /// One of its pods, named so that the name lasts.
    pub fn pod_object(&self, row: &PodRow) -> ObjectRef {
        let node = if row.node.is_empty() { &row.name } else { &row.node };
        ObjectRef::pod_row(row, &self.metadata.namespace, format!("{}@{node}", self.metadata.name))
    }
}

/// What serves the Ceph CSI drivers of this operator, in either layout.
pub(crate) fn plugins<'s>(facts: &Facts<'s>) -> Result<Vec<Plugin<'s>>, Gap> {
    let ns = &facts.cluster()?.operator_ns;
    let (deployments, daemon_sets) = both(facts.csi_deployments(), facts.daemon_sets())?;
    let controllers = deployments.iter().map(|controller| Plugin {
        kind: kinds::DEPLOYMENT,
        metadata: &controller.metadata,
        template: &controller.spec.template,
        wanted: controller.spec.replicas.unwrap_or(1),
        ready: controller.status.ready_replicas,
    });
    let node_plugins = daemon_sets.iter().map(|node_plugin| Plugin {
        kind: kinds::DAEMON_SET,
        metadata: &node_plugin.metadata,
        template: &node_plugin.spec.template,
        wanted: node_plugin.status.desired_number_scheduled,
        ready: node_plugin.status.number_ready,
    });
    let is_ours = |plugin: &Plugin<'_>| plugin.metadata.namespace == *ns && is_plugin(&plugin.metadata.name);
    let found: Vec<Plugin<'s>> = controllers.chain(node_plugins).filter(is_ours).collect();
    if found.is_empty() {
        // Where the operators cannot be read their namespace is only guessed, and nothing can be said of it.
        facts.operators()?;
    }
    Ok(found)
}

/// Rook's own names, and those that the ceph-csi-operator makes from the name of the driver.
fn is_plugin(name: &str) -> bool {
    let classic = ["csi-rbdplugin", "csi-cephfsplugin", "csi-nfsplugin"];
    name.contains(".csi.ceph.com-") || classic.iter().any(|prefix| name.starts_with(prefix))
}

/// The driver as an object, which is what a broken controller and a claim that waits for it share.
pub(crate) fn driver_object(driver: &str) -> ObjectRef {
    ObjectRef {
        api_version: "storage.k8s.io/v1".into(),
        kind: "CSIDriver".into(),
        namespace: String::new(),
        name: driver.into(),
        stable: None,
    }
}

/// StorageClasses whose volumes come from Ceph, by name.
pub(crate) fn ceph_classes<'s>(facts: &Facts<'s>) -> Result<BTreeMap<&'s str, &'s StorageClass>, Gap> {
    let classes = facts.storage_classes()?.iter().filter(|class| is_ceph_driver(&class.provisioner));
    Ok(classes.map(|class| (class.metadata.name.as_str(), class)).collect())
}

/// StorageClasses as objects: what a claim that fails shares with the reason why it does.
pub(crate) fn class_objects<'c>(classes: impl IntoIterator<Item = &'c StorageClass>) -> Vec<ObjectRef> {
    let names: BTreeSet<&str> = classes.into_iter().map(|class| class.metadata.name.as_str()).collect();
    names.into_iter().map(|name| ObjectRef::new(kinds::STORAGE_CLASS, "", name)).collect()
}

/// The CephFilesystem that volumes of this class lie in.
pub(crate) fn filesystem(ns: &str, class: &StorageClass) -> Option<ObjectRef> {
    class.parameters.get("fsName").map(|name| ObjectRef::new(kinds::FILESYSTEM, ns, name))
}

pub(crate) fn is_ceph_driver(driver: &str) -> bool {
    ["rbd.csi.ceph.com", "cephfs.csi.ceph.com", "nfs.csi.ceph.com"].iter().any(|kind| driver.ends_with(kind))
}

/// The command that lists what runs in the pod of a node plugin, ceph-fuse and rbd-nbd among it.
pub(crate) fn list_processes(ns: &str, pod: &str, driver: &str) -> String {
    let family =
        ["rbd", "cephfs", "nfs"].into_iter().find(|family| driver.ends_with(&format!("{family}.csi.ceph.com")));
    let container = format!("csi-{}plugin", family.unwrap_or("rbd"));
    format!("kubectl -n {ns} exec {pod} -c {container} -- sh -c 'cat /proc/[0-9]*/comm 2>/dev/null; true'")
}

/// The containers that should run and are not ready; all of them while the pod has not started.
pub(crate) fn not_ready(pod: &Pod) -> Vec<(&Container, Option<&ContainerStatus>)> {
    let serving = |name: &str| pod.spec.containers.iter().any(|container| container.name == name);
    pod.containers()
        .filter(|(container, status)| serving(&container.name) && !status.is_some_and(|status| status.ready))
        .collect()
}

/// Volumes are created, attached and mounted without these.
pub(crate) fn is_auxiliary(container: &str) -> bool {
    matches!(container, "csi-addons" | "liveness-prometheus" | "log-rotator" | "log-collector" | "csi-omap-generator")
}

/// Since when a pod is not ready, or should be gone.
pub(crate) fn not_ready_since(pod: &Pod) -> Option<Timestamp> {
    let ready = condition(&pod.status.conditions, "Ready").filter(|ready| ready.status != "True");
    let since = ready.and_then(|ready| ready.last_transition_time);
    since.or(pod.metadata.deletion_timestamp).or(pod.metadata.creation_timestamp)
}

/// Whether a pod that was not well a moment ago is ready by now, or may well become so by itself.
pub(crate) fn may_pass(facts: &Facts<'_>, pod: &Pod) -> bool {
    let is_ready = pod.is_ready() && pod.metadata.deletion_timestamp.is_none();
    is_ready || is_young(facts, not_ready_since(pod))
}

/// What a roll-out, a restart or a first provisioning may take before it counts as a fault.
pub(crate) const PATIENCE: SignedDuration = SignedDuration::from_mins(2);

/// Whether this began so recently that it may well pass by itself. What has no time is not young.
pub(crate) fn is_young(facts: &Facts<'_>, since: Option<Timestamp>) -> bool {
    since.is_some_and(|since| facts.now().duration_since(since) < PATIENCE)
}

/// Rook's version as (major, minor, patch).
pub(crate) type Version = (u32, u32, u32);

/// The version in the tag of the operator's image; none if there is no tag, or the operator cannot be read:
/// it only decides what a remedy says.
pub(crate) fn rook_version(facts: &Facts<'_>) -> Result<Option<Version>, Gap> {
    let ns = &facts.cluster()?.operator_ns;
    let operators = match facts.operators().settled()? {
        Ok(operators) => operators,
        Err(_unreadable) => return Ok(None),
    };
    let operator = operators.iter().find(|operator| operator.metadata.namespace == *ns);
    let image = operator.and_then(|operator| operator.spec.template.spec.containers.first());
    Ok(image.and_then(|container| version(&container.image)))
}

fn version(image: &str) -> Option<Version> {
    let tag = image.split('@').next()?.rsplit_once(':')?.1;
    let mut numbers = tag.strip_prefix('v')?.splitn(3, '.').map(|part| {
        let digits = part.find(|c: char| !c.is_ascii_digit()).map_or(part, |end| &part[..end]);
        digits.parse().ok()
    });
    Some((numbers.next()??, numbers.next()??, numbers.next()??))
}

/// The command that sets keys of the operator's ConfigMap: `"CSI_ENABLE_CSIADDONS":"false"`.
pub(crate) fn configure(ns: &str, data: &str) -> String {
    format!("kubectl -n {ns} patch configmap rook-ceph-operator-config --type merge -p '{{\"data\":{{{data}}}}}'")
}

/// What ends a clash of metrics ports in the layout of the ceph-csi-operator, where a Driver has one port for both
/// its plugins.
pub(crate) fn without_liveness(ns: &str, version: Option<Version>, clash: &Clash<'_>) -> Remedy {
    let summary = match version {
        Some(version) if version >= (1, 20, 0) => say!(
            "take `liveness` out of the Drivers and the OperatorConfig, or take the controller plugins off the host network: a Driver has one metrics port for both its plugins"
        ),
        Some(version) if version >= (1, 18, 3) => say!(
            "take `liveness` out of the Drivers: Rook v1.18.3 and later does not set it, so what is there was left or set by hand"
        ),
        _ => say!(
            "upgrade Rook to v1.18.3 or later, which no longer sets `liveness` on the Drivers; until then only taking the controller plugins off the host network helps (ROOK_ENFORCE_HOST_NETWORK, which moves every other pod of Rook as well, so only where monitors and OSDs are reachable from the pod network); editing a Driver does not last, Rook writes it again"
        ),
    };
    let remedy = Remedy::guided(summary)
        .command(format!("kubectl -n {ns} get drivers.csi.ceph.io,operatorconfigs.csi.ceph.io -o yaml"));
    // Before that Rook writes it back.
    if version.is_none_or(|version| version < (1, 18, 3)) {
        return remedy;
    }
    let drivers: BTreeSet<&str> = clash.plugins().map(|plugin| plugin.driver()).collect();
    drivers.into_iter().fold(remedy, |remedy, driver| {
        let patch = r#"--type merge -p '{"spec":{"liveness":null}}'"#;
        remedy.command(format!("kubectl -n {ns} patch drivers.csi.ceph.io {driver} {patch}"))
    })
}

/// `Pod apps/a and 3 more`: some of these objects, and how many more there are.
pub(crate) fn name_some(objects: &[ObjectRef], unopened: usize) -> Listed {
    const SHOWN: usize = 4;
    let names = objects.iter().take(SHOWN).map(|object| say!("{}", object));
    let more = objects.len().saturating_sub(SHOWN) + unopened;
    listed(names.chain((more > 0).then(|| say!("{} more", more))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_tells_the_version() {
        for (image, expected) in [
            ("docker.io/rook/ceph:v1.16.3", Some((1, 16, 3))),
            ("rook/ceph:v1.17.0-beta.1", Some((1, 17, 0))),
            ("registry:5000/rook/ceph@sha256:00", None),
            ("rook/ceph:v1.18.2@sha256:00", Some((1, 18, 2))),
            ("rook/ceph:master", None),
        ] {
            assert_eq!(version(image), expected, "{image}");
        }
    }
}
