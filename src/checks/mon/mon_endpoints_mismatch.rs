use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{ENDPOINTS, EXTERNAL, PREFIX, Quorum, by_id, daemon, deployment, existed, failing_over, list, quorum};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Remedy};
use crate::facts::{Facts, Gap, Select, Settled, Unknown, both, kinds};
use crate::objects::ceph::{Mon as MapMon, host};
use crate::objects::kube::{ConfigMap, Service};
use crate::objects::rook::CephCluster;
use crate::say;

check! {
    /// # What it looks at
    /// Four lists of the monitors that must agree: `data` of ConfigMap `rook-ceph-mon-endpoints`, Ceph's monmap, the
    /// Services `rook-ceph-mon-<id>` (not on the host network, nor with exported Services), and `maxMonId`, which must not be below
    /// the highest letter in use; and two monitors with one address. Letters with gaps are what a failover leaves. For
    /// twenty minutes after a monitor was added, and in a cluster without its first quorum, lists may differ.
    ///
    /// # Why it matters
    /// The monmap holds addresses, not names: a Service that was deleted and made anew has another address, at which no
    /// daemon looks. Operator, new daemons and CSI take theirs from the ConfigMap; Rook removes and replaces monitors
    /// by it. With a `maxMonId` too low the next failover takes the name of a monitor that exists. A monitor from
    /// outside that `mon.externalMonIDs` of the CephCluster does not name counts as unknown, and Rook removes it from
    /// the quorum.
    ///
    /// # Confirm by hand
    /// `kubectl -n <ns> get configmap rook-ceph-mon-endpoints -o yaml`, `kubectl -n <ns> get svc -l app=rook-ceph-mon` and
    /// `ceph mon dump`.
    ///
    /// # Fix
    /// The monmap is right as long as it has a quorum. Make a lost Service again with the address of the monmap in
    /// `spec.clusterIP`, or fail that monitor over; correct the ConfigMap by the monmap with the operator stopped, and start
    /// the operator again. Never change the monmap by the ConfigMap.
    ///
    /// # References
    /// Rook: Troubleshooting/disaster-recovery; pkg/operator/ceph/cluster/mon/mon.go and health.go.
    "MON007" "mon-endpoints-mismatch" Mon,
    needs: [
        Discovery, CephClusters, MonDeployments, CephStatus, QuorumStatus, MonPods, MonSockets, Nodes, Objects,
    ],
    explained_by: [(mon::mon_network_changed, Daemon)],
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    if facts.cluster()?.external {
        return Ok(Answered::NotApplicable(EXTERNAL));
    }
    let cluster = facts.ceph_cluster()?;
    let ns = &cluster.metadata.namespace;
    let (deployments, map) = both(facts.mon_deployments(), facts.object::<ConfigMap>(ns, ENDPOINTS))?;
    let deployments = by_id(deployments);
    if !existed(cluster) || cluster.metadata.deletion_timestamp.is_some() || failing_over(facts, &deployments) {
        return Ok(Answered::passed());
    }
    let Some(map) = map else {
        let gone = (!deployments.is_empty()).then(|| gone(ns, deployments.keys().copied()));
        return Ok(Answered::judged(gone.into_iter().collect()));
    };
    let services = facts.list::<Service>(Some(ns), Select::label("app=rook-ceph-mon"));
    let (services, monmap) = both(services.settled(), monmap(facts))?;
    let text = map.data.get("data").map_or("", String::as_str);
    let elsewhere = elsewhere(cluster, map);
    let ours = |id: &str| !elsewhere.contains(id);
    let listed: Vec<(&str, &str)> =
        text.split(',').filter_map(|mon| mon.trim().split_once('=')).filter(|(id, _)| ours(id)).collect();
    let object = ObjectRef::new(kinds::CONFIG_MAP, ns, ENDPOINTS);
    let mut findings: Vec<Finding> = twice(&object, &listed).into_iter().collect();
    findings.extend(too_low(&object, map, &listed));
    let mut blind = Vec::new();
    match monmap {
        Ok(monmap) => {
            let monmap: Vec<&MapMon> = monmap.iter().filter(|mon| ours(&mon.name)).collect();
            findings.extend(differing(&object, text, &listed, &monmap));
        }
        Err(unknown) => blind.extend(unknown),
    }
    match services {
        Ok(_) if cluster.spec.network.multi_cluster_service.enabled => {}
        Ok(services) => {
            let on_pod_network = |id: &str| deployments.get(id).is_some_and(|it| !it.spec.template.spec.host_network);
            let listed = listed.iter().filter(|(id, _)| on_pod_network(id));
            findings.extend(listed.filter_map(|(id, address)| without_service(ns, id, address, services)));
        }
        Err(unknown) => blind.push(unknown),
    }
    Ok(Answered::judged(findings).blind(blind))
}

