//! A large cluster grown from a recorded one: 300 nodes, 2,000 OSDs and 6,000 pods on Multus and Kube-OVN, with a
//! handful of faults. Objects carry managedFields of a real server's size.

use rookdoctor::examples;
use rookdoctor::facts::archive::Tree;
use serde_json::{Map, Value, json};

const BASE: &str = "healthy-multus-kubeovn";
const PODS: &str = "namespaces/rook-ceph/core/pods.yaml";
const APP_PODS: &str = "namespaces/apps/core/pods.yaml";
const SYSTEM_PODS: &str = "namespaces/kube-system/core/pods.yaml";
const CEPH: &str = "ceph/namespaces/rook-ceph/must_gather_commands_json_output";
/// The node and the OSD that the others are copied from.
const NODE: &str = "elm-01";
const OSD: &str = "0";

/// Grows the recorded cluster. The last two storage nodes are lost, with their OSDs.
pub fn cluster(nodes: usize, osds: usize, pods: usize) -> Tree {
    let example = examples::ALL.iter().find(|example| example.name == BASE).expect("the base is compiled in");
    let mut tree = Tree::from_archive(BASE, example.archive).expect("the base is readable");
    let names: Vec<String> = (0..nodes.saturating_sub(6)).map(|at| format!("store-{at:04}")).collect();
    let lost: Vec<&String> = names.iter().rev().take(2).collect();
    grow_nodes(&mut tree, &names, &lost);
    let placed: Vec<(usize, &str)> = (3..osds).map(|osd| (osd, names[osd % names.len()].as_str())).collect();
    let down: Vec<usize> =
        placed.iter().filter(|(_, node)| lost.iter().any(|n| n == node)).map(|(osd, _)| *osd).collect();
    grow_pods(&mut tree, &names, &placed, &down);
    grow_apps(&mut tree, &names, pods);
    grow_workloads(&mut tree, &placed);
    grow_ceph(&mut tree, &names, &placed, &down);
    tree
}

fn objects(tree: &Tree, path: &str) -> Vec<Value> {
    let file = tree.file(path).unwrap_or_else(|| panic!("the base has no {path}"));
    file.objects().expect("the base is well formed")
}

fn write(tree: &mut Tree, path: &str, items: Vec<Value>) {
    let items: Vec<Value> = items.into_iter().map(with_managed_fields).collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
    tree.write(path, serde_json::to_vec(&list).expect("JSON of values"));
}

/// A copy with names replaced in every text of the object.
fn copy(object: &Value, replace: &[(&str, &str)]) -> Value {
    match object {
        Value::String(text) => {
            Value::String(replace.iter().fold(text.clone(), |text, (from, to)| text.replace(from, to)))
        }
        Value::Array(items) => Value::Array(items.iter().map(|item| copy(item, replace)).collect()),
        Value::Object(map) => {
            Value::Object(map.iter().map(|(key, value)| (key.clone(), copy(value, replace))).collect())
        }
        other => other.clone(),
    }
}

