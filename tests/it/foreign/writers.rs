//! Lays a recorded cluster out as other tools do: their paths, their choice of YAML or JSON, and only what each of
//! them takes.

use std::collections::BTreeMap;

use rookdoctor::facts::archive::Tree;
use serde_json::{Value, json};

use super::SECRET;

/// Content by path.
pub type Files = BTreeMap<String, Vec<u8>>;

pub const DIGEST: &str = "must-gather.local.42/registry-example-odf-must-gather-sha256-0af1";

/// A recorded cluster, taken apart.
pub struct Recorded {
    /// By namespace, group and plural; an empty list was read too.
    lists: BTreeMap<(String, String, String), Vec<Value>>,
    /// By group and plural.
    clustered: BTreeMap<(String, String), Vec<Value>>,
    namespaces: BTreeMap<String, Value>,
    /// By namespace, pod, container and `current` or `previous`.
    logs: BTreeMap<(String, String, String, String), Vec<u8>>,
    /// By namespace and the words of the command with `_` between them.
    answers: BTreeMap<(String, String), Vec<u8>>,
}

impl Recorded {
    pub fn of(tree: &Tree) -> Self {
        let mut recorded = Self {
            lists: BTreeMap::new(),
            clustered: BTreeMap::new(),
            namespaces: BTreeMap::new(),
            logs: BTreeMap::new(),
            answers: BTreeMap::new(),
        };
        for (path, file) in tree.below("") {
            let names: Vec<&str> = path.split('/').collect();
            let objects = || file.objects().unwrap().to_vec();
            let plural = |name: &str| name.trim_end_matches(".yaml").to_owned();
            match names[..] {
                ["namespaces", ns, file] if file == format!("{ns}.yaml") => {
                    recorded.namespaces.insert(ns.to_owned(), objects().remove(0));
                }
                ["namespaces", ns, "pods", pod, container, _, "logs", log] => {
                    let key = [ns, pod, container, log.trim_end_matches(".log")].map(str::to_owned);
                    recorded.logs.insert(key.into(), file.bytes().unwrap().into_owned());
                }
                ["namespaces", ns, group, resource] | ["namespaces", ns, group, resource, _] => {
                    let key = (ns.to_owned(), group.to_owned(), plural(resource));
                    recorded.lists.entry(key).or_default().extend(objects());
                }
                ["cluster-scoped-resources", group, resource] | ["cluster-scoped-resources", group, resource, _] => {
                    recorded.clustered.entry((group.to_owned(), plural(resource))).or_default().extend(objects());
                }
                ["ceph", "namespaces", ns, "must_gather_commands_json_output", answer] => {
                    let command = answer.trim_end_matches("_--format_json-pretty").to_owned();
                    recorded.answers.insert((ns.to_owned(), command), file.bytes().unwrap().into_owned());
                }
                _ => {}
            }
        }
        recorded
    }
}

fn name(object: &Value) -> &str {
    object.pointer("/metadata/name").and_then(Value::as_str).unwrap()
}

fn kind(object: &Value) -> &str {
    object["kind"].as_str().unwrap()
}

fn yaml(value: &Value) -> Vec<u8> {
    format!("---\n{}", serde_saphyr::to_string(value).unwrap()).into_bytes()
}

fn pretty(value: &Value) -> Vec<u8> {
    serde_json::to_vec_pretty(value).unwrap()
}

/// A typed list, whose items leave their kind out, as a typed client writes it.
fn typed(kind: &str, version: &str, objects: &[Value]) -> Value {
    let bare = |object: &Value| {
        let mut object = object.clone();
        object.as_object_mut().unwrap().retain(|key, _| key != "kind" && key != "apiVersion");
        object
    };
    let items: Vec<Value> = objects.iter().map(bare).collect();
    json!({"kind": format!("{kind}List"), "apiVersion": version, "metadata": {}, "items": items})
}

fn secret() -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "rook-ceph"}, "data": {"k": SECRET}})
}