/// The monmap of the quorum, or the newest that a monitor tells on its socket.
fn monmap<'s>(facts: &Facts<'s>) -> Result<Result<&'s [MapMon], Vec<Unknown>>, Gap> {
    Ok(match quorum(facts)? {
        Quorum::Holds { map: Some(map), .. } => Ok(map),
        Quorum::Holds { map: None, .. } => match facts.quorum_status().settled()? {
            Ok(status) => Ok(&status.monmap.mons),
            Err(unknown) => Err(vec![unknown]),
        },
        Quorum::Lost(lost) => Ok(lost.monmap),
        Quorum::Open(blind) => Err(blind),
    })
}

/// Monitors that Rook does not run, or that move between nodes by other means.
fn elsewhere<'c>(cluster: &'c CephCluster, map: &'c ConfigMap) -> BTreeSet<&'c str> {
    let mon = &cluster.spec.mon;
    let noted = map.data.get("externalMons").map_or("", String::as_str).split(',').map(str::trim);
    let asked = mon.external_mon_ids.iter().map(String::as_str);
    asked.chain(noted).chain([mon.floating_mon.name.as_str()]).filter(|id| !id.is_empty()).collect()
}

fn remedy(ns: &str) -> Remedy {
    Remedy::guided(say!("with a quorum the monmap is right: correct the ConfigMap by it while the operator is scaled to 0 (keep a copy), then start the operator again; where a monitor is listed that nobody needs, let the operator remove it; never change the monmap by the ConfigMap"))
        .command(format!("kubectl -n {ns} get configmap {ENDPOINTS} -o yaml"))
        .command(format!("kubectl -n {ns} get deploy,svc -l app=rook-ceph-mon -o wide"))
}

fn gone<'i>(ns: &str, ids: impl Iterator<Item = &'i str> + Clone) -> Finding {
    let object = ObjectRef::new(kinds::CONFIG_MAP, ns, ENDPOINTS);
    let summary = say!("the ConfigMap {} does not exist, though monitors do ({})", ENDPOINTS, list(ids.clone()));
    let remedy = Remedy::guided(say!("do not restart the operator before the ConfigMap is back: restore it from a backup, or write data, mapping and maxMonId by the monmap"))
        .command(format!("kubectl -n {ns} get deploy,svc -l app=rook-ceph-mon -o wide"));
    Finding::warning(object.clone(), summary, remedy).at(ids.map(daemon)).evidence([Evidence::field(
        &object,
        "metadata",
        "not found",
    )])
}

/// Two monitors with one address.
fn twice(object: &ObjectRef, listed: &[(&str, &str)]) -> Option<Finding> {
    let mut by_address: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (id, address) in listed {
        by_address.entry(address).or_default().push(id);
    }
    let (address, ids) = by_address.into_iter().find(|(_, ids)| ids.len() > 1)?;
    let summary = say!("{} are listed with one address, {}", list(ids.iter().copied()), address);
    Some(
        Finding::warning(object.clone(), summary, remedy(&object.namespace))
            .detail("address")
            .at(ids.iter().map(|id| daemon(id)))
            .evidence([Evidence::field(object, "data.data", format!("{address} for {}", ids.join(" and ")))]),
    )
}

/// The next monitor is named after `maxMonId`.
fn too_low(object: &ObjectRef, map: &ConfigMap, listed: &[(&str, &str)]) -> Option<Finding> {
    let max: i64 = map.data.get("maxMonId")?.trim().parse().ok()?;
    let (highest, id) = listed.iter().filter_map(|(id, _)| Some((index(id)?, *id))).max()?;
    let summary =
        say!("maxMonId is {}, but mon.{} is number {}: the next failover takes a name in use", max, id, highest);
    let remedy = Remedy::guided(say!(
        "set maxMonId to {} while the operator is scaled to 0, then start the operator again",
        highest
    ))
    .command(format!("kubectl -n {} get configmap {ENDPOINTS} -o yaml", object.namespace));
    let evidence = [Evidence::field(object, "data.maxMonId", max)];
    (max < highest).then(|| Finding::warning(object.clone(), summary, remedy).detail("maxMonId").evidence(evidence))
}

/// `a` is 0, `z` 25, `aa` 26; none for names that Rook does not give.
fn index(id: &str) -> Option<i64> {
    let letters = (1..=4).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_lowercase());
    letters.then(|| id.bytes().fold(0, |number, byte| number * 26 + i64::from(byte - b'a') + 1) - 1)
}

