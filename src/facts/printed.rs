//! Rows as the API server prints them, derived from whole objects: a bundle holds objects, and its reader
//! must see the very rows that a live cluster answers with. The words are those of the server's printers.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Kind, Table};

/// Makes the row of an object. Ages are as of the given time.
pub type Printer = fn(&Value, Timestamp) -> Vec<Value>;

/// The server's table of these objects. Ages are as of `now`.
pub fn table(kind: Kind, objects: &[&Value], now: Timestamp) -> Result<Table, String> {
    let (columns, print) = printer(kind)?;
    Ok(Table { columns, cells: objects.iter().map(|object| print(object, now)).collect() })
}

/// The columns of a kind's table and what fills them.
pub fn printer(kind: Kind) -> Result<(Vec<String>, Printer), String> {
    let (columns, print) = known(kind).ok_or_else(|| format!("no table of {} is known", kind.resource()))?;
    Ok((columns.split(", ").map(str::to_owned).collect(), print))
}

fn known(kind: Kind) -> Option<(&'static str, Printer)> {
    Some(match (kind.group, kind.plural) {
        ("", "pods") => ("Name, Ready, Status, Restarts, Age, IP, Node, Nominated Node, Readiness Gates", pod),
        ("", "nodes") => (
            "Name, Status, Roles, Age, Version, Internal-IP, External-IP, OS-Image, Kernel-Version, Container-Runtime",
            node,
        ),
        ("", "events") => {
            ("Last Seen, Type, Reason, Object, Subobject, Source, Message, First Seen, Count, Name", event)
        }
        ("", "persistentvolumeclaims") => (
            "Name, Status, Volume, Capacity, Access Modes, StorageClass, VolumeAttributesClass, Age, VolumeMode",
            claim,
        ),
        ("", "persistentvolumes") => (
            "Name, Capacity, Access Modes, Reclaim Policy, Status, Claim, StorageClass, VolumeAttributesClass, \
             Reason, Age, VolumeMode",
            volume,
        ),
        ("apps", "deployments") => {
            ("Name, Ready, Up-to-date, Available, Age, Containers, Images, Selector", deployment)
        }
        ("apps", "replicasets") => ("Name, Desired, Current, Ready, Age, Containers, Images, Selector", replica_set),
        ("apps", "daemonsets") => (
            "Name, Desired, Current, Ready, Up-to-date, Available, Node Selector, Age, Containers, Images, Selector",
            daemon_set,
        ),
        ("batch", "jobs") => ("Name, Status, Completions, Duration, Age, Containers, Images, Selector", job),
        ("coordination.k8s.io", "leases") => ("Name, Holder, Age", lease),
        ("storage.k8s.io", "volumeattachments") => ("Name, Attacher, PV, Node, Attached, Age", attachment),
        _ => return None,
    })
}

fn pod(pod: &Value, now: Timestamp) -> Vec<Value> {
    let PodStatus { word, ready, containers, restarts, last_restart } = pod_status(pod);
    let restarts = match last_restart {
        Some(at) if restarts > 0 => format!("{restarts} ({} ago)", duration(at, now)),
        _ => restarts.to_string(),
    };
    vec![
        json!(name(pod)),
        json!(format!("{ready}/{containers}")),
        json!(word),
        json!(restarts),
        json!(age(pod, now)),
        json!(or(text(pod, "/status/podIPs/0/ip"), "<none>")),
        json!(or(text(pod, "/spec/nodeName"), "<none>")),
        json!(or(text(pod, "/status/nominatedNodeName"), "<none>")),
        json!(readiness_gates(pod)),
    ]
}

/// What a row says of a pod's containers.
#[derive(Default)]
struct PodStatus {
    word: String,
    ready: usize,
    containers: usize,
    restarts: i64,
    last_restart: Option<Timestamp>,
}

fn pod_status(pod: &Value) -> PodStatus {
    let phase = text(pod, "/status/phase");
    let mut status = PodStatus {
        word: or(text(pod, "/status/reason"), phase).to_owned(),
        containers: list(pod, "/spec/containers").len(),
        ..PodStatus::default()
    };
    let conditions = list(pod, "/status/conditions");
    let is_gated = |condition: &&Value| {
        text(condition, "/type") == "PodScheduled" && text(condition, "/reason") == "SchedulingGated"
    };
    if conditions.iter().any(|condition| is_gated(&condition)) {
        status.word = "SchedulingGated".into();
    }
    let initializing = init_status(pod, &mut status);
    if !initializing || has_condition(conditions, "Initialized") {
        container_status(pod, &mut status);
    }
    if is_deleted(pod) && text(pod, "/status/reason") == "NodeLost" {
        status.word = "Unknown".into();
    } else if is_deleted(pod) && !matches!(phase, "Succeeded" | "Failed") {
        status.word = "Terminating".into();
    }
    status
}

