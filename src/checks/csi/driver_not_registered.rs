use std::collections::BTreeMap;

use jiff::SignedDuration;

use super::{Plugin, ceph_classes, driver_object, is_ceph_driver, list_processes, plugins};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, quote};
use crate::facts::tables::PodRow;
use crate::facts::{Facts, Gap, both, kinds};
use crate::objects::kube::{CsiNode, Event};
use crate::say;

/// The kubelet and the attacher try again every few minutes; an older event says nothing of now.
const CURRENT: SignedDuration = SignedDuration::from_mins(15);
const REGISTRAR: &str = "driver-registrar";

check! {
    /// # What it looks at
    /// FailedMount and FailedAttachVolume events of the last fifteen minutes that say that a node does not know
    /// a Ceph CSI driver; then the CSINode of that node, which must lack it still, and the node plugin's pod
    /// there. A pod that is not Ready is the affair of CSI003. CSINodes are read on this suspicion only.
    ///
    /// # Why it matters
    /// No volume of this driver can be mounted on that node, although its node plugin says Ready. The kubelet
    /// learns of a driver through a socket in its own directory: where that directory is elsewhere (k0s,
    /// MicroK8s, RKE) it looks in vain, and a registrar that lost its connection may not come back.
    ///
    /// # Confirm by hand
    /// `kubectl get csinode <node> -o jsonpath='{.spec.drivers[*].name}'`, and the log of container
    /// `driver-registrar` of the node plugin's pod there.
    ///
    /// # Fix
    /// Restart the node plugin's pod on that node: it registers anew. Where ceph-fuse or rbd-nbd is used its
    /// mounts live in that pod and end with it: drain the node first. `kubectl rookdoctor fix CSI006` restarts it
    /// only where PersistentVolumes, StorageClasses and the node's kernel prove that there is no such mount. If no node knows the driver, compare
    /// `ROOK_CSI_KUBELET_DIR_PATH` (`nodePlugin.kubeletDirPath` of the Driver) with the kubelet's `--root-dir`;
    /// on the host `ls <kubelet directory>/plugins_registry` shows the sockets.
    ///
    /// # References
    /// rook issues 4183 and 8791; ceph-csi issues 710 and 1218.
    "CSI006" "driver-not-registered" Csi,
    needs: [MountEvents, AttachEvents, StorageClasses, CsiDeployments, DaemonSets, CsiPods, Objects, Logs],
    fix: restart_node_plugin,
    explained_by: [(node::node_not_ready, Node), (csi::two_layouts, Object)],
}

/// A driver that a node does not know, by the node's name and the driver's.
type Unknown<'s> = BTreeMap<(&'s str, &'s str), &'s Event>;

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let ((plugins, rows), (mounts, attaches)) =
        both(both(plugins(facts), facts.csi_pods()), both(facts.mount_events(), facts.attach_events()))?;
    let is_current = |event: &&Event| event.last_seen().is_some_and(|seen| facts.now().duration_since(seen) <= CURRENT);
    let mut unknown: Unknown<'_> = BTreeMap::new();
    for event in mounts.iter().chain(attaches).filter(is_current) {
        let Some(place) = refused(event) else { continue };
        let newest = unknown.entry(place).or_insert(event);
        if event.last_seen() > newest.last_seen() {
            *newest = event;
        }
    }
    let nodes = facts.each(unknown, |facts, ((node, _), _)| facts.object::<CsiNode>("", node))?;
    let mut suspects = Vec::new();
    for (((node, driver), event), csi_node) in nodes.seen {
        // The node is gone, or has learnt of the driver since.
        let Some(csi_node) = csi_node else { continue };
        let knows = csi_node.spec.drivers.iter().any(|known| known.name == driver);
        let plugin = plugins.iter().find(|plugin| plugin.is_node_plugin() && plugin.driver() == driver);
        let Some(plugin) = plugin.filter(|_| !knows) else { continue };
        let row = rows.iter().find(|row| row.node == node && plugin.owns(row));
        if row.is_none_or(PodRow::is_well) {
            suspects.push(Suspect { node, driver, event, csi_node, plugin, row });
        }
    }
    let classes = ceph_classes(facts)?;
    let lives_in_pod = |driver: &str| {
        let mut of_it = classes.values().filter(|class| class.provisioner == driver);
        of_it.any(|class| {
            class.parameters.get("mounter").is_some_and(|mounter| mounter == "rbd-nbd" || mounter == "fuse")
        })
    };
    let logs = facts.each(suspects.iter().filter_map(|suspect| suspect.row), |facts, row| {
        facts.log(&row.ns, &row.name, REGISTRAR)
    })?;
    let findings = suspects.iter().map(|suspect| {
        let log = logs.seen.iter().find(|(row, _)| suspect.row == Some(*row));
        let words = ["Lost connection", "PluginRegistered:false", "registration process failed", "Still connecting"];
        let said = log.and_then(|(row, log)| quote(&row.ns, &row.name, REGISTRAR, log, &words));
        finding(suspect, lives_in_pod(suspect.driver)).evidence(said)
    });
    Ok(Answered::judged(findings.collect()).blind(nodes.blind))
}

