//! IMG006: the toolbox gets the image of the cluster.
//!
//! Rook does not manage the toolbox, so nobody else brings it along. Nothing of Ceph runs in it; only whoever works in
//! its shell is interrupted.

use serde_json::Value;

use crate::checks::img::toolbox_stale::TOOLBOX;
use crate::facts::{Gap, both, kinds};
use crate::fix::restart::READY_WITHIN;
use crate::fix::{Act, Case, Condition, Object, Plan, Proposal, Risk, Step};
use crate::say;

pub fn plan(case: &Case<'_>) -> Result<Proposal, Gap> {
    let (facts, ns) = (case.facts, &case.facts.cluster()?.ns);
    let (cluster, whole) = both(facts.ceph_cluster(), facts.whole(kinds::DEPLOYMENT, ns, TOOLBOX))?;
    let wanted = &cluster.spec.ceph_version.image;
    if wanted.is_empty() {
        return Ok(Proposal::Guided(say!(
            "the CephCluster names no image: choose one of the release that the cluster runs"
        )));
    }
    let Some(before) = whole else { return Ok(Proposal::Guided(say!("the toolbox is gone"))) };
    let (Some((used, after)), Some(label)) = (with_image(before, wanted), selector(before)) else {
        return Ok(Proposal::Guided(say!("the toolbox is not made as Rook's manifests make it")));
    };
    let old = facts.pods_where(ns, &label)?.iter().map(|pod| pod.name.clone()).collect();
    let object = Object::of(kinds::DEPLOYMENT, before);
    let plan = Plan::new(say!("set the image of the toolbox to {} and wait for its new pod", wanted), Risk::Disruptive)
        .interrupts(say!("whoever works in a shell of the toolbox loses it"))
        .step(Step::new(
            say!("set the image of {} from {} to {}", TOOLBOX, used, wanted),
            Act::Patch { object, before: before.clone(), after },
        ))
        .step(Step::wait(
            say!("wait until its new pod is Ready"),
            Condition::PodWell { ns: ns.clone(), label, node: None, instead_of: old },
            READY_WITHIN,
        ))
        .next(say!("if the new pod cannot log in, the toolbox has an old key or its manifest is old: install the toolbox of this release of Rook"));
    Ok(Proposal::Plan(plan))
}

/// The image that the toolbox has, and the toolbox with the other one.
fn with_image(toolbox: &Value, image: &str) -> Option<(String, Value)> {
    let mut after = toolbox.clone();
    let containers = after["spec"]["template"]["spec"]["containers"].as_array_mut()?;
    let container = containers.iter_mut().find(|container| container["name"] == TOOLBOX)?;
    let used = container["image"].as_str()?.to_owned();
    container["image"] = image.into();
    Some((used, after))
}

/// The labels of its pods.
fn selector(deployment: &Value) -> Option<String> {
    let labels = deployment["spec"]["selector"]["matchLabels"].as_object()?;
    let labels: Option<Vec<String>> =
        labels.iter().map(|(key, value)| Some(format!("{key}={}", value.as_str()?))).collect();
    labels.filter(|labels| !labels.is_empty()).map(|labels| labels.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_the_image_of_the_toolbox_changes() {
        let containers = json!([{"name": "sidecar", "image": "a"}, {"name": TOOLBOX, "image": "b", "tty": true}]);
        let toolbox = json!({"spec": {"selector": {"matchLabels": {"app": TOOLBOX}},
            "template": {"spec": {"containers": containers}}}});
        let (used, after) = with_image(&toolbox, "c").unwrap();
        let wanted = json!([{"name": "sidecar", "image": "a"}, {"name": TOOLBOX, "image": "c", "tty": true}]);
        assert_eq!((used.as_str(), &after["spec"]["template"]["spec"]["containers"]), ("b", &wanted));
        assert_eq!(selector(&toolbox).as_deref(), Some("app=rook-ceph-tools"));
        assert_eq!(with_image(&json!({}), "c"), None);
        assert_eq!(selector(&json!({"spec": {"selector": {"matchLabels": {}}}})), None);
    }
}
