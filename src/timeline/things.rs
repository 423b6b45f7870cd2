//! What pods, nodes, the CephCluster and Ceph say of themselves, each at the time that it bears.

use jiff::Timestamp;

use super::sources::Sources;
use super::{MarkKind, Moment};
use crate::check::{ObjectRef, Place, Text};
use crate::checks::ceph::recent_crash::{Crash, MODULES};
use crate::objects::ceph::Health;
use crate::objects::kube::{Condition, ContainerStatus, Node, Pod, Terminated, condition};
use crate::objects::rook::CephCluster;
use crate::say;

pub fn moments(sources: &Sources<'_>) -> Vec<Moment> {
    let mut all = boots(sources);
    all.extend(sources.nodes.iter().flat_map(|node| of_node(node)));
    for pod in &sources.pods {
        let key = (pod.metadata.namespace.as_str(), pod.metadata.name.as_str());
        let places = sources.places.get(&key).cloned().unwrap_or_default();
        let node = Some(&pod.spec.node_name).filter(|node| !node.is_empty()).map(Place::node);
        all.extend(of_pod(pod).into_iter().map(|moment| moment.at(places.clone()).at(node.clone())));
    }
    all.extend(sources.cluster.into_iter().flat_map(of_cluster));
    all.extend(sources.health.into_iter().flat_map(crashes));
    all
}

fn boots(sources: &Sources<'_>) -> Vec<Moment> {
    let boot = |(node, boot): (&String, &crate::checks::node::Boot)| {
        let evidence = boot.evidence.iter().find(|evidence| evidence.at == Some(boot.at))?;
        let from = format!("{} {}", evidence.from, evidence.field).trim().to_owned();
        let what = say!("node {} booted", node);
        Some(Moment::new(boot.at, MarkKind::Boot, what, from).about(ObjectRef::node(node)).may_begin())
    };
    sources.boots.seen.iter().filter_map(boot).collect()
}

fn of_node(node: &Node) -> Vec<Moment> {
    let object = ObjectRef::of::<Node>(&node.metadata);
    let mut all: Vec<Moment> = node.status.conditions.iter().filter_map(|it| of_node_condition(&object, it)).collect();
    let cordon = node.metadata.written_by(&["f:spec", "f:unschedulable"]).filter(|_| node.spec.unschedulable);
    if let Some((writer, at)) = cordon.and_then(|writer| Some((writer, writer.time?))) {
        let what = say!("node {} was cordoned by {}", object.name, writer.manager);
        let moment = Moment::new(at, MarkKind::Change, what, format!("{object} metadata.managedFields"));
        all.push(moment.about(object.clone()).may_begin());
    }
    // Kubernetes' own taints follow the conditions and the cordon.
    for taint in node.spec.taints.iter().filter(|taint| !taint.key.starts_with("node.kubernetes.io/")) {
        let Some(at) = taint.time_added else { continue };
        let what = say!("node {} was tainted {}:{}", object.name, taint.key, taint.effect);
        let moment = Moment::new(at, MarkKind::Change, what, format!("{object} spec.taints"));
        all.push(moment.about(object.clone()).may_begin());
    }
    all
}

/// Ready and what threatens a node; that nothing threatens it since its first day is no news.
fn of_node_condition(object: &ObjectRef, it: &Condition) -> Option<Moment> {
    let (is_ready, is_true) = (it.kind == "Ready", it.status == "True");
    let bad = is_ready != is_true;
    if !is_ready && !bad {
        return None;
    }
    let what = match (is_ready, bad) {
        (true, false) => say!("node {} became Ready", object.name),
        (true, true) => say!("node {} became unready: {}", object.name, first_of(&it.message, &it.reason)),
        (false, _) => say!("node {} has {}: {}", object.name, it.kind, first_of(&it.message, &it.reason)),
    };
    let from = format!("{object} status.conditions[{}]", it.kind);
    Some(Moment::new(it.last_transition_time?, MarkKind::Node, what, from).about(object.clone()).bad(bad))
}

/// The first that says anything.
fn first_of<'t>(one: &'t str, other: &'t str) -> &'t str {
    if one.is_empty() { other } else { one }
}

