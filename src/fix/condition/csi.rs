//! What the CSI drivers listen on and are told.

use super::Held;
use crate::checks::csi::cluster_config_stale::entries as entries_of;
use crate::checks::csi::ports::{host_ports, takers};
use crate::facts::{Facts, Gap};
use crate::objects::kube::{ConfigMap, Deployment};
use crate::say;

/// A port is taken by whoever's template wants it, wherever its pods run now: they may come to any node.
pub(super) fn port_free(facts: &Facts<'_>, port: u16, beside: &str) -> Result<Held, Gap> {
    let (takers, blind) = takers(facts)?;
    match (takers.iter().find(|taker| taker.port == port && taker.who != beside), blind.into_iter().next()) {
        (Some(taker), _) => Ok(Held::No(say!("{} wants it ({})", taker.who, taker.says))),
        (None, Some(unknown)) => Err(Gap::Unknown(unknown)),
        (None, None) => Ok(Held::Yes),
    }
}

pub(super) fn listens_on(facts: &Facts<'_>, ns: &str, name: &str, port: u16) -> Result<Held, Gap> {
    let Some(deployment) = facts.object::<Deployment>(ns, name)? else {
        return Ok(Held::No(say!("there is no Deployment {}/{}", ns, name)));
    };
    let ports = host_ports(deployment);
    if !ports.contains(&port) {
        let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
        return Ok(Held::No(match ports.as_slice() {
            [] => say!("it still takes no port of the host"),
            ports => say!("it still takes port {}", ports.join(", ")),
        }));
    }
    Ok(rolled_out(deployment))
}

/// Whether every pod of a Deployment is of its newest template and Ready, and no older one is left.
fn rolled_out(deployment: &Deployment) -> Held {
    let status = &deployment.status;
    let wanted = deployment.spec.replicas.unwrap_or(1);
    if status.observed_generation < deployment.metadata.generation {
        return Held::No(say!("its roll-out has not begun"));
    }
    let counts = [status.replicas, status.updated_replicas, status.ready_replicas];
    Held::when(counts.iter().all(|count| *count == wanted), || {
        say!("{} of {} pods are new, {} are Ready", status.updated_replicas, wanted, status.ready_replicas)
    })
}

pub(super) fn entries(facts: &Facts<'_>, ns: &str, config: &str, key: &str, ids: &[String]) -> Result<Held, Gap> {
    let map = facts.object::<ConfigMap>(ns, config)?;
    let entries = match entries_of(map, key) {
        Ok(entries) => entries,
        Err(why) => return Ok(Held::No(why)),
    };
    let lost: Vec<&str> =
        ids.iter().map(String::as_str).filter(|id| entries.iter().all(|entry| entry.id != *id)).collect();
    Ok(Held::when(lost.is_empty(), || say!("there is none for {}", lost.join(", "))))
}

/// One look at the ConfigMap for each of the entries.
pub(super) fn entries_command(ns: &str, config: &str, key: &str, ids: &[String]) -> String {
    let get = format!("kubectl -n {ns} get configmap {config} -o jsonpath='{{.data.{}}}'", key.replace('.', "\\."));
    let one = |id: &String| format!("{get} | grep -q -e '\"clusterID\": *\"{id}\"'");
    ids.iter().map(one).collect::<Vec<_>>().join(" && ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_roll_out_is_over_when_no_old_pod_is_left() {
        let deployment = |status: serde_json::Value| -> Deployment {
            let whole = json!({"metadata": {"generation": 3}, "spec": {"replicas": 2}, "status": status});
            serde_json::from_value(whole).unwrap()
        };
        let counts = |observed: i64, replicas: i32, updated: i32, ready: i32| {
            deployment(
                json!({"observedGeneration": observed, "replicas": replicas, "updatedReplicas": updated, "readyReplicas": ready}),
            )
        };
        assert_eq!(rolled_out(&counts(3, 2, 2, 2)), Held::Yes);
        for not_yet in [counts(2, 2, 2, 2), counts(3, 3, 2, 2), counts(3, 2, 1, 2), counts(3, 2, 2, 1)] {
            assert!(matches!(rolled_out(&not_yet), Held::No(_)));
        }
    }
}
