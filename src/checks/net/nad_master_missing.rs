use super::sandbox::{Blame, Failure, NO_MASTER, attachments, failures, quoted_after};
use crate::check;
use crate::check::{Answered, Finding, Place, Remedy};
use crate::facts::{Cluster, Facts, Gap, Settled, both};
use crate::objects::multus::NetworkAttachment;
use crate::say;

check! {
    /// # What it looks at
    /// Pods that hang because macvlan, ipvlan or vlan did not find the interface that the
    /// NetworkAttachmentDefinition names as `master` (`failed to lookup master … Link not found`), by node.
    ///
    /// # Why it matters
    /// A NAD has one `master` for all nodes. Where a node calls the card otherwise, or has no link of that name
    /// since a boot or a new card, no pod that wants the network starts there.
    ///
    /// # Confirm by hand
    /// On the node `ip link show <master>`; on a good node the same, to compare.
    ///
    /// # Fix
    /// Give the link the same name on every node (a `.link` file of systemd, or netplan's `set-name`), or bring
    /// up the bond or VLAN that is missing. If every node calls it otherwise, correct `master` in the NAD.
    ///
    /// # References
    /// containernetworking/plugins: macvlan, ipvlan, vlan. Rook: CRDs/Cluster/network-providers, "Prerequisites".
    "NET013" "nad-master-missing" Net,
    needs: [Discovery, NetworkAttachments, SandboxEvents, Objects],
    explained_by: [(node::node_rebooted, Node)],
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let cluster = facts.cluster()?;
    let (failures, attachments) = both(failures(facts), attachments(facts).settled())?;
    // They only tell which network it is.
    let attachments = attachments.unwrap_or_default();
    let blind = failures.blind.clone();
    let guilty = failures.blamed_on(Blame::MasterMissing);
    let findings = guilty.map(|failure| finding(cluster, &failure, attachments)).collect();
    Ok(Answered::judged(findings).blind(blind))
}

fn finding(cluster: &Cluster, failure: &Failure<'_>, attachments: &[NetworkAttachment]) -> Finding {
    let network = failure.network(attachments);
    let (node, full) = (failure.node_name(), network.map(NetworkAttachment::full_name));
    let named = quoted_after(&failure.error, NO_MASTER);
    let master = named.unwrap_or("of that name");
    let master_said = named.map_or_else(|| say!("of that name"), |master| say!("{}", master));
    let summary = say!(
        "{} has no interface {}, which {} gives as its master: {} cannot start there",
        node,
        master_said,
        full.as_ref().map_or_else(|| say!("the network"), |full| say!("the NAD {}", full)),
        failure.victims(cluster)
    );
    let mut remedy = Remedy::guided(say!(
        "give {} a link of the name {}, as the other nodes have it; if none has, correct master in the NAD",
        node,
        master_said
    ));
    if !failure.node.is_empty() {
        remedy = remedy.command(format!("kubectl debug node/{} -it --image=busybox -- ip link", failure.node));
    }
    if let Some(NetworkAttachment { metadata, .. }) = network {
        let (ns, name) = (&metadata.namespace, &metadata.name);
        remedy = remedy.command(format!("kubectl -n {ns} get net-attach-def {name} -o jsonpath='{{.spec.config}}'"));
    }
    failure.finding(cluster, failure.object(), summary, remedy).detail(master).at(full.map(Place::Network))
}
