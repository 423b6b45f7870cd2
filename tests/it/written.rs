//! The double of the API server under writes: it must do what a real server and its controllers do.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::api::{kubectl, shown};
use crate::double::{Act, Double, Fault, Faults};
use crate::support;

const BASE: &str = "healthy-classic-podnet";
const PODS: &str = "/api/v1/namespaces/rook-ceph/pods";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/rook-ceph/deployments";
const MERGE: &str = "application/merge-patch+json";

fn serve() -> Double {
    Double::serve(support::base(BASE), Faults::none())
}

/// One request; what the server says.
fn send(double: &Double, method: &str, path: &str, content_type: &str, body: &Value) -> (u16, Value) {
    let mut stream = TcpStream::connect(double.url().trim_start_matches("http://")).unwrap();
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: double\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or_else(|_| body.into()))
}

fn send_json(double: &Double, method: &str, path: &str, body: &Value) -> (u16, Value) {
    send(double, method, path, "application/json", body)
}

fn said((status, body): &(u16, Value)) -> (u16, &str, &str) {
    (*status, body["reason"].as_str().unwrap_or_default(), body["message"].as_str().unwrap_or_default())
}

/// The names of the pods of an app, in order.
fn pods(double: &Double, app: &str) -> Vec<String> {
    let shown = shown(double, &format!("get pods -n rook-ceph -l app={app} -o name"));
    shown.lines().map(|line| line.trim_start_matches("pod/").to_owned()).collect()
}

#[test]
fn a_deleted_pod_comes_back_as_its_owner_makes_it() {
    let double = serve();
    double.advance(Duration::from_secs(90));
    let before = pods(&double, "csi-rbdplugin");
    let old = double.object("rook-ceph", "pods", &before[0]).unwrap();
    shown(&double, &format!("delete pod -n rook-ceph {}", before[0]));
    let after = pods(&double, "csi-rbdplugin");
    assert_eq!(after.len(), before.len());
    let name = after.iter().find(|name| !before.contains(name)).unwrap();
    assert!(name.starts_with("csi-rbdplugin-") && !after.contains(&before[0]), "{after:?}");
    shown(&double, &format!("wait -n rook-ceph --for=condition=Ready pod/{name} --timeout=5s"));
    let new = double.object("rook-ceph", "pods", name).unwrap();
    for same in ["/spec/nodeName", "/status/podIP", "/metadata/labels", "/spec/containers", "/status/hostIP"] {
        assert_eq!(new.pointer(same), old.pointer(same), "{same}");
    }
    assert_ne!(new["metadata"]["uid"], old["metadata"]["uid"]);
    assert_eq!(new["metadata"]["creationTimestamp"], "2024-07-09T07:54:01Z", "the server's clock was moved");
    let statuses = new["status"]["containerStatuses"].as_array().unwrap();
    assert!(statuses.iter().all(|one| one["ready"] == true && one["restartCount"] == 0), "{statuses:?}");
    let container = new["spec"]["containers"][0]["name"].as_str().unwrap();
    assert_eq!(shown(&double, &format!("logs -n rook-ceph {name} -c {container}")), "");
    let set = double.object("rook-ceph", "daemonsets", "csi-rbdplugin").unwrap();
    assert_eq!((&set["status"]["numberReady"], &set["status"]["numberUnavailable"]), (&json!(3), &Value::Null));
    assert_eq!(double.writes(), [format!("DELETE {PODS}/{}", before[0])]);

    let mon = &pods(&double, "rook-ceph-mon")[0];
    shown(&double, &format!("delete pod -n rook-ceph {mon} --wait=false"));
    let prefix = mon.rsplit_once('-').unwrap().0;
    assert!(pods(&double, "rook-ceph-mon").iter().any(|name| name != mon && name.starts_with(prefix)));
    let prepared = &pods(&double, "rook-ceph-osd-prepare")[0];
    shown(&double, &format!("delete pod -n rook-ceph {prepared}"));
    assert!(!pods(&double, "rook-ceph-osd-prepare").contains(prepared), "a job's pod does not come back");
}

