use std::net::IpAddr;

use ipnet::IpNet;

use super::{namespace, network};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy};
use crate::facts::tables::NodeRow;
use crate::facts::{Facts, Gap, both};
use crate::objects::kube::{Condition, DaemonSet, condition};
use crate::objects::kube_ovn::Subnet;
use crate::say;

check! {
    /// # What it looks at
    /// The ranges of Kube-OVN's Subnets: against each other within one VPC and VLAN, and, for overlays of the default
    /// VPC, against the addresses of the nodes and the Service range that kube-ovn-cni is given
    /// (`--service-cluster-ip-range`); and Subnets that Kube-OVN refused for a conflict (condition `Validated`).
    ///
    /// # Why it matters
    /// What pods send to such an address goes to the Subnet's switch and not to the node or the Service: monitors on
    /// the host network, the API server and DNS are then out of reach for some pods. Of two Subnets that overlap the
    /// later one is refused, and its pods get no address. An underlay (VLAN) holds the nodes' addresses by design,
    /// and VPCs are apart.
    ///
    /// # Confirm by hand
    /// `kubectl get subnets.kubeovn.io -o wide`, `kubectl get nodes -o wide`, and events
    /// NodeAddressConflictWithSubnet and ValidateLogicalSwitchFailed.
    ///
    /// # Fix
    /// Make a Subnet with a free range, move the namespaces to it, make their pods again, and delete the other.
    ///
    /// # References
    /// Kube-OVN: guide, "Preparation" (ranges must not overlap); pkg/controller/node.go, pkg/util/validator.go.
    "OVN009" "subnet-conflict" Ovn,
    needs: [Discovery, DaemonSets, Subnets, Nodes],
    explained_by: [],
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let ns = namespace(facts)?;
    let (subnets, nodes) = both(facts.subnets(), facts.nodes())?;
    let is_alive = |subnet: &&Subnet| subnet.is_ovn() && subnet.metadata.deletion_timestamp.is_none();
    let subnets: Vec<&Subnet> = subnets.iter().filter(is_alive).collect();
    let is_cni = |set: &&DaemonSet| set.metadata.namespace == ns && set.metadata.name == "kube-ovn-cni";
    let cni = facts.daemon_sets()?.iter().find(is_cni);
    let mut findings = between(&subnets);
    let default = subnets.iter().find(|subnet| subnet.spec.default).map_or("ovn-cluster", |it| it.spec.vpc.as_str());
    for subnet in subnets.iter().filter(|subnet| subnet.spec.vpc == default && subnet.spec.vlan.is_empty()) {
        findings.extend(with_nodes(subnet, nodes));
        findings.extend(cni.and_then(|cni| with_services(subnet, cni)));
    }
    let told = |subnet: &Subnet| {
        let object = ObjectRef::of::<Subnet>(&subnet.metadata);
        findings.iter().any(|finding: &Finding| finding.objects.first() == Some(&object))
    };
    let untold: Vec<Finding> = subnets.iter().filter(|subnet| !told(subnet)).filter_map(|it| as_refused(it)).collect();
    findings.extend(untold);
    Ok(Answered::judged(findings))
}

/// The condition by which Kube-OVN refuses a Subnet for a conflict.
fn refusal(subnet: &Subnet) -> Option<&Condition> {
    let validated = condition(&subnet.status.conditions, "Validated")?;
    (validated.status == "False" && validated.message.contains("conflict")).then_some(validated)
}

fn between(subnets: &[&Subnet]) -> Vec<Finding> {
    let meets = |a: &Subnet, b: &Subnet| {
        let same = (&a.spec.vpc, &a.spec.vlan) == (&b.spec.vpc, &b.spec.vlan);
        same && a.nets().iter().any(|one| b.nets().iter().any(|other| overlap(one, other)))
    };
    let pairs = subnets.iter().enumerate().flat_map(|(at, a)| subnets[at + 1..].iter().map(move |b| (*a, *b)));
    let pairs = pairs.filter(|(a, b)| meets(a, b));
    // The later one is the one that is refused.
    let ordered =
        pairs.map(|(a, b)| if a.metadata.creation_timestamp > b.metadata.creation_timestamp { (a, b) } else { (b, a) });
    ordered
        .map(|(later, first)| {
            let summary = say!(
                "the Subnets {} ({}) and {} ({}) overlap in one VPC",
                later.metadata.name,
                later.spec.cidr_block,
                first.metadata.name,
                first.spec.cidr_block
            );
            finding(later, summary).detail(&first.metadata.name).evidence([range(first)])
        })
        .collect()
}

