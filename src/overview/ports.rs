//! Who has which port of the nodes: CSI, Ceph, exporters and strangers, as their templates say.

use std::collections::BTreeSet;

use super::{Listing, Overview};
use crate::checks::csi::host_port_conflict;
use crate::checks::csi::ports::{Listener, map};
use crate::facts::{Facts, Gap, Row, Settled, both, kinds};
use crate::objects::kube::{Container, Deployment};
use crate::say;

pub static OVERVIEW: Overview = Overview {
    name: "host-ports",
    title: "PORTS OF THE NODES",
    beside: &host_port_conflict::CHECK,
    columns: &["port", "namespace", "workload", "container", "nodes", "pods without it"],
    needs: &[Row::CsiDeployments, Row::DaemonSets, Row::CsiPods],
    run,
};

/// At most this many names are told of each.
const SHOWN: usize = 4;

fn run(facts: &Facts<'_>) -> Result<Listing, Gap> {
    let ((listeners, mut blind), exporters) = both(map(facts), exporters(facts).settled())?;
    let mut rows: Vec<Vec<String>> = listeners.iter().map(row).collect();
    match exporters {
        Ok(exporters) => rows.extend(exporters),
        Err(unknown) => blind.push(unknown),
    }
    let told = |row: Vec<String>| row.iter().map(|cell| say!("{}", cell)).collect();
    Ok(Listing { rows: rows.into_iter().map(told).collect(), blind })
}

/// Ceph's exporters have a Deployment for each node, all alike: one row tells of all.
fn exporters(facts: &Facts<'_>) -> Result<Vec<Vec<String>>, Gap> {
    let cluster = facts.cluster()?;
    if cluster.external || !facts.ceph_cluster()?.spec.network.is_host() {
        return Ok(Vec::new());
    }
    let pods = facts.pods_where(&cluster.ns, "app=rook-ceph-exporter")?;
    let Some(node) = pods.iter().find(|pod| !pod.node.is_empty()).map(|pod| pod.node.as_str()) else {
        return Ok(Vec::new());
    };
    let one = facts.object::<Deployment>(&cluster.ns, &format!("rook-ceph-exporter-{node}"))?;
    let containers = one.into_iter().flat_map(|one| &one.spec.template.spec.containers);
    let ports =
        containers.flat_map(|container| container.ports.iter().map(move |port| (container, port.container_port)));
    let nodes: BTreeSet<&str> = pods.iter().map(|pod| pod.node.as_str()).filter(|node| !node.is_empty()).collect();
    let without = pods.iter().filter(|pod| pod.node.is_empty()).count();
    let row = |(container, port): (&Container, u16)| {
        let workload = "deploy/rook-ceph-exporter-*".to_owned();
        vec![port.to_string(), cluster.ns.clone(), workload, container.name.clone(), some(&nodes), number(without)]
    };
    Ok(ports.map(row).collect())
}

/// Nothing for none.
fn number(count: usize) -> String {
    if count == 0 { String::new() } else { count.to_string() }
}

fn row(listener: &Listener<'_>) -> Vec<String> {
    let short = if listener.kind == kinds::DAEMON_SET { "ds" } else { "deploy" };
    vec![
        listener.port.to_string(),
        listener.metadata.namespace.clone(),
        format!("{short}/{}", listener.metadata.name),
        listener.container.to_owned(),
        some(&listener.nodes()),
        number(listener.without().count()),
    ]
}

/// `3: w1, w2, w3`; nothing for none.
fn some(names: &BTreeSet<&str>) -> String {
    if names.is_empty() {
        return String::new();
    }
    let shown = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    format!("{}: {shown}{}", names.len(), if names.len() > SHOWN { ", …" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_names_are_counted() {
        assert_eq!(some(&BTreeSet::new()), "");
        assert_eq!(some(&BTreeSet::from(["w1", "w2"])), "2: w1, w2");
        assert_eq!(some(&BTreeSet::from(["a", "b", "c", "d", "e"])), "5: a, b, c, d, …");
    }
}
