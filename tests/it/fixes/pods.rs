//! Pods of Multus, Kube-OVN and CSI that are made anew.

use serde_json::{Value, json};

use super::{Bed, Case, heal, tree};
use crate::double::state::Changed;
use crate::double::{Act, Double, Fault, Faults};

pub const CASES: &[Case] = &[
    Case { name: "NET002", on: "NET002-another-reason", fix: "NET002", heals: |_| {}, changes: &[] },
    Case { name: "NET003", on: "NET003-socket-gone", fix: "NET003", heals: multus_serves_again, changes: &[] },
    Case { name: "NET003_thin", on: "NET003-thin", fix: "NET003", heals: |_| {}, changes: &[] },
    Case { name: "NET004", on: "NET004-multus-unauthorized", fix: "NET004", heals: multus_serves_again, changes: &[] },
    Case { name: "OVN002", on: "OVN002-crash-loop", fix: "OVN002", heals: ovs_serves_again, changes: &[] },
    Case { name: "OVN003", on: "OVN003-crash-loop", fix: "OVN003", heals: |_| {}, changes: &[] },
    Case { name: "OVN003_socket", on: "OVN003-socket-gone", fix: "OVN003", heals: cni_serves_again, changes: &[] },
    Case { name: "OVN004", on: "OVN004-replica-down", fix: "OVN004", heals: |_| {}, changes: &[] },
    Case { name: "OVN004_lease", on: "OVN004-nobody-leads", fix: "OVN004", heals: a_new_one_leads, changes: &[] },
    Case { name: "CSI006", on: "CSI006-forgotten-driver", fix: "CSI006", heals: driver_registers, changes: &[] },
];

/// With a new Multus pod what hung on the node starts.
fn multus_serves_again(double: &Double) {
    double.on("DELETE /api/v1/namespaces/kube-system/pods/kube-multus-ds-*", elm_02_comes_back);
}

fn ovs_serves_again(double: &Double) {
    double.on("DELETE /api/v1/namespaces/kube-system/pods/ovs-ovn-*", elm_02_comes_back);
}

fn cni_serves_again(double: &Double) {
    double.on("DELETE /api/v1/namespaces/kube-system/pods/kube-ovn-cni-*", elm_02_comes_back);
}

fn a_new_one_leads(double: &Double) {
    double.on("DELETE /api/v1/namespaces/kube-system/pods/kube-ovn-controller-*", somebody_leads);
}

fn driver_registers(double: &Double) {
    double.on("DELETE /api/v1/namespaces/rook-ceph/pods/csi-rbdplugin-*", |cluster| {
        cluster.edit("", "csinodes.storage.k8s.io", "birch-w1", |node| {
            let rbd = json!({"name": "rook-ceph.rbd.csi.ceph.com", "nodeID": "birch-w1"});
            node["spec"]["drivers"].as_array_mut().unwrap().push(rbd);
        });
        heal::pods(cluster, |pod| pod["metadata"]["name"] == "ledger");
        heal::events(cluster);
    });
}

fn elm_02_comes_back(cluster: &mut Changed<'_>) {
    heal::node(cluster, "elm-02");
}

