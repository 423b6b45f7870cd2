use super::clash::Clash;
use super::ports::{Clashes, clashes, free};
use super::{Version, configure, rook_version, without_liveness};
use crate::check;
use crate::check::{Answered, Remedy};
use crate::facts::{Facts, Gap};
use crate::say;

check! {
    /// # What it looks at
    /// The same ports as CSI004: those that CSI pods on the host network take, by template and by node, and, where
    /// the cluster is on the host network, those of its monitors (3300, 6789), mgr (9283, 8443) and object
    /// gateways, against each other and against DaemonSets of all namespaces. This check owns every clash that has
    /// no CSI-Addons sidecar in it: metrics of `liveness-prometheus` (9080, 9081, 9090, 9091), or a stranger.
    /// `diagnose --only CSI005 -v` prints the map of ports. Listeners outside of Kubernetes are seen by nobody here.
    ///
    /// # Why it matters
    /// Metrics ports stand only in arguments, so the scheduler does not see them: the second listener of a
    /// node crash-loops, its pod is never Ready, and a roll-out of the driver hangs. Volumes go on working,
    /// unless the port is declared; then a pod stays Pending and its work is not done.
    ///
    /// # Confirm by hand
    /// `kubectl -n <ns> logs <pod> -c liveness-prometheus --previous` says `bind: address already in use`; on
    /// the node `ss -ltnp 'sport = :9081'` names who has the port.
    ///
    /// # Fix
    /// A Driver of the ceph-csi-operator has one metrics port for its node plugin and its controller plugin.
    /// Rook 1.18.2 put both on the host network, Rook 1.18.3 stopped setting `liveness`: upgrade. From 1.20 on
    /// the Drivers are the administrator's: take `liveness` out of them. In the classic layout switch
    /// `CSI_ENABLE_LIVENESS` off, or, where a stranger has the port, give the metrics another one
    /// (`CSI_RBD_LIVENESS_METRICS_PORT`, `CSI_CEPHFS_LIVENESS_METRICS_PORT`). All of that replaces node plugins, so the
    /// tool leaves it to you.
    ///
    /// # References
    /// rook issue 16473 and commit 46c7d2cc; ceph-csi-operator issue 319.
    "CSI005" "host-port-conflict" Csi,
    needs: [Discovery, CephClusters, MonPods, MgrPods, RgwPods, MonDeployments, CsiDeployments, DaemonSets, CsiPods, Operators, PodTables, Objects, Logs],
    explained_by: [],
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let found = clashes(facts)?;
    let ns = &facts.cluster()?.operator_ns;
    let mut findings = Vec::new();
    for clash in found.clashes.iter().filter(|clash| !clash.is_csi_addons()) {
        findings.extend(clash.finding(remedy(ns, clash, &found, rook_version(facts)?)));
    }
    Ok(Answered::judged(findings).blind(found.blind))
}

fn remedy(ns: &str, clash: &Clash<'_>, found: &Clashes<'_>, version: Option<Version>) -> Remedy {
    if let Some(remedy) = other_metrics_port(ns, clash, found, version) {
        return remedy;
    }
    if clash.is_foreign() {
        let remedy = Remedy::guided(say!(
            "find who holds port {} (`ss -ltnp` on the node names the process), and give one side another port",
            clash.port
        ));
        let node = clash.nodes().into_iter().next();
        let on = node.map(|node| format!(" --field-selector spec.nodeName={node}")).unwrap_or_default();
        return remedy.command(format!("kubectl get pods -A -o wide{on}"));
    }
    if clash.is_of_csi_operator() {
        return without_liveness(ns, version, clash);
    }
    Remedy::guided(say!(
        "switch the liveness metrics off: in this layout a driver's node plugin and provisioner share one port, which cannot be on one host twice"
    ))
    .command(configure(ns, r#""CSI_ENABLE_LIVENESS":"false""#))
}

/// A driver of the classic layout that is in the way of something else than itself can have another port for its
/// metrics. That replaces its node plugins, which is for a person to time.
fn other_metrics_port(ns: &str, clash: &Clash<'_>, found: &Clashes<'_>, version: Option<Version>) -> Option<Remedy> {
    let metrics = clash.listeners.iter().filter(|listener| listener.container == "liveness-prometheus");
    let plugins: Vec<_> = metrics.filter_map(|listener| listener.plugin).collect();
    let [plugin] = plugins.as_slice() else { return None };
    let key = match () {
        () if version.is_some_and(|version| version >= (1, 20, 0)) || plugin.is_of_csi_operator() => return None,
        () if plugin.is_of_family("rbd") => "CSI_RBD_LIVENESS_METRICS_PORT",
        () if plugin.is_of_family("cephfs") => "CSI_CEPHFS_LIVENESS_METRICS_PORT",
        () => return None,
    };
    let port = free(&found.taken).next()?;
    let remedy = Remedy::guided(say!(
        "find who holds port {} (`ss -ltnp` on the node names the process), and give one side another port: the metrics of {} can have {}, which no template on the host network takes. Rook then replaces its pods node by node; what ceph-fuse or rbd-nbd mounted there must be mounted again, so choose the time",
        clash.port,
        plugin.driver(),
        port
    ));
    let look = |node: String| format!("kubectl get pods -A -o wide --field-selector spec.nodeName={node}");
    let remedy = clash.nodes().into_iter().take(1).fold(remedy, |remedy, node| remedy.command(look(node)));
    Some(remedy.command(configure(ns, &format!(r#""{key}":"{port}""#))))
}