/// Whether an init container is still at work or failed; its state is then the pod's.
fn init_status(pod: &Value, status: &mut PodStatus) -> bool {
    let specs = list(pod, "/spec/initContainers");
    let is_sidecar =
        |name| specs.iter().any(|spec| text(spec, "/name") == name && text(spec, "/restartPolicy") == "Always");
    status.containers += specs.iter().filter(|spec| text(spec, "/restartPolicy") == "Always").count();
    // Sidecars are counted on their own: once the pod is initialised, only their restarts are shown.
    let (mut sidecar_restarts, mut sidecar_restart) = (0, None);
    let mut stuck = None;
    for (index, container) in list(pod, "/status/initContainerStatuses").iter().enumerate() {
        let restarts = number(container, "/restartCount");
        let restarted = time(container, "/lastState/terminated/finishedAt");
        status.restarts += restarts;
        status.last_restart = status.last_restart.max(restarted);
        let sidecar = is_sidecar(text(container, "/name"));
        if sidecar {
            sidecar_restarts += restarts;
            sidecar_restart = sidecar_restart.max(restarted);
        }
        if is_set(container, "/state/terminated") && number(container, "/state/terminated/exitCode") == 0 {
            continue;
        }
        if sidecar && container["started"] == true {
            status.ready += usize::from(container["ready"] == true);
            continue;
        }
        stuck = Some(format!("Init:{}", init_word(container, index, specs.len())));
        break;
    }
    let initializing = stuck.is_some();
    if let Some(word) = stuck {
        status.word = word;
    }
    if !initializing || has_condition(list(pod, "/status/conditions"), "Initialized") {
        (status.restarts, status.last_restart) = (sidecar_restarts, sidecar_restart);
    }
    initializing
}

fn init_word(container: &Value, index: usize, of: usize) -> String {
    if let Some(word) = terminated_word(container) {
        return word;
    }
    match text(container, "/state/waiting/reason") {
        "" | "PodInitializing" => format!("{index}/{of}"),
        reason => reason.to_owned(),
    }
}

/// The first container that does not run gives the word.
fn container_status(pod: &Value, status: &mut PodStatus) {
    let mut is_running = false;
    for container in list(pod, "/status/containerStatuses").iter().rev() {
        status.restarts += number(container, "/restartCount");
        status.last_restart = status.last_restart.max(time(container, "/lastState/terminated/finishedAt"));
        let waiting = text(container, "/state/waiting/reason");
        if !waiting.is_empty() {
            status.word = waiting.to_owned();
        } else if let Some(word) = terminated_word(container) {
            status.word = word;
        } else if container["ready"] == true && is_set(container, "/state/running") {
            is_running = true;
            status.ready += 1;
        }
    }
    if status.word == "Completed" && is_running {
        let ready = has_condition(list(pod, "/status/conditions"), "Ready");
        status.word = if ready { "Running" } else { "NotReady" }.into();
    }
}

fn terminated_word(container: &Value) -> Option<String> {
    let terminated = container.pointer("/state/terminated").filter(|state| state.is_object())?;
    Some(match (text(terminated, "/reason"), number(terminated, "/signal")) {
        ("", 0) => format!("ExitCode:{}", number(terminated, "/exitCode")),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    })
}

fn readiness_gates(pod: &Value) -> String {
    let gates = list(pod, "/spec/readinessGates");
    let conditions = list(pod, "/status/conditions");
    let passed = gates.iter().filter(|gate| {
        let kind = text(gate, "/conditionType");
        let first = conditions.iter().find(|condition| text(condition, "/type") == kind);
        first.is_some_and(|condition| text(condition, "/status") == "True")
    });
    if gates.is_empty() { "<none>".into() } else { format!("{}/{}", passed.count(), gates.len()) }
}