fn overlap(a: &IpNet, b: &IpNet) -> bool {
    a.contains(&b.network()) || b.contains(&a.network())
}

fn with_nodes(subnet: &Subnet, nodes: &[NodeRow]) -> Option<Finding> {
    let holds = |node: &&NodeRow| {
        let address = node.address.parse::<IpAddr>();
        address.is_ok_and(|address| subnet.nets().iter().any(|net| net.contains(&address)))
    };
    let held: Vec<&NodeRow> = nodes.iter().filter(holds).collect();
    let first = held.first()?;
    let summary = say!(
        "the Subnet {} ({}) holds the addresses of {} node(s), {} ({}) among them: pods that use it do not reach them",
        subnet.metadata.name,
        subnet.spec.cidr_block,
        held.len(),
        first.name,
        first.address
    );
    let address = |node: &&NodeRow| Evidence::field(&ObjectRef::node(&node.name), "InternalIP", &node.address);
    let finding = finding(subnet, summary).detail("nodes").evidence(held.iter().take(3).map(address));
    Some(finding.at(held.iter().map(|node| Place::node(&node.name))))
}

fn with_services(subnet: &Subnet, cni: &DaemonSet) -> Option<Finding> {
    let flag = "--service-cluster-ip-range";
    let text = cni.spec.template.spec.containers.iter().find_map(|container| container.flag(flag))?;
    let services: Vec<IpNet> = text.split(',').filter_map(|range| range.trim().parse().ok()).collect();
    let nets = subnet.nets();
    if !nets.iter().any(|net| services.iter().any(|services| overlap(net, services))) {
        return None;
    }
    let summary = say!(
        "the Subnet {} ({}) overlaps the Service range {}: pods that use it do not reach some Services",
        subnet.metadata.name,
        subnet.spec.cidr_block,
        text
    );
    let evidence = Evidence::field(&ObjectRef::of::<DaemonSet>(&cni.metadata), flag, text);
    Some(finding(subnet, summary).detail("services").evidence([evidence]))
}

fn as_refused(subnet: &Subnet) -> Option<Finding> {
    let refusal = refusal(subnet)?;
    Some(finding(subnet, say!("Kube-OVN refuses the Subnet {}: {}", subnet.metadata.name, refusal.message)))
}

fn finding(subnet: &Subnet, summary: crate::check::Text) -> Finding {
    let name = &subnet.metadata.name;
    let object = ObjectRef::of::<Subnet>(&subnet.metadata);
    let remedy = Remedy::guided(say!("make a Subnet with a range that nothing else uses, move the namespaces of {} to it, make their pods again one by one, and delete {} last", name, name))
        .command("kubectl get subnets.kubeovn.io")
        .command(format!("kubectl get ips.kubeovn.io -l ovn.kubernetes.io/subnet={name}"));
    let refusal = refusal(subnet);
    // Only one that is refused keeps its pods without an address.
    let place = refusal.map(|_| network(&subnet.spec.provider));
    let said = refusal.map(|it| Evidence::field(&object, "status.conditions[Validated]", &it.message));
    Finding::warning(object, summary, remedy).at(place).evidence([range(subnet)]).evidence(said)
}

fn range(subnet: &Subnet) -> Evidence {
    Evidence::field(&ObjectRef::of::<Subnet>(&subnet.metadata), "spec.cidrBlock", &subnet.spec.cidr_block)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_overlap_where_one_holds_the_other() {
        for (a, b, expected) in [
            ("10.16.0.0/16", "10.16.4.0/24", true),
            ("10.16.4.0/24", "10.16.0.0/16", true),
            ("10.16.0.0/16", "10.17.0.0/16", false),
            ("fd00::/64", "fd00::100/120", true),
            ("fd00::/64", "10.16.0.0/16", false),
        ] {
            assert_eq!(overlap(&a.parse().unwrap(), &b.parse().unwrap()), expected, "{a} {b}");
        }
    }
}
