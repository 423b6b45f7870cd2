//! How a cluster gets well, once the right thing was done to it.

use serde_json::{Value, json};

use crate::double::state::Changed;

/// The names of the pods of a namespace that begin so.
pub fn names(cluster: &Changed<'_>, ns: &str, prefix: &str) -> Vec<String> {
    let all = found(cluster, |pod| pod["metadata"]["namespace"] == ns).into_iter();
    all.map(|(_, name)| name).filter(|name| name.starts_with(prefix)).collect()
}

/// Namespace and name of the pods, in order.
fn found(cluster: &Changed<'_>, which: impl Fn(&Value) -> bool) -> Vec<(String, String)> {
    let mut names = Vec::new();
    for (path, file) in cluster.tree().below("namespaces/") {
        if !(path.contains("/core/pods") || path.contains("/pods/")) || !path.ends_with(".yaml") {
            continue;
        }
        for pod in file.objects().unwrap_or_default().iter().filter(|pod| pod["kind"] == "Pod" && which(pod)) {
            let name = |field: &str| pod["metadata"][field].as_str().unwrap_or_default().to_owned();
            names.push((name("namespace"), name("name")));
        }
    }
    names.sort();
    names.dedup();
    names
}

/// Every pod of these runs and is ready, and nothing is left of what kept it from that.
pub fn pods(cluster: &mut Changed<'_>, which: impl Fn(&Value) -> bool) {
    let now = cluster.now();
    for (ns, name) in found(cluster, which) {
        cluster.edit(&ns, "pods", &name, |pod| well(pod, &now));
    }
}

fn well(pod: &mut Value, now: &str) {
    if pod["status"]["phase"] == "Succeeded" || pod["metadata"]["ownerReferences"][0]["kind"] == "Job" {
        return;
    }
    let kinds = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];
    pod["status"]["conditions"] =
        kinds.map(|kind| json!({"type": kind, "status": "True", "lastTransitionTime": now})).to_vec().into();
    pod["status"]["phase"] = "Running".into();
    if pod["status"]["podIP"].is_null() {
        pod["status"]["podIP"] = "10.16.0.250".into();
    }
    for (list, key) in [("initContainers", "initContainerStatuses"), ("containers", "containerStatuses")] {
        let containers = pod["spec"][list].as_array().cloned().unwrap_or_default();
        let state = match list {
            "containers" => json!({"running": {"startedAt": now}}),
            _ => json!({"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": now, "finishedAt": now}}),
        };
        let status = |container: &Value| {
            json!({"name": container["name"], "image": container["image"], "imageID": "", "ready": true,
                "restartCount": 0, "started": true, "state": state, "lastState": {}})
        };
        if !containers.is_empty() {
            pod["status"][key] = containers.iter().map(status).collect::<Vec<_>>().into();
        }
    }
}

/// Everything on a node runs, and Ceph has it back.
pub fn node(cluster: &mut Changed<'_>, name: &str) {
    pods(cluster, |pod| pod["spec"]["nodeName"] == name);
    events(cluster);
    ceph(cluster, "rook-ceph");
}

/// The events of what was wrong are over.
pub fn events(cluster: &mut Changed<'_>) {
    let of_events = |path: &&str| path.contains("/core/events");
    let paths: Vec<String> =
        cluster.tree().below("namespaces/").map(|(path, _)| path).filter(of_events).map(str::to_owned).collect();
    for path in paths {
        cluster.write(&path, "{apiVersion: v1, kind: EventList, items: []}");
    }
}

/// All monitors in quorum, all OSDs up and in, all PGs clean, no complaint.
pub fn ceph(cluster: &mut Changed<'_>, ns: &str) {
    let Some(status) = cluster.ceph(ns, "status") else { return };
    let quorum = cluster.ceph(ns, "quorum_status").unwrap_or_default();
    let mons: Vec<Value> = quorum["monmap"]["mons"].as_array().cloned().unwrap_or_default();
    let names: Vec<Value> = mons.iter().map(|mon| mon["name"].clone()).collect();
    let ranks: Vec<Value> = mons.iter().map(|mon| mon["rank"].clone()).collect();
    let (osds, pgs) = (status["osdmap"]["num_osds"].clone(), status["pgmap"]["num_pgs"].clone());
    cluster.edit_ceph(ns, "status", |status| {
        status["health"] = json!({"status": "HEALTH_OK", "checks": {}, "mutes": []});
        if !names.is_empty() {
            status["quorum_names"] = names.clone().into();
            status["quorum"] = ranks.clone().into();
        }
        status["osdmap"]["num_up_osds"] = osds.clone();
        status["osdmap"]["num_in_osds"] = osds.clone();
        status["pgmap"]["pgs_by_state"] = json!([{"state_name": "active+clean", "count": pgs}]);
        for degraded in ["degraded_objects", "degraded_total", "degraded_ratio", "inactive_pgs_ratio"] {
            status["pgmap"].as_object_mut().map(|map| map.remove(degraded));
        }
    });
    cluster.edit_ceph(ns, "health detail", |health| {
        *health = json!({"status": "HEALTH_OK", "checks": {}, "mutes": []});
    });
    cluster.edit_ceph(ns, "quorum_status", |quorum| {
        quorum["quorum_names"] = names.clone().into();
        quorum["quorum"] = ranks.clone().into();
    });
    cluster.edit_ceph(ns, "osd dump", |dump| {
        for osd in dump["osds"].as_array_mut().into_iter().flatten() {
            osd["up"] = 1.into();
            osd["in"] = 1.into();
            osd["state"] = json!(["exists", "up"]);
        }
    });
    cluster.edit_ceph(ns, "osd tree", |tree| {
        for osd in tree["nodes"].as_array_mut().into_iter().flatten().filter(|node| node["type"] == "osd") {
            osd["status"] = "up".into();
            osd["reweight"] = 1.into();
        }
    });
    let mut clusters = Vec::new();
    for (_, file) in cluster.tree().below(&format!("namespaces/{ns}/ceph.rook.io/cephclusters")) {
        clusters.extend(file.objects().unwrap_or_default().iter().map(|one| one["metadata"]["name"].clone()));
    }
    for name in clusters.iter().filter_map(Value::as_str) {
        cluster.edit(ns, "cephclusters", name, |object| {
            object["status"]["ceph"]["health"] = "HEALTH_OK".into();
            object["status"]["ceph"].as_object_mut().map(|status| status.remove("details"));
        });
    }
}
