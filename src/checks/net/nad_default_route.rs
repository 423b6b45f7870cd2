use super::{StorageNetwork, storage_networks};
use crate::check;
use crate::check::{Answered, Evidence, Finding, Remedy, Severity};
use crate::facts::{Facts, Gap, Settled, Why};
use crate::objects::multus::{NetworkAttachment, Plugin, Route};
use crate::say;

check! {
    /// # What it looks at
    /// The routes of the NetworkAttachmentDefinitions that `spec.network.selectors` of the CephCluster names:
    /// `0.0.0.0/0`, `::/0`, or the halves that together make one (`0.0.0.0/1` with `128.0.0.0/1`).
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
    ///
    /// # References
    /// Rook: CRDs/Cluster/network-providers, "Multus Configuration"; CNI specification, `routes` of a result.
    "NET007" "nad-default-route" Net,
    needs: [CephClusters, NetworkAttachments, OsdPods, CephStatus],
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
    let severity = severity(facts)?;
    Ok(Answered::judged(guilty.iter().map(|(network, routes)| finding(network, routes, severity)).collect()))
}

fn default_routes(attachment: &NetworkAttachment) -> Vec<Route> {
    // A configuration that cannot be read is NET006's to report.
    let plugins: Vec<Plugin> = attachment.plugins().unwrap_or_default();
    plugins.into_iter().flat_map(|plugin| plugin.ipam.routes).filter(Route::is_default).collect()
}

/// Critical unless the daemons are seen to reach each other.
fn severity(facts: &Facts<'_>) -> Result<Severity, Gap> {
    Ok(match facts.ceph_status().settled()? {
        Ok(status) if !status.quorum.is_empty() && status.osdmap.num_up_osds > 0 => Severity::Warning,
        Ok(_) => Severity::Critical,
        Err(unknown) if unknown.why == Why::Timeout => Severity::Critical,
        // Ceph could not be asked for another reason; OSD pods that run passed the stage where this bites.
        Err(_) if facts.osd_pods()?.iter().any(|pod| pod.is_well()) => Severity::Warning,
        Err(_) => Severity::Critical,
    })
}

fn finding(network: &StorageNetwork<'_>, routes: &[Route], severity: Severity) -> Finding {
    let object = network.object();
    let list = routes.iter().map(|route| route.dst.as_str()).collect::<Vec<_>>().join(", ");
    let (ns, name) = (&network.selection.ns, &network.selection.name);
    let remedy = Remedy::guided(say!(
        "take the routes {} out of the NAD (and its gateway, if no other route needs it), then restart the pods that carry the interface: monitors one by one, then mgr, then OSDs by failure domain",
        list
    ))
    .command(format!("kubectl -n {ns} get net-attach-def {name} -o yaml > {name}.backup.yaml"))
    .command(format!("kubectl -n {ns} edit net-attach-def {name}"));
    let summary = say!(
        "the {} network {} gives every Ceph pod a default route ({}) into the storage network",
        network.role,
        network.selection.full_name(),
        list
    );
    Finding::new(severity, object.clone(), summary, remedy)
        .at([network.place()])
        .evidence(routes.iter().map(|route| Evidence::field(&object, "spec.config ipam.routes", quoted(route))))
}

fn quoted(route: &Route) -> String {
    if route.gw.is_empty() {
        format!(r#"{{"dst": "{}"}}"#, route.dst)
    } else {
        format!(r#"{{"dst": "{}", "gw": "{}"}}"#, route.dst, route.gw)
    }
}
