//! Room for a daemon that needs more memory, and whether it got it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Held;
use crate::checks::node::quantity::{bytes, text};
use crate::facts::{Facts, Gap, Select, both};
use crate::objects::kube::{Container, Node, Pod};

/// A pod that finds no room stays Pending, and its daemon is gone: what cannot be seen refuses. The limit is what is
/// compared, not the request, because a daemon that was killed at its limit does use it.
pub(super) fn room(facts: &Facts<'_>, ns: &str, label: &str, needed: u64) -> Result<Held, Gap> {
    let rows = facts.pods_where(ns, label)?;
    let own: BTreeSet<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    let mut nodes: BTreeMap<&str, u64> = BTreeMap::new();
    for row in rows.iter().filter(|row| !row.node.is_empty() && !row.is_replaced()) {
        *nodes.entry(&row.node).or_default() += 1;
    }
    let seen = facts.each(nodes, |facts, (node, _)| {
        both(facts.object::<Node>("", node), facts.list::<Pod>(None, Select::field(format!("spec.nodeName={node}"))))
    })?;
    for ((name, daemons), (node, pods)) in seen.seen {
        let Some(node) = node else { return Ok(Held::No(format!("node {name} is gone"))) };
        let Some(all) = node.status.allocatable.get("memory").and_then(quantity) else {
            return Ok(Held::No(format!("node {name} does not say how much memory it has")));
        };
        let others =
            pods.iter().filter(|pod| pod.metadata.namespace != ns || !own.contains(pod.metadata.name.as_str()));
        let asked: u64 = others.map(requested).sum();
        let wanted = needed * daemons;
        if all.saturating_sub(asked) < wanted {
            return Ok(Held::No(format!(
                "of {} on {name} other pods asked for {}, and {} are needed",
                shown(all),
                shown(asked),
                shown(wanted)
            )));
        }
    }
    match seen.blind.into_iter().next() {
        Some(unknown) => Err(Gap::Unknown(unknown)),
        None => Ok(Held::Yes),
    }
}

/// What the scheduler counts for a pod: all containers together, or the greediest of those that run before them.
fn requested(pod: &Pod) -> u64 {
    if matches!(pod.status.phase.as_str(), "Succeeded" | "Failed") {
        return 0;
    }
    // Without a request of its own a container asks for its limit.
    let of = |container: &Container| {
        let resources = &container.resources;
        resources.requests.get("memory").or(resources.limits.get("memory")).and_then(quantity).unwrap_or(0)
    };
    let running: u64 = pod.spec.containers.iter().map(of).sum();
    let before = pod.spec.init_containers.iter().map(of).max().unwrap_or(0);
    running.max(before)
}

fn quantity(value: &Value) -> Option<u64> {
    bytes(&text(value)).map(|bytes| bytes as u64)
}

/// `512Mi`
pub(super) fn shown(bytes: u64) -> String {
    format!("{}Mi", bytes.div_ceil(1 << 20))
}

pub(super) fn limit(facts: &Facts<'_>, ns: &str, label: &str, container: &str, limit: &str) -> Result<Held, Gap> {
    let pods = facts.list::<Pod>(Some(ns), Select::label(label))?;
    if pods.is_empty() {
        return Ok(Held::No("there is no pod".to_owned()));
    }
    let wanted = bytes(limit);
    for pod in pods {
        let name = &pod.metadata.name;
        let own =
            pod.containers().find(|(it, _)| it.name == container).and_then(|(it, _)| it.resources.limits.get("memory"));
        if own.and_then(|own| bytes(&text(own))) != wanted {
            let own = own.map_or_else(|| "none".to_owned(), text);
            return Ok(Held::No(format!("the limit of {name} is {own}")));
        }
        if pod.metadata.deletion_timestamp.is_some() || !(pod.is_ready() || pod.status.phase == "Succeeded") {
            return Ok(Held::No(format!("{name} is not Ready")));
        }
    }
    Ok(Held::Yes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pod_asks_for_what_the_scheduler_counts() {
        let pod = |phase: &str| -> Pod {
            let of = |resources: Value| json!({"name": "c", "resources": resources});
            let spec = json!({
                "containers": [of(json!({"requests": {"memory": "1Gi"}, "limits": {"memory": "4Gi"}})),
                    of(json!({"limits": {"memory": "512Mi"}})), of(json!({}))],
                "initContainers": [of(json!({"requests": {"memory": "1Gi"}}))],
            });
            serde_json::from_value(json!({"spec": spec, "status": {"phase": phase}})).unwrap()
        };
        assert_eq!(requested(&pod("Running")), 1536 << 20);
        assert_eq!(requested(&pod("Succeeded")), 0);
    }
}