fn somebody_leads(cluster: &mut Changed<'_>) {
    let now = cluster.now().replace('Z', ".000000Z");
    cluster.edit("kube-system", "leases.coordination.k8s.io", "kube-ovn-controller", |lease| {
        lease["spec"]["renewTime"] = now.into();
    });
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
    Guarded {
        on: "OVN002-crash-loop",
        fix: "OVN002",
        meanwhile: no_one_leads_ovn,
        says: "ovn-central has its leaders: no, ovn-central has no Ready leader for its northbound database",
    },
    Guarded {
        on: "OVN002-crash-loop",
        fix: "OVN002",
        meanwhile: |cluster| node_is_lost(cluster, "elm-02"),
        says: "elm-02 is Ready: no, it is NotReady",
    },
    Guarded {
        on: "OVN002-crash-loop",
        fix: "OVN002",
        meanwhile: |cluster| waits_for_deletions(cluster, "ovs-ovn"),
        says: "changes its pods when they are deleted (OnDelete)",
    },
    Guarded {
        on: "OVN002-crash-loop",
        fix: "OVN002",
        meanwhile: |cluster| heal::pods(cluster, is_of("ovs-ovn")),
        says: "it has become Ready by itself",
    },
    Guarded {
        on: "OVN002-crash-loop",
        fix: "OVN002",
        meanwhile: |cluster| boots(cluster, "2026-02-17T13:18:00Z"),
        says: "elm-02 has been up for five minutes: no, it booted",
    },
    Guarded {
        on: "OVN002-crash-loop",
        fix: "OVN002",
        meanwhile: |cluster| boots(cluster, "2026-02-17T13:04:00Z"),
        says: "OVN007: since the boot of elm-02 its OVS has no path to the gateway",
    },
    Guarded {
        on: "OVN003-crash-loop",
        fix: "OVN003",
        meanwhile: no_one_leads_ovn,
        says: "no Ready leader for its southbound database",
    },
    Guarded {
        on: "OVN003-socket-gone",
        fix: "OVN003",
        meanwhile: |cluster| cluster.edit("kube-system", "pods", "ovs-ovn-zjstm", ends),
        says: "the pod of app=ovs in kube-system on elm-02 is Ready: no, ovs-ovn-zjstm is",
    },
    Guarded {
        on: "OVN003-socket-gone",
        fix: "OVN003",
        meanwhile: |cluster| waits_for_deletions(cluster, "kube-ovn-cni"),
        says: "changes its pods when they are deleted (OnDelete)",
    },
    Guarded {
        on: "OVN003-crash-loop",
        fix: "OVN003",
        meanwhile: |cluster| heal::pods(cluster, is_of("kube-ovn-cni")),
        says: "it has become Ready by itself",
    },
    Guarded {
        on: "OVN004-replica-down",
        fix: "OVN004",
        meanwhile: no_one_leads_ovn,
        says: "no Ready leader for its northd",
    },
    Guarded {
        on: "OVN004-replica-down",
        fix: "OVN004",
        meanwhile: |cluster| heal::pods(cluster, |pod| pod["metadata"]["labels"]["app"] == "kube-ovn-controller"),
        says: "it has become Ready by itself",
    },
    Guarded {
        on: "OVN004-replica-down",
        fix: "OVN004",
        meanwhile: |cluster| node_is_lost(cluster, "elm-m2"),
        says: "elm-m2 is Ready: no, it is NotReady",
    },
    Guarded {
        on: "OVN004-nobody-leads",
        fix: "OVN004",
        meanwhile: somebody_leads,
        says: "nobody renews the Lease kube-system/kube-ovn-controller: no, kube-ovn-controller-rgmjx2vhs-m6prt did so",
    },
    Guarded {
        on: "CSI006-forgotten-driver",
        fix: "CSI006",
        meanwhile: |cluster| volume_asks_for(cluster, "mounter", "rbd-nbd"),
        says: "pvc-2db0ad94-eb0c-4384-a63d-c190a8a5a951 is mounted with rbd-nbd",
    },
    Guarded {
        on: "CSI006-forgotten-driver",
        fix: "CSI006",
        meanwhile: |cluster| volume_asks_for(cluster, "tryOtherMounters", "true"),
        says: "may be mounted with rbd-nbd (tryOtherMounters)",
    },
    Guarded {
        on: "CSI006-forgotten-driver",
        fix: "CSI006",
        meanwhile: |cluster| cluster.remove("", "persistentvolumes", RBD_VOLUME),
        says: "is attached there and cannot be found",
    },
    Guarded {
        on: "CSI006-forgotten-driver",
        fix: "CSI006",
        meanwhile: |cluster| {
            nothing_says_what_is_attached(cluster);
            volume_asks_for(cluster, "mounter", "rbd-nbd");
        },
        says: "is mounted with rbd-nbd",
    },
    Guarded {
        on: "CSI006-forgotten-driver",
        fix: "CSI006",
        meanwhile: |cluster| {
            cluster.edit("rook-ceph", "pods", "csi-rbdplugin-rjmsv", |pod| pod["spec"]["hostNetwork"] = false.into());
        },
        says: "what the kernel mounted loses its network with the pod",
    },
    Guarded {
        on: "CSI006-forgotten-driver",
        fix: "CSI006",
        meanwhile: |cluster| node_is_lost(cluster, "birch-w1"),
        says: "birch-w1 is Ready: no, it is NotReady",
    },
];

