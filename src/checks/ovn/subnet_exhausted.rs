use super::{namespace, network};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Remedy, Severity};
use crate::checks::net::sandbox::{failures, without_address};
use crate::checks::net::{StorageNetwork, storage_networks};
use crate::facts::{Cluster, Facts, Gap, both};
use crate::objects::kube::{Event, Pod};
use crate::objects::kube_ovn::Subnet;
use crate::say;

check! {
    /// # What it looks at
    /// The counts in the status of Kube-OVN's Subnets (`v4availableIPs`, `v6availableIPs`): those that have no free
    /// address, and the pods that hang with `no address allocated to pod` and would take theirs from them.
    ///
    /// # Why it matters
    /// A new pod gets no address, and stays in ContainerCreating until another gives one back. Running pods keep
    /// theirs, so it shows first after a restart or a drain. Addresses may also be held by IP objects whose pods are
    /// gone. A full Subnet that nobody waits for is a warning if it is the default one or Rook uses it, and else
    /// information: small ones are made to be full.
    ///
    /// # Confirm by hand
    /// `kubectl get subnets.kubeovn.io` (columns V4AVAILABLE, V6AVAILABLE), and events AcquireAddressFailed with
    /// `NoAvailableAddress`.
    ///
    /// # Fix
    /// Look for IP objects whose pod does not exist and delete those; else give the namespace another Subnet, or take
    /// addresses out of `excludeIps`. A range is not made larger under running pods: they must all be made again.
    ///
    /// # References
    /// Kube-OVN: user guide, "Subnet"; pkg/ipam (NoAvailableAddress); kube-ovn #5910 (counts that stay at 0).
    "OVN008" "subnet-exhausted" Ovn,
    needs: [Discovery, DaemonSets, Subnets, SandboxEvents, Objects, CephClusters, NetworkAttachments],
    explained_by: [],
}

/// A pod that hangs without an address, what the kubelet says of it or of one like it, and where its address would
/// come from.
struct Waits<'s> {
    pod: &'s Pod,
    event: &'s Event,
    from: Vec<&'s Subnet>,
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    namespace(facts)?;
    let subnets = facts.subnets()?;
    let full: Vec<&Subnet> = subnets.iter().filter(|subnet| subnet.is_full()).collect();
    if full.is_empty() {
        return Ok(Answered::passed());
    }
    let (failures, networks) = both(failures(facts), storage_networks(facts))?;
    let hungry = failures.groups.iter().filter_map(|group| {
        let event = *group.events.first()?;
        Some((event, without_address(&event.message)?, &group.pods))
    });
    let waits = hungry.flat_map(|(event, provider, pods)| {
        pods.iter().map(move |pod| Waits { pod, event, from: sources(pod, provider, subnets) })
    });
    let waits: Vec<Waits<'_>> = waits.filter(|it| it.from.iter().all(|subnet| subnet.is_full())).collect();
    let findings = full.into_iter().map(|subnet| {
        let is_it = |from: &&Subnet| from.metadata.name == subnet.metadata.name;
        let waiting: Vec<&Waits<'_>> = waits.iter().filter(|it| it.from.iter().any(is_it)).collect();
        // Who waits decides how bad it is.
        if let (true, Some(unknown)) = (waiting.is_empty(), failures.blind.first()) {
            return Err(Gap::Unknown(unknown.clone()));
        }
        Ok(finding(facts.cluster()?, subnet, &waiting, &networks))
    });
    Ok(Answered::judged(findings.collect::<Result<_, _>>()?))
}

/// The Subnets that a pod may take its address from: the one it names, those of its NAD, those of its namespace, or
/// the default one.
fn sources<'s>(pod: &Pod, provider: &str, subnets: &'s [Subnet]) -> Vec<&'s Subnet> {
    let of = |is_it: &dyn Fn(&Subnet) -> bool| subnets.iter().filter(|subnet| is_it(subnet)).collect::<Vec<_>>();
    let named = pod.metadata.annotations.get(&format!("{provider}.kubernetes.io/logical_switch"));
    if let Some(name) = named {
        return of(&|subnet| subnet.metadata.name == *name);
    }
    if network(provider) != network("ovn") {
        return of(&|subnet| subnet.spec.provider == provider);
    }
    let of_namespace = of(&|subnet| subnet.spec.namespaces.contains(&pod.metadata.namespace));
    if of_namespace.is_empty() { of(&|subnet| subnet.spec.default) } else { of_namespace }
}

