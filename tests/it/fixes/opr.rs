//! The operator, and what Ceph keeps complaining of.

use rookdoctor::facts::archive::Tree;
use rookdoctor::fix::journal::{Begun, ClusterId, Ended, Journal, Outcome, What};
use rookdoctor::fix::{Plan, Risk, Step};
use rookdoctor::say;
use serde_json::{Value, json};

use super::{Bed, Case, Changed, heal, tree};
use crate::double::Double;

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
pub fn writes_are_let_through(double: &Double) {
    double.on("DELETE /apis/admissionregistration.k8s.io/v1/*/*", |cluster| {
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

/// The Lease is taken after the plan was shown and before its first step: what changes then, changes meanwhile.
const MEANWHILE: &str = "POST /apis/coordination.k8s.io/v1/namespaces/rook-ceph/leases";
const NS: &str = "rook-ceph";

/// A guard stops the fix when this happens between the plan and its first step.
fn stops(on: &str, fix: &str, meanwhile: fn(&mut Changed<'_>), says: &str) {
    let bed = Bed::of(on);
    bed.double.on(MEANWHILE, meanwhile);
    let ran = bed.run(&format!("fix {fix} --yes"));
    assert_eq!(ran.code, Some(5), "{fix}: {ran:?}");
    assert!(ran.says(says), "{fix}: {says:?} is not in {ran:?}");
    assert!(bed.changes_made().is_empty(), "{fix}: {:?}", bed.changes_made());
}

/// The tool leaves it to a person, and says why.
fn guided(tree: Tree, fix: &str, says: &str) {
    let bed = Bed::serve(tree);
    let ran = bed.run(&format!("fix {fix} --yes"));
    assert_eq!(ran.code, Some(5), "{fix}: {ran:?}");
    assert!(ran.says("Why the tool does not do it"), "{fix}: {ran:?}");
    assert!(ran.says(says), "{fix}: {says:?} is not in {ran:?}");
    assert!(bed.double.writes().is_empty(), "{fix}: {:?}", bed.double.writes());
}

fn with_ceph(mut tree: Tree, command: &str, edit: impl FnOnce(&mut Value)) -> Tree {
    let name = format!("ceph_{}_--format_json-pretty", command.replace(' ', "_"));
    let path = format!("ceph/namespaces/{NS}/must_gather_commands_json_output/{name}");
    let mut answer = serde_json::from_slice(&tree.file(&path).unwrap().bytes().unwrap()).unwrap();
    edit(&mut answer);
    tree.write(&path, serde_json::to_vec(&answer).unwrap());
    tree
}

fn with_object(mut tree: Tree, path: &str, name: &str, edit: impl Fn(&mut Value)) -> Tree {
    let mut objects = tree.file(path).unwrap().objects().unwrap().to_vec();
    objects.iter_mut().filter(|object| object["metadata"]["name"] == name).for_each(edit);
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    tree.write(path, serde_json::to_vec(&list).unwrap());
    tree
}

fn with_deployment(tree: Tree, name: &str, change: &Value) -> Tree {
    with_object(tree, &format!("namespaces/{NS}/apps/deployments.yaml"), name, |object| {
        json_patch::merge(object, change);
    })
}

fn with_cluster(tree: Tree, change: &Value) -> Tree {
    with_object(tree, &format!("namespaces/{NS}/ceph.rook.io/cephclusters.yaml"), NS, |object| {
        json_patch::merge(object, change);
    })
}

fn quorum_is_lost(cluster: &mut Changed<'_>) {
    cluster.edit_ceph(NS, "quorum_status", |status| status["quorum_names"] = json!(["a"]));
}

fn a_monitor_is_lost(cluster: &mut Changed<'_>) {
    cluster.edit_ceph(NS, "quorum_status", |status| status["quorum_names"] = json!(["a", "b"]));
}

fn the_mgr_is_gone(cluster: &mut Changed<'_>) {
    cluster.edit_ceph(NS, "status", |status| status["mgrmap"]["available"] = false.into());
}

fn no_mgr_stands_by(cluster: &mut Changed<'_>) {
    cluster.edit_ceph(NS, "status", |status| status["mgrmap"]["num_standbys"] = 0.into());
}

fn an_osd_goes_down(cluster: &mut Changed<'_>) {
    cluster.edit_ceph(NS, "osd dump", |dump| dump["osds"][4]["up"] = 0.into());
}

fn a_pg_is_degraded(cluster: &mut Changed<'_>) {
    cluster.edit_ceph(NS, "status", |status| {
        let states = status["pgmap"]["pgs_by_state"].as_array_mut().unwrap();
        states.push(json!({"state_name": "active+undersized+degraded", "count": 3}));
    });
}

fn the_osd_may_not_stop(cluster: &mut Changed<'_>) {
    let no = r#"{"ok_to_stop": false, "osds": [4], "num_ok_pgs": 100, "num_not_ok_pgs": 1, "bad_become_inactive": ["2.1f"]}"#;
    let folder = format!("ceph/namespaces/{NS}/must_gather_commands_json_output");
    cluster.write(&format!("{folder}/ceph_osd_ok-to-stop_4_--format_json-pretty"), no);
}

fn somebody_works_on_an_osd(cluster: &mut Changed<'_>) {
    cluster.edit(NS, "deployments", "rook-ceph-osd-1", |object| object["spec"]["replicas"] = 0.into());
}

fn rook_replaces_an_osd(cluster: &mut Changed<'_>) {
    cluster.edit(NS, "deployments", "rook-ceph-osd-1", |object| {
        object["metadata"]["annotations"]["osd.rook.io/replace-in-progress"] = "true".into();
        object["metadata"]["labels"]["ceph.rook.io/do-not-reconcile"] = "true".into();
    });
}

fn the_namespace_is_back(cluster: &mut Changed<'_>) {
    let namespace =
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: kyverno, uid: 00000000-0000-4000-8000-00000000ac09}\n";
    cluster.write("namespaces/kyverno/kyverno.yaml", namespace);
}

fn the_pool_gets_another_application(cluster: &mut Changed<'_>) {
    cluster.edit_ceph(NS, "osd pool ls detail", |pools| {
        let pools = pools.as_array_mut().unwrap().iter_mut();
        pools.filter(|pool| pool["pool_name"] == "kube").for_each(|pool| {
            pool["application_metadata"] = json!({"cephfs": {}});
        });
    });
}

#[test]
fn every_guard_stops_its_fix() {
    stops("story4-clock-and-pool-app", "CEPH002", the_pool_gets_another_application, "it has cephfs");
    stops("CEPH010-module-ended", "CEPH010", no_mgr_stands_by, "there is no standby mgr");
    stops("CEPH010-module-ended", "CEPH010", the_mgr_is_gone, "no mgr is active");
    stops("CEPH013-old-crash", "CEPH013", the_mgr_is_gone, "no mgr is active");
    stops("OPR005-reconcile-stalled", "OPR005", quorum_is_lost, "only a of 3 would be in quorum, and 2 are needed");
    stops("OPR005-reconcile-stalled", "OPR005", somebody_works_on_an_osd, "rook-ceph-osd-1 was scaled to 0");
    stops("OPR006-osd-forgotten", "OPR006", a_pg_is_degraded, "3 active+undersized+degraded");
    stops("OPR006-osd-forgotten", "OPR006", the_osd_may_not_stop, "1 PGs would become inactive (2.1f");
    stops(
        "OPR006-osd-forgotten",
        "OPR006",
        rook_replaces_an_osd,
        "Rook replaces the OSD of Deployment rook-ceph-osd-1",
    );
    stops("OPR006-cluster-forgotten", "OPR006", quorum_is_lost, "only a of 3 would be in quorum");
    stops(
        "OPR006-do-not-reconcile-left",
        "OPR006 --object Deployment/rook-ceph-mon-b",
        a_monitor_is_lost,
        "only a of 3",
    );
    stops("IMG006-a-patch-behind", "IMG006", somebody_works_on_an_osd, "rook-ceph-osd-1 was scaled to 0");
    stops(
        "ACC006-webhook-dead",
        "ACC006",
        the_namespace_is_back,
        "the namespace kyverno does not exist: no, it exists",
    );
}

#[test]
fn a_pool_is_left_to_a_person_unless_its_use_proves_what_it_is_for() {
    guided(tree("CEPH002-nobody-uses-it"), "CEPH002", "does not prove just one application");
    guided(tree("CEPH002-ceph-names-no-pool"), "CEPH002", "Ceph does not name the pool");
    let unseen = Bed::of("story4-clock-and-pool-app");
    unseen.double.deny("list", "cephfilesystems");
    let ran = unseen.run("fix CEPH002 --yes");
    assert!(ran.code == Some(5) && ran.says("what might use the pool could not be read"), "{ran:?}");
    let pool = json!({"apiVersion": "ceph.rook.io/v1", "kind": "CephFilesystem",
        "metadata": {"name": "other", "namespace": NS, "uid": "00000000-0000-4000-8000-00000000ce02"},
        "spec": {"dataPools": [{"name": "kube"}], "preservePoolNames": true, "metadataServer": {"activeCount": 1}}});
    let mut two = tree("story4-clock-and-pool-app");
    two.write(&format!("namespaces/{NS}/ceph.rook.io/cephfilesystems/other.yaml"), pool.to_string().into_bytes());
    guided(two, "CEPH002", "does not prove just one application");
}

#[test]
fn a_crash_of_the_last_hour_is_read_before_it_is_archived() {
    let ago = |at: &'static str| {
        let tree = with_ceph(tree("CEPH013-old-crash"), "crash ls", |crashes| crashes[1]["timestamp"] = at.into());
        with_ceph(tree, "health detail", |health| {
            let text = format!("osd.4 crashed on host birch-w2 at {at}");
            health["checks"]["RECENT_CRASH"]["detail"][0]["message"] = text.into();
        })
    };
    guided(ago("2024-07-09T07:30:00.000000Z"), "CEPH013", "within the last hour");
    let bed = Bed::serve(ago("2024-07-09T05:30:00.000000Z"));
    assert!(bed.run("fix CEPH013").says("osd.4 up"), "of a daemon that crashed today it is asked whether it is well");
    bed.double.on(MEANWHILE, an_osd_goes_down);
    let ran = bed.run("fix CEPH013 --yes");
    assert!(ran.code == Some(5) && ran.says("osd.4 is not up"), "{ran:?}");
    let archived = with_ceph(tree("CEPH013-old-crash"), "crash ls", |crashes| *crashes = json!([]));
    guided(archived, "CEPH013", "lists no report of osd.4");
}

#[test]
fn a_mgr_fails_over_only_where_that_can_help() {
    let alone = with_ceph(tree("CEPH010-module-ended"), "status", |it| it["mgrmap"]["num_standbys"] = 0.into());
    guided(alone, "CEPH010", "there is no standby mgr");
    let missing = with_ceph(tree("CEPH010-module-ended"), "health detail", |health| {
        let check = health["checks"].as_object_mut().unwrap().remove("MGR_MODULE_ERROR").unwrap();
        health["checks"]["MGR_MODULE_DEPENDENCY"] = check;
    });
    guided(missing, "CEPH010", "could not load the module either");
}

#[test]
fn a_label_that_was_set_for_a_reason_stays() {
    let osd = |change: Value| with_deployment(tree("OPR006-osd-forgotten"), "rook-ceph-osd-4", &change);
    let image = json!({"spec": {"template": {"spec": {"containers": [{"name": "osd", "image": "quay.io/ceph/ceph:v18.2.4"}]}}}});
    guided(osd(image), "OPR006", "it runs quay.io/ceph/ceph:v18.2.4, and the operator would put");
    guided(osd(json!({"metadata": {"labels": {"ceph-version": "19.2.0-0"}}})), "OPR006", "the operator would go back");
    let cluster = |change: Value| with_cluster(tree("OPR006-cluster-forgotten"), &change);
    guided(
        cluster(json!({"metadata": {"generation": 5}})),
        "OPR006",
        "all changes in between will take effect at once",
    );
    let image = json!({"spec": {"cephVersion": {"image": "quay.io/ceph/ceph:v18.2.4"}}});
    guided(cluster(image), "OPR006", "will go on to change the version");
    let bed = Bed::serve(osd(json!({"metadata": {"labels": {"rook-version": "v1.12.1"}}})));
    assert!(bed.run("fix OPR006").says("Rook v1.12.1 set it up, and the operator is v1.13.9"));
}

#[test]
fn a_webhook_stays_while_its_backend_may_come_back() {
    let dead = || tree("ACC006-webhook-dead");
    let mut back = dead();
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kyverno", "uid": "ac09"}});
    back.write("namespaces/kyverno/kyverno.yaml", namespace.to_string().into_bytes());
    guided(back, "ACC006", "the namespace kyverno of its Service exists");
    let path = "cluster-scoped-resources/admissionregistration.k8s.io/validatingwebhookconfigurations.yaml";
    let shared = with_object(dead(), path, "kyverno-resource-validating-webhook-cfg", |object| {
        let other = json!({"name": "b", "clientConfig": {"service": {"name": "b", "namespace": "kube-system"}}});
        object["webhooks"].as_array_mut().unwrap().push(other);
    });
    guided(shared, "ACC006", "also calls webhooks from elsewhere");
    let unseen = Bed::serve(dead());
    unseen.double.deny("get", "namespaces");
    let ran = unseen.run("fix ACC006 --yes");
    assert!(ran.code == Some(5) && ran.says("the plan needs what cannot be seen"), "{ran:?}");
}

/// A journal that says that a fix of this tool set a flag and never took it away.
fn journal(bed: &Bed, words: &[&str]) {
    let cluster = bed.double.object(NS, "cephclusters", NS).unwrap();
    let id =
        ClusterId { namespace: NS.into(), name: NS.into(), uid: cluster["metadata"]["uid"].as_str().unwrap().into() };
    let plan = Plan::new(say!("x"), Risk::Safe).step(Step::ceph(say!("x"), words, None));
    let begun = Begun {
        finding: "OVN007/Pod/kube-system/x".into(),
        consequences: Vec::new(),
        context: "double".into(),
        cluster: id,
        user: "double".into(),
        plan,
        undoes: None,
    };
    let journal = Journal::below(bed.home.path());
    let at = "2024-07-09T07:00:00Z".parse().unwrap();
    for what in [
        What::Begun(Box::new(begun)),
        What::Before { step: 0 },
        What::After { step: 0, outcome: Outcome::Done },
        What::Ended { how: Ended::NotVerified { left: Vec::new() } },
    ] {
        journal.write("20240709T070000Z-1", at, what).unwrap();
    }
}

#[test]
fn only_flags_that_this_tool_set_are_taken_away() {
    guided(tree("OSD011-noout-left"), "OSD011", "does not say that it set all of these flags");
    let ours = || {
        let bed = Bed::of("OSD011-noout-left");
        journal(&bed, &["osd", "set", "noout"]);
        bed
    };
    let listed = ours().run("fix");
    assert!(listed.says("take noout away from the whole cluster"), "{listed:?}");
    let bed = ours();
    let ran = bed.run("fix OSD011 --yes -o json");
    assert_eq!((ran.code, &ran.json()["ended"]), (Some(0), &"verified".into()), "{ran:?}");
    assert_eq!(bed.changes_made(), ["CEPH osd unset noout"]);
    let undone = bed.run(&format!("fix undo {} --yes", ran.json()["id"].as_str().unwrap()));
    assert_eq!(undone.code, Some(0), "{undone:?}");
    assert_eq!(bed.changes_made(), ["CEPH osd unset noout", "CEPH osd set noout"]);
    let bed = ours();
    bed.double.on(MEANWHILE, an_osd_goes_down);
    let ran = bed.run("fix OSD011 --yes");
    assert!(ran.code == Some(5) && ran.says("osd.4 is not up") && bed.changes_made().is_empty(), "{ran:?}");
    let bed = Bed::of("OSD011-noout-left");
    journal(&bed, &["osd", "set-group", "noout", "osd.4"]);
    assert!(bed.run("fix OSD011 --yes").says("does not say that it set all of these flags"));
}

#[test]
fn one_daemon_after_the_other_is_given_back_to_the_operator() {
    let two = || {
        let label = json!({"metadata": {"labels": {"ceph.rook.io/do-not-reconcile": "true"}}});
        Bed::serve(with_deployment(tree("OPR006-osd-forgotten"), "rook-ceph-osd-2", &label))
    };
    let patched = |osd: u32| format!("PATCH /apis/apps/v1/namespaces/{NS}/deployments/rook-ceph-osd-{osd}");
    let bed = two();
    assert_eq!(bed.run("fix OPR006 --yes").code, Some(0));
    assert_eq!(bed.changes_made(), [patched(2), patched(4)]);
    let bed = two();
    bed.double.on(&patched(2), a_pg_is_degraded);
    let ran = bed.run("fix OPR006 --yes");
    assert!(ran.code == Some(5) && ran.says("3 active+undersized+degraded"), "{ran:?}");
    assert_eq!(bed.changes_made(), [patched(2)], "the first is not well yet");
}

#[test]
fn a_restart_of_the_operator_tells_which_disks_it_may_take() {
    let mut disks = tree("OPR005-reconcile-stalled");
    let devices =
        r#"[{"name": "sdx", "filesystem": "", "empty": true}, {"name": "sdy", "filesystem": "ext4", "empty": false}]"#;
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"devices": devices},
        "metadata": {"name": "local-device-birch-w1", "namespace": NS, "uid": "00000000-0000-4000-8000-0000000000d1",
            "labels": {"app": "rook-discover", "rook.io/node": "birch-w1"}}});
    disks.write(&format!("namespaces/{NS}/core/configmaps/local-device-birch-w1.yaml"), map.to_string().into_bytes());
    let shown = Bed::serve(disks.clone()).run("fix OPR005");
    assert!(shown.says("known to be blank: sdx on birch-w1"), "{shown:?}");
    let listed = json!({"spec": {"storage": {"useAllDevices": false, "deviceFilter": null}}});
    let shown = Bed::serve(with_cluster(disks, &listed)).run("fix OPR005");
    assert!(shown.says("start the operator anew") && !shown.says("blank"), "{shown:?}");
}