fn is_custom(group: &str) -> bool {
    let is_builtin =
        group.ends_with(".k8s.io") && group != "snapshot.storage.k8s.io" && !group.ends_with("cni.cncf.io");
    group.contains('.') && !is_builtin
}

/// What `oc adm inspect ns/...` makes of namespaces: lists of what it knows, and pods with their logs.
fn namespaces(recorded: &Recorded, root: &str, files: &mut Files) {
    for (ns, object) in &recorded.namespaces {
        files.insert(format!("{root}namespaces/{ns}/{ns}.yaml"), yaml(object));
    }
    for ((ns, group, plural), objects) in recorded.lists.iter().filter(|((_, group, _), _)| !is_custom(group)) {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        files.insert(format!("{root}namespaces/{ns}/{group}/{plural}.yaml"), yaml(&list));
    }
    for ((ns, pod, container, log), text) in &recorded.logs {
        let path = format!("{root}namespaces/{ns}/pods/{pod}/{container}/{container}/logs/{log}.log");
        files.insert(path, text.clone());
    }
    let secrets = json!({"apiVersion": "v1", "kind": "SecretList", "items": [secret()]});
    files.insert(format!("{root}namespaces/rook-ceph/core/secrets.yaml"), yaml(&secrets));
}

fn clustered(recorded: &Recorded, root: &str, files: &mut Files, wanted: impl Fn(&str, &str) -> bool) {
    for ((group, plural), objects) in recorded.clustered.iter().filter(|((group, plural), _)| wanted(group, plural)) {
        for object in objects {
            let path = format!("{root}cluster-scoped-resources/{group}/{plural}/{}.yaml", name(object));
            files.insert(path, yaml(object));
        }
    }
}

fn custom(recorded: &Recorded, files: &mut Files, place: impl Fn(&str, &str, &str) -> String) {
    for ((ns, group, plural), objects) in recorded.lists.iter().filter(|((_, group, _), _)| is_custom(group)) {
        for object in objects {
            files.insert(format!("{}/{}.yaml", place(ns, group, plural), name(object)), yaml(object));
        }
    }
}

/// `oc adm inspect` of namespaces, nodes, storage and the custom resources, in the folder that it makes.
pub fn inspect(recorded: &Recorded) -> Files {
    let mut files = Files::new();
    let root = "inspect.local.7/";
    namespaces(recorded, root, &mut files);
    clustered(recorded, root, &mut files, |group, _| group != "apiextensions.k8s.io");
    custom(recorded, &mut files, |ns, group, plural| format!("{root}namespaces/{ns}/{group}/{plural}"));
    files
}

/// The must-gather of ODF: no CRDs, the resources of Rook and the answers of Ceph below `ceph`.
pub fn odf(recorded: &Recorded) -> Files {
    let mut files = Files::new();
    let root = format!("{DIGEST}/");
    namespaces(recorded, &root, &mut files);
    let gathered = ["nodes", "persistentvolumes", "storageclasses", "csidrivers", "volumeattachments", "networkfences"];
    clustered(recorded, &root, &mut files, |group, plural| gathered.contains(&plural) || group == "kubeovn.io");
    custom(recorded, &mut files, |ns, group, plural| match group {
        "ceph.rook.io" => format!("{root}ceph/namespaces/{ns}/{group}/{plural}"),
        _ => format!("{root}namespaces/all/namespaces/{ns}/{group}/{plural}"),
    });
    for ((_, command), answer) in &recorded.answers {
        let path = format!("{root}ceph/must_gather_commands_json_output/{command}_--format_json-pretty");
        files.insert(path, answer.clone());
    }
    let keys = format!("[client.admin]\n\tkey = {SECRET}\n").into_bytes();
    files.insert(format!("{root}ceph/must_gather_commands/ceph_auth_list"), keys);
    files.insert(format!("{root}namespaces/all/pods"), b"NAMESPACE  NAME\n".to_vec());
    files.insert(format!("{root}ceph_logs/journal_w1/journal_w1.gz"), b"not read".to_vec());
    files.insert(format!("{root}version"), b"odf-must-gather\n4.16.0\n".to_vec());
    files
}