fn node(node: &Value, now: Timestamp) -> Vec<Value> {
    let ready = list(node, "/status/conditions").iter().rev().find(|condition| text(condition, "/type") == "Ready");
    let mut status = match ready.map(|condition| text(condition, "/status")) {
        Some("True") => "Ready".to_owned(),
        Some(_) => "NotReady".to_owned(),
        None => "Unknown".to_owned(),
    };
    if node.pointer("/spec/unschedulable") == Some(&Value::Bool(true)) {
        status += ",SchedulingDisabled";
    }
    let address = |kind| {
        let addresses = list(node, "/status/addresses");
        let first = addresses.iter().find(|address| text(address, "/type") == kind);
        first.map_or("<none>", |address| text(address, "/address"))
    };
    let info = |field: &str| or(text(node, &format!("/status/nodeInfo/{field}")), "<unknown>");
    vec![
        json!(name(node)),
        json!(status),
        json!(or(&roles(node), "<none>")),
        json!(age(node, now)),
        json!(text(node, "/status/nodeInfo/kubeletVersion")),
        json!(address("InternalIP")),
        json!(address("ExternalIP")),
        json!(info("osImage")),
        json!(format!("{} ({})", info("kernelVersion"), info("architecture"))),
        json!(info("containerRuntimeVersion")),
    ]
}

fn roles(node: &Value) -> String {
    let labels = node.pointer("/metadata/labels").and_then(Value::as_object);
    let role = |(key, value): (&String, &Value)| match key.strip_prefix("node-role.kubernetes.io/") {
        Some(role) => Some(role.to_owned()),
        None if key == "kubernetes.io/role" => value.as_str().map(str::to_owned),
        None => None,
    };
    let mut roles: Vec<String> = labels.into_iter().flatten().filter_map(role).collect();
    roles.retain(|role| !role.is_empty());
    roles.sort();
    roles.dedup();
    roles.join(",")
}

fn event(event: &Value, now: Timestamp) -> Vec<Value> {
    let since = |path| time(event, path).map(|at| duration(at, now));
    let unknown = || "<unknown>".to_owned();
    let first = since("/firstTimestamp").or_else(|| since("/eventTime")).unwrap_or_else(unknown);
    let mut last = since("/lastTimestamp").unwrap_or_else(|| first.clone());
    let mut count = number(event, "/count").max(1);
    if is_set(event, "/series") {
        last = since("/series/lastObservedTime").unwrap_or_else(unknown);
        count = number(event, "/series/count");
    }
    let (component, host) = match text(event, "/source/component") {
        "" => (text(event, "/reportingComponent"), text(event, "/reportingInstance")),
        component => (component, text(event, "/source/host")),
    };
    vec![
        json!(last),
        json!(text(event, "/type")),
        json!(text(event, "/reason")),
        json!(joined("/", &text(event, "/involvedObject/kind").to_lowercase(), text(event, "/involvedObject/name"))),
        json!(text(event, "/involvedObject/fieldPath")),
        json!(joined(", ", component, host)),
        json!(text(event, "/message").trim()),
        json!(first),
        json!(count),
        json!(name(event)),
    ]
}

fn deployment(deployment: &Value, now: Timestamp) -> Vec<Value> {
    let ready = number(deployment, "/status/readyReplicas");
    let mut cells = vec![
        json!(name(deployment)),
        json!(format!("{ready}/{}", replicas(deployment))),
        json!(number(deployment, "/status/updatedReplicas")),
        json!(number(deployment, "/status/availableReplicas")),
        json!(age(deployment, now)),
    ];
    cells.extend(template(deployment));
    cells.push(json!(selector(deployment)));
    cells
}

fn replica_set(set: &Value, now: Timestamp) -> Vec<Value> {
    let mut cells = vec![
        json!(name(set)),
        json!(replicas(set)),
        json!(number(set, "/status/replicas")),
        json!(number(set, "/status/readyReplicas")),
        json!(age(set, now)),
    ];
    cells.extend(template(set));
    cells.push(json!(or(&selector(set), "<none>")));
    cells
}

fn daemon_set(set: &Value, now: Timestamp) -> Vec<Value> {
    let counts = [
        "desiredNumberScheduled",
        "currentNumberScheduled",
        "numberReady",
        "updatedNumberScheduled",
        "numberAvailable",
    ];
    let mut cells = vec![json!(name(set))];
    cells.extend(counts.map(|field| json!(number(set, &format!("/status/{field}")))));
    let nodes: Vec<String> = pairs(set.pointer("/spec/template/spec/nodeSelector")).into_values().collect();
    cells.push(json!(or(&nodes.join(","), "<none>")));
    cells.push(json!(age(set, now)));
    cells.extend(template(set));
    cells.push(json!(or(&selector(set), "<none>")));
    cells
}

