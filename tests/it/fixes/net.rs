//! Multus and the networks of the daemons.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

use rookdoctor::check::FixKind;
use rookdoctor::diagnosis::ask;
use rookdoctor::facts::Select;
use rookdoctor::facts::archive::Tree;
use rookdoctor::fix::apply::refusals;
use rookdoctor::fix::restart::in_order;
use rookdoctor::fix::{Condition, Step};
use rookdoctor::objects::kube::Pod;
use serde_json::{Value, json};

use super::{Bed, Case, Changed};
use crate::api;
use crate::double::Double;
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
        elect(cluster);
    });
    double.on(&format!("DELETE {PODS}/rook-ceph-operator-*"), |cluster| {
        let networks = cluster.tree().file(NETWORKS).unwrap().bytes().unwrap().into_owned();
        let uid = cluster.object("rook-ceph", "cephclusters", "rook-ceph").unwrap()["metadata"]["uid"].clone();
        cluster.restore(&support::base("story1b-nad-host-local-duplicates"), "namespaces/rook-ceph/");
        cluster.write(NETWORKS, networks);
        cluster.edit("rook-ceph", "cephclusters", "rook-ceph", |object| object["metadata"]["uid"] = uid.clone());
    });
}

/// A monitor that comes back calls an election.
fn elect(cluster: &mut Changed<'_>) {
    cluster.edit_ceph("rook-ceph", "quorum_status", |said| said["quorum_age"] = 1.into());
}

