//! Room for a daemon that needs more memory, and whether it got it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Held;
use crate::checks::node::quantity::{bytes, text};
use crate::facts::{Facts, Gap, Select, both};
use crate::objects::kube::{Container, Meta, Node, Pod, Resources};
use crate::say;

/// A pod that finds no room stays Pending, and its daemon is gone: what cannot be seen refuses. The limit is what is
/// compared, not the request, because a daemon that was killed at its limit does use it.
pub(super) fn room(facts: &Facts<'_>, ns: &str, label: &str, needed: u64) -> Result<Held, Gap> {
    let rows = facts.pods_where(ns, label)?;
    let own: BTreeSet<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    let mut nodes: BTreeMap<&str, u64> = BTreeMap::new();
    for row in rows.iter().filter(|row| !row.node.is_empty() && !row.is_replaced()) {
        *nodes.entry(&row.node).or_default() += 1;
    }
    if nodes.is_empty() {
        return Ok(Held::No(say!("none of its pods is on a node")));
    }
    let seen = facts.each(nodes, |facts, (node, _)| {
        both(facts.object::<Node>("", node), facts.list::<Pod>(None, Select::field(format!("spec.nodeName={node}"))))
    })?;
    for ((name, daemons), (node, pods)) in seen.seen {
        let Some(node) = node else { return Ok(Held::No(say!("node {} is gone", name))) };
        let Some(all) = node.status.allocatable.get("memory").and_then(quantity) else {
            return Ok(Held::No(say!("node {} does not say how much memory it has", name)));
        };
        let mut asked: u64 = 0;
        for pod in pods.iter().filter(|pod| pod.metadata.namespace != ns || !own.contains(pod.metadata.name.as_str())) {
            let Some(requested) = requested(pod) else {
                let Meta { namespace, name: pod, .. } = &pod.metadata;
                return Ok(Held::No(say!(
                    "what {}/{} on {} asked for is no quantity that is known",
                    namespace,
                    pod,
                    name
                )));
            };
            asked = asked.saturating_add(requested);
        }
        let wanted = needed.saturating_mul(daemons);
        if all.saturating_sub(asked) < wanted {
            return Ok(Held::No(say!(
                "of {} on {} other pods asked for {}, and {} are needed",
                shown(all),
                name,
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
fn requested(pod: &Pod) -> Option<u64> {
    if matches!(pod.status.phase.as_str(), "Succeeded" | "Failed") {
        return Some(0);
    }
    // Without a request of its own a container asks for its limit.
    let of = |container: &Container| {
        let Resources { limits, requests } = &container.resources;
        requests.get("memory").or(limits.get("memory")).map_or(Some(0), quantity)
    };
    let mut running: u64 = 0;
    for container in &pod.spec.containers {
        running = running.saturating_add(of(container)?);
    }
    let before: Option<Vec<u64>> = pod.spec.init_containers.iter().map(of).collect();
    Some(running.max(before?.into_iter().max().unwrap_or(0)))
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
        return Ok(Held::No(say!("there is no pod")));
    }
    let wanted = bytes(limit);
    for pod in pods {
        let name = &pod.metadata.name;
        let own =
            pod.containers().find(|(it, _)| it.name == container).and_then(|(it, _)| it.resources.limits.get("memory"));
        if own.and_then(|own| bytes(&text(own))) != wanted {
            return Ok(Held::No(match own {
                Some(own) => say!("the limit of {} is {}", name, text(own)),
                None => say!("{} has no limit", name),
            }));
        }
        if pod.metadata.deletion_timestamp.is_some() || !(pod.is_ready() || pod.status.phase == "Succeeded") {
            return Ok(Held::No(say!("{} is not Ready", name)));
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
        assert_eq!(requested(&pod("Running")), Some(1536 << 20));
        assert_eq!(requested(&pod("Succeeded")), Some(0));
        let mut odd = pod("Running");
        odd.spec.containers[2].resources.requests.insert("memory".to_owned(), json!("much"));
        assert_eq!(requested(&odd), None);
    }
}