struct Suspect<'s> {
    node: &'s str,
    driver: &'s str,
    event: &'s Event,
    csi_node: &'s CsiNode,
    plugin: &'s Plugin<'s>,
    row: Option<&'s PodRow>,
}

/// The node and the driver of `driver name X not found in the list of registered CSI drivers` (the kubelet),
/// or `CSINode N does not contain driver X` (the attacher).
fn refused(event: &Event) -> Option<(&str, &str)> {
    let message = event.message.as_str();
    let (node, driver) =
        if let Some((before, _)) = message.split_once(" not found in the list of registered CSI drivers") {
            (event.node(), before.rsplit_once("driver name ")?.1)
        } else {
            let (before, after) = message.split_once(" does not contain driver ")?;
            (before.rsplit_once("CSINode ")?.1, after.split_whitespace().next()?)
        };
    (is_ceph_driver(driver) && !node.is_empty()).then_some((node, driver))
}

fn finding(suspect: &Suspect<'_>, lives_in_pod: bool) -> Finding {
    let Suspect { node, driver, event, csi_node, plugin, row } = suspect;
    let ns = &plugin.metadata.namespace;
    let (summary, remedy) = match row {
        Some(row) => {
            let summary = say!("{} does not know {}, although its node plugin is Ready: nothing can be mounted there", node, driver);
            let remedy = if lives_in_pod {
                Remedy::guided(say!(
                    "drain {}, then restart its node plugin: a StorageClass mounts with rbd-nbd or ceph-fuse, whose mounts live in that pod and end with it",
                    node
                ))
                .command(format!("kubectl drain {node} --ignore-daemonsets --delete-emptydir-data"))
            } else {
                Remedy::guided(say!(
                    "restart the node plugin of {} on {}, which registers anew, if neither ceph-fuse nor rbd-nbd runs in it: their mounts would end with the pod; else drain the node first. If a restart does not help, compare the kubelet's --root-dir with the path that the registrar uses",
                    driver,
                    node
                ))
                .command(format!("{} | grep -e ceph-fuse -e rbd-nbd", list_processes(ns, &row.name, driver)))
                .auto()
            };
            (summary, remedy.command(format!("kubectl -n {ns} delete pod {}", row.name)))
        }
        None => (
            say!("{} does not know {}: no pod of its node plugin runs there", node, driver),
            Remedy::guided(say!(
                "let the node plugin run on {}: give it the tolerations and the node affinity that this node asks for (CSI_PLUGIN_TOLERATIONS, or nodePlugin.tolerations of the Driver), or keep pods with such volumes away",
                node
            ))
            .command(format!("kubectl describe node {node} | grep -A3 Taints"))
            .command(format!("kubectl -n {ns} get daemonset {} -o jsonpath='{{.spec.template.spec.tolerations}}'", plugin.metadata.name)),
        ),
    };
    let object = ObjectRef::new(kinds::CSI_NODE, "", node);
    let known: Vec<&str> = csi_node.spec.drivers.iter().map(|known| known.name.as_str()).collect();
    let registrar = plugin.template.spec.containers.iter().find(|container| container.name == REGISTRAR);
    let path = registrar.and_then(|registrar| registrar.flag("--kubelet-registration-path"));
    Finding::critical(object.clone(), summary, remedy)
        .also([driver_object(driver)])
        .detail(*driver)
        .at([Place::node(*node)])
        .since(event.first_seen())
        .evidence([
            Evidence::field(
                &object,
                "spec.drivers",
                if known.is_empty() { "none".to_owned() } else { known.join(", ") },
            ),
            Evidence::event(event),
        ])
        .evidence(row.map(|row| Evidence::pod_row(row, ns)))
        .evidence(path.map(|path| Evidence::field(&plugin.object(), "--kubelet-registration-path", path)))
}
