//! Pods that are made anew, one after the other.

use super::{Act, Condition, Object, Step};
use crate::check::Text;
use crate::facts::{Facts, Gap, Select, kinds};
use crate::objects::kube::{DisruptionBudget, Pod};
use crate::say;

/// The label of the pod of Rook's operator.
pub const OPERATOR_LABEL: &str = "app=rook-ceph-operator";

/// A new pod has so long to become Ready: its image may have to be pulled.
pub const READY_WITHIN: u64 = 600;

/// Takes a pod away: by eviction where it is well and a disruption budget covers it, else by deletion. With a
/// monitor out the budget would never let the unhealthy pod go, which is the one that must.
pub fn take_away(facts: &Facts<'_>, pod: &Pod) -> Result<Step, Gap> {
    let object = Object::new(kinds::POD, &pod.metadata.namespace, &pod.metadata.name, &pod.metadata.uid);
    let budgets = facts.list::<DisruptionBudget>(Some(&pod.metadata.namespace), Select::all())?;
    let covered = budgets.iter().any(|budget| budget.spec.selector.matches(&pod.metadata.labels));
    let of = if pod.spec.node_name.is_empty() { String::new() } else { format!(" on {}", pod.spec.node_name) };
    Ok(if covered && pod.is_ready() {
        Step::new(say!("evict pod {}{}", pod.metadata.name, of), Act::Evict { object })
    } else {
        Step::new(
            say!("delete pod {}{}; its owner makes it anew", pod.metadata.name, of),
            Act::Delete { object, saved: None },
        )
    })
}

/// Waits for the pod that comes in the place of this one: of the same label and, for a DaemonSet, on the same node.
pub fn wait_for_successor(pod: &Pod, label: &str) -> Step {
    let of_node = pod.metadata.controller().is_some_and(|owner| owner.kind == "DaemonSet");
    let node = of_node.then(|| pod.spec.node_name.clone());
    let until = Condition::PodWell {
        ns: pod.metadata.namespace.clone(),
        label: label.to_owned(),
        node,
        instead_of: vec![pod.metadata.name.clone()],
    };
    Step::wait(say!("wait until its successor is Ready"), until, READY_WITHIN)
}

/// Makes the pods of an operator anew, one after the other; no step where it has none. An operator that starts goes
/// through everything it looks after, and so it must not where the monitors have no quorum: it would take that for
/// the state to work from.
pub fn operator_steps(facts: &Facts<'_>, ns: &str, label: &str) -> Result<Vec<Step>, Gap> {
    let rows = facts.pods_where(ns, label)?;
    let pods = facts.each(rows.iter().filter(|row| !row.is_replaced()), |facts, row| {
        let pod = facts.pod(ns, &row.name)?;
        Ok((pod, take_away(facts, pod)?))
    })?;
    if let Some(unknown) = pods.blind.into_iter().next() {
        return Err(Gap::Unknown(unknown));
    }
    let steps = pods.seen.into_iter().flat_map(|(_, (pod, take_away))| {
        [take_away.guard(Condition::Quorum { without: Vec::new() }), wait_for_successor(pod, label)]
    });
    Ok(steps.collect())
}

/// What to know before Rook's operator goes through a whole cluster, as it does when it starts and when the CephCluster
/// changes.
pub fn reconcile_warnings(facts: &Facts<'_>) -> Result<Vec<Text>, Gap> {
    let storage = &facts.ceph_cluster()?.spec.storage;
    let by_rule =
        |all: Option<bool>, filter: &str, paths: &str| all == Some(true) || !filter.is_empty() || !paths.is_empty();
    let takes = by_rule(storage.use_all_devices, &storage.device_filter, &storage.device_path_filter)
        || storage
            .nodes
            .iter()
            .any(|node| by_rule(node.use_all_devices, &node.device_filter, &node.device_path_filter));
    let mut warnings = vec![say!(
        "Rook goes through the whole cluster then: what was changed before and not applied yet is applied as well"
    )];
    if takes {
        warnings.push(say!(
            "the CephCluster asks for devices by useAllDevices or a filter: a blank disk that was put in since may become an OSD"
        ));
    }
    Ok(warnings)
}
