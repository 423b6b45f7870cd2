use super::sandbox::{Blame, Failure, NO_PLUGIN, attachments, failures, quoted_after};
use crate::check;
use crate::check::{Answered, Finding, Place, Remedy};
use crate::facts::{Cluster, Facts, Gap, Settled, both};
use crate::objects::multus::NetworkAttachment;
use crate::say;

check! {
    /// # What it looks at
    /// Pods that hang because the container runtime or Multus found no binary of a CNI plugin on the node
    /// (`failed to find plugin … in path`), by node. The plugin of Multus itself is the matter of NET002.
    ///
    /// # Why it matters
    /// Multus calls the plugin that the NAD names, and ships none but its own. Minimal installations (k3s,
    /// Talos, some images of kubeadm) come without macvlan and ipvlan, a new node may lack what the others have,
    /// and some runtimes look in a directory of their own.
    ///
    /// # Confirm by hand
    /// On the node `ls <path of the message>`; the same on a good node.
    ///
    /// # Fix
    /// Install the reference plugins of the release that the other nodes have into that directory; `whereabouts`
    /// and the plugin of the cluster's own network come with their DaemonSets, whose pod on the node has to run.
    ///
    /// # References
    /// containernetworking/cni: pkg/invoke; containernetworking/plugins: releases. Multus: docs/quickstart.
    "NET014" "cni-plugin-missing" Net,
    needs: [Discovery, NetworkAttachments, SandboxEvents, Objects],
    explained_by: [(node::cni_not_ready, Node), (ovn::kube_ovn_cni_unhealthy, Node)],
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let cluster = facts.cluster()?;
    let (failures, attachments) = both(failures(facts), attachments(facts).settled())?;
    // They only tell which network it is.
    let attachments = attachments.unwrap_or_default();
    let blind = failures.blind.clone();
    let guilty = failures.blamed_on(Blame::PluginMissing);
    let findings = guilty.map(|failure| finding(cluster, &failure, attachments)).collect();
    Ok(Answered::judged(findings).blind(blind))
}

fn finding(cluster: &Cluster, failure: &Failure<'_>, attachments: &[NetworkAttachment]) -> Finding {
    let (node, name) = (failure.node_name(), &failure.node);
    let named = quoted_after(&failure.error, NO_PLUGIN);
    let plugin = named.unwrap_or("of the network");
    let plugin_said = named.map_or_else(|| say!("of the network"), |plugin| say!("{}", plugin));
    let summary = say!("{} has no CNI plugin {}: {} cannot start there", node, plugin_said, failure.victims(cluster));
    let mut remedy = if is_reference(plugin) {
        Remedy::guided(say!(
            "install the reference CNI plugins on {} into the directory of the message, of the release that the other nodes have",
            node
        ))
    } else {
        Remedy::guided(say!(
            "see that the DaemonSet that brings {} has a pod on {} that runs, and delete that pod to have it copy the binary again",
            plugin_said,
            node
        ))
    };
    if !failure.node.is_empty() {
        remedy = remedy
            .command(format!("kubectl debug node/{name} -it --image=busybox -- ls /host/opt/cni/bin"))
            .command(format!("kubectl get pods -A -o wide --field-selector spec.nodeName={name}"));
    }
    failure
        .finding(cluster, failure.object(), summary, remedy)
        .detail(plugin)
        .at(failure.network(attachments).map(|nad| Place::Network(nad.full_name())))
}

/// What the release of containernetworking/plugins holds.
fn is_reference(plugin: &str) -> bool {
    const MAIN: &[&str] = &["bridge", "dummy", "host-device", "ipvlan", "loopback", "macvlan", "ptp", "tap", "vlan"];
    const OTHER: &[&str] =
        &["bandwidth", "dhcp", "firewall", "host-local", "portmap", "sbr", "static", "tuning", "vrf"];
    MAIN.contains(&plugin) || OTHER.contains(&plugin)
}
