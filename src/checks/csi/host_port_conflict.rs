use super::clash::Clash;
use super::ports::clashes;
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
    /// `CSI_ENABLE_LIVENESS` off.
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
        findings.extend(clash.finding(remedy(ns, clash, rook_version(facts)?)));
    }
    Ok(Answered::judged(findings).blind(found.blind))
}

fn remedy(ns: &str, clash: &Clash<'_>, version: Option<Version>) -> Remedy {
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
        return without_liveness(ns, version);
    }
    Remedy::guided(say!(
        "switch the liveness metrics off: in this layout a driver's node plugin and provisioner share one port, which cannot be on one host twice"
    ))
    .command(configure(ns, r#""CSI_ENABLE_LIVENESS":"false""#))
}
