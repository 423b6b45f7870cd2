//! CSI, and the memory of daemons.

use rookdoctor::facts::Cluster;
use rookdoctor::facts::archive::Tree;
use rookdoctor::fix::Condition;
use rookdoctor::fix::apply::refusals;
use serde_json::{Value, json};

use super::{Bed, Case, heal, tree};
use crate::double::state::Changed;
use crate::double::{Act, Double, Fault, Faults};
use crate::support;

const OPERATOR: &str = "DELETE /api/v1/namespaces/rook-ceph/pods/rook-ceph-operator-*";

/// What CSI should be told of the monitors of the classic cluster.
const RIGHT: &str = r#"[{"clusterID":"rook-ceph","monitors":["10.96.20.213:6789","10.96.26.68:6789"],"namespace":""}]"#;

pub const CASES: &[Case] = &[
    Case {
        name: "CSI004",
        on: "CSI004-rook-knows-the-ports",
        fix: "CSI004",
        heals: the_provisioners_move,
        changes: &[("rook-ceph", "configmaps", "rook-ceph-operator-config")],
    },
    Case {
        name: "NODE009_mgr",
        on: "NODE009-mgr-killed",
        fix: "NODE009",
        heals: |double| daemons_follow(double, "cephclusters/rook-ceph", "/spec/resources/mgr", "rook-ceph-mgr-"),
        changes: &[("rook-ceph", "cephclusters", "rook-ceph")],
    },
    Case {
        name: "NODE009_mds",
        on: "NODE009-mds-killed",
        fix: "NODE009",
        heals: |double| {
            daemons_follow(double, "cephfilesystems/shared", "/spec/metadataServer/resources", "rook-ceph-mds-");
        },
        changes: &[("rook-ceph", "cephfilesystems", "shared")],
    },
    Case {
        name: "NODE009_exporter",
        on: "NODE009-exporter-killed",
        fix: "NODE009",
        heals: |double| {
            daemons_follow(double, "cephclusters/rook-ceph", "/spec/resources/exporter", "rook-ceph-exporter-");
        },
        changes: &[("rook-ceph", "cephclusters", "rook-ceph")],
    },
    Case {
        name: "NODE009_prepare",
        on: "NODE009-prepare-killed",
        fix: "NODE009",
        heals: |double| {
            daemons_follow(double, "cephclusters/rook-ceph", "/spec/resources/prepareosd", "rook-ceph-osd-prepare-");
        },
        changes: &[("rook-ceph", "cephclusters", "rook-ceph")],
    },
    Case {
        name: "CSI009_gone",
        on: "CSI009-config-gone",
        fix: "CSI009",
        heals: |double| {
            double.on(OPERATOR, |cluster| {
                let file = "namespaces/rook-ceph/core/configmaps.yaml";
                let mut maps = cluster.tree().file(file).unwrap().objects().unwrap().to_vec();
                maps.push(json!({"apiVersion": "v1", "kind": "ConfigMap",
                    "metadata": {"name": "rook-ceph-csi-config", "namespace": "rook-ceph", "uid": "6c8b1a52-0f3e-4a6e-9f43-0a4b6f1f7ffd"},
                    "data": {"csi-cluster-config-json": RIGHT}}));
                cluster.write(file, json!({"apiVersion": "v1", "kind": "List", "items": maps}).to_string());
            });
        },
        changes: &[],
    },
    Case {
        name: "CSI009_stale",
        on: "CSI009-monitors-of-before",
        fix: "CSI009",
        heals: |double| {
            double.on("DELETE /api/v1/namespaces/rook-ceph/pods/ceph-csi-controller-manager-*", |cluster| {
                let endpoints = cluster.object("rook-ceph", "configmaps", "rook-ceph-mon-endpoints").unwrap();
                let endpoints = endpoints["data"]["data"].as_str().unwrap().split(',');
                let monitors: Vec<&str> = endpoints.map(|mon| mon.split_once('=').unwrap().1).collect();
                let entries = json!([{"clusterID": "rook-ceph", "monitors": monitors}]).to_string();
                cluster.edit("rook-ceph", "configmaps", "ceph-csi-config", |map| {
                    map["data"]["config.json"] = entries.clone().into();
                });
            });
        },
        changes: &[],
    },
];

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

/// Rook restarts daemons whose resources were changed, and runs jobs again.
fn daemons_follow(double: &Double, resource: &str, pointer: &'static str, prefix: &'static str) {
    let (plural, name) = resource.split_once('/').map(|(plural, name)| (plural.to_owned(), name.to_owned())).unwrap();
    let request = format!("PATCH /apis/ceph.rook.io/v1/namespaces/rook-ceph/{resource}");
    double.on(&request, move |cluster| {
        let whole = cluster.object("rook-ceph", &plural, &name).unwrap();
        let resources = whole.pointer(pointer).unwrap();
        let pods = names(cluster, prefix);
        for pod in &pods {
            cluster.edit("rook-ceph", "pods", pod, |pod| {
                pod["spec"]["containers"][0]["resources"] = resources.clone();
                let is_job = pod["metadata"]["ownerReferences"][0]["kind"] == "Job";
                if is_job {
                    pod["status"]["phase"] = "Succeeded".into();
                    pod["status"]["containerStatuses"][0]["state"]["terminated"]["reason"] = "Completed".into();
                    pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] = 0.into();
                }
            });
        }
        heal::pods(cluster, |pod| pods.iter().any(|name| pod["metadata"]["name"] == **name));
    });
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
    refused(&bed, "CSI004", "the plan needs what cannot be seen: deployments.apps (app!=rook-ceph-osd)");
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

