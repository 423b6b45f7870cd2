use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::nad_default_route::severity;
use super::{StorageNetwork, daemon_rows, storage_networks};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Remedy, Severity};
use crate::facts::tables::PodRow;
use crate::facts::{Facts, Gap, Select, Settled, Unknown, both, kinds};
use crate::objects::kube::{ConfigMap, Node, Pod, Service};
use crate::objects::kube_ovn::Subnet;
use crate::say;

check! {
    /// # What it looks at
    /// The ranges of the cluster's storage networks against what is recorded of the cluster's own: the Service
    /// range that the API server or kubeadm was given, the addresses of Services, the default network's Subnets
    /// of Kube-OVN, the pod ranges of nodes whose pods really live in them, addresses of pods, and addresses of
    /// nodes. A node may lie in the subnet of a storage network, as long as it is outside of what is handed out.
    ///
    /// # Why it matters
    /// The subnet of a NAD becomes a route over the storage interface inside every Ceph pod. If pods or Services
    /// live in it as well, packets for them take that interface: monitors' Service addresses and the API server
    /// are out of reach. An address that a node has and a pod gets is on the network twice.
    ///
    /// # Confirm by hand
    /// `kubectl cluster-info dump | grep -m1 service-cluster-ip-range`, `kubectl get pods,nodes -A -o wide`, and
    /// inside a Ceph pod `ip route`.
    ///
    /// # Fix
    /// Give the NAD a subnet that nothing else uses, or exclude the nodes' addresses from its range; then restart
    /// the daemons one failure domain at a time.
    ///
    /// # References
    /// Rook: CRDs/Cluster/network-providers, "Multus Prerequisites". whereabouts: README, `exclude`.
    "NET010" "nad-overlaps-cluster-network" Net,
    needs: [
        Discovery, CephClusters, NetworkAttachments, Nodes, MonPods, MgrPods, MdsPods, RgwPods, OsdPods,
        OperatorPods, CephStatus, Objects,
    ],
    explained_by: [],
}

/// A range or an address that the cluster's own network uses, and where that is written.
struct Own {
    net: IpNet,
    what: String,
    evidence: Evidence,
}

/// So many nodes are opened for their pod range.
const NODES: usize = 3;

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let networks = storage_networks(facts)?;
    if networks.is_empty() {
        return Ok(Answered::NotApplicable("the cluster's network provider is not Multus"));
    }
    let ranged: Vec<_> =
        networks.iter().filter_map(|network| Some((network, network.attachment?.ipam().spans()))).collect();
    if ranged.iter().all(|(_, spans)| spans.is_empty()) {
        return Ok(Answered::NotApplicable("the NADs name no range: their addresses come from elsewhere"));
    }
    let (nodes, (rows, operators)) = both(facts.nodes(), both(daemon_rows(facts), facts.operator_pods()))?;
    // A pod on the host network has the node's address.
    let hosts: BTreeSet<&str> = nodes.iter().map(|node| node.address.as_str()).collect();
    let rows = rows.into_iter().chain(operators).filter(|row| !row.is_done() && !hosts.contains(row.ip.as_str()));
    let rows: Vec<&PodRow> = rows.collect();
    let named = both(services(facts), service_ranges(facts));
    let (named, pods) = both(named, both(subnets(facts), pod_ranges(facts, &rows)))?;
    let (mut own, mut blind) = (Vec::new(), Vec::new());
    for (found, unread) in [named.0, named.1, pods.0, pods.1] {
        own.extend(found);
        blind.extend(unread);
    }
    own.extend(rows.iter().filter_map(|row| pod_address(row)));
    let mut findings = Vec::new();
    for (network, spans) in &ranged {
        let meets =
            |own: &&Own| spans.iter().any(|span| span.subnet.contains(&own.net) || own.net.contains(&span.subnet));
        let met: Vec<&Own> = own.iter().filter(meets).collect();
        if !met.is_empty() {
            findings.push(routed(network, &met, severity(facts)?));
            continue;
        }
        let taken = |address: &str| address.parse::<IpAddr>().is_ok_and(|ip| spans.iter().any(|span| span.holds(ip)));
        let taken: Vec<_> = nodes.iter().filter(|node| taken(&node.address)).collect();
        if !taken.is_empty() {
            let taken: Vec<(&str, &str)> =
                taken.iter().map(|node| (node.name.as_str(), node.address.as_str())).collect();
            findings.push(given_away(network, &taken));
        }
    }
    Ok(Answered::judged(findings).blind(blind))
}

/// What one source knows, and what kept it from knowing.
type Known = (Vec<Own>, Option<Unknown>);

fn services(facts: &Facts<'_>) -> Result<Known, Gap> {
    let ns = facts.cluster()?.ns.as_str();
    let services = match facts.list::<Service>(Some(ns), Select::all()).settled()? {
        Ok(services) => services,
        Err(unknown) => return Ok((Vec::new(), Some(unknown))),
    };
    let own = services.iter().flat_map(|service| {
        let object = ObjectRef::of::<Service>(&service.metadata);
        service.spec.cluster_ips.iter().filter_map(move |ip| {
            let evidence = Evidence::field(&object, "spec.clusterIPs", ip);
            Some(Own { net: single(ip)?, what: format!("the address {ip} of {object}"), evidence })
        })
    });
    Ok((own.collect(), None))
}