fn of_pod(pod: &Pod) -> Vec<Moment> {
    let object = ObjectRef::pod(pod);
    let mut all: Vec<Moment> = pod.statuses().flat_map(|status| of_container(&object, status)).collect();
    let field = |at, what, field: &str| {
        Moment::new(at, MarkKind::Restart, what, format!("{object} {field}")).about(object.clone())
    };
    if let Some(at) = pod.status.start_time {
        let what = say!("a pod was started on {}: {}", pod.spec.node_name, object.name);
        all.push(field(at, what, "status.startTime"));
    }
    let is_over = ["Succeeded", "Failed"].contains(&pod.status.phase.as_str());
    let failing = |kind| condition(&pod.status.conditions, kind).filter(|it| it.status == "False" && !is_over);
    if let Some((it, at)) = failing("PodScheduled").and_then(|it| Some((it, it.last_transition_time?))) {
        let what = say!("no node for pod {}: {}", object.name, it.message);
        all.push(field(at, what, "status.conditions[PodScheduled]").bad(true));
    } else if let Some(at) = failing("Ready").and_then(|it| it.last_transition_time) {
        let what = say!("pod {} became unready", object.name);
        all.push(field(at, what, "status.conditions[Ready]").bad(true));
    }
    all
}

/// The ends that a status tells of, and since when it runs again.
fn of_container(object: &ObjectRef, status: &ContainerStatus) -> Vec<Moment> {
    let (name, restarts) = (&status.name, status.restart_count);
    let field = |at, what, field: &str| {
        Moment::new(at, MarkKind::Restart, what, format!("{object} {field} of {name}")).about(object.clone())
    };
    let ends = [(&status.last_state.terminated, "lastState"), (&status.state.terminated, "state")];
    let mut all: Vec<Moment> = ends
        .into_iter()
        .filter_map(|(end, state)| Some((end.as_ref()?, state)))
        .filter(|(end, _)| is_failure(end))
        .filter_map(|(end, state)| Some(field(end.finished_at?, ended(name, end), state).bad(true)))
        .collect();
    let running = status.state.running.as_ref().and_then(|running| running.started_at).filter(|_| restarts > 0);
    all.extend(running.map(|at| field(at, say!("container {} runs again, restart {}", name, restarts), "state")));
    all
}

fn is_failure(end: &Terminated) -> bool {
    end.exit_code != 0 || end.reason == "OOMKilled"
}

fn ended(name: &str, end: &Terminated) -> Text {
    match end.reason.as_str() {
        "" => say!("container {} ended without a reason, exit status {}", name, end.exit_code),
        reason => say!("container {} ended: {}, exit status {}", name, reason, end.exit_code),
    }
}

fn of_cluster(cluster: &CephCluster) -> Vec<Moment> {
    let object = ObjectRef::of::<CephCluster>(&cluster.metadata);
    let moment =
        |at, kind, what, field: &str| Moment::new(at, kind, what, format!("{object} {field}")).about(object.clone());
    let mut all = Vec::new();
    if let Some(at) = cluster.metadata.creation_timestamp {
        all.push(moment(at, MarkKind::Change, say!("the CephCluster was made"), "metadata.creationTimestamp"));
    }
    let spec = cluster.metadata.written_by(&["f:spec"]).and_then(|writer| Some((writer, writer.time?)));
    if let Some((writer, at)) = spec {
        let what = say!("the spec of the CephCluster was written by {}", writer.manager);
        all.push(moment(at, MarkKind::Change, what, "metadata.managedFields").may_begin());
    }
    for it in &cluster.status.conditions {
        let Some(at) = it.last_transition_time else { continue };
        // The operator writes False where a stage failed, and keeps what is over.
        let bad =
            it.kind == "Failure" && it.status == "True" || it.status == "False" && it.kind == cluster.status.phase;
        let what = say!("the operator says {} {}: {}", it.kind, it.status, it.message);
        all.push(moment(at, MarkKind::Operator, what, &format!("status.conditions[{}]", it.kind)).bad(bad));
    }
    all.extend(health(cluster, &moment));
    all
}

