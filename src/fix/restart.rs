//! Pods that are made anew, one after the other.

use super::{Act, Condition, Object, Step};
use crate::facts::{Facts, Gap, Select, kinds};
use crate::objects::kube::{DisruptionBudget, Pod};
use crate::say;

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