const CLUSTER: &str = "namespaces/rook-ceph/ceph.rook.io/cephclusters.yaml";

#[test]
fn a_limit_is_raised_only_where_every_host_has_room() {
    let mut full = tree("NODE009-mgr-killed");
    let hog = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "hog", "namespace": "big"},
        "spec": {"nodeName": "birch-w3", "containers": [{"name": "hog", "image": "x:1",
            "resources": {"requests": {"memory": "62Gi"}}}]}, "status": {"phase": "Running"}});
    full.write("namespaces/big/core/pods.yaml", hog.to_string().into_bytes());
    refused(&Bed::serve(full), "NODE009", "on birch-w3 other pods asked for");

    let fault = Fault::at("/api/v1/pods", Act::Refuse(403)).query("spec.nodeName");
    let double = Double::serve(tree("NODE009-mgr-killed"), Faults::some([fault]));
    let bed = Bed { double, home: tempfile::tempdir().unwrap() };
    refused(&bed, "NODE009", "of memory that no other pod asked for: not known, pods (spec.nodeName=");
}

#[test]
fn a_limit_is_raised_only_where_the_operator_sees_it() {
    let mut down = tree("NODE009-mgr-killed");
    let pods = "namespaces/rook-ceph/core/pods.yaml";
    let name = first_named(&down, pods, "rook-ceph-operator-");
    edit(&mut down, pods, &name, |pod| pod["status"]["containerStatuses"][0]["ready"] = false.into());
    refused(&Bed::serve(down), "NODE009", "Rook's operator runs: no");

    let bed = Bed::of("NODE009-mgr-killed");
    bed.double.on("POST /apis/coordination.k8s.io/v1/namespaces/rook-ceph/leases", lose_quorum);
    let ran = bed.run("fix NODE009 --yes");
    assert!(ran.says("the monitors have quorum: no, only a of 3"), "{ran:?}");
    assert!(bed.changes_made().is_empty(), "{ran:?}");
}

#[test]
fn a_limit_that_comes_from_elsewhere_or_waits_is_a_persons_matter() {
    for (limits, says) in [
        (json!({}), "the limit comes from elsewhere, such as a LimitRange"),
        (json!({"memory": "2Gi"}), "the operator has not applied it yet"),
    ] {
        let mut tree = tree("NODE009-mgr-killed");
        edit(&mut tree, CLUSTER, "rook-ceph", |cluster| cluster["spec"]["resources"]["mgr"]["limits"] = limits.clone());
        refused(&Bed::serve(tree), "NODE009", says);
    }
    refused(&Bed::of("NODE009-osd-killed"), "NODE009", "a new spec.resources.osd.limits.memory restarts all daemons");
    refused(&Bed::of("NODE009-limit-below-minimum"), "NODE009", "no container was killed for it yet");
}

/// The first object of a file whose name begins so.
fn first_named(tree: &Tree, path: &str, prefix: &str) -> String {
    let objects = tree.file(path).unwrap().objects().unwrap();
    let names = objects.iter().filter_map(|object| object["metadata"]["name"].as_str());
    names.filter(|name| name.starts_with(prefix)).min().unwrap().to_owned()
}

const MAPS: &str = "namespaces/rook-ceph/core/configmaps.yaml";

/// The classic cluster, and what its drivers are told.
fn told(entries: &str) -> Tree {
    let mut tree = tree("healthy-classic-podnet");
    edit(&mut tree, MAPS, "rook-ceph-csi-config", |map| map["data"]["csi-cluster-config-json"] = entries.into());
    tree
}

/// Monitors that are all gone, and an entry of another cluster.
const STALE: &str = r#"[{"clusterID":"rook-ceph","monitors":["10.96.9.1:6789"]},{"clusterID":"second","monitors":["10.96.77.1:6789"]}]"#;