const RBD_VOLUME: &str = "pvc-2db0ad94-eb0c-4384-a63d-c190a8a5a951";

fn volume_asks_for(cluster: &mut Changed<'_>, attribute: &str, value: &str) {
    cluster.edit("", "persistentvolumes", RBD_VOLUME, |volume| {
        volume["spec"]["csi"]["volumeAttributes"][attribute] = value.into();
    });
}

fn nothing_says_what_is_attached(cluster: &mut Changed<'_>) {
    cluster.edit("", "csidrivers.storage.k8s.io", "rook-ceph.rbd.csi.ceph.com", |driver| {
        driver["spec"]["attachRequired"] = false.into();
    });
    let tree = cluster.tree().clone();
    for (path, _) in tree.below("cluster-scoped-resources/storage.k8s.io/volumeattachments") {
        cluster.erase(path);
    }
}

fn no_one_leads_ovn(cluster: &mut Changed<'_>) {
    for name in heal::names(cluster, "kube-system", "ovn-central-") {
        cluster.edit("kube-system", "pods", &name, ends);
    }
}

/// Is not Ready from now on.
fn ends(pod: &mut Value) {
    set_ready(pod, "False");
    pod["status"]["containerStatuses"][0]["ready"] = false.into();
}

/// The kubelet says that the node booted.
fn boots(cluster: &mut Changed<'_>, at: &str) {
    let event = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "elm-02.boot", "namespace": "default"},
        "involvedObject": {"kind": "Node", "name": "elm-02"}, "type": "Warning", "reason": "Rebooted",
        "message": "Node elm-02 has been rebooted, boot id: 5f0e7a1c-2b7e-4a52-9d5a-0a4a1f0f9c11",
        "source": {"component": "kubelet", "host": "elm-02"}, "count": 1,
        "firstTimestamp": at, "lastTimestamp": at});
    cluster.write("namespaces/default/core/events.yaml", json!({"kind": "List", "items": [event]}).to_string());
}

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
    ("CSI006-nowhere-to-mount", "CSI006 --object CSINode/birch-cp1", "no pod of the node plugin"),
    ("CSI006-nowhere-to-mount", "CSI006 --object CSINode/birch-w2", "drain birch-w2 first"),
    ("CSI006-mounts-in-the-pod", "CSI006", "may end with the pod: PersistentVolume"),
    ("CSI006-mounts-in-the-pod", "CSI006", "exec csi-rbdplugin-rjmsv -c csi-rbdplugin -- sh -c"),
    ("CSI006-nobody-knows-it", "CSI006", "no node knows rook-ceph.rbd.csi.ceph.com"),
    ("OVN003-waits-for-ovs", "OVN003", "its log names OVS or the gateway"),
    ("story5-kubeovn-after-reboot", "OVN003", "it follows from OVN007/Pod/kube-system/ovs-ovn@ash-w2: mend that first"),
    ("OVN002-out-of-memory", "OVN002", r#"-p '{"spec":{"updateStrategy":{"type":"OnDelete","rollingUpdate":null}}}'"#),
    ("OVN002-out-of-memory", "OVN002", "stop at the first node that is not Ready"),
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

#[test]
fn a_node_plugin_stays_where_its_mounts_cannot_be_seen() {
    let storage = "/apis/storage.k8s.io/v1";
    for path in ["/api/v1/persistentvolumes", &format!("{storage}/volumeattachments"), &format!("{storage}/csidrivers")]
    {
        let faults = Faults::some([Fault::at(path, Act::Refuse(403))]);
        let double = Double::serve(tree("CSI006-forgotten-driver"), faults);
        let bed = Bed { double, home: tempfile::tempdir().unwrap() };
        let ran = bed.run("fix CSI006 --yes");
        assert_eq!(ran.code, Some(5), "{path}: {ran:?}");
        assert!(ran.says("the plan needs what cannot be seen"), "{path}: {ran:?}");
        assert_eq!(bed.double.writes(), Vec::<String>::new(), "{path}");
    }
}
