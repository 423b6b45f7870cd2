//! Whether mounts outlive the pod of a CSI node plugin. The kernel's own do; ceph-fuse and rbd-nbd are processes in
//! that pod, and what they mounted is lost to its users when the pod goes. Only proof counts.

use std::collections::BTreeSet;

use super::Held;
use crate::check::Text;
use crate::checks::node::kernel_too_old::{QUOTAS, version};
use crate::facts::tables::NodeRow;
use crate::facts::{Facts, Gap, Select, both};
use crate::objects::kube::{PersistentVolume, Pod, StorageClass};
use crate::say;

pub(super) fn outlive(facts: &Facts<'_>, ns: &str, pod: &str, node: &str, driver: &str) -> Result<Held, Gap> {
    let Some(pod) = facts.object::<Pod>(ns, pod)? else { return Ok(Held::Yes) };
    if !pod.spec.host_network {
        return Ok(Held::No(say!(
            "the pod is not on the host network: what the kernel mounted loses its network with the pod"
        )));
    }
    // NFS is mounted by the kernel, and by nothing else.
    if driver.ends_with("nfs.csi.ceph.com") {
        return Ok(Held::Yes);
    }
    let (attached, nodes) = both(attached(facts, node, driver), facts.nodes())?;
    let (volumes, classes) = both(facts.list::<PersistentVolume>(None, Select::all()), facts.storage_classes())?;
    let of_driver = |volume: &&PersistentVolume| volume.spec.csi.driver == driver;
    let here: Vec<&PersistentVolume> = match &attached {
        Some(names) => volumes.iter().filter(|volume| names.contains(volume.metadata.name.as_str())).collect(),
        None => volumes.iter().filter(of_driver).collect(),
    };
    let lost = attached.iter().flatten().find(|name| !here.iter().any(|volume| volume.metadata.name == **name));
    if let Some(name) = lost {
        return Ok(Held::No(say!("PersistentVolume {} is attached there and cannot be found", name)));
    }
    let node = nodes.iter().find(|row| row.name == node);
    let in_pod = here.iter().find_map(|volume| {
        let class = classes.iter().find(|class| class.metadata.name == volume.spec.storage_class_name);
        not_by_kernel(volume, class).or_else(|| without_kernel_client(volume, driver, pod, node))
    });
    Ok(in_pod.map_or(Held::Yes, Held::No))
}

/// The volumes of a driver that are attached to a node. None where drivers attach without saying so, and any volume
/// may be mounted anywhere.
fn attached<'s>(facts: &Facts<'s>, node: &str, driver: &str) -> Result<Option<BTreeSet<&'s str>>, Gap> {
    let (drivers, rows) = both(facts.csi_driver_objects(), facts.attachments())?;
    let object = drivers.iter().find(|object| object.metadata.name == driver);
    if !object.is_some_and(|object| object.spec.attach_required.unwrap_or(true)) {
        return Ok(None);
    }
    let here = rows.iter().filter(|row| row.node == node && row.attacher == driver);
    Ok(Some(here.map(|row| row.volume.as_str()).collect()))
}

/// Why it is not known that the kernel mounts this volume, by what the volume and its class ask for.
fn not_by_kernel(volume: &PersistentVolume, class: Option<&StorageClass>) -> Option<Text> {
    let name = &volume.metadata.name;
    let attributes = &volume.spec.csi.volume_attributes;
    if attributes.is_empty() {
        return Some(say!("PersistentVolume {} does not tell how it is mounted", name));
    }
    let asked = |key: &str| [Some(attributes), class.map(|class| &class.parameters)].map(|from| from?.get(key));
    let mounter =
        asked("mounter").into_iter().flatten().find(|mounter| !["", "rbd", "kernel"].contains(&mounter.as_str()));
    if let Some(mounter) = mounter {
        return Some(say!("PersistentVolume {} is mounted with {}", name, mounter));
    }
    let falls_back = asked("tryOtherMounters").into_iter().flatten().any(|value| value != "false");
    falls_back.then(|| say!("PersistentVolume {} may be mounted with rbd-nbd (tryOtherMounters)", name))
}

