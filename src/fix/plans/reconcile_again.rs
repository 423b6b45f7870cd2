//! OPR006: the label that keeps the operator away is taken from a daemon, or from the CephCluster.
//!
//! The operator then brings the daemon to what the CephCluster asks for, with its own questions before each restart.
//! Where that would change an image or a version, or several changes of the spec wait, a person looks first.

use serde_json::Value;

use crate::check::Text;
use crate::checks::opr::do_not_reconcile_left::{image_of, runs_newer, waits};
use crate::checks::opr::{DO_NOT_RECONCILE, operator};
use crate::facts::{Facts, Gap, both, kinds};
use crate::fix::{Act, Case, Condition, Object, Plan, Proposal, Risk, Step};
use crate::objects::kube::Deployment;
use crate::objects::rook::CephCluster;
use crate::say;

pub fn plan(case: &Case<'_>) -> Result<Proposal, Gap> {
    let Some(object) = case.finding.objects.first() else { return Ok(Proposal::Guided(say!("no object is named"))) };
    if object.kind == kinds::CEPH_CLUSTER.kind {
        of_the_cluster(case.facts)
    } else {
        of_a_daemon(case.facts, &object.namespace, &object.name)
    }
}

fn of_the_cluster(facts: &Facts<'_>) -> Result<Proposal, Gap> {
    let cluster = facts.cluster()?;
    let (seen, whole) = both(facts.ceph_cluster(), facts.whole(kinds::CEPH_CLUSTER, &cluster.ns, &cluster.name))?;
    let Some((before, after)) = whole.and_then(|before| Some((before, without_label(before)?))) else {
        return Ok(Proposal::Guided(say!("the label is gone: diagnose again")));
    };
    if let Some(why) = waits(seen) {
        return Ok(Proposal::Guided(why));
    }
    let plan = Plan::new(say!("let the operator reconcile the CephCluster {} again", cluster.name), Risk::Disruptive)
        .interrupts(say!("the operator looks at every daemon, and starts those anew that differ from the spec, each after it has asked Ceph"))
        .warning(say!("until now no change of its spec took effect; none waits, as far as its generation tells"))
        .warning(say!("what was changed by hand in Deployments meanwhile is put back"))
        .guard(Condition::Quorum { without: Vec::new() })
        .step(Step::new(
            say!("take the label {} from the CephCluster", DO_NOT_RECONCILE),
            Act::Patch { object: Object::of(kinds::CEPH_CLUSTER, before), before: before.clone(), after },
        ));
    Ok(Proposal::Plan(plan))
}

fn of_a_daemon(facts: &Facts<'_>, ns: &str, name: &str) -> Result<Proposal, Gap> {
    let stands_in = format!("{name}-maintenance");
    let (whole, (cluster, (deployment, stands_in))) = both(
        facts.whole(kinds::DEPLOYMENT, ns, name),
        both(
            facts.ceph_cluster(),
            both(facts.object::<Deployment>(ns, name), facts.object::<Deployment>(ns, &stands_in)),
        ),
    )?;
    let (Some(before), Some(deployment)) = (whole, deployment) else {
        return Ok(Proposal::Guided(say!("the Deployment is gone: diagnose again")));
    };
    let Some(after) = without_label(before) else {
        return Ok(Proposal::Guided(say!("the label is gone: diagnose again")));
    };
    if let Some(why) = refusal(deployment, stands_in, cluster) {
        return Ok(Proposal::Guided(why));
    }
    let rook = operator(facts)?.and_then(Deployment::image_tag);
    let app = deployment.metadata.labels.get("app").map_or("", String::as_str);
    let id = deployment.metadata.labels.get("ceph_daemon_id").map_or("", String::as_str);
    let mut plan = Plan::new(say!("let the operator look after {} again", name), Risk::Disruptive)
        .interrupts(say!("the operator may start the daemon anew, to bring it to what the CephCluster asks for; it asks Ceph before"))
        .warning(say!("it does so when it next reconciles, which may be soon or with its next start: until then nothing restarts"))
        .warning(say!("its image and version are those of the CephCluster; resources, placement and arguments that were set by hand are put back"));
    plan.warnings.extend(made_by_another(deployment, rook));
    match app {
        "rook-ceph-osd" => {
            let Ok(osd) = id.parse() else {
                return Ok(Proposal::Guided(say!("the Deployment does not tell which OSD it is of")));
            };
            plan = plan.guard(Condition::PgsClean).guard(Condition::OkToStop { osds: vec![osd] });
        }
        "rook-ceph-mon" => {
            plan = plan
                .warning(say!("the operator also watches all monitors again: one that is out of quorum for longer than the timeout (10 min unless it was changed) is replaced"))
                .guard(Condition::Quorum { without: vec![id.to_owned()] });
        }
        _ => plan = plan.guard(Condition::Quorum { without: Vec::new() }),
    }
    let object = Object::of(kinds::DEPLOYMENT, before);
    let plan = plan
        .step(Step::new(
            say!("take the label {} from {}", DO_NOT_RECONCILE, name),
            Act::Patch { object, before: before.clone(), after },
        ))
        .next(say!("if the operator stops at this daemon, its log says why: kubectl -n {} logs deploy/rook-ceph-operator --tail=40", facts.cluster()?.operator_ns));
    Ok(Proposal::Plan(plan))
}

