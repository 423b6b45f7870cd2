use super::{StorageNetwork, daemon_rows, nad_host_local_shared, storage_networks};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Remedy, Severity, Text};
use crate::facts::tables::PodRow;
use crate::facts::{Cluster, Each, Facts, Gap, Settled, Why, both};
use crate::fix::plans::nad_routes::{Mend, list as list_of, mend, patch_command};
use crate::fix::restart::by_hand;
use crate::objects::kube::Pod;
use crate::objects::multus::{NETWORK_STATUS, NetworkAttachment, Plugin, Route, interfaces};
use crate::report::clean;
use crate::say;

check! {
    /// # What it looks at
    /// The routes of the NetworkAttachmentDefinitions that `spec.network.selectors` of the CephCluster names:
    /// `0.0.0.0/0`, `::/0`, or the halves that together make one (`0.0.0.0/1` with `128.0.0.0/1`). Where the
    /// plugin `sbr` follows in the chain, the routes serve only answers from the interface's own address.
    ///
    /// # Why it matters
    /// CNI installs the route inside every Ceph pod. Answers to the operator and everything to Service
    /// addresses, the monitors' own among them, then leave through the storage interface and are lost. On a
    /// new cluster the monitors come up one by one, some twenty minutes apart, and neither mgr nor OSD
    /// follows. Critical while daemons cannot reach each other; with quorum and OSDs up it is a risk that the
    /// next restart may meet.
    ///
    /// # Confirm by hand
    /// `kubectl -n <ns> get net-attach-def <name> -o jsonpath='{.spec.config}'`, and inside a Ceph pod
    /// `ip route`: two default routes, or one over `net1`.
    ///
    /// # Fix
    /// Remove the default route from the NAD and keep only specific routes, such as one to the hosts' storage
    /// addresses; then restart the pods that carry the interface, monitors one by one, before mgr and OSDs.
    /// `fix` does so while no OSD, pool or volume exists, NET012 finds nothing about the NAD, and no host that
    /// mounts volumes lies outside of its subnets; else it prints the changed configuration and the restarts.
    ///
    /// # References
    /// Rook: CRDs/Cluster/network-providers, "Multus Configuration"; CNI specification, `routes` of a result.
    "NET007" "nad-default-route" Net,
    needs: [
        Discovery, CephClusters, NetworkAttachments, OsdPods, MonPods, MgrPods, MdsPods, RgwPods, CephStatus, Nodes,
        CsiDeployments, DaemonSets, DeploymentTables, Volumes, StorageClasses, Objects,
    ],
    fix: nad_routes,
    explained_by: [],
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let networks = storage_networks(facts)?;
    if networks.is_empty() {
        return Ok(Answered::NotApplicable("the cluster's network provider is not Multus"));
    }
    let guilty: Vec<_> =
        networks.iter().filter_map(|network| Some((network, default_routes(network.attachment?)))).collect();
    let guilty: Vec<_> = guilty.into_iter().filter(|(_, routes)| !routes.is_empty()).collect();
    if guilty.is_empty() {
        return Ok(Answered::passed());
    }
    let (severity, (mons, rows)) =
        both(severity(facts), both(facts.mon_pods().settled(), daemon_rows(facts).settled()))?;
    let (mons, rows) = match (mons, rows) {
        (Ok(mons), Ok(rows)) => (mons, rows),
        (Ok(mons), Err(_unread)) => (mons, mons.iter().collect()),
        (Err(_unread), _) => (&[][..], Vec::new()),
    };
    // The monitors show the interface; the finding stands without them.
    let seen = facts.each(mons.iter().take(5), |facts, row| facts.pod(&row.ns, &row.name));
    let mends = facts.each(guilty.iter(), |facts, (network, _)| mend(facts, network));
    let (seen, mends) = both(seen, mends)?;
    let cluster = facts.cluster()?;
    let findings = mends.seen.iter().map(|((network, routes), mend)| {
        let summary = say!(
            "take the routes {} out of the NAD (and its gateway, if no other route needs it){}; then restart the pods that carry the interface: monitors one by one, each back in quorum before the next, then mgr, MDS and gateways, at last OSDs by failure domain",
            list(routes),
            before_restarts(network, mend, &rows)
        );
        let remedy = remedy(cluster, network, summary, mend, &rows);
        finding(network, routes, severity, remedy).evidence(in_a_pod(network, &seen))
    });
    Ok(Answered::judged(findings.collect()).blind(mends.blind))
}

fn default_routes(attachment: &NetworkAttachment) -> Vec<Route> {
    // A configuration that cannot be read is NET006's to report.
    let plugins: Vec<Plugin> = attachment.plugins().unwrap_or_default();
    if is_by_source(&plugins) {
        return Vec::new();
    }
    plugins.into_iter().flat_map(|plugin| plugin.ipam.routes).filter(Route::is_default).collect()
}

/// `sbr` in the chain takes the interface's routes into a table of their own, for answers from its address only.
pub(crate) fn is_by_source(plugins: &[Plugin]) -> bool {
    plugins.iter().skip(1).any(|plugin| plugin.kind == "sbr")
}