fn finding(cluster: &Cluster, subnet: &Subnet, waiting: &[&Waits<'_>], networks: &[StorageNetwork<'_>]) -> Finding {
    let (name, spec) = (&subnet.metadata.name, &subnet.spec);
    let ours = |ns: &String| *ns == cluster.ns || *ns == cluster.operator_ns;
    let place = network(&spec.provider);
    let used = spec.default || spec.namespaces.iter().any(ours) || networks.iter().any(|it| it.place() == place);
    let hurt = waiting.iter().filter(|it| ours(&it.pod.metadata.namespace)).count();
    let severity = match waiting.len() {
        _ if hurt > 0 => Severity::Critical,
        0 if !used => Severity::Info,
        _ => Severity::Warning,
    };
    let range = &spec.cidr_block;
    let summary = match waiting.len() {
        0 => say!("the Subnet {} ({}) has no free address: the next pod gets none", name, range),
        pods => {
            say!(
                "the Subnet {} ({}) has no free address: of the pods looked at {} wait for one ({} of Rook)",
                name,
                range,
                pods,
                hurt
            )
        }
    };
    let remedy = Remedy::guided(say!("delete the IP objects of {} whose pods do not exist any more; if there are none, give the namespace another Subnet", name))
        .command(format!("kubectl get subnets.kubeovn.io {name} -o yaml"))
        .command(format!("kubectl get ips.kubeovn.io -l ovn.kubernetes.io/subnet={name}"));
    let object = ObjectRef::of::<Subnet>(&subnet.metadata);
    let count = |family: &str, using: &serde_json::Value, available: &serde_json::Value| {
        Evidence::field(&object, "status", format!("{family}usingIPs {using}, {family}availableIPs {available}"))
    };
    let status = &subnet.status;
    let counts = subnet.nets().into_iter().map(|net| match net {
        ipnet::IpNet::V4(_) => count("v4", &status.v4_using, &status.v4_available),
        ipnet::IpNet::V6(_) => count("v6", &status.v6_using, &status.v6_available),
    });
    let counts: Vec<Evidence> = counts.collect();
    Finding::new(severity, object, summary, remedy)
        .at([place])
        .since(waiting.iter().filter_map(|it| it.event.first_seen()).min())
        .evidence(counts)
        .evidence(waiting.iter().take(3).map(|it| Evidence::event(it.event)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pod_takes_its_address_where_it_belongs() {
        let subnet = |name: &str, provider: &str, namespaces: &[&str]| -> Subnet {
            let spec = json!({"provider": provider, "namespaces": namespaces, "default": name == "ovn-default"});
            serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap()
        };
        let subnets = [
            subnet("ovn-default", "ovn", &[]),
            subnet("tenant", "ovn", &["apps"]),
            subnet("fast", "fast.storage.ovn", &[]),
        ];
        for (ns, annotation, provider, expected) in [
            ("rook-ceph", None, "ovn", vec!["ovn-default"]),
            ("apps", None, "ovn", vec!["tenant"]),
            ("apps", Some("ovn-default"), "ovn", vec!["ovn-default"]),
            ("apps", None, "fast.storage.ovn", vec!["fast"]),
        ] {
            let annotations = annotation.map(|name| (format!("{provider}.kubernetes.io/logical_switch"), name));
            let annotations: std::collections::BTreeMap<_, _> = annotations.into_iter().collect();
            let pod = json!({"metadata": {"namespace": ns, "annotations": annotations}});
            let pod: Pod = serde_json::from_value(pod).unwrap();
            let found: Vec<&str> =
                sources(&pod, provider, &subnets).iter().map(|it| it.metadata.name.as_str()).collect();
            assert_eq!(found, expected, "{ns} {annotation:?} {provider}");
        }
    }
}