const DUMPED: [(&str, &str, &str, &str, &str); 6] = [
    ("core", "events", "events", "Event", "v1"),
    ("core", "services", "services", "Service", "v1"),
    ("core", "pods", "pods", "Pod", "v1"),
    ("apps", "daemonsets", "daemonsets", "DaemonSet", "apps/v1"),
    ("apps", "deployments", "deployments", "Deployment", "apps/v1"),
    ("apps", "replicasets", "replicasets", "ReplicaSet", "apps/v1"),
];

/// The logs of a pod as `kubectl cluster-info dump` frames them; it takes no previous ones.
fn framed(recorded: &Recorded, ns: &str, pod: &Value) -> Vec<u8> {
    let mut text = Vec::new();
    for field in ["initContainers", "containers"] {
        let containers = pod.pointer(&format!("/spec/{field}")).and_then(Value::as_array);
        for container in containers.into_iter().flatten() {
            let container = container["name"].as_str().unwrap();
            let of = format!("container {container} of pod {ns}/{}", name(pod));
            let key = [ns, name(pod), container, "current"].map(str::to_owned).into();
            let failed = format!("Request log error: container \"{container}\" is waiting to start\n").into_bytes();
            let log = recorded.logs.get(&key).unwrap_or(&failed);
            text.extend_from_slice(format!("==== START logs for {of} ====\n").as_bytes());
            text.extend_from_slice(log);
            text.extend_from_slice(format!("==== END logs for {of} ====\n").as_bytes());
        }
    }
    text
}

fn nodes(recorded: &Recorded) -> Value {
    typed("Node", "v1", &recorded.clustered[&("core".to_owned(), "nodes".to_owned())])
}

fn listed<'r>(recorded: &'r Recorded, ns: &str, group: &str, plural: &str) -> &'r [Value] {
    let key = (ns.to_owned(), group.to_owned(), plural.to_owned());
    recorded.lists.get(&key).map(Vec::as_slice).unwrap_or_default()
}

/// `kubectl cluster-info dump --all-namespaces --output-directory=dump`
pub fn dump(recorded: &Recorded) -> Files {
    let mut files = Files::from([("dump/nodes.json".to_owned(), pretty(&nodes(recorded)))]);
    for ns in recorded.namespaces.keys() {
        for (group, plural, file, kind, version) in DUMPED {
            let list = typed(kind, version, listed(recorded, ns, group, plural));
            files.insert(format!("dump/{ns}/{file}.json"), pretty(&list));
        }
        for pod in listed(recorded, ns, "core", "pods") {
            files.insert(format!("dump/{ns}/{}/logs.txt", name(pod)), framed(recorded, ns, pod));
        }
    }
    // Nothing that kubectl writes: a file that somebody laid beside.
    files.insert("dump/rook-ceph/secrets.json".to_owned(), pretty(&secret()));
    files
}

/// `kubectl cluster-info dump --all-namespaces`
pub fn stream(recorded: &Recorded) -> Vec<u8> {
    let mut text = kind_first(&nodes(recorded));
    for ns in recorded.namespaces.keys() {
        for (group, plural, _, kind, version) in DUMPED {
            text.extend(kind_first(&typed(kind, version, listed(recorded, ns, group, plural))));
        }
        for pod in listed(recorded, ns, "core", "pods") {
            text.extend(framed(recorded, ns, pod));
        }
    }
    text
}

/// A list as kubectl prints one: its kind comes first, a newline last.
fn kind_first(list: &Value) -> Vec<u8> {
    let [kind, version, items] = ["kind", "apiVersion", "items"].map(|field| &list[field]);
    let items = serde_json::to_string_pretty(items).unwrap();
    format!("{{\n    \"kind\": {kind},\n    \"apiVersion\": {version},\n    \"metadata\": {{}},\n    \"items\": {items}\n}}\n")
        .into_bytes()
}