/// Critical unless the daemons are seen to reach each other.
pub(crate) fn severity(facts: &Facts<'_>) -> Result<Severity, Gap> {
    Ok(match facts.ceph_status().settled()? {
        Ok(status) if !status.quorum.is_empty() && status.osdmap.num_up_osds > 0 => Severity::Warning,
        Ok(_) => Severity::Critical,
        Err(unknown) if unknown.why == Why::Timeout => Severity::Critical,
        // Ceph could not be asked for another reason; OSD pods that run passed the stage where this bites.
        Err(_unread) if facts.osd_pods()?.iter().any(|pod| pod.is_well()) => Severity::Warning,
        Err(_unread) => Severity::Critical,
    })
}

fn finding(network: &StorageNetwork<'_>, routes: &[Route], severity: Severity, remedy: Remedy) -> Finding {
    let object = network.object();
    let summary = say!(
        "the {} network {} gives every Ceph pod a default route ({}) into the storage network",
        network.role,
        network.selection.full_name(),
        list(routes)
    );
    // A default route without a next hop of its own takes the gateway of the IPAM.
    let plugins = network.attachment.and_then(|nad| nad.plugins().ok()).unwrap_or_default();
    let gateway = plugins.iter().flat_map(|plugin| plugin.ipam.gateways()).next();
    let gateway = gateway.filter(|_| routes.iter().any(|route| route.gw.is_empty()));
    Finding::new(severity, object.clone(), summary, remedy)
        .at([network.place()])
        .evidence(routes.iter().map(|route| Evidence::field(&object, "spec.config ipam.routes", quoted(route))))
        .evidence(gateway.map(|gateway| Evidence::field(&object, "spec.config ipam.gateway", gateway)))
}

fn list(routes: &[Route]) -> String {
    routes.iter().map(|route| route.dst.as_str()).collect::<Vec<_>>().join(", ")
}

/// The interface as one monitor got it.
fn in_a_pod(network: &StorageNetwork<'_>, mons: &Each<&PodRow, &Pod>) -> Option<Evidence> {
    let name = network.selection.full_name();
    mons.seen.iter().find_map(|(_, pod)| {
        let all = interfaces(pod).ok()??;
        let it = all.iter().find(|interface| interface.name == name)?;
        let gateway =
            if it.gateway.is_empty() { String::new() } else { format!(", gateway {}", it.gateway.join(", ")) };
        let excerpt = format!("{} {}{gateway}", it.interface, it.ips.join(", "));
        Some(Evidence::field(&ObjectRef::pod(pod), NETWORK_STATUS, excerpt))
    })
}

/// First the NAD, then the restarts in their order: a pod keeps the routes that it started with.
pub(crate) fn remedy(
    cluster: &Cluster,
    network: &StorageNetwork<'_>,
    summary: Text,
    mend: &Mend,
    rows: &[&PodRow],
) -> Remedy {
    let (ns, name) = (&network.selection.ns, &network.selection.name);
    // What is too long to be shown is of no use to who reads it.
    let patch = mend.config.as_ref().map(|config| patch_command(network, config));
    let change = patch.filter(|patch| patch.len() <= clean::COMMAND);
    let change = change.unwrap_or_else(|| format!("kubectl -n {ns} edit net-attach-def {name}"));
    let mut remedy = Remedy::guided(summary)
        .command(format!("kubectl -n {ns} get net-attach-def {name} -o yaml > {name}.backup.yaml"))
        .command(change);
    if nad_host_local_shared::is_shared(network, rows) {
        remedy = remedy.command("kubectl rookdoctor explain NET012");
    }
    let being_made = !rows.iter().any(|row| row.name.starts_with("rook-ceph-osd-"));
    // Only OSDs are put on the cluster network.
    let carries = |row: &&&PodRow| network.role == "public" || row.name.starts_with("rook-ceph-osd-");
    let rows: Vec<&PodRow> = rows.iter().filter(carries).copied().collect();
    let remedy = by_hand(cluster, &rows, being_made).into_iter().fold(remedy, Remedy::command);
    if mend.why_by_hand().is_none() { remedy.auto() } else { remedy }
}

/// What else a remedy says before the restarts.
pub(crate) fn before_restarts(network: &StorageNetwork<'_>, mend: &Mend, rows: &[&PodRow]) -> Text {
    let ranges = list_of(&mend.instead);
    match (mend.instead.is_empty(), nad_host_local_shared::is_shared(network, rows)) {
        (true, false) => say!("{}", ""),
        (true, true) => say!("; mend NET012 on it before any restart"),
        (false, false) => say!(
            " and put routes to {} in their place, unless every host that mounts volumes has an address in the network",
            ranges
        ),
        (false, true) => say!(
            " and put routes to {} in their place, unless every host that mounts volumes has an address in the network; mend NET012 on it before any restart",
            ranges
        ),
    }
}

fn quoted(route: &Route) -> String {
    if route.gw.is_empty() {
        format!(r#"{{"dst": "{}"}}"#, route.dst)
    } else {
        format!(r#"{{"dst": "{}", "gw": "{}"}}"#, route.dst, route.gw)
    }
}
