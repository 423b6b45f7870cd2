//! Pods of Multus, Kube-OVN and CSI that are made anew.

use serde_json::{Value, json};

use super::{Bed, Case, heal};
use crate::double::{Changed, Double};

pub const CASES: &[Case] = &[
    Case { name: "NET002", on: "NET002-another-reason", fix: "NET002", heals: |_| {}, changes: &[] },
    Case { name: "NET003", on: "NET003-socket-gone", fix: "NET003", heals: multus_serves_again, changes: &[] },
    Case { name: "NET003_thin", on: "NET003-thin", fix: "NET003", heals: |_| {}, changes: &[] },
    Case { name: "NET004", on: "NET004-multus-unauthorized", fix: "NET004", heals: multus_serves_again, changes: &[] },
];

/// With a new Multus pod what hung on the node starts.
fn multus_serves_again(double: &Double) {
    double.on("DELETE /api/v1/namespaces/kube-system/pods/kube-multus-ds-*", |cluster| heal::node(cluster, "elm-02"));
}

/// Something that keeps a fix from being applied, though it was planned and confirmed.
struct Guarded {
    on: &'static str,
    fix: &'static str,
    /// What happens to the cluster after the plan was shown, before its first step.
    meanwhile: fn(&mut Changed<'_>),
    says: &'static str,
}

const GUARDED: &[Guarded] = &[
    Guarded {
        on: "NET003-thin",
        fix: "NET003",
        meanwhile: somebody_scales_an_osd_down,
        says: "was scaled to 0, which somebody has a reason for",
    },
    Guarded {
        on: "NET003-thin",
        fix: "NET003",
        meanwhile: |cluster| node_is_lost(cluster, "elm-02"),
        says: "elm-02 is Ready: no, it is NotReady",
    },
    Guarded {
        on: "NET003-thin",
        fix: "NET003",
        meanwhile: |cluster| heal::pods(cluster, is_of("kube-multus-ds")),
        says: "it has become Ready by itself",
    },
    Guarded {
        on: "NET003-socket-gone",
        fix: "NET003",
        meanwhile: |cluster| waits_for_deletions(cluster, "kube-multus-ds"),
        says: "changes its pods when they are deleted (OnDelete), and 4 of 6 have not been changed yet",
    },
    Guarded {
        on: "NET004-multus-unauthorized",
        fix: "NET004",
        meanwhile: |cluster| is_of_an_older_revision(cluster, "kube-multus-ds-x2mrj"),
        says: "is of an older revision of DaemonSet kube-multus-ds",
    },
];

fn somebody_scales_an_osd_down(cluster: &mut Changed<'_>) {
    cluster.edit("rook-ceph", "deployments.apps", "rook-ceph-osd-0", |osd| osd["spec"]["replicas"] = 0.into());
}

fn node_is_lost(cluster: &mut Changed<'_>, node: &str) {
    cluster.edit("", "nodes", node, |node| set_ready(node, "Unknown"));
}

fn set_ready(object: &mut Value, status: &str) {
    let conditions = object["status"]["conditions"].as_array_mut().unwrap();
    let ready = conditions.iter_mut().find(|condition| condition["type"] == "Ready").unwrap();
    ready["status"] = status.into();
}

fn is_of(owner: &'static str) -> impl Fn(&Value) -> bool {
    move |pod| pod["metadata"]["ownerReferences"][0]["name"] == owner
}

fn waits_for_deletions(cluster: &mut Changed<'_>, daemon_set: &str) {
    cluster.edit("kube-system", "daemonsets.apps", daemon_set, |set| {
        set["spec"]["updateStrategy"] = json!({"type": "OnDelete"});
        set["status"]["updatedNumberScheduled"] = 2.into();
    });
}

fn is_of_an_older_revision(cluster: &mut Changed<'_>, pod: &str) {
    cluster.edit("kube-system", "pods", pod, |pod| {
        pod["metadata"]["labels"]["controller-revision-hash"] = "before".into();
        pod["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z".into();
    });
}

#[test]
fn guards_are_asked_again_after_the_users_yes() {
    for Guarded { on, fix, meanwhile, says } in GUARDED {
        let bed = Bed::of(on);
        bed.double.on("POST /apis/coordination.k8s.io/v1/namespaces/rook-ceph/leases", meanwhile);
        let ran = bed.run(&format!("fix {fix} --yes"));
        assert_eq!(ran.code, Some(5), "{fix} on {on}: {ran:?}");
        assert!(ran.says(says), "{fix} on {on}: {says:?} is not said in {ran:?}");
        assert_eq!(bed.changes_made(), Vec::<String>::new(), "{fix} on {on}");
    }
}

/// Where a restart does not help, a person is told what to do.
const BY_HAND: &[(&str, &str, &str)] = &[
    ("NET003-out-of-memory", "NET003", "it follows from NODE009/Pod/kube-system/kube-multus-ds@elm-02#kube-multus"),
    ("NET003-out-of-memory", "NODE009", "no further than to the first node whose new pod is not Ready"),
    ("NET003-out-of-memory", "NET003", r#""rollingUpdate":{"maxSurge":0,"maxUnavailable":1}"#),
    ("NET003-out-of-memory", "NET003", "no further than to the first node whose new pod is not Ready"),
    ("story5b-multus-text-file-busy", "NET002", "its cause is not in the pod, or not known"),
    ("story5b-multus-text-file-busy", "NET002", "-- rm /host/opt/cni/bin/multus-shim"),
    ("story5-kubeovn-after-reboot", "NET002", "it follows from OVN007/Pod/kube-system/ovs-ovn@ash-w2: mend that first"),
];

#[test]
fn a_person_acts_where_a_restart_does_not_help() {
    for (on, fix, says) in BY_HAND {
        let bed = Bed::of(on);
        let ran = bed.run(&format!("fix {fix} --yes"));
        assert_eq!(ran.code, Some(5), "{fix} on {on}: {ran:?}");
        assert!(ran.says(says), "{fix} on {on}: {says:?} is not said in {ran:?}");
        assert_eq!(bed.double.writes(), Vec::<String>::new(), "{fix} on {on}");
    }
}