/// Something happens after the plan was made, before its first step.
fn late(bed: &Bed, happens: impl FnMut(&mut Changed<'_>) + Send + 'static) {
    bed.double.on("POST /apis/coordination.k8s.io/v1/namespaces/rook-ceph/leases", happens);
}

/// What a fix says that a guard stops before its first step.
fn stopped_at_once(bed: &Bed, fix: &str, says: &str) {
    let ran = bed.run(&format!("fix {fix} --yes"));
    assert!(ran.code == Some(5) && ran.says(says), "{says}: {ran:?}");
    assert!(bed.changes_made().is_empty(), "{ran:?}: {:?}", bed.changes_made());
}

#[test]
fn the_operator_writes_for_csi_only_with_a_quorum() {
    let bed = Bed::serve(told(STALE));
    late(&bed, lose_quorum);
    stopped_at_once(&bed, "CSI009", "the monitors have quorum: no, only a of 3");
}

#[test]
fn the_operator_writes_for_csi_only_what_it_knows_right() {
    let bed = Bed::serve(told(STALE));
    late(&bed, |cluster| {
        cluster.edit("rook-ceph", "configmaps", "rook-ceph-mon-endpoints", |map| {
            map["data"]["data"] = "a=10.96.1.1:6789,b=10.96.1.2:6789,c=10.96.1.3:6789".into();
        });
    });
    stopped_at_once(&bed, "CSI009", "MON007 finds nothing: no, MON007:");
}

#[test]
fn an_entry_that_is_lost_stops_and_fails() {
    let bed = Bed::serve(told(STALE));
    late(&bed, |cluster| {
        cluster.edit("rook-ceph", "configmaps", "rook-ceph-csi-config", |map| {
            map["data"]["csi-cluster-config-json"] = RIGHT.into();
        });
    });
    stopped_at_once(&bed, "CSI009", "has an entry for rook-ceph, second: no, there is none for second");

    let ids = ["rook-ceph", "second"].map(str::to_owned).to_vec();
    let (ns, config) = ("rook-ceph".to_owned(), "rook-ceph-csi-config".to_owned());
    let condition = Condition::CsiEntries { ns, config, key: "csi-cluster-config-json".to_owned(), ids };
    let cluster =
        Cluster { ns: "rook-ceph".into(), name: "rook-ceph".into(), operator_ns: "rook-ceph".into(), external: false };
    for (entries, says) in [
        (STALE, None),
        (RIGHT, Some("there is none for second")),
        ("[", Some("is not what CSI reads")),
        ("", Some("there is no csi-cluster-config-json")),
    ] {
        let source = support::bundle(told(entries));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let refused = runtime.block_on(refusals(&source, &cluster, &[&condition]));
        assert_eq!(refused.is_empty(), says.is_none(), "{entries}: {refused:?}");
        assert!(refused.iter().all(|refused| refused.contains(says.unwrap_or_default())), "{entries}: {refused:?}");
    }
}

#[test]
fn what_no_operator_can_write_is_a_persons_matter() {
    refused(&Bed::serve(told("[{")), "CSI009", "so a restart would change nothing");
    refused(&Bed::of("CSI009-unknown-cluster-id"), "CSI009", "clusterID rook-ceph-old is not that of this cluster");
    let mut gone = told(STALE);
    edit(&mut gone, "namespaces/rook-ceph/apps/deployments.yaml", "rook-ceph-operator", |it| {
        it["spec"]["replicas"] = 0.into()
    });
    let pods = "namespaces/rook-ceph/core/pods.yaml";
    let name = first_named(&gone, pods, "rook-ceph-operator-");
    let rest: Vec<Value> = gone
        .file(pods)
        .unwrap()
        .objects()
        .unwrap()
        .iter()
        .filter(|pod| pod["metadata"]["name"] != *name)
        .cloned()
        .collect();
    gone.write(pods, json!({"apiVersion": "v1", "kind": "List", "items": rest}).to_string().into_bytes());
    refused(&Bed::serve(gone), "CSI009", "rook-ceph-operator has no pod in rook-ceph");
}

#[test]
fn an_own_entry_that_is_missing_is_written_by_the_operator() {
    let shown =
        Bed::serve(told(r#"[{"clusterID":"second","monitors":["10.96.77.1:6789"]}]"#)).run("fix CSI009 --dry-run");
    assert_eq!(shown.code, Some(0), "{shown:?}");
    assert!(shown.says("hold the entries against those of before: second, rook-ceph"), "{shown:?}");
}

#[test]
fn fewer_pods_are_offered_only_where_there_are_nodes_for_them() {
    let two_of_one_port = || {
        let mut tree = tree("healthy-csi-operator");
        edit(&mut tree, "namespaces/rook-ceph/apps/deployments.yaml", "rook-ceph.rbd.csi.ceph.com-ctrlplugin", |it| {
            let sidecar = &mut it["spec"]["template"]["spec"]["containers"][5];
            sidecar["ports"][0]["containerPort"] = 9080.into();
            sidecar["args"][3] = "--controller-port=9080".into();
        });
        tree
    };
    let says = "4 pods want port 9080, 3 nodes can take them, and no node can take two";
    refused(&Bed::serve(two_of_one_port()), "CSI004", says);

    let mut small = two_of_one_port();
    for node in ["node-2", "node-3"] {
        let path = format!("cluster-scoped-resources/core/nodes/{node}.yaml");
        edit(&mut small, &path, node, |node| node["spec"]["unschedulable"] = true.into());
    }
    refused(&Bed::serve(small), "CSI004", "constants of the ceph-csi-operator");
}
