//! Nodes that somebody is working on.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use crate::facts::{Facts, Gap, Settled};
use crate::objects::kube::{Node, Taint};

/// Rook keeps the OSDs of a drained node in for so long (`osdMaintenanceTimeout`, 30 minutes unless set).
const EXPECTED: SignedDuration = SignedDuration::from_mins(30);

/// When a node was cordoned. Only the taint tells; who writes the field alone leaves no time.
pub(super) fn cordoned_at(node: &Node) -> Option<Timestamp> {
    let cordon = |taint: &&Taint| taint.key == "node.kubernetes.io/unschedulable";
    node.spec.taints.iter().find(cordon).and_then(|taint| taint.time_added)
}

/// Whether a node was cordoned a short while ago and is well: what its pods miss is somebody's intention.
fn is_going_on(node: &Node, now: Timestamp) -> bool {
    node.spec.unschedulable && cordoned_at(node).is_some_and(|at| now.duration_since(at) < EXPECTED)
}

/// Ready nodes on which maintenance goes on. A node whose object cannot be read is not among them: what is down
/// there is then told as loudly as ever.
pub(crate) fn in_maintenance<'s>(facts: &Facts<'s>) -> Result<BTreeSet<&'s str>, Gap> {
    let rows = facts.nodes().settled()?.unwrap_or(&[]);
    let cordoned = rows.iter().filter(|node| node.is_cordoned() && node.is_ready());
    let opened = facts.each(cordoned, |facts, row| facts.object::<Node>("", &row.name))?;
    let going_on = |node: &Option<&Node>| node.is_some_and(|node| is_going_on(node, facts.now()));
    Ok(opened.seen.iter().filter(|(_, node)| going_on(node)).map(|(row, _)| row.name.as_str()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_cordon_is_maintenance_for_half_an_hour() {
        let now: Timestamp = "2025-01-01T12:00:00Z".parse().unwrap();
        for (unschedulable, added, expected) in [
            (true, "2025-01-01T11:40:00Z", true),
            (true, "2025-01-01T11:20:00Z", false),
            (false, "2025-01-01T11:40:00Z", false),
        ] {
            let taint = json!({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule", "timeAdded": added});
            let spec = json!({"spec": {"unschedulable": unschedulable, "taints": [taint]}});
            let node: Node = serde_json::from_value(spec).unwrap();
            assert_eq!(is_going_on(&node, now), expected, "{added}");
        }
    }
}