/// Multus is in charge now.
fn new_pods_get_their_networks(double: &Double) {
    for write in [format!("POST {PODS}/rook-ceph-*/eviction"), format!("DELETE {PODS}/rook-ceph-*")] {
        double.on(&write, |cluster| {
            elect(cluster);
            for (name, annotations) in annotated(cluster) {
                let Some(Value::Array(wanted)) = parsed(&annotations["k8s.v1.cni.cncf.io/networks"]) else { continue };
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

fn parsed(text: &Value) -> Option<Value> {
    serde_json::from_str(text.as_str()?).ok()
}

/// Pods that were made a moment ago and lack an interface.
fn annotated(cluster: &Changed<'_>) -> Vec<(String, Value)> {
    let file = cluster.tree().file("namespaces/rook-ceph/core/pods.yaml").unwrap();
    let now = cluster.now();
    let lacks = |pod: &&Value| {
        let is_new = pod["metadata"]["creationTimestamp"] == now.as_str();
        let annotations = &pod["metadata"]["annotations"];
        let count = |key: &str| parsed(&annotations[key]).and_then(|list| Some(list.as_array()?.len()));
        is_new
            && count("k8s.v1.cni.cncf.io/network-status") == Some(1)
            && count("k8s.v1.cni.cncf.io/networks").is_some()
    };
    let of =
        |pod: &Value| (pod["metadata"]["name"].as_str().unwrap().to_owned(), pod["metadata"]["annotations"].clone());
    file.objects().unwrap().iter().filter(lacks).map(of).collect()
}

fn interface(at: usize, network: &Value) -> Value {
    let name = format!("{}/{}", network["namespace"].as_str().unwrap(), network["name"].as_str().unwrap());
    json!({"name": name, "interface": format!("net{}", at + 1), "ips": [format!("192.168.14{at}.99")]})
}

/// A recorded cluster in which objects of a list whose names begin so are other.
fn with(name: &str, path: &str, prefix: &str, edit: impl Fn(&mut Value)) -> Tree {
    let mut tree = super::tree(name);
    edit_in(&mut tree, path, prefix, edit);
    tree
}

fn edit_in(tree: &mut Tree, path: &str, prefix: &str, edit: impl Fn(&mut Value)) {
    let mut objects = tree.file(path).unwrap().objects().unwrap().to_vec();
    let mut edited = 0;
    for object in objects.iter_mut().filter(|it| it["metadata"]["name"].as_str().unwrap().starts_with(prefix)) {
        edit(object);
        edited += 1;
    }
    assert!(edited > 0, "no {prefix} in {path}");
    put(tree, path, objects);
}

fn put(tree: &mut Tree, path: &str, mut objects: Vec<Value>) {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    let body = if objects.len() == 1 { objects.remove(0) } else { list };
    tree.write(path, serde_json::to_vec(&body).unwrap());
}

/// Nothing is changed, and this is why.
#[track_caller]
fn refuses(tree: Tree, fix: &str, why: &str) {
    let bed = Bed::serve(tree);
    let ran = bed.run(&format!("fix {fix} --yes"));
    assert_eq!(ran.code, Some(5), "{ran:?}");
    assert!(ran.says(why), "{why:?} is not said: {}{}", ran.stdout, ran.stderr);
    assert!(bed.double.writes().is_empty(), "{:?}", bed.double.writes());
}

const PODS_FILE: &str = "namespaces/rook-ceph/core/pods.yaml";
const NEW: &str = "NET007-new-cluster";

fn not_ready(pod: &mut Value) {
    for condition in pod["status"]["conditions"].as_array_mut().unwrap() {
        if condition["type"] == "Ready" {
            condition["status"] = "False".into();
        }
    }
    pod["status"]["containerStatuses"][0]["ready"] = false.into();
    pod["status"]["containerStatuses"][0]["state"] = json!({"waiting": {"reason": "CrashLoopBackOff"}});
}

/// The pod of Multus on this node fails.
fn without_multus_on(name: &str, node: &str) -> Tree {
    with(name, "namespaces/kube-system/core/pods.yaml", "kube-multus", |pod| {
        if pod["spec"]["nodeName"] == node {
            not_ready(pod);
        }
    })
}

fn cordoned(mut tree: Tree, node: &str) -> Tree {
    let path = format!("cluster-scoped-resources/core/nodes/{node}.yaml");
    edit_in(&mut tree, &path, node, |node| node["spec"]["unschedulable"] = true.into());
    tree
}

fn config(nad: &mut Value, ipam: &str) {
    nad["spec"]["config"] =
        format!(r#"{{"cniVersion": "0.3.1", "type": "macvlan", "master": "ens224", "ipam": {ipam}}}"#).into();
}

fn answer(tree: &mut Tree, command: &str, edit: impl Fn(&mut Value)) {
    let path = format!(
        "ceph/namespaces/rook-ceph/must_gather_commands_json_output/ceph_{}_--format_json-pretty",
        command.replace(' ', "_")
    );
    let mut said: Value = serde_json::from_slice(&tree.file(&path).unwrap().bytes().unwrap()).unwrap();
    edit(&mut said);
    tree.write(&path, serde_json::to_vec(&said).unwrap());
}

#[test]
fn a_pod_without_its_network_waits_for_multus_on_its_node() {
    let fix = "NET016 --object Pod/rook-ceph-mgr-a@elm-02";
    refuses(
        without_multus_on("NET016-started-without-multus", "elm-02"),
        fix,
        "the pod of name=multus in kube-system on elm-02 is Ready: no",
    );
    let mut gone = super::tree("NET016-started-without-multus");
    let path = "namespaces/kube-system/core/pods.yaml";
    let mut pods = gone.file(path).unwrap().objects().unwrap().to_vec();
    pods.retain(|pod| {
        !(pod["metadata"]["name"].as_str().unwrap().starts_with("kube-multus") && pod["spec"]["nodeName"] == "elm-02")
    });
    put(&mut gone, path, pods);
    refuses(gone, fix, "no pod of Multus is found on elm-02");
}

#[test]
fn a_pod_without_its_network_stays_while_addresses_may_be_given_twice() {
    let shared = with("NET016-started-without-multus", NETWORKS, "public-net", |nad| {
        config(nad, r#"{"type": "host-local", "subnet": "192.168.140.0/24"}"#);
    });
    refuses(shared, "NET016", "which a pod of another node may have: mend that first (NET012");
    // An OSD has two networks, and takes an address in each.
    let shared = with("NET016-osd-without-its-network", NETWORKS, "cluster-net", |nad| {
        config(nad, r#"{"type": "host-local", "subnet": "192.168.141.0/24"}"#);
    });
    refuses(shared, "NET016", "mend that first (NET012");
}

#[test]
fn no_pod_is_taken_from_a_node_that_would_not_have_it_back() {
    let tree = cordoned(super::tree("NET016-started-without-multus"), "elm-02");
    refuses(tree, "NET016", "elm-02 is ready and takes pods: no, it is Ready,SchedulingDisabled");
}

#[test]
fn a_monitor_goes_only_while_the_others_hold_the_quorum() {
    let mut tree = super::tree("NET016-monitor-without-its-network");
    answer(&mut tree, "quorum_status", |said| {
        said["quorum_names"] = json!(["a", "b"]);
        said["quorum"] = json!([0, 1]);
    });
    refuses(tree, "NET016", "the monitors keep their quorum without mon.b: no, only a of 3 would be in quorum");
}

#[test]
fn an_osd_goes_only_with_ceph_s_word() {
    let mut tree = super::tree("NET016-osd-without-its-network");
    answer(&mut tree, "status", |said| {
        said["pgmap"]["pgs_by_state"] =
            json!([{"state_name": "undersized+degraded+peered", "count": said["pgmap"]["num_pgs"]}]);
    });
    refuses(tree, "NET016", "Ceph says that osd.1 may stop: no");
}

#[test]
fn nobody_s_maintenance_is_disturbed() {
    let path = "namespaces/rook-ceph/apps/deployments.yaml";
    let stopped =
        with("NET016-started-without-multus", path, "rook-ceph-osd-2", |it| it["spec"]["replicas"] = 0.into());
    refuses(stopped, "NET016", "no maintenance and no deletion is going on: no");
    let stopped = with(NEW, path, "rook-ceph-mon-b", |it| it["spec"]["replicas"] = 0.into());
    refuses(stopped, "NET007", "no maintenance and no deletion is going on: no");
}

#[test]
fn a_default_route_stays_where_data_is() {
    let why = "the cluster holds data (Deployments of OSDs exist";
    let osds = with("healthy-multus-kubeovn", NETWORKS, "public-net", |nad| {
        config(nad, r#"{"type": "whereabouts", "range": "192.168.140.0/24", "routes": [{"dst": "0.0.0.0/0"}]}"#);
    });
    refuses(osds, "NET007", why);
    refuses(super::tree("NET008-bridge-default-gateway"), "NET008", why);
    let pool = with(NEW, "namespaces/rook-ceph/ceph.rook.io/cephblockpools.yaml", "replicapool", |pool| {
        pool["status"]["phase"] = "Ready".into();
    });
    refuses(pool, "NET007", "the cluster holds data (CephBlockPool replicapool was made)");
    let mut volume = super::tree(NEW);
    let object = json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "pv-1", "uid": "u"},
        "spec": {"storageClassName": "rook-ceph-block"}, "status": {"phase": "Released"}});
    put(&mut volume, "cluster-scoped-resources/core/persistentvolumes.yaml", vec![object]);
    refuses(volume, "NET007", "the cluster holds data (PersistentVolume pv-1 exists)");
}

#[test]
fn a_default_route_stays_while_it_is_not_known_whether_data_is() {
    let bed = Bed::of(NEW);
    bed.double.deny("list", "persistentvolumes");
    let ran = bed.run("fix NET007 --yes");
    assert_eq!(ran.code, Some(5), "{ran:?}");
    assert!(ran.says("what decides whether it is safe cannot be seen"), "{ran:?}");
    assert!(bed.double.writes().is_empty());
}

#[test]
fn no_monitor_restarts_while_addresses_may_be_given_twice() {
    let why = "NET012 stands on rook-ceph/ceph-public";
    refuses(super::tree("story1-nad-default-route"), "NET007", why);
    let shared = with("NET008-new-cluster", NETWORKS, "ceph-public", |nad| {
        let config = nad["spec"]["config"].as_str().unwrap().to_owned();
        let config = config.replace("whereabouts", "host-local").replace("\"range\"", "\"subnet\"");
        nad["spec"]["config"] = config.into();
    });
    refuses(shared, "NET008", why);
}

#[test]
fn hosts_outside_of_the_network_keep_a_way() {
    let outside = with(NEW, NETWORKS, "ceph-public", |nad| {
        config(
            nad,
            r#"{"type": "whereabouts", "range": "10.12.0.0/24", "gateway": "10.12.0.1", "routes": [{"dst": "0.0.0.0/0"}]}"#,
        );
    });
    let bed = Bed::serve(outside.clone());
    let ran = bed.run("fix NET007 --yes -o json");
    let commands = ran.json()["steps"].to_string();
    assert!(commands.contains("192.168.70.0/24") && commands.contains("10.12.0.1"), "{commands}");
    assert!(!commands.contains("0.0.0.0/0"), "{commands}");
    refuses(outside.clone(), "NET007", "what is outside of the network (192.168.70.0/24) may reach its daemons");
    // Nobody mounts from the hosts' network, but the CephCluster has a range elsewhere.
    let mut given = outside;
    edit_in(&mut given, "namespaces/rook-ceph/apps/daemonsets.yaml", "csi-", |set| {
        set["spec"]["template"]["spec"]["hostNetwork"] = false.into();
    });
    assert_eq!(Bed::serve(given.clone()).run("fix NET007 --dry-run").code, Some(0));
    edit_in(&mut given, "namespaces/rook-ceph/ceph.rook.io/cephclusters.yaml", "rook-ceph", |cluster| {
        cluster["spec"]["network"]["addressRanges"] = json!({"public": ["10.12.0.0/24", "10.13.0.0/24"]});
    });
    refuses(given, "NET007", "what is outside of the network (10.13.0.0/24) may reach its daemons");
}

#[test]
fn monitors_restart_only_where_multus_is_well_and_nodes_take_them() {
    refuses(without_multus_on(NEW, "quarz-2"), "NET007", "in kube-system on quarz-2 is Ready: no");
    // What comes to be so on the way stops it before the monitor of that node.
    let bed = Bed::of(NEW);
    the_operator_goes_on(&bed.double);
    bed.double.on(&format!("DELETE {PODS}/rook-ceph-mon-a-*"), |cluster| {
        cluster.edit("", "nodes", "quarz-2", |node| node["spec"]["unschedulable"] = true.into());
    });
    let ran = bed.run("fix NET007 --yes");
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert!(ran.says("before step 4") && ran.says("quarz-2 is ready and takes pods: no"), "{ran:?}");
    let made = bed.changes_made();
    assert!(made.len() == 2 && made[0].starts_with("PATCH") && made[1].contains("rook-ceph-mon-a-"), "{made:?}");
}

#[test]
fn a_gateway_out_of_its_subnet_is_its_owner_s_to_mend() {
    let tree = with("NET008-bridge-default-gateway", NETWORKS, "public-net", |nad| {
        config(nad, r#"{"type": "whereabouts", "range": "192.168.140.0/24"}"#);
    });
    refuses(tree, "NET008", "which gateway is the right one, the network's owner must say");
}

/// What the restarts of a whole cluster wait for, told from what is not so.
#[test]
fn what_restarts_wait_for_is_seen() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut tree = super::tree("healthy-multus-kubeovn");
    let crash = || "app=rook-ceph-crashcollector".to_owned();
    let pods_well = |at_least, instead_of: &[&str]| Condition::PodsWell {
        ns: "rook-ceph".into(),
        label: crash(),
        at_least,
        instead_of: instead_of.iter().map(|name| (*name).to_owned()).collect(),
    };
    let old = "rook-ceph-crashcollector-elm-01-grrsd77v2z-x8bhr";
    let serves = |name: &str| Condition::FilesystemServes { name: name.to_owned() };
    let back = |mon: &str| Condition::MonRejoined { mon: mon.to_owned() };
    let node = |node: &str| Condition::TakesPods { node: node.to_owned() };
    let judge = |tree: &Tree, condition: &Condition| {
        let source = support::bundle(tree.clone());
        let cluster = support::run(&source).cluster.unwrap();
        runtime.block_on(refusals(&source, &cluster, &[condition])).join("; ")
    };
    for condition in [Condition::MgrActive, serves("files"), back("a"), node("elm-01"), pods_well(3, &["gone"])] {
        assert_eq!(judge(&tree, &condition), "", "{condition}");
    }
    answer(&mut tree, "status", |said| said["mgrmap"]["available"] = false.into());
    answer(&mut tree, "fs dump", |said| {
        for mds in said["filesystems"][0]["mdsmap"]["info"].as_object_mut().unwrap().values_mut() {
            mds["state"] = "up:replay".into();
        }
    });
    edit_in(&mut tree, PODS_FILE, "rook-ceph-mon-a-", |pod| {
        for status in pod["status"]["containerStatuses"].as_array_mut().unwrap() {
            status["state"] = json!({"running": {"startedAt": "2026-02-17T13:20:00Z"}});
        }
    });
    for (condition, seen) in [
        (Condition::MgrActive, "no mgr is active"),
        (Condition::HoldsNothing, "Deployments of OSDs exist, rook-ceph-osd-0 among them"),
        (serves("files"), "0 of 1 ranks are active"),
        (serves("other"), "Ceph knows no filesystem other"),
        (back("a"), "the quorum is older than its container"),
        (back("x"), "in quorum are a, b, c"),
        (node("elm-99"), "there is no such node"),
        (pods_well(4, &[]), "3 of 4 are well"),
        (pods_well(3, &[old]), "is still there (Running)"),
    ] {
        assert!(judge(&tree, &condition).contains(seen), "{condition}: {}", judge(&tree, &condition));
    }
}

/// What is said of the remedy and what the fix does are one.
#[test]
fn a_remedy_is_auto_where_the_fix_has_a_plan() {
    let cases = [
        ("story1-nad-default-route", "NET007", false),
        (NEW, "NET007", true),
        ("NET007-ceph-not-asked", "NET007", false),
        ("NET008-new-cluster", "NET008", true),
        ("NET016-started-without-multus", "NET016", true),
    ];
    for (name, code, auto) in cases {
        let diagnosis = support::run(&support::bundle(super::tree(name)));
        let found = diagnosis.findings.iter().find(|placed| placed.check.code == code).unwrap();
        assert_eq!(found.finding.remedy.fix == FixKind::Auto, auto, "{name}");
    }
}

#[test]
fn pods_without_their_networks_restart_in_the_safe_order() {
    let mut tree = super::tree("NET016-osd-without-its-network");
    for name in ["rook-ceph-mgr-a-", "rook-ceph-mon-b-", "rook-ceph-mds-files-a-"] {
        edit_in(&mut tree, PODS_FILE, name, |pod| {
            pod["metadata"]["annotations"]["k8s.v1.cni.cncf.io/network-status"] = r#"[{"name": "kube-ovn"}]"#.into();
            not_ready(pod);
        });
    }
    let bed = Bed::serve(tree);
    new_pods_get_their_networks(&bed.double);
    let ran = bed.run("fix NET016 --yes");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let made = bed.changes_made();
    let order = ["rook-ceph-mon-b-", "rook-ceph-mgr-a-", "rook-ceph-mds-files-a-", "rook-ceph-osd-1-"];
    assert!(made.len() == 4 && made.iter().zip(order).all(|(made, name)| made.contains(name)), "{made:?}");
}

/// The others count a monitor until they notice that it went.
#[test]
fn the_next_monitor_waits_until_this_one_was_elected_again() {
    let bed = Bed::of("NET016-monitor-without-its-network");
    let mut fix = bed.command("fix NET016 --yes").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let said = BufReader::new(fix.stderr.take().unwrap());
    let waits = said.lines().map_while(Result::ok).any(|line| line.contains("older than its container"));
    fix.kill().unwrap();
    fix.wait().unwrap();
    assert!(waits);
}

/// All pods of a cluster, in the order in which they would restart.
#[test]
fn a_whole_cluster_restarts_in_the_safe_order() {
    let mut tree = super::tree("healthy-multus-kubeovn");
    // osd.2 lives beside osd.0.
    edit_in(&mut tree, PODS_FILE, "rook-ceph-osd-2-", |pod| pod["spec"]["nodeName"] = "elm-01".into());
    let source = support::bundle(tree);
    let cluster = support::run(&source).cluster.unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let steps = runtime.block_on(ask(&source, &cluster, Duration::from_secs(60), |facts| {
        let pods = facts.list::<Pod>(Some("rook-ceph"), Select::label("rook_cluster=rook-ceph"))?;
        let pods: Vec<&Pod> = pods.iter().filter(|pod| pod.status.phase == "Running").collect();
        Ok(in_order(facts, &pods)?.steps().collect::<Vec<_>>())
    }));
    let line = |step: &Step| {
        let guards: String = step.guards.iter().map(|guard| format!("\n    only if {guard}")).collect();
        format!("{}{guards}\n", step.does.english())
    };
    insta::assert_snapshot!(steps.unwrap().iter().map(line).collect::<String>());
}

#[test]
fn scripts_do_what_the_fixes_do() {
    for (name, expected) in [
        ("NET016_osd", &["DELETE"][..]),
        ("NET016_mgr", &["POST"]),
        ("NET007", &["PATCH", "DELETE", "DELETE", "DELETE", "DELETE"]),
    ] {
        let case = CASES.iter().find(|case| case.name == name).unwrap();
        let bed = Bed::healing(case);
        let script = bed.run(&format!("fix {} --script", case.fix));
        assert_eq!(script.code, Some(0), "{script:?}");
        let path = bed.state().join("fix.sh");
        std::fs::write(&path, &script.stdout).unwrap();
        let mut bash = std::process::Command::new("timeout");
        let ran = api::on_path(bash.args(["100", "bash", "-x"]).arg(&path), &bed.double).output().unwrap();
        let made = bed.changes_made();
        assert!(
            made.len() == expected.len() && made.iter().zip(expected).all(|(made, wanted)| made.starts_with(wanted)),
            "{name}: {made:?}\n{ran:?}"
        );
        assert!(ran.status.success(), "{name}: {}", String::from_utf8_lossy(&ran.stderr));
    }
}

/// A script that cannot ask, or to which no is said, changes nothing.
#[test]
fn scripts_fail_closed() {
    let stops = |tree: Tree, fix: &str, denied: Option<&str>, why: &str| {
        let bed = Bed::serve(tree.clone());
        let script = bed.run(&format!("fix {fix} --script"));
        assert_eq!(script.code, Some(0), "{script:?}");
        let path = bed.state().join("fix.sh");
        std::fs::write(&path, &script.stdout).unwrap();
        denied.into_iter().for_each(|resource| bed.double.deny("list", resource));
        let mut bash = std::process::Command::new("timeout");
        let ran = api::on_path(bash.args(["100", "bash", "-x"]).arg(&path), &bed.double).output().unwrap();
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert!(!ran.status.success() && said.contains(&format!("stopped: not so: {why}")), "{said}");
        assert!(bed.double.writes().is_empty());
    };
    let nothing = "no OSD, pool or volume of the cluster exists";
    stops(super::tree(NEW), "NET007", Some("persistentvolumes"), nothing);
    stops(super::tree(NEW), "NET007", Some("cephblockpools"), nothing);
    let cordoned = cordoned(super::tree("NET016-started-without-multus"), "elm-02");
    stops(cordoned, "NET016", None, "elm-02 is ready and takes pods");
}

const LEAK: &str = "NET015-one-left-behind";
const POOL: (&str, &str, &str) = ("kube-system", "ippools", "192.168.140.0-24");
const RESERVATION: (&str, &str, &str) = ("kube-system", "overlappingrangeipreservations", "192.168.140.18");

/// A cluster in which the leak was seen a while ago.
pub fn seen_before(minutes: u64) -> Bed {
    let bed = Bed::of(LEAK);
    let first = bed.run("fix NET015 --yes");
    assert!(first.code == Some(5) && first.says("remembered: ask again in ten minutes"), "{first:?}");
    assert_eq!(bed.double.writes(), [] as [&str; 0]);
    bed.double.advance(Duration::from_secs(60 * minutes));
    bed
}

#[test]
fn a_leaked_address_is_released_when_it_is_seen_twice() {
    let soon = seen_before(5);
    let ran = soon.run("fix NET015 --yes");
    assert!(ran.code == Some(5) && ran.says("min ago: ask again when it is ten"), "{ran:?}");
    assert_eq!(soon.double.writes(), [] as [&str; 0]);

    let bed = seen_before(11);
    let object = |(ns, plural, name)| bed.double.object(ns, plural, name);
    let before = object(POOL).unwrap()["spec"].clone();
    let ran = bed.run("fix NET015 --yes -o json");
    assert_eq!((ran.code, &ran.json()["ended"]), (Some(0), &"verified".into()), "{ran:?}");
    assert_eq!(bed.changes_made().len(), 2, "{:?}", bed.changes_made());
    assert!(object(POOL).unwrap()["spec"]["allocations"]["18"].is_null(), "{:?}", object(POOL));
    assert_eq!(object(RESERVATION), None);
    let undone = bed.run(&format!("fix undo {} --yes", ran.json()["id"].as_str().unwrap()));
    assert_eq!(undone.code, Some(0), "{undone:?}");
    assert_eq!(object(POOL).unwrap()["spec"], before);
    assert!(object(RESERVATION).is_some());
}

#[test]
fn a_leaked_address_stays_where_its_proof_is_gone() {
    // Another container of the same pod, so not what was seen.
    let bed = seen_before(11);
    bed.double.change(|cluster| {
        cluster.edit(POOL.0, POOL.1, POOL.2, |pool| pool["spec"]["allocations"]["18"]["id"] = "another".into());
    });
    let ran = bed.run("fix NET015 --yes");
    assert!(ran.code == Some(5) && ran.says("remembered"), "{ran:?}");
    // An OSD has the address by the time that the fix begins.
    let bed = seen_before(11);
    bed.double.on("POST /apis/coordination.k8s.io/v1/namespaces/rook-ceph/leases", |cluster| {
        cluster.edit_ceph("rook-ceph", "osd dump", |dump| {
            let address = json!({"type": "v2", "addr": "192.168.140.18:6800", "nonce": 1});
            dump["osds"][0]["public_addrs"]["addrvec"] = json!([address]);
        });
    });
    let ran = bed.run("fix NET015 --yes");
    assert!(ran.code == Some(5) && ran.says("NET015 still finds the same allocations leaked: no"), "{ran:?}");
    assert_eq!(bed.changes_made(), [] as [&str; 0]);
    // A day later it may have come back in between.
    let bed = seen_before(25 * 60);
    assert!(bed.run("fix NET015 --yes").says("remembered"));
}