/// Server-side apply keeps a tree of every field beside the object; it is half of a real pod list.
fn with_managed_fields(mut object: Value) -> Value {
    fn fields(value: &Value) -> Value {
        match value {
            Value::Object(map) => {
                Value::Object(map.iter().map(|(key, value)| (format!("f:{key}"), fields(value))).collect())
            }
            Value::Array(items) if items.iter().all(|item| item.get("name").is_some()) => {
                let entry = |item: &Value| (format!(r#"k:{{"name":{}}}"#, item["name"]), fields(item));
                Value::Object(items.iter().map(entry).collect::<Map<_, _>>())
            }
            _ => json!({}),
        }
    }
    let entry = |manager: &str, part: &str, object: &Value| {
        json!({"manager": manager, "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1",
               "fieldsV1": {format!("f:{part}"): fields(&object[part])}})
    };
    let managed = json!([entry("rook", "spec", &object), entry("kubelet", "status", &object)]);
    if object.pointer("/metadata/managedFields").is_none() {
        object["metadata"]["managedFields"] = managed;
    }
    object
}

fn grow_nodes(tree: &mut Tree, names: &[String], lost: &[&String]) {
    let template = objects(tree, &format!("cluster-scoped-resources/core/nodes/{NODE}.yaml")).remove(0);
    let leases = "namespaces/kube-node-lease/coordination.k8s.io/leases.yaml";
    let mut all_leases = objects(tree, leases);
    let lease = all_leases.iter().find(|lease| lease["metadata"]["name"] == NODE).expect("a lease").clone();
    for name in names {
        let mut node = copy(&template, &[(NODE, name)]);
        let images: Vec<Value> = (0..50)
            .map(|at| json!({"names": [format!("registry.example/image-{at}@sha256:{at:064}")], "sizeBytes": 1}))
            .collect();
        node["status"]["images"] = Value::Array(images);
        if lost.contains(&name) {
            for condition in node["status"]["conditions"].as_array_mut().expect("conditions") {
                condition["status"] = json!("Unknown");
                condition["reason"] = json!("NodeStatusUnknown");
            }
        }
        tree.write(
            &format!("cluster-scoped-resources/core/nodes/{name}.yaml"),
            serde_json::to_vec(&with_managed_fields(node)).expect("JSON of values"),
        );
        all_leases.push(copy(&lease, &[(NODE, name)]));
    }
    write(tree, leases, all_leases);
}

fn grow_pods(tree: &mut Tree, names: &[String], osds: &[(usize, &str)], down: &[usize]) {
    let mut pods = objects(tree, PODS);
    let on_node = |pod: &&Value| pod["spec"]["nodeName"] == NODE;
    let osd_pod = pods.iter().find(|pod| pod["metadata"]["labels"]["osd"] == OSD).expect("an OSD pod").clone();
    let of_each_node: Vec<Value> = pods.iter().filter(on_node).filter(|pod| is_node_bound(pod)).cloned().collect();
    for (at, name) in names.iter().enumerate() {
        pods.extend(of_each_node.iter().map(|pod| renamed(pod, name, at)));
    }
    for (osd, node) in osds {
        let id = osd.to_string();
        let mut pod = copy(&osd_pod, &[(NODE, node), ("osd-0", &format!("osd-{id}")), ("osd.0", &format!("osd.{id}"))]);
        for label in ["osd", "ceph-osd-id", "ceph_daemon_id", "app.kubernetes.io/instance"] {
            pod["metadata"]["labels"][label] = json!(id);
        }
        if down.contains(osd) {
            for condition in pod["status"]["conditions"].as_array_mut().expect("conditions") {
                if condition["type"] == "Ready" {
                    condition["status"] = json!("False");
                }
            }
            for status in pod["status"]["containerStatuses"].as_array_mut().expect("statuses") {
                status["ready"] = json!(false);
            }
        }
        pods.push(pod);
    }
    write(tree, PODS, pods);
    let mut system = objects(tree, SYSTEM_PODS);
    let of_each_node: Vec<Value> = system.iter().filter(on_node).filter(|pod| is_node_bound(pod)).cloned().collect();
    for (at, name) in names.iter().enumerate() {
        system.extend(of_each_node.iter().map(|pod| renamed(pod, name, at)));
    }
    write(tree, SYSTEM_PODS, system);
}

/// The rest of the pods are of those who use the storage.
fn grow_apps(tree: &mut Tree, names: &[String], pods: usize) {
    let others = objects(tree, PODS).len() + objects(tree, SYSTEM_PODS).len();
    let mut apps = objects(tree, APP_PODS);
    let template = apps.first().expect("a pod of an application").clone();
    for (at, name) in (apps.len() + others..pods).zip(names.iter().cycle()) {
        let mut pod = renamed(&template, name, at);
        pod["spec"]["nodeName"] = json!(name);
        apps.push(pod);
    }
    write(tree, APP_PODS, apps);
}

/// How many pods there are.
pub fn pods(tree: &Tree) -> usize {
    [PODS, SYSTEM_PODS, APP_PODS].map(|path| objects(tree, path).len()).iter().sum()
}

/// Owned by a DaemonSet, or one that Rook makes for every node.
fn is_node_bound(pod: &Value) -> bool {
    let owner = &pod["metadata"]["ownerReferences"][0]["kind"];
    let app = pod["metadata"]["labels"]["app"].as_str().unwrap_or_default();
    owner == "DaemonSet" || ["rook-ceph-crashcollector", "rook-ceph-exporter", "rook-ceph-osd-prepare"].contains(&app)
}

/// A DaemonSet's pod differs in its five last letters.
fn renamed(pod: &Value, node: &str, at: usize) -> Value {
    let name = pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let stem = name.rsplit_once('-').map_or(name.as_str(), |(stem, _)| stem);
    copy(pod, &[(&name, &format!("{stem}-{at:05}")), (NODE, node)])
}

fn grow_workloads(tree: &mut Tree, osds: &[(usize, &str)]) {
    for path in ["namespaces/rook-ceph/apps/deployments.yaml", "namespaces/rook-ceph/apps/replicasets.yaml"] {
        let mut all = objects(tree, path);
        let of_osd = |object: &&Value| {
            object["metadata"]["name"].as_str().is_some_and(|name| name.starts_with("rook-ceph-osd-0"))
        };
        let templates: Vec<Value> = all.iter().filter(of_osd).cloned().collect();
        for (osd, node) in osds {
            let id = osd.to_string();
            for template in &templates {
                let mut object =
                    copy(template, &[(NODE, node), ("osd-0", &format!("osd-{id}")), ("osd.0", &format!("osd.{id}"))]);
                for labels in ["/metadata/labels", "/spec/template/metadata/labels", "/spec/selector/matchLabels"] {
                    let Some(labels) = object.pointer_mut(labels) else { continue };
                    for label in ["osd", "ceph-osd-id", "ceph_daemon_id"] {
                        if labels.get(label).is_some() {
                            labels[label] = json!(id);
                        }
                    }
                }
                all.push(object);
            }
        }
        write(tree, path, all);
    }
}

fn answer(tree: &Tree, command: &str) -> (String, Value) {
    let path = format!("{CEPH}/ceph_{command}_--format_json-pretty");
    let bytes = tree.file(&path).expect("the base was asked").bytes().expect("readable").into_owned();
    (path, serde_json::from_slice(&bytes).expect("JSON"))
}

fn grow_ceph(tree: &mut Tree, names: &[String], osds: &[(usize, &str)], down: &[usize]) {
    let keep = |tree: &mut Tree, (path, value): (String, Value)| {
        tree.write(&path, serde_json::to_vec(&value).expect("JSON of values"));
    };
    let (path, mut dump) = answer(tree, "osd_dump");
    let template = dump["osds"][0].clone();
    let entries = osds.iter().map(|(osd, _)| {
        let mut entry = template.clone();
        let up = i64::from(!down.contains(osd));
        entry["osd"] = json!(osd);
        entry["up"] = json!(up);
        let host = format!("192.168.{}.{}", 150 + osd / 250, 1 + osd % 250);
        entry["public_addrs"] = copy(&entry["public_addrs"], &[("192.168.140.15", &host)]);
        entry
    });
    dump["osds"].as_array_mut().expect("osds").extend(entries.collect::<Vec<_>>());
    keep(tree, (path, dump));

    let (path, mut osd_tree) = answer(tree, "osd_tree");
    let nodes = osd_tree["nodes"].as_array_mut().expect("nodes");
    for (at, name) in names.iter().enumerate() {
        let id = -100 - at as i64;
        let children: Vec<usize> = osds.iter().filter(|(_, node)| node == name).map(|(osd, _)| *osd).collect();
        nodes[0]["children"].as_array_mut().expect("children").push(json!(id));
        nodes.push(json!({"id": id, "name": name, "type": "host", "type_id": 1, "children": children}));
    }
    for (osd, _) in osds {
        let status = if down.contains(osd) { "down" } else { "up" };
        nodes.push(json!({"id": osd, "name": format!("osd.{osd}"), "type": "osd", "exists": 1, "status": status, "reweight": 1}));
    }
    keep(tree, (path, osd_tree));

    let total = osds.len() + 3;
    let summary = format!("{} osds down", down.len());
    let check = json!({"severity": "HEALTH_WARN", "summary": {"message": summary, "count": down.len()}, "muted": false,
        "detail": down.iter().take(50).map(|osd| json!({"message": format!("osd.{osd} (root=default) is down")})).collect::<Vec<_>>()});
    let (path, mut health) = answer(tree, "health_detail");
    health["status"] = json!("HEALTH_WARN");
    health["checks"] = json!({"OSD_DOWN": check.clone()});
    keep(tree, (path, health));
    let (path, mut status) = answer(tree, "status");
    status["health"]["status"] = json!("HEALTH_WARN");
    status["health"]["checks"] = json!({"OSD_DOWN": check});
    status["osdmap"]["num_osds"] = json!(total);
    status["osdmap"]["num_in_osds"] = json!(total);
    status["osdmap"]["num_up_osds"] = json!(total - down.len());
    keep(tree, (path, status));
}
