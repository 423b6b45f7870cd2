use super::{StorageNetwork, storage_networks};
use crate::check;
use crate::check::{Answered, Evidence, Finding, Remedy};
use crate::facts::{Facts, Gap};
use crate::objects::multus::{Ipam, NetworkAttachment, Span};
use crate::say;

check! {
    /// # What it looks at
    /// The public and the cluster network of the CephCluster, where they are two NADs: whether both can hand out
    /// the same address and neither knows what the other gave. One NAD for both is fine, and so is one pool of
    /// whereabouts, which never gives an address twice as long as `enable_overlapping_ranges` and `network_name`
    /// let its pools know of each other.
    ///
    /// # Why it matters
    /// Two daemons with one address take each other's traffic, and an OSD with both interfaces in one subnet
    /// answers on the wrong one: OSDs are marked down and say that they were wrongly so.
    ///
    /// # Confirm by hand
    /// `kubectl -n <ns> get net-attach-def -o yaml`: the ranges in `ipam` of both.
    ///
    /// # Fix
    /// Give the cluster network a subnet of its own, then restart the OSDs one failure domain at a time. If both
    /// are one physical network, use one NAD for both selectors, or only the public one.
    ///
    /// # References
    /// Rook: CRDs/Cluster/network-providers, "Selectors". Ceph: network configuration reference. whereabouts:
    /// README, "Overlapping ranges".
    "NET011" "nad-networks-overlap" Net,
    needs: [Discovery, CephClusters, NetworkAttachments],
    explained_by: [],
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let networks = storage_networks(facts)?;
    let [public, cluster] = networks.as_slice() else {
        return Ok(Answered::NotApplicable("the cluster has no public and cluster network in two NADs"));
    };
    let (Some(one), Some(two)) = (public.attachment, cluster.attachment) else {
        return Ok(Answered::NotApplicable("a NAD of the storage networks does not exist"));
    };
    if are_one(one, two) {
        return Ok(Answered::passed());
    }
    let (ours, theirs) = (one.ipam().spans(), two.ipam().spans());
    let shared = ours.iter().find_map(|a| Some((a, theirs.iter().find(|b| a.meets(b))?)));
    Ok(Answered::judged(shared.map(|shared| finding(public, cluster, shared)).into_iter().collect()))
}

/// Whether what one gives the other knows.
fn are_one(a: &NetworkAttachment, b: &NetworkAttachment) -> bool {
    let (of_a, of_b) = (a.ipam(), b.ipam());
    match (of_a.kind.as_str(), of_b.kind.as_str()) {
        ("whereabouts", "whereabouts") => {
            let knows = |ipam: &Ipam| ipam.enable_overlapping_ranges.unwrap_or(true);
            let same = of_a.spans().iter().map(|span| span.subnet).eq(of_b.spans().iter().map(|span| span.subnet));
            of_a.network_name == of_b.network_name && (same || (knows(&of_a) && knows(&of_b)))
        }
        // Its book on a node is named after the network. That nodes do not know of each other is NET012's.
        ("host-local", "host-local") => a.cni_name() == b.cni_name(),
        _ => false,
    }
}

fn finding(public: &StorageNetwork<'_>, cluster: &StorageNetwork<'_>, (a, b): (&Span, &Span)) -> Finding {
    let written = |span: &Span| say!("{} to {} in {}", span.first, span.last, span.subnet);
    let summary = say!(
        "the public network {} ({}) and the cluster network {} ({}) give the same addresses, and neither knows what the other gave",
        public.selection.full_name(),
        written(a),
        cluster.selection.full_name(),
        written(b)
    );
    let (ns, name) = (&cluster.selection.ns, &cluster.selection.name);
    let remedy = Remedy::guided(say!(
        "give the cluster network a subnet that nothing else uses, then restart the OSDs one failure domain at a time"
    ))
    .command(format!("kubectl -n {ns} get net-attach-def {name} -o yaml > {name}.backup.yaml"))
    .command(format!("kubectl -n {ns} edit net-attach-def {name}"));
    let evidence = [(public, a), (cluster, b)]
        .map(|(network, span)| Evidence::field(&network.object(), "spec.config ipam", written(span).english()));
    Finding::warning(cluster.object(), summary, remedy)
        .also([public.object()])
        .at([public.place(), cluster.place()])
        .evidence(evidence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_that_know_of_each_other_are_one() {
        let nad = |ipam: &str| {
            let mut nad = NetworkAttachment::default();
            nad.spec.config = format!(r#"{{"name":"storage","type":"macvlan","ipam":{ipam}}}"#);
            nad
        };
        let whereabouts = r#"{"type":"whereabouts","range":"10.0.0.0/24"}"#;
        for (a, b, expected) in [
            (whereabouts, r#"{"type":"whereabouts","range":"10.0.0.0/25"}"#, true),
            (whereabouts, r#"{"type":"whereabouts","range":"10.0.0.0/24","enable_overlapping_ranges":false}"#, true),
            (whereabouts, r#"{"type":"whereabouts","range":"10.0.0.0/25","enable_overlapping_ranges":false}"#, false),
            (whereabouts, r#"{"type":"whereabouts","range":"10.0.0.0/24","network_name":"b"}"#, false),
            (whereabouts, r#"{"type":"host-local","subnet":"10.0.0.0/24"}"#, false),
            (
                r#"{"type":"host-local","subnet":"10.0.0.0/24"}"#,
                r#"{"type":"host-local","subnet":"10.0.0.0/24"}"#,
                true,
            ),
        ] {
            assert_eq!(are_one(&nad(a), &nad(b)), expected, "{a} {b}");
        }
    }
}