fn job(job: &Value, now: Timestamp) -> Vec<Value> {
    let succeeded = number(job, "/status/succeeded");
    let parallelism = number(job, "/spec/parallelism");
    let completions = match job.pointer("/spec/completions").and_then(Value::as_i64) {
        Some(completions) => format!("{succeeded}/{completions}"),
        None if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
        None => format!("{succeeded}/1"),
    };
    let end = time(job, "/status/completionTime").unwrap_or(now);
    let lasted = time(job, "/status/startTime").map(|start| duration(start, end));
    let mut cells = vec![
        json!(name(job)),
        json!(job_word(job)),
        json!(completions),
        json!(lasted.unwrap_or_default()),
        json!(age(job, now)),
    ];
    cells.extend(template(job));
    cells.push(json!(or(&selector(job), "<none>")));
    cells
}

fn job_word(job: &Value) -> &'static str {
    let has = |kind| has_condition(list(job, "/status/conditions"), kind);
    if has("Complete") {
        "Complete"
    } else if has("Failed") {
        "Failed"
    } else if is_deleted(job) {
        "Terminating"
    } else {
        let others = ["Suspended", "FailureTarget", "SuccessCriteriaMet"];
        others.into_iter().find(|kind| has(kind)).unwrap_or("Running")
    }
}

fn lease(lease: &Value, now: Timestamp) -> Vec<Value> {
    vec![json!(name(lease)), json!(text(lease, "/spec/holderIdentity")), json!(age(lease, now))]
}

fn claim(claim: &Value, now: Timestamp) -> Vec<Value> {
    let volume = text(claim, "/spec/volumeName");
    let is_bound = !volume.is_empty();
    vec![
        json!(name(claim)),
        json!(phase(claim)),
        json!(volume),
        json!(if is_bound { text(claim, "/status/capacity/storage") } else { "" }),
        json!(if is_bound { access_modes(claim, "/status/accessModes") } else { String::new() }),
        json!(storage_class(claim)),
        json!(or(text(claim, "/spec/volumeAttributesClassName"), "<unset>")),
        json!(age(claim, now)),
        json!(or(text(claim, "/spec/volumeMode"), "<unset>")),
    ]
}

fn volume(volume: &Value, now: Timestamp) -> Vec<Value> {
    let of = |field: &str| text(volume, &format!("/spec/claimRef/{field}"));
    let is_claimed = is_set(volume, "/spec/claimRef");
    vec![
        json!(name(volume)),
        json!(text(volume, "/spec/capacity/storage")),
        json!(access_modes(volume, "/spec/accessModes")),
        json!(text(volume, "/spec/persistentVolumeReclaimPolicy")),
        json!(phase(volume)),
        json!(if is_claimed { format!("{}/{}", of("namespace"), of("name")) } else { String::new() }),
        json!(storage_class(volume)),
        json!(or(text(volume, "/spec/volumeAttributesClassName"), "<unset>")),
        json!(text(volume, "/status/reason")),
        json!(age(volume, now)),
        json!(or(text(volume, "/spec/volumeMode"), "<unset>")),
    ]
}

fn attachment(attachment: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        json!(name(attachment)),
        json!(text(attachment, "/spec/attacher")),
        json!(text(attachment, "/spec/source/persistentVolumeName")),
        json!(text(attachment, "/spec/nodeName")),
        json!(attachment.pointer("/status/attached") == Some(&Value::Bool(true))),
        json!(age(attachment, now)),
    ]
}

fn phase(object: &Value) -> &str {
    if is_deleted(object) { "Terminating" } else { text(object, "/status/phase") }
}

fn storage_class(object: &Value) -> &str {
    let old = text(object, "/metadata/annotations/volume.beta.kubernetes.io~1storage-class");
    or(old, text(object, "/spec/storageClassName"))
}