#[test]
fn kubectl_writes_to_the_double() {
    let double = serve();
    let operator = || double.object("rook-ceph", "deployments", "rook-ceph-operator").unwrap();
    let before = operator();
    let pod = pods(&double, "rook-ceph-operator").remove(0);
    for arguments in [
        "label deploy -n rook-ceph rook-ceph-operator team=storage",
        "annotate deploy -n rook-ceph rook-ceph-operator note=seen",
        r#"patch deploy -n rook-ceph rook-ceph-operator --type=merge -p {"spec":{"revisionHistoryLimit":3}}"#,
    ] {
        shown(&double, arguments);
    }
    let after = operator();
    assert_eq!(
        (&after["metadata"]["labels"]["team"], &after["metadata"]["annotations"]["note"]),
        (&json!("storage"), &json!("seen"))
    );
    assert_eq!(pods(&double, "rook-ceph-operator"), [pod.as_str()], "its template is the same");
    let generation = |object: &Value| object["metadata"]["generation"].as_u64().unwrap();
    assert_eq!(generation(&after), generation(&before) + 1, "labels are no specification");
    assert_ne!(after["metadata"]["resourceVersion"], before["metadata"]["resourceVersion"]);

    shown(&double, "rollout restart -n rook-ceph deploy/rook-ceph-operator");
    shown(&double, "rollout status -n rook-ceph deploy/rook-ceph-operator --timeout=5s");
    let new = pods(&double, "rook-ceph-operator").remove(0);
    assert_ne!(new, pod);
    let new = double.object("rook-ceph", "pods", &new).unwrap();
    assert!(new["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"].is_string());

    let image =
        json!({"spec": {"template": {"spec": {"containers": [{"name": "rook-ceph-operator", "image": "rook:new"}]}}}});
    send(&double, "PATCH", &format!("{DEPLOYMENTS}/rook-ceph-operator"), MERGE, &image);
    let new = double.object("rook-ceph", "pods", &pods(&double, "rook-ceph-operator")[0]).unwrap();
    assert_eq!(new["status"]["containerStatuses"][0]["image"], "rook:new");
    for (replicas, ready) in [(0, Value::Null), (1, json!(1))] {
        shown(
            &double,
            &format!(r#"patch deploy -n rook-ceph rook-ceph-operator -p {{"spec":{{"replicas":{replicas}}}}}"#),
        );
        assert_eq!(pods(&double, "rook-ceph-operator").len(), replicas);
        let status = &operator()["status"];
        assert_eq!(
            (&status["readyReplicas"], &status["observedGeneration"]),
            (&ready, &operator()["metadata"]["generation"])
        );
    }
    shown(&double, "cordon birch-w1");
    assert_eq!(double.object("", "nodes", "birch-w1").unwrap()["spec"]["unschedulable"], true);
    assert_eq!(double.writes().last().unwrap(), "PATCH /api/v1/nodes/birch-w1");
    assert!(
        shown(&double, "api-resources -o wide").lines().any(|line| line.contains("pods") && line.contains("watch"))
    );
}

#[test]
fn a_write_that_comes_too_late_is_a_conflict() {
    let double = serve();
    let path = format!("{DEPLOYMENTS}/rook-ceph-operator");
    let mut object = double.object("rook-ceph", "deployments", "rook-ceph-operator").unwrap();
    object["metadata"]["labels"]["a"] = "b".into();
    assert_eq!(send_json(&double, "PUT", &path, &object).0, 200);
    object["metadata"]["labels"]["a"] = "c".into();
    let late = send_json(&double, "PUT", &path, &object);
    let expected = "Operation cannot be fulfilled on deployments.apps \"rook-ceph-operator\": the object has been \
                    modified; please apply your changes to the latest version and try again";
    assert_eq!(said(&late), (409, "Conflict", expected));
    assert_eq!(late.1["details"], json!({"name": "rook-ceph-operator", "group": "apps", "kind": "deployments"}));
    let old = json!({"metadata": {"resourceVersion": "1", "labels": {"a": "d"}}});
    assert_eq!(send(&double, "PATCH", &path, MERGE, &old).0, 409);
    let test = json!([{"op": "test", "path": "/metadata/labels/a", "value": "x"}, {"op": "remove", "path": "/spec"}]);
    let failed = send(&double, "PATCH", &path, "application/json-patch+json", &test);
    assert_eq!(said(&failed), (422, "Invalid", "the server rejected our request due to an error in our request"));
    let right = json!([{"op": "test", "path": "/metadata/labels/a", "value": "b"}, {"op": "remove", "path": "/metadata/labels/a"}]);
    assert_eq!(send(&double, "PATCH", &path, "application/json-patch+json", &right).0, 200);
    assert_eq!(send(&double, "PATCH", &path, "application/apply-patch+yaml", &old).0, 415);

    let pod = format!("{PODS}/{}", pods(&double, "rook-ceph-operator")[0]);
    let other = send_json(&double, "DELETE", &pod, &json!({"preconditions": {"uid": "another"}}));
    assert!(said(&other).0 == 409 && said(&other).2.contains("the UID in the precondition (another)"), "{other:?}");
    assert_eq!(send_json(&double, "DELETE", &format!("{PODS}/nobody"), &Value::Null).0, 404);
    assert_eq!(send_json(&double, "DELETE", PODS, &Value::Null).0, 405);
    assert_eq!(double.writes(), [format!("PUT {path}"), format!("PATCH {path}")]);
}

#[test]
fn what_is_created_is_there_once() {
    let double = serve();
    let leases = "/apis/coordination.k8s.io/v1/namespaces/nowhere-else/leases";
    let lease = json!({"metadata": {"name": "lock"}, "spec": {"holderIdentity": "me"}});
    let (status, made) = send_json(&double, "POST", leases, &lease);
    assert_eq!((status, &made["kind"], &made["metadata"]["namespace"]), (201, &json!("Lease"), &json!("nowhere-else")));
    assert!(["uid", "resourceVersion", "creationTimestamp"].iter().all(|key| made["metadata"][key].is_string()));
    let again = send_json(&double, "POST", leases, &lease);
    assert_eq!(said(&again), (409, "AlreadyExists", "leases.coordination.k8s.io \"lock\" already exists"));
    assert_eq!(send_json(&double, "GET", &format!("{leases}/lock"), &Value::Null).1, made);
    assert_eq!(send_json(&double, "GET", &format!("{leases}/other"), &Value::Null).0, 404);
    let event = json!({"metadata": {"generateName": "fix-"}, "reason": "Fixed", "message": "done"});
    let (status, made) = send_json(&double, "POST", "/api/v1/namespaces/default/events", &event);
    let name = made["metadata"]["name"].as_str().unwrap();
    assert!(status == 201 && name.starts_with("fix-") && name.len() == 9, "{made}");
    assert!(shown(&double, "get events -n default").contains("Fixed"));
    assert_eq!(send_json(&double, "DELETE", &format!("{leases}/lock"), &Value::Null).0, 200);
    assert_eq!(send_json(&double, "GET", &format!("{leases}/lock"), &Value::Null).0, 404);
    assert_eq!(double.writes().len(), 3);
}

#[test]
fn a_dry_run_changes_nothing() {
    let double = serve();
    let pod = pods(&double, "rook-ceph-operator").remove(0);
    let before = double.object("rook-ceph", "pods", &pod);
    let label = json!({"metadata": {"labels": {"a": "b"}}});
    let (status, answer) = send(&double, "PATCH", &format!("{PODS}/{pod}?dryRun=All"), MERGE, &label);
    assert_eq!((status, &answer["metadata"]["labels"]["a"]), (200, &json!("b")));
    // An old kubectl wants schemas before it asks the server for a dry run.
    if support::kubectl_minor() >= 27 {
        shown(&double, &format!("delete pod -n rook-ceph {pod} --dry-run=server"));
    }
    assert_eq!(send_json(&double, "DELETE", &format!("{PODS}/nobody?dryRun=All"), &Value::Null).0, 404);
    assert_eq!((double.object("rook-ceph", "pods", &pod), double.writes().len()), (before, 0));
}

#[test]
fn an_eviction_asks_the_budget() {
    let double = serve();
    let pod = pods(&double, "rook-ceph-mon").remove(0);
    let (path, eviction) = (format!("{PODS}/{pod}/eviction"), json!({"metadata": {"name": pod}}));
    let other = json!({"deleteOptions": {"preconditions": {"uid": "another"}}});
    assert_eq!(send_json(&double, "POST", &path, &other).0, 409);
    let budget = "/apis/policy/v1/namespaces/rook-ceph/poddisruptionbudgets/rook-ceph-mon-pdb";
    double.on("PATCH /apis/policy/v1/*", |changed| {
        changed.edit("rook-ceph", "poddisruptionbudgets", "rook-ceph-mon-pdb", |budget| {
            budget["status"]["disruptionsAllowed"] = 0.into();
        });
    });
    send(&double, "PATCH", budget, MERGE, &json!({"metadata": {"labels": {"a": "b"}}}));
    let refused = send_json(&double, "POST", &path, &eviction);
    let expected = "Cannot evict pod as it would violate the pod's disruption budget.";
    assert_eq!(said(&refused), (429, "TooManyRequests", expected));
    let mds = pods(&double, "rook-ceph-mds").remove(0);
    assert_eq!(send_json(&double, "POST", &format!("{PODS}/{mds}/eviction"), &Value::Null).0, 201);
    assert!(!pods(&double, "rook-ceph-mds").contains(&mds));
    assert_eq!(double.writes(), [format!("PATCH {budget}"), format!("POST {PODS}/{mds}/eviction")]);
}

#[test]
fn who_is_denied_a_verb_is_told_so() {
    let refuse = Fault::at("/api/v1/nodes", Act::Refuse(403)).method("PATCH");
    let double = Double::serve(support::base(BASE), Faults::some([refuse]));
    double.deny("delete", "pods");
    let pod = pods(&double, "rook-ceph-operator").remove(0);
    let denied = send_json(&double, "DELETE", &format!("{PODS}/{pod}"), &Value::Null);
    let expected = format!(
        "pods \"{pod}\" is forbidden: User \"double\" cannot delete resource \"pods\" in API group \"\" in the \
         namespace \"rook-ceph\""
    );
    assert_eq!(said(&denied), (403, "Forbidden", expected.as_str()));
    for (verb, resource, allowed) in
        [("delete", "pods", false), ("get", "pods", true), ("patch", "nodes", false), ("get", "nodes", true)]
    {
        let review = json!({"spec": {"resourceAttributes": {"verb": verb, "resource": resource}}});
        let answer = send_json(&double, "POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", &review);
        assert_eq!((answer.0, &answer.1["status"]["allowed"]), (201, &json!(allowed)), "{verb} {resource}");
    }
    let me = send_json(&double, "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", &json!({}));
    assert_eq!(me.1["status"]["userInfo"]["username"], "double");
    assert!(double.writes().is_empty());
}

#[test]
fn a_test_says_what_follows_from_a_write() {
    let tree = support::base("story5-kubeovn-after-reboot");
    let double = Double::serve(tree.clone(), Faults::none());
    let names = shown(&double, "get pods -n kube-system -l app=ovs -o name");
    let pod = names.lines().next().unwrap().trim_start_matches("pod/");
    let healthy = support::base("healthy-multus-kubeovn");
    double.on("DELETE /api/v1/namespaces/kube-system/pods/ovs-ovn-*", move |changed| {
        assert!(changed.tree().file("namespaces/kube-system/core/pods.yaml").is_some());
        changed
            .edit("kube-system", "pods", "kube-ovn-cni-b7955", |pod| pod["metadata"]["labels"]["seen"] = "yes".into());
        changed.remove("kube-system", "daemonsets.apps", "kube-ovn-pinger");
        changed.write("namespaces/kube-system/core/configmaps.yaml", r#"{"kind":"List","items":[]}"#);
        changed.restore(&healthy, "cluster-scoped-resources/core/nodes/");
    });
    shown(&double, &format!("delete pod -n kube-system {pod}"));
    let cni = double.object("kube-system", "pods", "kube-ovn-cni-b7955").unwrap();
    assert_eq!(cni["metadata"]["labels"]["seen"], "yes");
    assert_eq!(double.object("kube-system", "daemonsets", "kube-ovn-pinger"), None);
    assert_eq!(shown(&double, "get cm -n kube-system -o name"), "");
    let nodes = |double: &Double| shown(double, "get nodes -o name");
    assert_eq!(nodes(&double), nodes(&Double::serve(support::base("healthy-multus-kubeovn"), Faults::none())));
    let set = double.object("kube-system", "daemonsets", "ovs-ovn").unwrap();
    assert_eq!(set["status"]["numberReady"], set["status"]["desiredNumberScheduled"]);
    let fresh = Double::serve(tree, Faults::none());
    assert!(fresh.object("kube-system", "pods", pod).is_some(), "the recording itself is as it was");
}

#[test]
fn a_finalizer_holds_an_object() {
    let double = serve();
    let path = "/apis/ceph.rook.io/v1/namespaces/rook-ceph/cephclusters/rook-ceph";
    let held = json!({"metadata": {"finalizers": ["cephcluster.ceph.rook.io"]}});
    send(&double, "PATCH", path, MERGE, &held);
    assert_eq!(send_json(&double, "DELETE", path, &Value::Null).0, 200);
    let cluster = double.object("rook-ceph", "cephclusters", "rook-ceph").unwrap();
    assert!(cluster["metadata"]["deletionTimestamp"].is_string());
    send(&double, "PATCH", path, MERGE, &json!({"metadata": {"finalizers": null}}));
    assert_eq!(double.object("rook-ceph", "cephclusters", "rook-ceph"), None);
}

#[test]
fn a_watch_tells_what_changes() {
    let double = serve();
    let list = send_json(&double, "GET", PODS, &Value::Null).1;
    let pod = pods(&double, "rook-ceph-operator").remove(0);
    send(&double, "PATCH", &format!("{PODS}/{pod}"), MERGE, &json!({"metadata": {"labels": {"a": "b"}}}));
    send_json(&double, "DELETE", &format!("{PODS}/{pod}"), &Value::Null);
    let watch = |more: &str| -> Vec<String> {
        let path = format!("{PODS}?watch=true&timeoutSeconds=1&labelSelector=app%3Drook-ceph-operator{more}");
        let (_, body) = send_json(&double, "GET", &path, &Value::Null);
        let text = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
        let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        events.filter_map(|event| event["type"].as_str().map(str::to_owned)).collect()
    };
    let version = list["metadata"]["resourceVersion"].as_str().unwrap();
    assert_eq!(watch(&format!("&resourceVersion={version}")), ["MODIFIED", "DELETED", "ADDED"]);
    assert_eq!(watch(""), ["ADDED"]);
    assert!(watch("&resourceVersion=99999999999999").is_empty());
}

/// Runs a command in the operator's pod; what it writes to stdout, or its exit status and stderr.
fn ceph(double: &Double, command: &str) -> Result<String, (i32, String)> {
    let operator = pods(double, "rook-ceph-operator").remove(0);
    let ran = kubectl(double, &format!("exec -n rook-ceph {operator} -- ceph {command}"));
    match ran.status.code() {
        Some(0) => Ok(String::from_utf8(ran.stdout).unwrap()),
        code => Err((code.unwrap(), String::from_utf8(ran.stderr).unwrap())),
    }
}

fn ceph_json(double: &Double, command: &str) -> Value {
    serde_json::from_str(&ceph(double, &format!("{command} --format json")).unwrap()).unwrap()
}

#[test]
fn flags_of_ceph_can_be_set_and_unset() {
    let double = serve();
    let (dump, text) = (ceph_json(&double, "osd dump"), ceph(&double, "status").unwrap());
    ceph(&double, "osd set noout").unwrap();
    ceph(&double, "osd set-group noup,nodown osd.0 birch-w2").unwrap();
    let set = ceph_json(&double, "osd dump");
    assert!(set["flags"].as_str().unwrap().starts_with("noout,"), "{}", set["flags"]);
    assert_eq!(set["osds"][0]["state"], json!(["exists", "nodown", "noup", "up"]));
    assert_eq!(set["crush_node_flags"]["birch-w2"], json!(["nodown", "noup"]));
    let health = ceph_json(&double, "health detail");
    assert_eq!(health["checks"]["OSDMAP_FLAGS"]["summary"]["message"], "noout flag(s) set");
    let details =
        json!([{"message": "osd.0 has flags nodown,noup"}, {"message": "host birch-w2 has flags nodown,noup"}]);
    assert_eq!(health["checks"]["OSD_FLAGS"]["detail"], details);
    assert_eq!(ceph_json(&double, "status")["health"]["status"], "HEALTH_WARN");
    assert!(ceph(&double, "status").unwrap().contains("health: HEALTH_WARN\n            noout flag(s) set\n"));
    assert!(matches!(ceph(&double, "osd set nosuch"), Err((22, why)) if why.contains("EINVAL")));

    double
        .on("CEPH osd unset noout", |changed| changed.edit("", "nodes", "birch-w1", |node| node["seen"] = true.into()));
    ceph(&double, "osd unset noout").unwrap();
    ceph(&double, "osd unset-group noup,nodown osd.0 birch-w2").unwrap();
    let unset = ceph_json(&double, "osd dump");
    for same in ["flags", "flags_set", "flags_num", "osds", "crush_node_flags"] {
        assert_eq!(unset[same], dump[same], "{same}");
    }
    assert_eq!(ceph(&double, "status").unwrap(), text);
    assert_eq!(ceph_json(&double, "health detail")["status"], "HEALTH_OK");
    assert_eq!(double.object("", "nodes", "birch-w1").unwrap()["seen"], true);
    let writes = [
        "osd set noout",
        "osd set-group noup,nodown osd.0 birch-w2",
        "osd unset noout",
        "osd unset-group noup,nodown osd.0 birch-w2",
    ];
    assert_eq!(double.writes(), writes.map(|command| format!("CEPH {command}")));
}

#[test]
fn commands_of_ceph_change_its_health() {
    let double = Double::serve(support::base("story4-clock-and-pool-app"), Faults::none());
    let codes = |double: &Double| -> Vec<String> {
        ceph_json(double, "health detail")["checks"].as_object().unwrap().keys().cloned().collect()
    };
    assert_eq!(codes(&double), ["MON_CLOCK_SKEW", "POOL_APP_NOT_ENABLED"]);
    assert!(matches!(ceph(&double, "osd pool application enable nosuch rbd"), Err((2, _))));
    assert!(matches!(ceph(&double, "osd pool application enable replicapool rgw"), Err((1, _))));
    ceph(&double, "osd pool application enable kube rbd").unwrap();
    assert_eq!(codes(&double), ["MON_CLOCK_SKEW"]);
    let pools = ceph_json(&double, "osd pool ls detail");
    let kube = pools.as_array().unwrap().iter().find(|pool| pool["pool_name"] == "kube").unwrap();
    assert_eq!(kube["application_metadata"], json!({"rbd": {}}));
    ceph(&double, "mgr fail").unwrap();
    let dump = ceph_json(&double, "mgr dump");
    assert_eq!((&dump["active_name"], &dump["standbys"][0]["name"]), (&json!("b"), &json!("a")));
    assert_eq!(ceph_json(&double, "mgr stat")["active_name"], "b");
    let ok = ceph_json(&double, "osd ok-to-stop 3");
    assert_eq!((&ok["ok_to_stop"], &ok["osds"]), (&json!(true), &json!([3])));
    assert_eq!(double.writes(), ["CEPH osd pool application enable kube rbd", "CEPH mgr fail"]);
}

#[test]
fn a_crash_that_is_archived_is_no_longer_recent() {
    let mut tree = support::base(BASE);
    let at = "ceph/namespaces/rook-ceph/must_gather_commands_json_output";
    let crash =
        |minute: u32| json!({"crash_id": format!("2024-07-09T07:{minute}:00.000000Z_1f"), "entity_name": "osd.1"});
    let line = |minute: u32| json!({"message": format!("osd.1 crashed on host birch-w1 at 2024-07-09T07:{minute}:00.000000Z")});
    let check = json!({"severity": "HEALTH_WARN", "muted": false, "detail": [line(10), line(20)],
        "summary": {"message": "2 daemons have recently crashed", "count": 2}});
    let health = json!({"status": "HEALTH_WARN", "checks": {"RECENT_CRASH": check}, "mutes": []});
    for (name, answer) in [("crash_ls", json!([crash(10), crash(20)])), ("health_detail", health)] {
        tree.write(&format!("{at}/ceph_{name}_--format_json-pretty"), answer.to_string().into_bytes());
    }
    let status = json!({"pgmap": {"num_pgs": 2, "pgs_by_state": [{"state_name": "active+undersized", "count": 2}]},
        "mgrmap": {"available": true}, "health": {"status": "HEALTH_WARN", "checks": {}}});
    tree.write(&format!("{at}/ceph_status_--format_json-pretty"), status.to_string().into_bytes());
    let double = Double::serve(tree, Faults::none());
    let recent = || ceph_json(&double, "health detail")["checks"]["RECENT_CRASH"]["summary"]["count"].clone();
    assert!(matches!(ceph(&double, "crash archive nosuch"), Err((22, _))));
    ceph(&double, "crash archive 2024-07-09T07:10:00.000000Z_1f").unwrap();
    assert_eq!(recent(), 1);
    assert!(ceph_json(&double, "crash ls")[0]["archived"].is_string());
    ceph(&double, "crash archive-all").unwrap();
    assert_eq!(recent(), Value::Null);
    assert!(matches!(ceph(&double, "osd ok-to-stop 1 --format json"), Err((16, why)) if why.contains("EBUSY")));
    let lost = Double::serve(support::base("story4c-quorum-lost"), Faults::none());
    assert!(matches!(ceph(&lost, "osd set noout"), Err((1, why)) if why.contains("timed out")));
    assert!(lost.writes().is_empty());
}

/// A client that is killed while a write is held up has written nothing; an answer that is lost was a write.
#[test]
fn reads_go_on_while_a_write_is_held_up() {
    let slow = Fault::at(PODS, Act::Slow(Duration::from_secs(30))).method("DELETE");
    let cut = Fault::at(DEPLOYMENTS, Act::Cut).method("PATCH").times(1);
    let double = Double::serve(support::base(BASE), Faults::some([slow, cut]));
    let pod = pods(&double, "rook-ceph-operator").remove(0);
    let ran = kubectl(&double, &format!("delete pod -n rook-ceph {pod} --request-timeout=1s"));
    assert!(!ran.status.success());
    assert_eq!(pods(&double, "rook-ceph-operator"), [pod]);
    assert!(double.writes().is_empty());
    let patch = r#"patch deploy -n rook-ceph rook-ceph-operator --type=merge -p {"metadata":{"labels":{"a":"b"}}}"#;
    assert!(!kubectl(&double, patch).status.success());
    assert_eq!(double.writes().len(), 1);
}
