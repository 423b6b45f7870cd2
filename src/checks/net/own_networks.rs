//! The ranges and addresses that the cluster's own network uses, as far as they are recorded.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::check::{Evidence, ObjectRef, Text};
use crate::facts::tables::PodRow;
use crate::facts::{Facts, Gap, Select, Settled, Unknown, both, kinds};
use crate::objects::kube::{ConfigMap, Node, Pod, Service};
use crate::objects::kube_ovn::Subnet;
use crate::say;

/// A range or an address that the cluster's own network uses, and where that is written.
pub(crate) struct Own {
    pub net: IpNet,
    pub what: Text,
    pub evidence: Evidence,
}

/// So many nodes are opened for their pod range.
const NODES: usize = 3;

/// What is recorded of pods and Services, and what could not be read; the rows are of pods on the default network.
pub(crate) fn own_networks(facts: &Facts<'_>, rows: &[&PodRow]) -> Result<(Vec<Own>, Vec<Unknown>), Gap> {
    let named = both(services(facts), service_ranges(facts));
    let (named, pods) = both(named, both(subnets(facts), pod_ranges(facts, rows)))?;
    let (mut own, mut blind) = (Vec::new(), Vec::new());
    for (found, unread) in [named.0, named.1, pods.0, pods.1] {
        own.extend(found);
        blind.extend(unread);
    }
    own.extend(rows.iter().filter_map(|row| pod_address(row)));
    Ok((own, blind))
}

/// What one source knows, and what kept it from knowing.
type Known = (Vec<Own>, Option<Unknown>);

fn services(facts: &Facts<'_>) -> Result<Known, Gap> {
    let ns = facts.cluster()?.ns.as_str();
    let services = match facts.list::<Service>(Some(ns), Select::label("app=rook-ceph-mon")).settled()? {
        Ok(services) => services,
        Err(unknown) => return Ok((Vec::new(), Some(unknown))),
    };
    let own = services.iter().flat_map(|service| {
        let object = ObjectRef::of::<Service>(&service.metadata);
        service.spec.cluster_ips.iter().filter_map(move |ip| {
            let evidence = Evidence::field(&object, "spec.clusterIPs", ip);
            Some(Own { net: single(ip)?, what: say!("the address {} of {}", ip, object), evidence })
        })
    });
    Ok((own.collect(), None))
}

/// From the API server's arguments; where no pod of it tells, from what kubeadm was given.
fn service_ranges(facts: &Facts<'_>) -> Result<Known, Gap> {
    let servers = facts.list::<Pod>(Some("kube-system"), Select::label("component=kube-apiserver")).settled()?;
    let told = servers.as_ref().ok().and_then(|servers| {
        let pod = servers.first()?;
        let flag = pod.spec.containers.iter().find_map(|it| it.flag("--service-cluster-ip-range"))?;
        Some(ranges(&ObjectRef::pod(pod), "--service-cluster-ip-range", flag))
    });
    if let Some(told) = told {
        return Ok((told, None));
    }
    Ok(match facts.object::<ConfigMap>("kube-system", "kubeadm-config").settled()? {
        Ok(config) => (config.map_or_else(Vec::new, kubeadm_range), servers.err()),
        Err(unknown) => (Vec::new(), Some(unknown)),
    })
}

fn kubeadm_range(config: &ConfigMap) -> Vec<Own> {
    let text = config.data.get("ClusterConfiguration").map_or("", String::as_str);
    let line = text.lines().find_map(|line| line.trim().strip_prefix("serviceSubnet:")).unwrap_or_default();
    ranges(&ObjectRef::of::<ConfigMap>(&config.metadata), "data.ClusterConfiguration serviceSubnet", line)
}

fn ranges(object: &ObjectRef, field: &str, text: &str) -> Vec<Own> {
    let all = text.split(',').filter_map(|text| text.trim().trim_matches('"').parse::<IpNet>().ok());
    all.map(|net| Own { net, what: say!("the Service range {}", net), evidence: Evidence::field(object, field, net) })
        .collect()
}

/// Of the default network: those of other VPCs are apart, and an underlay may be the storage network itself.
fn subnets(facts: &Facts<'_>) -> Result<Known, Gap> {
    if !facts.installed(kinds::SUBNET)? {
        return Ok((Vec::new(), None));
    }
    let all = match facts.list::<Subnet>(None, Select::all()).settled()? {
        Ok(all) => all,
        Err(unknown) => return Ok((Vec::new(), Some(unknown))),
    };
    let default = all.iter().filter(|subnet| subnet.spec.provider == "ovn" && subnet.spec.vpc == "ovn-cluster");
    let own = default.flat_map(|subnet| {
        let object = ObjectRef::of::<Subnet>(&subnet.metadata);
        let nets = subnet.spec.cidr_block.split(',').filter_map(|text| text.trim().parse::<IpNet>().ok());
        nets.map(move |net| {
            let evidence = Evidence::field(&object, "spec.cidrBlock", net);
            Own { net, what: say!("the pod range {} of {}", net, object), evidence }
        })
    });
    Ok((own.collect(), None))
}

/// A node's range counts if a pod there lives in it: some networks have a range of their own and ignore it.
fn pod_ranges(facts: &Facts<'_>, rows: &[&PodRow]) -> Result<Known, Gap> {
    // Kube-OVN gives addresses from its Subnets, whatever the nodes say.
    if facts.installed(kinds::SUBNET)? {
        return Ok((Vec::new(), None));
    }
    let nodes: BTreeSet<&str> = rows.iter().map(|row| row.node.as_str()).filter(|node| !node.is_empty()).collect();
    let opened = facts.each(nodes.into_iter().take(NODES), |facts, node| facts.object::<Node>("", node))?;
    let nodes = opened.seen.iter().filter_map(|(_, node)| *node);
    let own = nodes.flat_map(|node| {
        let object = ObjectRef::of::<Node>(&node.metadata);
        let nets = node.spec.pod_cidrs.iter().filter_map(|text| text.parse::<IpNet>().ok());
        let lives = |net: &IpNet| {
            let here = rows.iter().filter(|row| row.node == node.metadata.name);
            here.filter_map(|row| row.ip.parse::<IpAddr>().ok()).any(|ip| net.contains(&ip))
        };
        nets.filter(lives)
            .map(move |net| {
                let evidence = Evidence::field(&object, "spec.podCIDRs", net);
                Own { net, what: say!("the pod range {} of {}", net, object), evidence }
            })
            .collect::<Vec<_>>()
    });
    Ok((own.collect(), opened.blind.into_iter().next()))
}

fn pod_address(row: &PodRow) -> Option<Own> {
    let evidence = Evidence::pod_row(row, &row.ns);
    Some(Own { net: single(&row.ip)?, what: say!("the address {} of Pod {}/{}", row.ip, row.ns, row.name), evidence })
}

fn single(ip: &str) -> Option<IpNet> {
    ip.parse::<IpAddr>().ok().map(IpNet::from)
}