fn access_modes(object: &Value, path: &str) -> String {
    let words =
        [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")];
    let modes = list(object, path);
    let there = words.iter().filter(|(mode, _)| modes.iter().any(|there| there == mode));
    there.map(|(_, word)| *word).collect::<Vec<_>>().join(",")
}

/// Names and images of the containers that a controller makes.
pub(crate) fn template(object: &Value) -> [Value; 2] {
    let containers = list(object, "/spec/template/spec/containers");
    let all = |path| containers.iter().map(|container| text(container, path)).collect::<Vec<_>>().join(",");
    [json!(all("/name")), json!(all("/image"))]
}

/// A controller's selector in the notation of the API, ordered by key.
pub(crate) fn selector(object: &Value) -> String {
    let mut parts: Vec<(String, String)> = pairs(object.pointer("/spec/selector/matchLabels")).into_iter().collect();
    for expression in list(object, "/spec/selector/matchExpressions") {
        let key = text(expression, "/key");
        let mut values: Vec<&str> = list(expression, "/values").iter().filter_map(Value::as_str).collect();
        values.sort_unstable();
        let values = values.join(",");
        let part = match text(expression, "/operator") {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "DoesNotExist" => format!("!{key}"),
            _ => key.to_owned(),
        };
        parts.push((key.to_owned(), part));
    }
    parts.sort_by(|(a, _), (b, _)| a.cmp(b));
    parts.into_iter().map(|(_, part)| part).collect::<Vec<_>>().join(",")
}

/// `key=value` by key.
pub(crate) fn pairs(labels: Option<&Value>) -> BTreeMap<String, String> {
    let labels = labels.and_then(Value::as_object).into_iter().flatten();
    labels.map(|(key, value)| (key.clone(), format!("{key}={}", value.as_str().unwrap_or_default()))).collect()
}

/// An age in the words of kubectl: two units at most, and the smaller one only while it says something.
pub(crate) fn duration(from: Timestamp, to: Timestamp) -> String {
    let seconds = to.as_second() - from.as_second();
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let (days, years) = (hours / 24, hours / 24 / 365);
    let two = |major: i64, unit, minor: i64, small| match minor {
        0 => format!("{major}{unit}"),
        _ => format!("{major}{unit}{minor}{small}"),
    };
    match seconds {
        ..-1 => "<invalid>".into(),
        -1 => "0s".into(),
        0..120 => format!("{seconds}s"),
        _ if minutes < 10 => two(minutes, 'm', seconds % 60, 's'),
        _ if minutes < 180 => format!("{minutes}m"),
        _ if hours < 8 => two(hours, 'h', minutes % 60, 'm'),
        _ if hours < 48 => format!("{hours}h"),
        _ if days < 8 => two(days, 'd', hours % 24, 'h'),
        _ if years < 2 => format!("{days}d"),
        _ if years < 8 => two(years, 'y', days % 365, 'd'),
        _ => format!("{years}y"),
    }
}

pub(crate) fn age(object: &Value, now: Timestamp) -> String {
    time(object, "/metadata/creationTimestamp").map_or_else(|| "<unknown>".to_owned(), |at| duration(at, now))
}

pub(crate) fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

fn is_deleted(object: &Value) -> bool {
    !text(object, "/metadata/deletionTimestamp").is_empty()
}

fn has_condition(conditions: &[Value], kind: &str) -> bool {
    conditions.iter().any(|condition| text(condition, "/type") == kind && text(condition, "/status") == "True")
}

/// `spec.replicas`, which the server sets to one where it is left out.
fn replicas(object: &Value) -> i64 {
    object.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1)
}

fn joined(separator: &str, a: &str, b: &str) -> String {
    if b.is_empty() { a.to_owned() } else { format!("{a}{separator}{b}") }
}

pub(crate) fn or<'a>(text: &'a str, otherwise: &'a str) -> &'a str {
    if text.is_empty() { otherwise } else { text }
}

pub(crate) fn text<'a>(object: &'a Value, path: &str) -> &'a str {
    object.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

fn is_set(object: &Value, path: &str) -> bool {
    object.pointer(path).is_some_and(Value::is_object)
}

pub(crate) fn number(object: &Value, path: &str) -> i64 {
    object.pointer(path).and_then(Value::as_i64).unwrap_or_default()
}

