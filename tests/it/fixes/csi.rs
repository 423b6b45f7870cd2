//! CSI, and the memory of daemons.

use rookdoctor::facts::archive::Tree;
use serde_json::{Value, json};

use super::{Bed, Case, heal, tree};
use crate::double::{Act, Changed, Double, Fault, Faults};

const OPERATOR: &str = "DELETE /api/v1/namespaces/rook-ceph/pods/rook-ceph-operator-*";

pub const CASES: &[Case] = &[Case {
    name: "CSI004",
    on: "CSI004-rook-knows-the-ports",
    fix: "CSI004",
    heals: the_provisioners_move,
    changes: &[("rook-ceph", "configmaps", "rook-ceph-operator-config")],
}];

/// An operator that starts reads its settings and replaces the provisioners.
fn the_provisioners_move(double: &Double) {
    double.on(OPERATOR, |cluster| {
        let config = cluster.object("rook-ceph", "configmaps", "rook-ceph-operator-config").unwrap();
        for (key, driver) in
            [("CSIADDONS_RBD_PROVISIONER_PORT", "rbd"), ("CSIADDONS_CEPHFS_PROVISIONER_PORT", "cephfs")]
        {
            let Some(port) = config["data"][key].as_str() else { continue };
            listen(cluster, &format!("csi-{driver}plugin-provisioner"), port.parse().unwrap());
        }
        heal::events(cluster);
        cluster
            .edit("apps", "persistentvolumeclaims", "data-ledger-0", |claim| claim["status"]["phase"] = "Bound".into());
        cluster
            .edit("apps", "persistentvolumeclaims", "shared-assets", |claim| claim["status"]["phase"] = "Bound".into());
    });
}

/// A provisioner listens on another port, and its pods find nodes.
fn listen(cluster: &mut Changed<'_>, name: &str, port: u16) {
    let set = |spec: &mut Value| {
        let containers = spec["containers"].as_array_mut().unwrap();
        let sidecar = containers.iter_mut().find(|it| it["name"] == "csi-addons").unwrap();
        for arg in sidecar["args"].as_array_mut().unwrap() {
            if arg.as_str().unwrap().starts_with("--controller-port=") {
                *arg = format!("--controller-port={port}").into();
            }
        }
        sidecar["ports"][0]["containerPort"] = port.into();
        sidecar["ports"][0]["hostPort"] = port.into();
    };
    cluster.edit("rook-ceph", "deployments", name, |it| {
        set(&mut it["spec"]["template"]["spec"]);
        let wanted = it["spec"]["replicas"].clone();
        for count in ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"] {
            it["status"][count] = wanted.clone();
        }
        it["status"].as_object_mut().unwrap().remove("unavailableReplicas");
        it["status"]["observedGeneration"] = it["metadata"]["generation"].clone();
    });
    let pods = names(cluster, name);
    for (pod, node) in pods.iter().zip(["opal-1", "opal-2"]) {
        cluster.edit("rook-ceph", "pods", pod, |pod| {
            set(&mut pod["spec"]);
            pod["spec"]["nodeName"] = node.into();
        });
    }
    heal::pods(cluster, |pod| pods.iter().any(|name| pod["metadata"]["name"] == **name));
}

/// The pods whose names begin so.
fn names(cluster: &Changed<'_>, prefix: &str) -> Vec<String> {
    let files = cluster.tree().below("namespaces/rook-ceph/core/pods");
    let pods = files.flat_map(|(_, file)| file.objects().unwrap_or_default().to_vec());
    let names = pods.filter_map(|pod| Some(pod["metadata"]["name"].as_str()?.to_owned()));
    names.filter(|name| name.starts_with(prefix)).collect()
}

const SETTINGS: &str = "PATCH /api/v1/namespaces/rook-ceph/configmaps/rook-ceph-operator-config";

/// Edits the object of this name in a file of a recorded cluster.
fn edit(tree: &mut Tree, path: &str, name: &str, edit: impl Fn(&mut Value)) {
    let mut objects = tree.file(path).unwrap().objects().unwrap().to_vec();
    objects.iter_mut().filter(|object| object["metadata"]["name"] == name).for_each(edit);
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    tree.write(path, list.to_string().into_bytes());
}

/// What a fix says that is not applied, and that it changed nothing.
fn refused(bed: &Bed, fix: &str, says: &str) {
    let before = bed.changes_made().len();
    let ran = bed.run(&format!("fix {fix} --yes"));
    assert_eq!(ran.code, Some(5), "{ran:?}");
    assert!(ran.says(says), "{says}: {ran:?}");
    assert_eq!(bed.changes_made().len(), before, "{ran:?}");
}

/// What a fix says that begins and is then stopped by a guard.
fn stopped(bed: &Bed, fix: &str, says: &str) {
    let ran = bed.run(&format!("fix {fix} --yes"));
    assert!(ran.code != Some(0) && ran.says(says), "{says}: {ran:?}");
    assert_eq!(bed.changes_made().len(), 1, "{ran:?}: {:?}", bed.changes_made());
}

/// The monitors lose their quorum.
fn lose_quorum(cluster: &mut Changed<'_>) {
    cluster.edit_ceph("rook-ceph", "quorum_status", |quorum| {
        quorum["quorum_names"] = json!(["a"]);
        quorum["quorum"] = json!([0]);
    });
}

