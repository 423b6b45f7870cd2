//! Multus and the networks of the daemons.

use serde_json::Value;

use super::Case;
use crate::double::{Changed, Double};
use crate::support;

pub const CASES: &[Case] = &[
    Case {
        name: "NET007",
        on: "NET007-new-cluster",
        fix: "NET007",
        heals: the_operator_goes_on,
        changes: &[("rook-ceph", "network-attachment-definitions", "ceph-public")],
    },
    Case {
        name: "NET008",
        on: "NET008-new-cluster",
        fix: "NET008",
        heals: the_operator_goes_on,
        changes: &[("rook-ceph", "network-attachment-definitions", "ceph-public")],
    },
    Case {
        name: "NET016_mgr",
        on: "NET016-started-without-multus",
        fix: "NET016",
        heals: new_pods_get_their_networks,
        changes: &[],
    },
    Case {
        name: "NET016_mon",
        on: "NET016-monitor-without-its-network",
        fix: "NET016",
        heals: new_pods_get_their_networks,
        changes: &[],
    },
    Case {
        name: "NET016_osd",
        on: "NET016-osd-without-its-network",
        fix: "NET016",
        heals: new_pods_get_their_networks,
        changes: &[],
    },
];

const NETWORKS: &str = "namespaces/rook-ceph/k8s.cni.cncf.io/network-attachment-definitions.yaml";
const PODS: &str = "/api/v1/namespaces/rook-ceph/pods";

/// With the last monitor the quorum is there; the operator, started anew, makes all that follows.
fn the_operator_goes_on(double: &Double) {
    double.on(&format!("DELETE {PODS}/rook-ceph-mon-c-*"), |cluster| {
        cluster.restore(&support::base("story1b-nad-host-local-duplicates"), "ceph/");
        cluster.erase("rookdoctor/ceph");
    });
    double.on(&format!("DELETE {PODS}/rook-ceph-operator-*"), |cluster| {
        let networks = cluster.tree().file(NETWORKS).unwrap().bytes().unwrap().into_owned();
        let uid = cluster.object("rook-ceph", "cephclusters", "rook-ceph").unwrap()["metadata"]["uid"].clone();
        cluster.restore(&support::base("story1b-nad-host-local-duplicates"), "namespaces/rook-ceph/");
        cluster.write(NETWORKS, networks);
        cluster.edit("rook-ceph", "cephclusters", "rook-ceph", |object| object["metadata"]["uid"] = uid.clone());
    });
}

/// Multus is in charge now.
fn new_pods_get_their_networks(double: &Double) {
    for write in [format!("POST {PODS}/rook-ceph-*/eviction"), format!("DELETE {PODS}/rook-ceph-*")] {
        double.on(&write, |cluster| {
            for (name, annotations) in annotated(cluster) {
                let Some(Value::Array(wanted)) = json(&annotations["k8s.v1.cni.cncf.io/networks"]) else { continue };
                let status: Vec<Value> =
                    wanted.iter().enumerate().map(|(at, network)| interface(at, network)).collect();
                cluster.edit("rook-ceph", "pods", &name, |pod| {
                    pod["metadata"]["annotations"]["k8s.v1.cni.cncf.io/network-status"] =
                        Value::from(status).to_string().into();
                });
            }
        });
    }
}

fn json(text: &Value) -> Option<Value> {
    serde_json::from_str(text.as_str()?).ok()
}

/// Pods of the cluster that lack an interface.
fn annotated(cluster: &Changed<'_>) -> Vec<(String, Value)> {
    let file = cluster.tree().file("namespaces/rook-ceph/core/pods.yaml").unwrap();
    let lacks = |pod: &&Value| {
        let annotations = &pod["metadata"]["annotations"];
        let count = |key: &str| json(&annotations[key]).and_then(|list| Some(list.as_array()?.len()));
        count("k8s.v1.cni.cncf.io/network-status") == Some(1) && count("k8s.v1.cni.cncf.io/networks").is_some()
    };
    let of =
        |pod: &Value| (pod["metadata"]["name"].as_str().unwrap().to_owned(), pod["metadata"]["annotations"].clone());
    file.objects().unwrap().iter().filter(lacks).map(of).collect()
}

fn interface(at: usize, network: &Value) -> Value {
    let name = format!("{}/{}", network["namespace"].as_str().unwrap(), network["name"].as_str().unwrap());
    serde_json::json!({"name": name, "interface": format!("net{}", at + 1), "ips": [format!("192.168.14{at}.99")]})
}
