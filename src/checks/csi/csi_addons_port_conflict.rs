use super::clash::Clash;
use super::ports::{Clashes, clashes, free};
use super::{Plugin, Version, configure, rook_version, without_liveness};
use crate::check;
use crate::check::{Answered, Remedy};
use crate::checks::opr::OPERATOR;
use crate::facts::{Facts, Gap};
use crate::say;

const SWITCH_OFF: &str = r#""CSI_ENABLE_CSIADDONS":"false""#;

check! {
    /// # What it looks at
    /// The ports that CSI pods on the host network take (declared ports, `--controller-port=`,
    /// `--metricsport=`), on which nodes their pods meet, the scheduler's `didn't have free ports for the
    /// requested pod ports`, and `bind: address already in use` in the log of a listener that crashes. This
    /// check owns a clash where either side is a CSI-Addons sidecar.
    ///
    /// # Why it matters
    /// With `ROOK_ENFORCE_HOST_NETWORK` and CSI-Addons the node plugin and both provisioners want port 9070 of
    /// the same hosts. Who comes second stays Pending: a provisioner, and nothing can be created, deleted,
    /// resized or attached; or the node plugin, and nothing can be mounted on that node. Where the ports are
    /// not declared the sidecar crashes instead, which only CSI-Addons feels.
    ///
    /// # Confirm by hand
    /// `kubectl -n <ns> describe pod <pending pod>`, `kubectl -n <ns> logs <pod> -c csi-addons --previous`,
    /// and on the node `ss -ltnp 'sport = :9070'`.
    ///
    /// # Fix
    /// From Rook v1.16.5 and v1.17.0 on, `CSIADDONS_RBD_PROVISIONER_PORT` and
    /// `CSIADDONS_CEPHFS_PROVISIONER_PORT` in `rook-ceph-operator-config` move the provisioners; their default
    /// is still 9070, so an upgrade alone does not help. The operator reads them when it starts, so start it
    /// again; `kubectl rookdoctor fix CSI004` does both and waits until the provisioners have moved. Older
    /// versions do not know these keys; Rook 1.20 has given this layout up. With the
    /// ceph-csi-operator of Rook 1.18 and later the ports are constants that differ by themselves.
    ///
    /// # References
    /// rook issue 15432 and pull request 15433; `findCSIChange` in Rook's pkg/operator/ceph/csi/predicate.go (what
    /// wakes the operator); ceph-csi-operator pull request 194 and commit bca85a92.
    "CSI004" "csi-addons-port-conflict" Csi,
    needs: [Discovery, CephClusters, MonPods, MgrPods, RgwPods, MonDeployments, CsiDeployments, DaemonSets, CsiPods, Operators, PodTables, Objects, Logs],
    fix: csi_addons_ports,
    explained_by: [],
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let found = clashes(facts)?;
    let mut findings = Vec::new();
    for clash in found.clashes.iter().filter(|clash| clash.is_csi_addons()) {
        let remedy = remedy(facts, clash, &found)?;
        findings.extend(clash.finding(remedy));
    }
    Ok(Answered::judged(findings).blind(found.blind))
}