pub(crate) fn list<'a>(object: &'a Value, path: &str) -> &'a [Value] {
    object.pointer(path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

pub(crate) fn time(object: &Value, path: &str) -> Option<Timestamp> {
    object.pointer(path).and_then(Value::as_str)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::kinds;

    /// Tables of a real API server (1.36), beside the objects they were printed from a moment before.
    const RECORDED: &[(Kind, &str)] = &[
        (kinds::POD, include_str!("../../tests/data/kubernetes/pods.json")),
        (kinds::NODE, include_str!("../../tests/data/kubernetes/nodes.json")),
        (kinds::EVENT, include_str!("../../tests/data/kubernetes/events.json")),
        (kinds::CLAIM, include_str!("../../tests/data/kubernetes/persistentvolumeclaims.json")),
        (kinds::DEPLOYMENT, include_str!("../../tests/data/kubernetes/deployments.json")),
        (kinds::REPLICA_SET, include_str!("../../tests/data/kubernetes/replicasets.json")),
        (kinds::DAEMON_SET, include_str!("../../tests/data/kubernetes/daemonsets.json")),
        (kinds::JOB, include_str!("../../tests/data/kubernetes/jobs.json")),
        (kinds::LEASE, include_str!("../../tests/data/kubernetes/leases.json")),
    ];

    #[test]
    fn rows_are_those_that_a_server_prints() {
        let now = "2026-11-21T20:05:29Z".parse().unwrap();
        for (kind, recorded) in RECORDED {
            let recorded: Value = serde_json::from_str(recorded).unwrap();
            let objects: Vec<&Value> = list(&recorded, "/objects").iter().collect();
            let table = table(*kind, &objects, now).unwrap();
            assert_eq!(json!(table.columns), recorded["columns"], "{}", kind.plural);
            assert_eq!(table.cells.len(), list(&recorded, "/cells").len(), "{}", kind.plural);
            for (derived, printed) in table.cells.iter().zip(list(&recorded, "/cells")) {
                assert_eq!(&json!(derived), printed, "{}", kind.plural);
            }
        }
    }

    /// What the recording does not hold, after the printers' source.
    #[test]
    fn volumes_and_cordoned_nodes_are_printed() {
        let now = "2026-01-02T00:00:00Z".parse().unwrap();
        let created = "2026-01-01T00:00:00Z";
        let row = |kind, object: Value| table(kind, &[&object], now).unwrap().cells.remove(0);
        let volume = json!({
            "metadata": {"name": "pvc-1", "creationTimestamp": created},
            "spec": {
                "capacity": {"storage": "10Gi"}, "accessModes": ["ReadWriteMany", "ReadWriteOnce"],
                "persistentVolumeReclaimPolicy": "Delete", "storageClassName": "rook-ceph-block",
                "claimRef": {"namespace": "shop", "name": "data"}, "volumeMode": "Block",
            },
            "status": {"phase": "Bound"},
        });
        let printed = json!([
            "pvc-1",
            "10Gi",
            "RWO,RWX",
            "Delete",
            "Bound",
            "shop/data",
            "rook-ceph-block",
            "<unset>",
            "",
            "24h",
            "Block"
        ]);
        assert_eq!(json!(row(kinds::PERSISTENT_VOLUME, volume)), printed);
        let attachment = json!({
            "metadata": {"name": "csi-1", "creationTimestamp": created},
            "spec": {"attacher": "rook-ceph.rbd.csi.ceph.com", "nodeName": "w1", "source": {"persistentVolumeName": "pvc-1"}},
            "status": {"attached": true},
        });
        let printed = json!(["csi-1", "rook-ceph.rbd.csi.ceph.com", "pvc-1", "w1", true, "24h"]);
        assert_eq!(json!(row(kinds::VOLUME_ATTACHMENT, attachment)), printed);
        let node = json!({
            "metadata": {"name": "w1", "labels": {
                "node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/control-plane": "", "kubernetes.io/role": "worker",
            }},
            "spec": {"unschedulable": true},
            "status": {"conditions": [{"type": "Ready", "status": "Unknown"}]},
        });
        let cells = row(kinds::NODE, node);
        assert_eq!(
            cells[1..4],
            [json!("NotReady,SchedulingDisabled"), json!("control-plane,worker"), json!("<unknown>")]
        );
    }

    #[test]
    fn ages_are_in_the_words_of_kubectl() {
        let start = Timestamp::UNIX_EPOCH;
        let hour = 3600;
        for (seconds, expected) in [
            (-5, "<invalid>"),
            (-1, "0s"),
            (119, "119s"),
            (120, "2m"),
            (5 * 60 + 29, "5m29s"),
            (179 * 60, "179m"),
            (3 * hour, "3h"),
            (7 * hour + 5 * 60, "7h5m"),
            (47 * hour, "47h"),
            (50 * hour, "2d2h"),
            (9 * 24 * hour + hour, "9d"),
            (800 * 24 * hour, "2y70d"),
            (9 * 365 * 24 * hour, "9y"),
        ] {
            assert_eq!(duration(start, Timestamp::from_second(seconds).unwrap()), expected);
        }
    }
}