/// A support bundle of troubleshoot.sh with the collectors of cluster resources, all logs and Ceph.
pub fn support_bundle(recorded: &Recorded) -> Files {
    let root = "support-bundle-2026-10-06T05_44_51";
    let resources = format!("{root}/cluster-resources");
    let mut files = Files::new();
    let all: Vec<Value> = recorded.namespaces.values().cloned().collect();
    let list = |kind: &str, version: &str, items: &[Value]| {
        pretty(&json!({"kind": format!("{kind}List"), "apiVersion": version, "metadata": {}, "items": items}))
    };
    files.insert(format!("{resources}/namespaces.json"), list("Namespace", "v1", &all));
    let namespaced = [
        ("pods", "core", "pods", "Pod", "v1"),
        ("events", "core", "events", "Event", "v1"),
        ("services", "core", "services", "Service", "v1"),
        ("configmaps", "core", "configmaps", "ConfigMap", "v1"),
        ("pvcs", "core", "persistentvolumeclaims", "PersistentVolumeClaim", "v1"),
        ("deployments", "apps", "deployments", "Deployment", "apps/v1"),
        ("daemonsets", "apps", "daemonsets", "DaemonSet", "apps/v1"),
        ("replicasets", "apps", "replicasets", "ReplicaSet", "apps/v1"),
        ("jobs", "batch", "jobs", "Job", "batch/v1"),
        ("leases", "coordination.k8s.io", "leases", "Lease", "coordination.k8s.io/v1"),
        ("network-policy", "networking.k8s.io", "networkpolicies", "NetworkPolicy", "networking.k8s.io/v1"),
        ("pod-disruption-budgets", "policy", "poddisruptionbudgets", "PodDisruptionBudget", "policy/v1"),
    ];
    for (folder, group, plural, kind, version) in namespaced {
        for ns in recorded.namespaces.keys() {
            let objects = listed(recorded, ns, group, plural);
            files.insert(format!("{resources}/{folder}/{ns}.json"), list(kind, version, objects));
        }
        files.insert(format!("{resources}/{folder}-errors.json"), b"null".to_vec());
    }
    let clustered = [
        ("nodes", "core", "nodes"),
        ("pvs", "core", "persistentvolumes"),
        ("storage-classes", "storage.k8s.io", "storageclasses"),
        ("volumeattachments", "storage.k8s.io", "volumeattachments"),
        ("custom-resource-definitions", "apiextensions.k8s.io", "customresourcedefinitions"),
    ];
    for (file, group, plural) in clustered {
        let objects = recorded.clustered.get(&(group.to_owned(), plural.to_owned())).cloned().unwrap_or_default();
        let kind = objects.first().map_or("None", kind).to_owned();
        files.insert(format!("{resources}/{file}.json"), list(&kind, "v1", &objects));
    }
    let crs = format!("{resources}/custom-resources");
    files.insert(format!("{crs}/custom-resources-errors.json"), b"null".to_vec());
    for ((ns, group, plural), objects) in recorded.lists.iter().filter(|((_, group, _), _)| is_custom(group)) {
        if !objects.is_empty() {
            files.insert(format!("{crs}/{plural}.{group}/{ns}.json"), pretty(&json!(objects)));
        }
    }
    for ((group, plural), objects) in recorded.clustered.iter().filter(|((group, _), _)| is_custom(group)) {
        files.insert(format!("{crs}/{plural}.{group}.yaml"), yaml(&json!(objects)));
    }
    for ((ns, pod, container, log), text) in &recorded.logs {
        let previous = if log == "previous" { "-previous" } else { "" };
        files.insert(format!("{resources}/pods/logs/{ns}/{pod}/{container}{previous}.log"), text.clone());
    }
    for (id, command) in [
        ("status", "ceph_status"),
        ("health", "ceph_health_detail"),
        ("osd-tree", "ceph_osd_tree"),
        ("osd-pool", "ceph_osd_pool_ls_detail"),
        ("osd-df", "ceph_osd_df"),
        ("df", "ceph_df"),
        ("fs-ls", "ceph_fs_ls"),
    ] {
        if let Some(answer) = recorded.answers.get(&("rook-ceph".to_owned(), command.to_owned())) {
            files.insert(format!("{root}/ceph/{id}.json"), answer.clone());
        }
    }
    files.insert(format!("{root}/ceph/auth.json"), format!("{{\"key\": \"{SECRET}\"}}").into_bytes());
    files.insert(format!("{root}/secrets/rook-ceph/s.json"), pretty(&secret()));
    let version = json!({"info": {"major": "1"}, "string": "v1.34.1"});
    files.insert(format!("{root}/cluster-info/cluster_version.json"), pretty(&version));
    files
        .insert(format!("{root}/version.yaml"), b"apiVersion: troubleshoot.sh/v1beta2\nkind: SupportBundle\n".to_vec());
    files
}

