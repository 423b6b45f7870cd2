//! NODE009: a daemon that was killed for memory gets twice its limit.
//!
//! Only where the kill is proven, and only in the resource that Rook makes the pods from: the operator would overwrite a
//! Deployment. The request stays as it is, and so does everything else. The hosts must have room for the new limit
//! beside what other pods asked for, because a daemon that was killed at its limit does use it. Monitors, OSDs and
//! gateways are left to a person: their restart is felt, and a new limit restarts every one of them.

use serde_json::{Value, json};

use crate::check::Text;
use crate::checks::node::memory_limit_too_small::{Setting, raised};
use crate::checks::node::quantity::{bytes, text};
use crate::facts::{Gap, both, kinds};
use crate::fix::restart::reconcile_warnings;
use crate::fix::{Act, Case, Condition, Object, Plan, Proposal, Risk, Step};
use crate::objects::kube::Pod;
use crate::say;

/// The operator goes through the monitors first, and waits for each daemon that it restarts.
const RESTARTS_WITHIN: u64 = 1800;

pub fn plan(case: &Case<'_>) -> Result<Proposal, Gap> {
    let (facts, finding) = (case.facts, case.finding);
    let object = finding.objects.first().filter(|object| object.kind == "Pod");
    let (Some(object), Some(container)) = (object, &finding.detail) else {
        return Ok(Proposal::Guided(say!(
            "no container was killed for it yet: whether it is too small is for you to judge"
        )));
    };
    let read = both(facts.object::<Pod>(&object.namespace, &object.name), facts.ceph_cluster());
    let ((pod, cluster), warnings) = both(read, reconcile_warnings(facts))?;
    let Some(pod) = pod else { return Ok(Proposal::Guided(say!("{} is gone: diagnose again", object))) };
    let setting = Setting::of(facts.cluster()?, Some(&cluster.spec.resources), pod, container);
    let Some(setting) = setting else {
        return Ok(Proposal::Guided(say!(
            "the limit of container {} does not come from a resource of Rook's",
            container
        )));
    };
    if !setting.is_mild {
        return Ok(Proposal::Guided(say!(
            "a new {} restarts all daemons of its kind, which serve data or keep the quorum: choose the time yourself",
            setting.field()
        )));
    }
    let Some(whole) = facts.whole(setting.kind, &setting.ns, &setting.name)? else {
        return Ok(Proposal::Guided(say!("{} {} is gone: diagnose again", setting.kind.kind, setting.name)));
    };
    let limit = pod.containers().find(|(it, _)| it.name == *container);
    let limit = limit.and_then(|(it, _)| it.resources.limits.get("memory")).map(text);
    let Some(limit) = limit.as_deref().and_then(bytes) else {
        return Ok(Proposal::Guided(say!("container {} has no limit: the node itself is short of memory", container)));
    };
    let pointer = format!("/spec/{}/limits/memory", setting.path.join("/"));
    match whole.pointer(&pointer).map(text) {
        None => Ok(Proposal::Guided(say!(
            "{} is not set: the limit comes from elsewhere, such as a LimitRange of the namespace, and that is where it is to be raised",
            setting.field()
        ))),
        Some(set) if bytes(&set) != Some(limit) => Ok(Proposal::Guided(say!(
            "{} is {} already, and the pod that was killed had another limit: the operator has not applied it yet",
            setting.field(),
            set
        ))),
        Some(_) => {
            let mut plan = raise(&setting, container, whole, &pointer, limit);
            if setting.kind == kinds::CEPH_CLUSTER {
                plan.warnings.extend(warnings);
            }
            Ok(Proposal::Plan(plan))
        }
    }
}

fn raise(setting: &Setting, container: &str, whole: &Value, pointer: &str, limit: f64) -> Plan {
    let new = raised(container, limit);
    let object = Object::of(setting.kind, whole);
    let mut after = whole.clone();
    if let Some(value) = after.pointer_mut(pointer) {
        *value = json!(new);
    }
    let (ns, label) = (&setting.ns, &setting.label);
    let room =
        Condition::MemoryRoom { ns: ns.clone(), label: label.clone(), bytes: bytes(&new).unwrap_or(limit) as u64 };
    let until = Condition::MemoryLimit {
        ns: ns.clone(),
        label: label.clone(),
        container: container.to_owned(),
        limit: new.clone(),
    };
    let does = say!("raise {} of {} to {} and wait until its pods have it", setting.field(), setting.name, new);
    let (risk, interrupts) = interrupts(setting);
    let mut plan = Plan::new(does, risk)
        .guard(Condition::OperatorRuns)
        .guard(Condition::Quorum { without: Vec::new() })
        .guard(room)
        .step(Step::new(
            say!("set {} of {} to {}", setting.field(), object, new),
            Act::Patch { object, before: whole.clone(), after },
        ))
        .step(Step::wait(
            say!("wait until every pod of {} has the new limit and is well", label),
            until,
            RESTARTS_WITHIN,
        ))
        .warning(say!("twice the limit may be too little again: look at what it uses before it is killed once more"))
        .next(say!(
            "if the pods keep their old limit, the operator says why: kubectl -n {} describe {} {}",
            ns,
            setting.kind.kind.to_lowercase(),
            setting.name
        ));
    plan.interrupts = interrupts;
    if waits_for_rook(whole) {
        plan = plan.warning(say!(
            "{} was changed before and Rook has not come to that yet: it will apply it together with this",
            setting.name
        ));
    }
    plan
}

fn interrupts(setting: &Setting) -> (Risk, Vec<Text>) {
    match setting.path.last().map_or("", String::as_str) {
        "mgr" => (
            Risk::Disruptive,
            vec![say!(
                "each mgr starts again; dashboard, metrics and provisioning of CephFS volumes wait until one is active"
            )],
        ),
        "exporter" => (Risk::Disruptive, vec![say!("each exporter starts again: its metrics have a gap")]),
        "prepareosd" => (Risk::Safe, Vec::new()),
        _ => (
            Risk::Disruptive,
            vec![say!(
                "each MDS of {} starts again, one after the other; its clients wait while another one takes over",
                setting.name
            )],
        ),
    }
}

/// Whether Rook has something left to do for the object.
fn waits_for_rook(whole: &Value) -> bool {
    let observed = whole["status"]["observedGeneration"].as_i64();
    observed.is_some_and(|observed| whole["metadata"]["generation"].as_i64().is_some_and(|now| now > observed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twice_the_limit_and_never_below_the_minimum() {
        for (container, limit, expected) in [
            ("mgr", "512Mi", "1024Mi"),
            ("mgr", "100Mi", "512Mi"),
            ("mds", "4Gi", "8192Mi"),
            ("provision", "50Mi", "100Mi"),
            ("ceph-exporter", "100M", "191Mi"),
        ] {
            assert_eq!(raised(container, bytes(limit).unwrap()), expected, "{container} {limit}");
        }
    }
}