fn remedy(facts: &Facts<'_>, clash: &Clash<'_>, found: &Clashes<'_>) -> Result<Remedy, Gap> {
    let ns = &facts.cluster()?.operator_ns;
    let version = rook_version(facts)?;
    if clash.is_of_csi_operator() {
        return Ok(of_csi_operator(ns, clash, version));
    }
    let [rbd, cephfs] = free_ports(found);
    let ports = format!(r#""CSIADDONS_RBD_PROVISIONER_PORT":"{rbd}","CSIADDONS_CEPHFS_PROVISIONER_PORT":"{cephfs}""#);
    let set_ports = configure(ns, &ports);
    let set_ports_again = configure(ns, &format!(r#"{ports},"CSI_ENABLE_CSIADDONS":"true""#));
    let switch_off = configure(ns, SWITCH_OFF);
    Ok(match version {
        Some(version) if version >= (1, 20, 0) => Remedy::guided(say!(
            "remove this layout's Deployments and DaemonSets once the ceph-csi-operator serves their drivers: from v1.20 on Rook neither manages them nor reads the CSI keys of rook-ceph-operator-config"
        ))
        .command(format!("kubectl -n {ns} get drivers.csi.ceph.io,deployments,daemonsets")),
        Some(version) if knows_ports(version) && clash.ends_without_provisioners() => start_again(
            Remedy::guided(say!(
                "give the provisioners' CSI-Addons ports of their own, {} and {}, which no template on the host network takes; their default is 9070 in every version. The operator reads these keys when it starts",
                rbd,
                cephfs
            ))
            .command(set_ports),
            ns,
        )
        .auto(),
        Some(version) if knows_ports(version) => start_again(
            Remedy::guided(say!(
                "moving the provisioners would not end it: give the other side another port, or all CSI-Addons sidecars (CSIADDONS_PORT, the provisioners then follow with keys of their own), which replaces the node plugins as well; {} and {} are free. The operator reads these keys when it starts",
                rbd,
                cephfs
            ))
            .command(configure(ns, &format!(r#""CSIADDONS_PORT":"{rbd}""#))),
            ns,
        ),
        Some((major, minor, patch)) => Remedy::guided(say!(
            "upgrade Rook to v1.16.5, v1.17.0 or later, as {} does not know CSIADDONS_RBD_PROVISIONER_PORT and CSIADDONS_CEPHFS_PROVISIONER_PORT; then set them to free ports, {} and {} (second command), as their default is still 9070; until then switch CSI-Addons off if it can be missed (first command)",
            format!("v{major}.{minor}.{patch}"),
            rbd,
            cephfs
        ))
        .command(switch_off)
        .command(set_ports_again),
        None => start_again(Remedy::guided(say!(
            "with Rook v1.16.5, v1.17.0 or later set CSIADDONS_RBD_PROVISIONER_PORT and CSIADDONS_CEPHFS_PROVISIONER_PORT to free ports, {} and {}; with an older one upgrade first, or switch CSI-Addons off (CSI_ENABLE_CSIADDONS) until then",
            rbd,
            cephfs
        ))
        .command(set_ports), ns),
    })
}

/// The operator wakes up for keys that begin with `CSI_` or `ROOK_CSI_`, and these begin with `CSIADDONS_`.
fn start_again(remedy: Remedy, ns: &str) -> Remedy {
    remedy
        .command(format!("kubectl -n {ns} rollout restart deployment {OPERATOR}"))
        .command(format!("kubectl -n {ns} rollout status deployment {OPERATOR} --timeout=10m"))
}

/// PR 15433 is in 1.17.0 and was taken back to 1.16.5.
pub(crate) fn knows_ports(version: Version) -> bool {
    version >= (1, 16, 5)
}

/// The key of the operator's settings for the CSI-Addons port of a provisioner of the classic layout.
pub(crate) fn port_key(plugin: &Plugin<'_>) -> Option<&'static str> {
    match plugin.metadata.name.as_str() {
        "csi-rbdplugin-provisioner" => Some("CSIADDONS_RBD_PROVISIONER_PORT"),
        "csi-cephfsplugin-provisioner" => Some("CSIADDONS_CEPHFS_PROVISIONER_PORT"),
        _ => None,
    }
}

/// In this layout the ports are constants: 9070 (rbd), 9080 (cephfs) and 9071 (nodes) since version 0.3.
fn of_csi_operator(ns: &str, clash: &Clash<'_>, version: Option<Version>) -> Remedy {
    if version.is_some_and(|version| version < (1, 18, 0)) {
        return Remedy::guided(say!(
            "upgrade Rook to 1.18 or later: its ceph-csi-operator gives each CSI-Addons sidecar a port of its own, the one at hand uses 9070 for all; until then switch CSI-Addons off if it can be missed"
        ))
        .command(configure(ns, SWITCH_OFF));
    }
    let shown = format!("kubectl -n {ns} get drivers.csi.ceph.io,operatorconfigs.csi.ceph.io -o yaml");
    if clash.is_foreign() {
        return Remedy::guided(say!(
            "free port {} on the nodes: the ceph-csi-operator has no setting for it; move the other listener, or take the controller plugins off the host network (controllerPlugin.hostNetwork: false) if Ceph is reachable from the pod network",
            clash.port
        ))
        .command(shown);
    }
    if clash.has_metrics() {
        return without_liveness(ns, version, clash);
    }
    Remedy::guided(say!(
        "take the controller plugins off the host network (controllerPlugin.hostNetwork: false) if Ceph is reachable from the pod network, or keep them on other nodes than what else wants port {}: the ports of CSI-Addons are constants of the ceph-csi-operator",
        clash.port
    ))
    .command(shown)
}

fn free_ports(found: &Clashes<'_>) -> [u16; 2] {
    let mut free = free(&found.taken);
    let mut next = || free.next().unwrap_or(9071);
    [next(), next()]
}