/// An event as the newer API has it.
fn newer(event: &Value) -> Value {
    let mut event = event.clone();
    let fields = event.as_object_mut().unwrap();
    for (old, new) in [
        ("message", "note"),
        ("involvedObject", "regarding"),
        ("firstTimestamp", "deprecatedFirstTimestamp"),
        ("lastTimestamp", "deprecatedLastTimestamp"),
        ("count", "deprecatedCount"),
        ("source", "deprecatedSource"),
        ("reportingComponent", "reportingController"),
    ] {
        if let Some(value) = fields.remove(old) {
            fields.insert(new.to_owned(), value);
        }
    }
    fields.insert("apiVersion".to_owned(), "events.k8s.io/v1".into());
    event
}

/// `kubectl gather` of all namespaces of one cluster.
pub fn gather(recorded: &Recorded) -> Files {
    let root = "gather.one/prod";
    let mut files = Files::new();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let folder = |group: &str, plural: &str| match (group, plural) {
        ("core", "events") => "events.k8s.io/events".to_owned(),
        ("core", plural) => plural.to_owned(),
        (group, plural) => format!("{group}/{plural}"),
    };
    for ((ns, group, plural), objects) in &recorded.lists {
        let folder = folder(group, plural);
        *counts.entry(folder.clone()).or_default() += objects.len();
        for object in objects {
            let object = if plural == "events" { newer(object) } else { object.clone() };
            files.insert(format!("{root}/namespaces/{ns}/{folder}/{}.yaml", name(&object)), yaml(&object));
        }
    }
    for ((group, plural), objects) in &recorded.clustered {
        let folder = folder(group, plural);
        *counts.entry(folder.clone()).or_default() += objects.len();
        for object in objects {
            files.insert(format!("{root}/cluster/{folder}/{}.yaml", name(object)), yaml(object));
        }
    }
    counts.insert("namespaces".to_owned(), recorded.namespaces.len());
    for (ns, object) in &recorded.namespaces {
        files.insert(format!("{root}/cluster/namespaces/{ns}.yaml"), yaml(object));
    }
    for ((ns, pod, container, log), text) in &recorded.logs {
        files.insert(format!("{root}/namespaces/{ns}/pods/{pod}/{container}/{log}.log"), text.clone());
    }
    files.insert(format!("{root}/namespaces/rook-ceph/secrets/s.yaml"), yaml(&secret()));
    files.insert(format!("{root}/addons/rook/commands/ceph-status"), b"  cluster:\n    health: HEALTH_WARN\n".to_vec());
    let mut lines = vec!["gather\tGathering from all namespaces".to_owned()];
    lines.extend(counts.iter().map(|(of, count)| format!("gather.prod\tGathered {count} \"{of}\" in 0.012 seconds")));
    let log: String = lines.iter().map(|line| format!("2026-10-06T05:45:59.838+0000\tDEBUG\t{line}\n")).collect();
    files.insert("gather.one/gather.log".to_owned(), log.into_bytes());
    files
}
