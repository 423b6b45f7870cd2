//! The operator, and what Ceph keeps complaining of.

use serde_json::Value;

use super::{Case, heal};
use crate::double::{Changed, Double};

pub const CASES: &[Case] = &[
    Case { name: "CEPH002", on: "story4-clock-and-pool-app", fix: "CEPH002", heals: by_itself, changes: &[] },
    Case { name: "CEPH010", on: "CEPH010-module-ended", fix: "CEPH010", heals: the_standby_is_well, changes: &[] },
    Case { name: "CEPH013", on: "CEPH013-old-crash", fix: "CEPH013", heals: by_itself, changes: &[] },
    Case {
        name: "OPR006_osd",
        on: "OPR006-osd-forgotten",
        fix: "OPR006",
        heals: by_itself,
        changes: &[("rook-ceph", "deployments", "rook-ceph-osd-4")],
    },
    Case {
        name: "OPR006_cluster",
        on: "OPR006-cluster-forgotten",
        fix: "OPR006",
        heals: by_itself,
        changes: &[("rook-ceph", "cephclusters", "rook-ceph")],
    },
    Case {
        name: "OPR005",
        on: "OPR005-reconcile-stalled",
        fix: "OPR005",
        heals: the_new_operator_reconciles,
        changes: &[],
    },
    Case {
        name: "IMG006",
        on: "IMG006-a-patch-behind",
        fix: "IMG006",
        heals: by_itself,
        changes: &[("rook-ceph", "deployments", "rook-ceph-tools")],
    },
    Case {
        name: "ACC006",
        on: "ACC006-webhook-dead",
        fix: "ACC006",
        heals: writes_are_let_through,
        changes: &[("", WEBHOOKS, "kyverno-resource-validating-webhook-cfg")],
    },
];

const WEBHOOKS: &str = "validatingwebhookconfigurations";

/// What the double does by itself is all that happens.
fn by_itself(_: &Double) {}

fn the_standby_is_well(double: &Double) {
    double.on("CEPH mgr fail", |cluster| cluster.set_health("rook-ceph", "MGR_MODULE_ERROR", None));
}

fn the_new_operator_reconciles(double: &Double) {
    double.on("DELETE /api/v1/namespaces/rook-ceph/pods/rook-ceph-operator-*", |cluster| {
        cluster.edit("rook-ceph", "cephclusters", "rook-ceph", |object| {
            object["status"]["phase"] = "Ready".into();
            object["status"]["message"] = "Cluster created successfully".into();
            let conditions = object["status"]["conditions"].as_array_mut().unwrap();
            conditions.retain(|condition| condition["type"] != "Progressing");
        });
    });
}

/// Once nothing refuses them, the pods that could not be made are made.
fn writes_are_let_through(double: &Double) {
    double.on(&format!("DELETE /apis/admissionregistration.k8s.io/v1/{WEBHOOKS}/*"), |cluster| {
        heal::events(cluster);
        all_replicas(cluster, "replicasets", "rook-ceph-osd-3-gl4446jg5h");
        all_replicas(cluster, "deployments", "rook-ceph-osd-3");
    });
}

fn all_replicas(cluster: &mut Changed<'_>, plural: &str, name: &str) {
    cluster.edit("rook-ceph", plural, name, |object| {
        for count in ["replicas", "readyReplicas", "availableReplicas"] {
            object["status"][count] = 1.into();
        }
        object["status"]["unavailableReplicas"] = Value::Null;
    });
}