/// A daemon that another release of Rook set up differs, as a rule, from what this one makes.
fn made_by_another(deployment: &Deployment, rook: Option<&str>) -> Option<Text> {
    let made_by = deployment.metadata.labels.get("rook-version")?;
    let rook = rook.filter(|rook| rook != made_by)?;
    Some(say!("Rook {} set it up, and the operator is {}: it will start the daemon anew, as a rule", made_by, rook))
}

/// Why a person must look first.
fn refusal(deployment: &Deployment, stands_in: Option<&Deployment>, cluster: &CephCluster) -> Option<Text> {
    let (used, wanted) = (image_of(deployment), &cluster.spec.ceph_version.image);
    if deployment.spec.replicas == Some(0) {
        return Some(say!("it was scaled to 0, which somebody has a reason for"));
    }
    if let Some(stands_in) = stands_in {
        return Some(say!("somebody works on the daemon: Deployment {} exists", stands_in.metadata.name));
    }
    if deployment.metadata.annotations.keys().any(|key| key.starts_with("osd.rook.io/replace")) {
        return Some(say!("Rook replaces this OSD"));
    }
    if used != wanted {
        return Some(say!("it runs {}, and the operator would put {} in its place", used, wanted));
    }
    let newer = runs_newer(deployment, cluster)?;
    Some(say!(
        "it runs {}, later than the {} of the CephCluster: the operator would go back, which Ceph does not support",
        newer,
        cluster.status.version.version
    ))
}

/// The object without the label; none if it has none.
fn without_label(object: &Value) -> Option<Value> {
    let mut after = object.clone();
    after["metadata"]["labels"].as_object_mut()?.remove(DO_NOT_RECONCILE)?;
    Some(after)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn deployment(change: &Value) -> Deployment {
        let mut object = json!({"metadata": {"name": "rook-ceph-osd-1", "labels": {"ceph-version": "19.2.3-0"},
            "annotations": {}}, "spec": {"replicas": 1, "template": {"spec": {"containers": [{"image": "ceph:v19"}]}}}});
        json_patch::merge(&mut object, change);
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn a_person_looks_first_where_the_operator_would_change_much() {
        let cluster =
            json!({"spec": {"cephVersion": {"image": "ceph:v19"}}, "status": {"version": {"version": "19.2.3-0"}}});
        let cluster: CephCluster = serde_json::from_value(cluster).unwrap();
        let why = |change: Value| {
            let why = refusal(&deployment(&change), None, &cluster);
            why.map_or_else(String::new, |why| why.english())
        };
        assert_eq!(why(json!({})), "");
        assert!(why(json!({"spec": {"replicas": 0}})).contains("scaled to 0"));
        assert!(
            why(json!({"metadata": {"annotations": {"osd.rook.io/replace-in-progress": "true"}}})).contains("replaces")
        );
        let other = json!({"spec": {"template": {"spec": {"containers": [{"image": "ceph:v19-fix"}]}}}});
        assert!(why(other).contains("ceph:v19-fix"));
        assert!(why(json!({"metadata": {"labels": {"ceph-version": "20.2.0-0"}}})).contains("would go back"));
        assert_eq!(why(json!({"metadata": {"labels": {"ceph-version": "19.2.2-0"}}})), "");
        let stands_in = deployment(&json!({"metadata": {"name": "rook-ceph-osd-1-maintenance"}}));
        let why = refusal(&deployment(&json!({})), Some(&stands_in), &cluster).unwrap();
        assert!(why.english().contains("rook-ceph-osd-1-maintenance"));
    }

    #[test]
    fn a_daemon_of_another_release_is_started_anew() {
        let made_by = |version: &str| deployment(&json!({"metadata": {"labels": {"rook-version": version}}}));
        assert_eq!(made_by_another(&made_by("v1.18.4"), Some("v1.18.4")), None);
        assert!(made_by_another(&made_by("v1.17.9"), Some("v1.18.4")).is_some());
        assert_eq!(made_by_another(&made_by("v1.17.9"), None), None);
    }

    #[test]
    fn the_label_alone_is_taken() {
        let object = json!({"metadata": {"labels": {DO_NOT_RECONCILE: "true", "app": "x"}}});
        assert_eq!(without_label(&object), Some(json!({"metadata": {"labels": {"app": "x"}}})));
        assert_eq!(without_label(&json!({"metadata": {"labels": {"app": "x"}}})), None);
        assert_eq!(without_label(&json!({"metadata": {}})), None);
    }
}