#[test]
fn the_ports_are_not_moved_to_where_others_are() {
    let bed = Bed::of("CSI004-rook-knows-the-ports");
    bed.double.on(SETTINGS, |cluster| {
        let set = json!({"apiVersion": "apps/v1", "kind": "DaemonSet",
            "metadata": {"name": "late", "namespace": "late", "uid": "6c8b1a52-0f3e-4a6e-9f43-0a4b6f1f7fff"},
            "spec": {"selector": {"matchLabels": {"app": "late"}}, "template": {"spec": {"hostNetwork": true,
                "containers": [{"name": "late", "image": "x:1", "ports": [{"containerPort": 9072}]}]}}}});
        cluster.write("namespaces/late/apps/daemonsets.yaml", set.to_string());
    });
    stopped(&bed, "CSI004", "DaemonSet late/late wants it (containerPort 9072)");
}

#[test]
fn a_deployment_of_another_namespace_has_its_port() {
    let mut tree = tree("CSI004-rook-knows-the-ports");
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "proxy", "namespace": "edge", "uid": "6c8b1a52-0f3e-4a6e-9f43-0a4b6f1f7ffe"},
        "spec": {"selector": {"matchLabels": {"app": "proxy"}}, "template": {"spec": {
            "containers": [{"name": "proxy", "image": "x:1", "ports": [{"containerPort": 80, "hostPort": 9072}]}]}}}});
    tree.write("namespaces/edge/apps/deployments.yaml", deployment.to_string().into_bytes());
    let shown = Bed::serve(tree).run("fix CSI004 --dry-run");
    assert!(shown.says("CSIADDONS_RBD_PROVISIONER_PORT=9073 and CSIADDONS_CEPHFS_PROVISIONER_PORT=9074"), "{shown:?}");
}

#[test]
fn the_ports_are_moved_only_where_the_operator_sees_it() {
    let bed = Bed::of("CSI004-rook-knows-the-ports");
    bed.double.on(SETTINGS, lose_quorum);
    stopped(&bed, "CSI004", "the monitors have quorum: no, only a of 3 would be in quorum");

    let bed = Bed::of("CSI004-rook-knows-the-ports");
    bed.double.on(SETTINGS, |cluster| {
        for name in names(cluster, "rook-ceph-operator-") {
            cluster
                .edit("rook-ceph", "pods", &name, |pod| pod["status"]["containerStatuses"][0]["ready"] = false.into());
        }
    });
    stopped(&bed, "CSI004", "Rook's operator runs: no");
}

#[test]
fn what_is_not_seen_keeps_the_ports_where_they_are() {
    let fault = Fault::at("/apis/apps/v1/deployments", Act::Refuse(403)).query("labelSelector");
    let double = Double::serve(tree("CSI004-rook-knows-the-ports"), Faults::some([fault]));
    let bed = Bed { double, home: tempfile::tempdir().unwrap() };
    refused(&bed, "CSI004", "the plan needs what cannot be seen: deployments.apps (!rook_cluster)");
}

#[test]
fn a_setting_that_the_operator_has_not_read_only_needs_its_start() {
    let mut tree = tree("CSI004-rook-knows-the-ports");
    edit(&mut tree, "namespaces/rook-ceph/core/configmaps.yaml", "rook-ceph-operator-config", |config| {
        config["data"]["CSIADDONS_RBD_PROVISIONER_PORT"] = "9172".into();
        config["data"]["CSIADDONS_CEPHFS_PROVISIONER_PORT"] = "9173".into();
    });
    let bed = Bed::serve(tree);
    the_provisioners_move(&bed.double);
    let ran = bed.run("fix CSI004 --yes -o json");
    assert_eq!((ran.code, &ran.json()["ended"]), (Some(0), &"verified".into()), "{ran:?}");
    let made = bed.changes_made();
    assert!(made.len() == 1 && made[0].starts_with("DELETE"), "{made:?}");
}

#[test]
fn a_port_of_the_environment_is_changed_there() {
    let mut tree = tree("CSI004-rook-knows-the-ports");
    edit(&mut tree, "namespaces/rook-ceph/apps/deployments.yaml", "rook-ceph-operator", |operator| {
        let env = operator["spec"]["template"]["spec"]["containers"][0]["env"].as_array_mut().unwrap();
        env.push(json!({"name": "CSIADDONS_RBD_PROVISIONER_PORT", "value": "9070"}));
    });
    let shown = Bed::serve(tree).run("fix CSI004 --dry-run");
    for says in [
        "set CSIADDONS_CEPHFS_PROVISIONER_PORT=9073 in ConfigMap rook-ceph/rook-ceph-operator-config",
        "set CSIADDONS_RBD_PROVISIONER_PORT=9072 in the environment of Deployment rook-ceph/rook-ceph-operator",
    ] {
        assert!(shown.says(says), "{says}: {shown:?}");
    }
}

#[test]
fn the_ports_are_a_persons_matter_where_rook_has_no_setting() {
    for (on, code, says) in [
        ("story2-csiaddons-9070-pending", "CSI004", "v1.16.3 of Rook does not know the keys"),
        ("CSI004-rook-too-old", "CSI004", "v1.15.9 of Rook does not know the keys"),
        ("CSI004-layout-given-up", "CSI004", "Rook 1.20 does not manage this layout any more"),
        ("CSI004-foreign-daemonset", "CSI004", "constants of the ceph-csi-operator"),
        ("story2c-csi-operator-port", "CSI005", "upgrade Rook to v1.18.3 or later"),
    ] {
        let bed = Bed::of(on);
        refused(&bed, code, says);
    }
}