/// The ConfigMap against the monmap: who is in one only, and whose address differs.
fn differing(object: &ObjectRef, text: &str, listed: &[(&str, &str)], monmap: &[&MapMon]) -> Option<Finding> {
    let mut ids: BTreeSet<&str> = BTreeSet::new();
    let mut what = Vec::new();
    for (id, address) in listed {
        match monmap.iter().find(|mon| mon.name == *id) {
            None => what.push(say!("mon.{} is not in the monmap", id)),
            Some(mon) if mon.public_addrs.addrvec.is_empty() || knows(mon, address) => continue,
            Some(mon) => what.push(say!("mon.{} is {} here and {} in the monmap", id, address, addresses(mon))),
        }
        ids.insert(id);
    }
    for mon in monmap.iter().filter(|mon| listed.iter().all(|(id, _)| mon.name != *id)) {
        what.push(say!("mon.{} is only in the monmap", mon.name));
        ids.insert(&mon.name);
    }
    if what.is_empty() {
        return None;
    }
    let map: Vec<String> = monmap.iter().map(|mon| format!("{}={}", mon.name, addresses(mon))).collect();
    let summary = say!("the ConfigMap {} and the monmap disagree: {}", ENDPOINTS, crate::lang::listed(what));
    Some(
        Finding::warning(object.clone(), summary, remedy(&object.namespace))
            .detail("monmap")
            .at(ids.into_iter().map(daemon))
            .evidence([Evidence::field(object, "data.data", text), Evidence::ceph("quorum_status", map.join(" "))]),
    )
}

fn knows(mon: &MapMon, address: &str) -> bool {
    mon.public_addrs.addrvec.iter().any(|it| same(it.host(), host(address)))
}

fn addresses(mon: &MapMon) -> String {
    mon.public_addrs.addrvec.iter().map(|address| address.addr.as_str()).collect::<Vec<_>>().join(",")
}

/// An IPv6 address has more than one spelling.
fn same(a: &str, b: &str) -> bool {
    a == b || a.parse::<IpAddr>().is_ok_and(|a| b.parse() == Ok(a))
}

/// A monitor on the pod network is reached through a Service with its address.
fn without_service(ns: &str, id: &str, address: &str, services: &[Service]) -> Option<Finding> {
    let name = format!("{PREFIX}{id}");
    let service = services.iter().find(|service| service.metadata.name == name);
    let port = address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    let object = ObjectRef::new(kinds::SERVICE, ns, &name);
    let (summary, evidence) = match service {
        None => (
            say!("mon.{} is known by {}, but its Service does not exist", id, address),
            Evidence::field(&object, "metadata", "not found"),
        ),
        Some(service) if !same(&service.spec.cluster_ip, host(address)) => (
            say!("mon.{} is known by {}, but its Service has {}", id, address, service.spec.cluster_ip),
            Evidence::field(&object, "spec.clusterIP", &service.spec.cluster_ip)
                .at(service.metadata.creation_timestamp),
        ),
        Some(service) => {
            let port = port.filter(|port| service.spec.ports.iter().all(|it| it.port != *port))?;
            let has: Vec<String> = service.spec.ports.iter().map(|port| port.port.to_string()).collect();
            (
                say!("mon.{} is known by {}, but its Service has no port {}", id, address, port),
                Evidence::field(&object, "spec.ports", has.join(", ")),
            )
        }
    };
    let remedy = Remedy::guided(say!("make Service {} with the address of the monmap again (spec.clusterIP {}, ports 3300 and 6789 as those of the other monitors), as long as nobody else took it; otherwise let Rook fail mon.{} over while the others hold the quorum", name, host(address), id))
        .command(format!("kubectl -n {ns} get svc -l app=rook-ceph-mon -o yaml"))
        .command(format!("kubectl -n {ns} get configmap {ENDPOINTS} -o jsonpath='{{.data.data}}'"));
    let listed = ObjectRef::new(kinds::CONFIG_MAP, ns, ENDPOINTS);
    Some(
        Finding::warning(object, summary, remedy)
            .also([deployment(ns, id)])
            .at([daemon(id)])
            .evidence([evidence, Evidence::field(&listed, "data.data", format!("{id}={address}"))]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_numbered_as_rook_does() {
        for (id, number) in [("a", Some(0)), ("z", Some(25)), ("aa", Some(26)), ("ab", Some(27)), ("ba", Some(52))] {
            assert_eq!(index(id), number, "{id}");
        }
        assert_eq!(["", "mon0", "ibex-1"].map(index), [None; 3]);
    }

    #[test]
    fn addresses_are_compared_by_what_they_mean() {
        assert!(same("fd00::1", "fd00:0:0:0::1") && same("10.0.0.1", "10.0.0.1"));
        assert!(!same("10.0.0.1", "10.0.0.2") && !same("None", ""));
    }
}