fn health(cluster: &CephCluster, moment: &dyn Fn(Timestamp, MarkKind, Text, &str) -> Moment) -> Vec<Moment> {
    let ceph = &cluster.status.ceph;
    let mut all = Vec::new();
    if let Ok(at) = ceph.last_changed.parse() {
        let what = match ceph.previous_health.as_str() {
            "" => say!("Ceph's health became {}", ceph.health),
            previous => say!("Ceph's health went from {} to {}", previous, ceph.health),
        };
        let got_worse = rank(&ceph.health) > rank(&ceph.previous_health);
        all.push(moment(at, MarkKind::Health, what, "status.ceph.lastChanged").bad(got_worse));
    }
    if let Ok(at) = ceph.last_checked.parse() {
        let what = say!("the operator looked at Ceph, so far for the last time: {}", ceph.health);
        all.push(moment(at, MarkKind::Health, what, "status.ceph.lastChecked"));
    }
    all
}

fn rank(health: &str) -> u8 {
    match health {
        "HEALTH_ERR" => 2,
        "HEALTH_WARN" => 1,
        _ => 0,
    }
}

/// Crashes that nobody has archived, as Ceph's health names them.
fn crashes(health: &Health) -> Vec<Moment> {
    let codes = health.checks.iter().filter(|(code, _)| [MODULES, "RECENT_CRASH"].contains(&code.as_str()));
    let crashes = codes.flat_map(|(_, check)| check.details().filter_map(Crash::of));
    crashes
        .filter_map(|crash| {
            let moment = Moment::new(crash.at?, MarkKind::Crash, say!("{}", crash.text), "ceph health detail");
            Some(moment.bad(true).at([Place::Daemon(crash.daemon.to_owned())]))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_container_tells_of_its_end_and_of_its_return() {
        let status: ContainerStatus = serde_json::from_value(json!({
            "name": "osd", "restartCount": 3,
            "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled", "finishedAt": "2025-06-30T10:00:00Z"}},
            "state": {"running": {"startedAt": "2025-06-30T10:00:05Z"}},
        }))
        .unwrap();
        let told = of_container(&ObjectRef::node("x"), &status);
        let told: Vec<_> = told.iter().map(|it| (it.what.english(), it.bad, it.at.to_string())).collect();
        let (end, back) = ("container osd ended: OOMKilled, exit status 137", "container osd runs again, restart 3");
        assert_eq!(
            told,
            [
                (end.to_owned(), true, "2025-06-30T10:00:00Z".to_owned()),
                (back.to_owned(), false, "2025-06-30T10:00:05Z".to_owned())
            ]
        );
    }

    #[test]
    fn health_is_bad_where_it_got_worse() {
        let cluster = |from: &str, to: &str| -> CephCluster {
            let ceph = json!({"health": to, "previousHealth": from, "lastChanged": "2025-06-30T10:00:00Z"});
            serde_json::from_value(json!({"status": {"ceph": ceph}})).unwrap()
        };
        let bad = |from, to| of_cluster(&cluster(from, to))[0].bad;
        assert!(bad("HEALTH_OK", "HEALTH_WARN") && bad("HEALTH_WARN", "HEALTH_ERR"));
        assert!(!bad("HEALTH_ERR", "HEALTH_WARN") && !bad("HEALTH_WARN", "HEALTH_OK"));
    }

    #[test]
    fn ceph_names_who_crashed_and_when() {
        let health: Health = serde_json::from_value(json!({"status": "HEALTH_WARN", "checks": {"RECENT_CRASH": {
            "severity": "HEALTH_WARN", "summary": {"message": "1 daemons have recently crashed"},
            "detail": [{"message": "osd.3 crashed on host w1 at 2026-11-21T20:12:38.715393Z"}, {"message": "more"}],
        }}}))
        .unwrap();
        let told = crashes(&health);
        assert_eq!(told.len(), 1);
        assert!(told[0].bad && told[0].kind == MarkKind::Crash && told[0].at.as_second() == 1_795_291_958);
        assert!(told[0].places.contains(&Place::daemon("osd", 3)));
    }
}