/// CephFS is mounted with ceph-fuse where the kernel does not keep its quotas, unless the plugin is told otherwise.
fn without_kernel_client(
    volume: &PersistentVolume,
    driver: &str,
    plugin: &Pod,
    node: Option<&NodeRow>,
) -> Option<Text> {
    let forced =
        plugin.spec.containers.iter().any(|container| container.flag("--forcecephkernelclient") == Some("true"));
    let kernel = node.and_then(|node| version(&node.kernel));
    if !driver.ends_with("cephfs.csi.ceph.com") || forced || kernel.is_some_and(|kernel| kernel >= QUOTAS) {
        return None;
    }
    let name = &volume.metadata.name;
    Some(match node {
        Some(node) => say!(
            "PersistentVolume {} may be mounted with ceph-fuse: the kernel of the node is {}, and CephFS wants 4.17 or later",
            name,
            node.kernel
        ),
        None => say!(
            "PersistentVolume {} may be mounted with ceph-fuse: the kernel of the node is not known, and CephFS wants 4.17 or later",
            name
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn volume(attributes: Value) -> PersistentVolume {
        let csi = json!({"driver": "rook-ceph.rbd.csi.ceph.com", "volumeAttributes": attributes});
        serde_json::from_value(json!({"metadata": {"name": "v"}, "spec": {"csi": csi}})).unwrap()
    }

    #[test]
    fn only_proof_that_the_kernel_mounts_counts() {
        let class = |parameters: Value| -> StorageClass {
            serde_json::from_value(json!({"provisioner": "x", "parameters": parameters})).unwrap()
        };
        for (attributes, parameters, proven) in [
            (json!({"pool": "a"}), json!({}), true),
            (json!({"pool": "a", "mounter": "rbd"}), json!({"mounter": ""}), true),
            (json!({"pool": "a", "mounter": "kernel", "tryOtherMounters": "false"}), json!({}), true),
            (json!({"pool": "a", "mounter": "rbd-nbd"}), json!({}), false),
            (json!({"pool": "a"}), json!({"mounter": "rbd-nbd"}), false),
            (json!({"fsName": "a", "mounter": "fuse"}), json!({}), false),
            (json!({"pool": "a", "mounter": "what"}), json!({}), false),
            (json!({"pool": "a", "tryOtherMounters": "true"}), json!({}), false),
            (json!({"pool": "a"}), json!({"tryOtherMounters": "true"}), false),
            (json!({}), json!({}), false),
        ] {
            let found = not_by_kernel(&volume(attributes.clone()), Some(&class(parameters.clone())));
            assert_eq!(found.is_none(), proven, "{attributes} {parameters}: {found:?}");
        }
        assert!(not_by_kernel(&volume(json!({"pool": "a"})), None).is_none());
    }

    #[test]
    fn cephfs_needs_a_kernel_that_keeps_quotas_or_a_plugin_that_insists() {
        let plugin = |args: &[&str]| -> Pod {
            serde_json::from_value(json!({"spec": {"containers": [{"name": "csi-cephfsplugin", "args": args}]}}))
                .unwrap()
        };
        let node = |kernel: &str| NodeRow {
            name: "w1".into(),
            status: "Ready".into(),
            roles: String::new(),
            version: String::new(),
            address: String::new(),
            kernel: kernel.into(),
        };
        let (old, new, unknown) = (node("4.15.0-112-generic"), node("5.15.0"), node(""));
        let (plain, forced) = (plugin(&["--type=cephfs"]), plugin(&["--forcecephkernelclient=true"]));
        let cephfs = "rook-ceph.cephfs.csi.ceph.com";
        for (driver, plugin, node, proven) in [
            (cephfs, &plain, Some(&new), true),
            (cephfs, &forced, Some(&old), true),
            (cephfs, &plain, Some(&old), false),
            (cephfs, &plain, Some(&unknown), false),
            (cephfs, &plain, None, false),
            (cephfs, &plugin(&["--forcecephkernelclient=false"]), Some(&old), false),
            ("rook-ceph.rbd.csi.ceph.com", &plain, Some(&old), true),
        ] {
            let found = without_kernel_client(&volume(json!({})), driver, plugin, node);
            assert_eq!(found.is_none(), proven, "{driver} {node:?}: {found:?}");
        }
    }
}
