//! Kube-OVN.

use serde_json::json;

use super::{Bed, Case, Ran, heal};
use crate::double::Double;
use crate::double::state::Changed;

pub const CASES: &[Case] = &[Case {
    name: "OVN007",
    on: "story5-kubeovn-after-reboot",
    fix: "OVN007",
    heals: the_node_comes_back,
    changes: &[],
}];

/// With a new ovs-ovn pod everything on the node starts by itself.
fn the_node_comes_back(double: &Double) {
    double.on("DELETE /api/v1/namespaces/kube-system/pods/ovs-ovn-*", |cluster| heal::node(cluster, "ash-w2"));
}

const STALE: &str = "story5-kubeovn-after-reboot";

/// What the fix says where a guard does not hold; nothing is written then.
fn refusal(change: impl Fn(&mut Changed<'_>) + Send + 'static) -> Ran {
    let bed = Bed::changed(STALE, change);
    let ran = bed.run("fix OVN007 --yes");
    assert_eq!(ran.code, Some(5), "{ran:?}");
    assert_eq!(bed.double.writes(), [] as [&str; 0], "{ran:?}");
    ran
}

#[test]
fn no_pod_of_ovs_is_taken_while_ovn_central_has_no_leader() {
    let ran = refusal(|cluster| {
        for name in heal::names(cluster, "kube-system", "ovn-central-") {
            cluster.edit("kube-system", "pods", &name, |pod| {
                pod["metadata"]["labels"]["ovn-sb-leader"] = "false".into();
            });
        }
    });
    assert!(ran.says("ovn-central has its leaders: no"), "{ran:?}");
}

#[test]
fn nothing_is_done_while_somebody_works_on_a_daemon() {
    let ran = refusal(|cluster| {
        cluster.edit("rook-ceph", "deployments", "rook-ceph-osd-0", |osd| osd["spec"]["replicas"] = 0.into());
    });
    assert!(ran.says("Deployment rook-ceph-osd-0 was scaled to 0"), "{ran:?}");
    let ran = refusal(|cluster| {
        cluster.edit("rook-ceph", "cephclusters", "rook-ceph", |object| {
            object["metadata"]["deletionTimestamp"] = "2025-06-30T10:40:00Z".into();
        });
    });
    assert!(ran.says("is being deleted"), "{ran:?}");
    let ran = refusal(|cluster| {
        cluster.edit("rook-ceph", "cephclusters", "rook-ceph", |object| {
            object["spec"]["cleanupPolicy"]["confirmation"] = "yes-really-destroy-data".into();
        });
    });
    assert!(ran.says("cleanup policy"), "{ran:?}");
}

/// Deleting a pod whose DaemonSet waits for that would also change its image.
#[test]
fn a_pod_that_would_come_back_changed_is_left() {
    let ran = refusal(|cluster| {
        cluster.edit("kube-system", "daemonsets", "ovs-ovn", |set| {
            set["spec"]["updateStrategy"] = json!({"type": "OnDelete"});
            set["status"]["updatedNumberScheduled"] = 0.into();
        });
    });
    assert!(ran.says("OnDelete"), "{ran:?}");
    let ran = refusal(|cluster| {
        let names = heal::names(cluster, "kube-system", "ovs-ovn-");
        for (at, name) in names.iter().enumerate() {
            cluster.edit("kube-system", "pods", name, |pod| {
                let old = pod["spec"]["nodeName"] == "ash-w2";
                pod["metadata"]["labels"]["controller-revision-hash"] = if old { "a" } else { "b" }.into();
                pod["metadata"]["creationTimestamp"] =
                    format!("2025-06-2{}T00:00:00Z", if old { 0 } else { at + 1 }).into();
            });
        }
    });
    assert!(ran.says("older revision"), "{ran:?}");
}

/// With a second monitor out, the one of the node is needed, were it still in.
#[test]
fn the_quorum_is_kept() {
    let ran = refusal(|cluster| {
        cluster.edit_ceph("rook-ceph", "quorum_status", |quorum| quorum["quorum_names"] = json!(["a", "b"]));
    });
    assert!(ran.says("only a of 3 would be in quorum, and 2 are needed"), "{ran:?}");
}

#[test]
fn what_the_user_may_not_do_is_told_before() {
    let bed = Bed::of(STALE);
    bed.double.deny("delete", "pods");
    let ran = bed.run("fix OVN007 --yes");
    assert_eq!(ran.code, Some(5), "{ran:?}");
    assert!(ran.says("you may not delete pods in kube-system"), "{ran:?}");
    assert_eq!(bed.double.writes(), [] as [&str; 0]);
}

/// The new pod is no better: the fix says so, and what to do next.
#[test]
fn what_does_not_help_is_not_called_well() {
    let bed = Bed::of(STALE);
    let mut command = bed.command("fix OVN007 --yes");
    let child = command.stderr(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
    // It waits for kube-ovn-cni, which does not come.
    bed.until(|| bed.changes_made().iter().any(|write| write.contains("pods/ovs-ovn-")));
    std::thread::sleep(std::time::Duration::from_millis(500));
    bed.interrupt(&child);
    let ran = Ran::new(&child.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(130), "{ran:?}");
    assert!(ran.says("not finished") && ran.says("fix finish") && ran.says("network not ready after"), "{ran:?}");
    // The flag is still set, and the next run says so.
    let id = bed.unfinished().unwrap();
    let next = bed.run("fix OVN007 --yes");
    assert_eq!(next.code, Some(5), "{next:?}");
    assert!(next.says("an earlier fix is not finished") && next.says(&format!("fix undo {id}")), "{next:?}");
}
