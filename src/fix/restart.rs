//! Pods that are made anew, one after the other.

use super::{Act, Case, Condition, Object, Step};
use crate::check::{FixKind, Severity, Text};
use crate::facts::{Facts, Gap, Select, both, kinds};
use crate::objects::kube::{DaemonSet, DisruptionBudget, Pod};
use crate::say;

/// A new pod has so long to become Ready: its image may have to be pulled.
pub const READY_WITHIN: u64 = 600;

/// Why a restart is no remedy for this finding, as far as the finding itself tells.
pub fn in_vain(case: &Case<'_>) -> Option<Text> {
    let by_hand = || say!("a new pod may well fail as this one does: its cause is not in the pod, or not known");
    mend_first(case).or_else(|| (case.finding.remedy.fix != FixKind::Auto).then(by_hand))
}

/// What must be mended before this finding: another that explains it, and would break the new pod as well.
pub fn mend_first(case: &Case<'_>) -> Option<Text> {
    let this = case.findings.iter().find(|placed| std::ptr::eq(&placed.finding, case.finding))?;
    let mut causes = this.causes.iter().filter_map(|(at, _)| case.findings.get(*at));
    let cause = causes.find(|cause| cause.finding.severity > Severity::Info)?;
    Some(say!("it follows from {}: mend that first, and this mends itself", cause.id))
}

/// Takes the pod of a DaemonSet away where it would come back unchanged, and waits for its successor on that node.
/// None for a pod of no DaemonSet that a label tells.
pub fn of_daemon_set(facts: &Facts<'_>, pod: &Pod) -> Result<Option<[Step; 2]>, Gap> {
    let (ns, name, node) = (&pod.metadata.namespace, &pod.metadata.name, &pod.spec.node_name);
    let Some(owner) = pod.metadata.controller().filter(|owner| owner.kind == "DaemonSet") else { return Ok(None) };
    let (set, delete) = both(facts.object::<DaemonSet>(ns, &owner.name), take_away(facts, pod))?;
    let label = set.map(DaemonSet::pod_labels).filter(|label| !label.is_empty() && !node.is_empty());
    Ok(label.map(|label| {
        let unchanged = Condition::SameRevision { ns: ns.clone(), pod: name.clone() };
        let delete = delete.guard(Condition::NodeReady { node: node.clone() }).guard(unchanged);
        [delete, wait_for_successor(pod, &label)]
    }))
}

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