/// From the API server's arguments, or from what kubeadm was given.
fn service_ranges(facts: &Facts<'_>) -> Result<Known, Gap> {
    let servers = facts.list::<Pod>(Some("kube-system"), Select::label("component=kube-apiserver")).settled();
    let config = facts.object::<ConfigMap>("kube-system", "kubeadm-config").settled();
    let (servers, config) = both(servers, config)?;
    let mut own = Vec::new();
    let mut unread = None;
    match servers {
        Ok(servers) => {
            for pod in servers.iter().take(1) {
                let flag = pod.spec.containers.iter().find_map(|it| it.flag("--service-cluster-ip-range"));
                let object = ObjectRef::pod(pod);
                own.extend(flag.into_iter().flat_map(|text| ranges(&object, "--service-cluster-ip-range", text)));
            }
        }
        Err(unknown) => unread = Some(unknown),
    }
    match config {
        Ok(config) => {
            let text = config.and_then(|config| Some((config, config.data.get("ClusterConfiguration")?)));
            let line = text.and_then(|(config, text)| {
                Some((config, text.lines().find_map(|line| line.trim().strip_prefix("serviceSubnet:"))?))
            });
            own.extend(line.into_iter().flat_map(|(config, text)| {
                ranges(&ObjectRef::of::<ConfigMap>(&config.metadata), "data.ClusterConfiguration serviceSubnet", text)
            }));
        }
        Err(unknown) => unread = Some(unknown),
    }
    Ok((own, unread))
}

fn ranges(object: &ObjectRef, field: &str, text: &str) -> Vec<Own> {
    let all = text.split(',').filter_map(|text| text.trim().trim_matches('"').parse::<IpNet>().ok());
    all.map(|net| Own { net, what: format!("the Service range {net}"), evidence: Evidence::field(object, field, net) })
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
            Own { net, what: format!("the pod range {net} of {object}"), evidence }
        })
    });
    Ok((own.collect(), None))
}

/// A node's range counts if a pod there lives in it: some networks have a range of their own and ignore it.
fn pod_ranges(facts: &Facts<'_>, rows: &[&PodRow]) -> Result<Known, Gap> {
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
                Own { net, what: format!("the pod range {net} of {object}"), evidence }
            })
            .collect::<Vec<_>>()
    });
    Ok((own.collect(), opened.blind.into_iter().next()))
}

fn pod_address(row: &PodRow) -> Option<Own> {
    let evidence = Evidence::pod_row(row, &row.ns);
    Some(Own {
        net: single(&row.ip)?,
        what: format!("the address {} of Pod {}/{}", row.ip, row.ns, row.name),
        evidence,
    })
}

fn single(ip: &str) -> Option<IpNet> {
    ip.parse::<IpAddr>().ok().map(IpNet::from)
}

/// The subnet is a route inside every Ceph pod.
fn routed(network: &StorageNetwork<'_>, met: &[&Own], severity: Severity) -> Finding {
    let more = if met.len() == 1 { String::new() } else { format!(" and {} more", met.len() - 1) };
    let summary = say!(
        "the {} network {} overlaps the cluster's own network: {}{} lies in the subnet that Ceph pods reach over the storage interface",
        network.role,
        network.selection.full_name(),
        met.first().map_or("", |own| own.what.as_str()),
        more
    );
    finding(network, severity, summary, Remedy::guided(say!(
        "give the NAD a subnet that neither pods, Services nor nodes use, then restart the daemons one failure domain at a time, monitors first"
    ))).evidence(met.iter().take(4).map(|own| own.evidence.clone()))
}

/// Nodes may share the subnet, but not what is handed out of it.
fn given_away(network: &StorageNetwork<'_>, taken: &[(&str, &str)]) -> Finding {
    let all: Vec<String> = taken.iter().map(|(node, address)| format!("{address} of {node}")).collect();
    let summary = say!(
        "the {} network {} may give a daemon an address that a node has: {}",
        network.role,
        network.selection.full_name(),
        all.join(", ")
    );
    let remedy = Remedy::guided(say!(
        "exclude the nodes' addresses from the range of the NAD (exclude, or its start and end); daemons that already have one of them get another by a restart"
    ));
    finding(network, Severity::Warning, summary, remedy).evidence(
        taken
            .iter()
            .take(4)
            .map(|(node, address)| Evidence::field(&ObjectRef::node(node), "status.addresses", address)),
    )
}

fn finding(network: &StorageNetwork<'_>, severity: Severity, summary: crate::check::Text, remedy: Remedy) -> Finding {
    let (ns, name) = (&network.selection.ns, &network.selection.name);
    let object = network.object();
    let ranges = network.attachment.map_or_else(Vec::new, |nad| nad.ipam().spans());
    let range = ranges.iter().map(|span| {
        Evidence::field(&object, "spec.config ipam", format!("{} to {} in {}", span.first, span.last, span.subnet))
    });
    let remedy = remedy
        .command(format!("kubectl -n {ns} get net-attach-def {name} -o yaml > {name}.backup.yaml"))
        .command(format!("kubectl -n {ns} edit net-attach-def {name}"));
    Finding::new(severity, object.clone(), summary, remedy).at([network.place()]).evidence(range)
}
