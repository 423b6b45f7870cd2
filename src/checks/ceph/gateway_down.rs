use jiff::SignedDuration;

use super::serving::{Serving, lettered, serving};
use super::{is_new, toned};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Remedy, Severity};
use crate::checks::opr::{older, operator_object};
use crate::facts::{Cluster, Facts, Gap, Select, Settled, both, kinds};
use crate::objects::ceph::HealthCheck;
use crate::objects::rook::Nfs;
use crate::say;

check! {
    /// # What it looks at
    /// The pods of NFS servers (`app=rook-ceph-nfs`) and of NVMe-oF gateways (`app=rook-ceph-nvmeof`): not Ready
    /// for longer than a start takes, or none at all for a CephNFS that is older than a quarter of an hour; and
    /// Ceph's NVMEOF_GATEWAY_DOWN.
    ///
    /// # Why it matters
    /// Clients of an NFS server hang until it is back; with several active servers those of the one that is down hang
    /// all the same. An NVMe-oF host loses the path over that gateway, and its device with the last one. That clients
    /// can block while one of several servers (`server.active` above 1) is offline is a known limit of Rook's; another
    /// is that keys of single exports cannot be rotated.
    ///
    /// # Confirm by hand
    /// `kubectl -n <ns> get pods -l 'app in (rook-ceph-nfs,rook-ceph-nvmeof)' -o wide`, and their logs. For NVMe-oF
    /// also look at the Service `rook-ceph-nvmeof-<name>-a`, the ConfigMap `rook-ceph-csi-config` and the log of
    /// `deploy/rook-ceph.nvmeof.csi.ceph.com-ctrlplugin`.
    ///
    /// # Fix
    /// Bring the pods back: their events and logs name what is missing.
    ///
    /// # References
    /// Rook: CRDs/ceph-nfs-crd ("server.active"), Storage-Configuration/NVMe-oF. Ceph: health codes NVMEOF_*.
    "CEPH017" "gateway-down" Ceph,
    needs: [Discovery, CephClusters, Nodes, GatewayPods, CephHealth, Objects],
    explained_by: [
        (net::multus_missing, Cluster), (net::nad_missing, Cluster), (net::nad_invalid, Cluster),
        (net::nad_default_route, Cluster), (opr::operator_down, Object), (opr::operator_crashing, Object),
        (mon::quorum_lost, Cluster), (mon::all_mons_down, Cluster), (mon::mons_start_slowly, Cluster),
        (osd::osds_not_deployed, Cluster), (ceph::pgs_unavailable, Cluster),
    ],
    in_pod,
}

const MAKING: SignedDuration = SignedDuration::from_mins(15);
/// The code that this check reports.
pub(super) const CODE: &str = "NVMEOF_GATEWAY_DOWN";

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let cluster = facts.cluster()?;
    let (rows, health) = both(facts.gateway_pods(), facts.ceph_health().settled())?;
    let servers = if facts.installed(kinds::NFS)? { facts.list::<Nfs>(Some(&cluster.ns), Select::all())? } else { &[] };
    let (nfs, mut blind) = serving(facts, rows, |row| lettered(row, "rook-ceph-nfs-"))?;
    let (nvmeof, more) = serving(facts, rows, |row| lettered(row, "rook-ceph-nvmeof-"))?;
    blind.extend(more);
    let mut findings = Vec::new();
    // The operator comes to gateways when monitors, mgr and OSDs are there.
    let is_made = !is_new(facts.ceph_cluster()?, facts.now());
    for server in servers.iter().filter(|server| is_made && is_wanted(facts, server)) {
        if !nfs.contains_key(server.metadata.name.as_str()) {
            findings.push(absent(facts, server)?);
        }
    }
    let nfs = nfs.iter().filter(|(_, servers)| !servers.down.is_empty());
    findings.extend(nfs.map(|(name, servers)| down(ObjectRef::new(kinds::NFS, &cluster.ns, name), servers)));
    let nvmeof: Vec<_> = nvmeof.iter().filter(|(_, gateways)| !gateways.down.is_empty()).collect();
    findings.extend(nvmeof.iter().map(|(name, gateways)| down(nvmeof_gateway(&cluster.ns, name), gateways)));
    match health {
        Ok(health) if nvmeof.is_empty() => {
            findings.extend(health.checks.get(CODE).map(|check| told_by_ceph(cluster, check)));
        }
        Ok(_) => {}
        Err(unknown) => blind.push(unknown),
    }
    Ok(Answered::judged(findings).blind(blind))
}

/// Whether this server should have pods by now.
fn is_wanted(facts: &Facts<'_>, server: &Nfs) -> bool {
    let Nfs { metadata, spec } = server;
    let is_made = older(facts, metadata.creation_timestamp, MAKING);
    spec.server.active > 0 && is_made && metadata.deletion_timestamp.is_none()
}

/// The CephNVMeOFGateway of Rook 1.19 and later, which only its pods show.
fn nvmeof_gateway(ns: &str, name: &str) -> ObjectRef {
    ObjectRef {
        api_version: "ceph.rook.io/v1".into(),
        kind: "CephNVMeOFGateway".into(),
        namespace: ns.into(),
        name: name.into(),
        stable: None,
    }
}

fn down(object: ObjectRef, service: &Serving<'_>) -> Finding {
    let (ns, how) = (object.namespace.clone(), service.how());
    let (name, pods) = (&object.name, service.pods);
    let (severity, summary) = match (service.well, object.kind == "CephNFS") {
        (0, true) => (Severity::Critical, say!("NFS server {} does not serve: {}", name, how)),
        (0, false) => (Severity::Critical, say!("NVMe-oF gateway {} does not serve: {}", name, how)),
        (well, true) => {
            (Severity::Warning, say!("NFS server {} serves with {} of {} daemons: {}", name, well, pods, how))
        }
        (well, false) => {
            (Severity::Warning, say!("NVMe-oF gateway {} serves with {} of {} daemons: {}", name, well, pods, how))
        }
    };
    let remedy = Remedy::guided(say!("bring the pods back: their events and logs name what is missing"));
    let remedy = match service.down.first() {
        Some((row, _)) => remedy
            .command(format!("kubectl -n {ns} describe pod {}", row.name))
            .command(format!("kubectl -n {ns} logs {} --all-containers --tail=50", row.name)),
        None => remedy,
    };
    Finding::new(severity, object, summary, remedy)
        .also(service.objects())
        .at(service.places())
        .since(service.down.iter().filter_map(|(_, pod)| pod.unready_since()).min())
        .evidence(service.evidence())
}

fn absent(facts: &Facts<'_>, server: &Nfs) -> Result<Finding, Gap> {
    let object = ObjectRef::of::<Nfs>(&server.metadata);
    let (ns, name) = (&object.namespace, &object.name);
    let deployment = format!("rook-ceph-nfs-{name}-a");
    let summary = say!("NFS server {} does not serve: it has no pod", name);
    let remedy =
        Remedy::guided(say!("see whether its Deployment is scaled to 0, and what the operator says of the CephNFS"))
            .command(format!("kubectl -n {ns} get deployment {deployment}"))
            .command(format!("kubectl -n {ns} describe cephnfs {name}"));
    let count = Evidence::field(&object, "pods app=rook-ceph-nfs", format!("none of {}", server.spec.server.active));
    Ok(Finding::critical(object.clone(), summary, remedy)
        .also([ObjectRef::new(kinds::DEPLOYMENT, ns, &deployment), operator_object(facts)?])
        .evidence([count]))
}

/// Ceph misses a gateway whose pod is well, or gone.
fn told_by_ceph(cluster: &Cluster, check: &HealthCheck) -> Finding {
    let message = check.summary.message.trim_end_matches('.');
    let summary = say!("Ceph misses an NVMe-oF gateway: {}", message);
    let remedy = Remedy::guided(say!("see whether the gateway's pod runs, and what its log says"))
        .command(format!("kubectl -n {} get pods -l app=rook-ceph-nvmeof -o wide", cluster.ns));
    Finding::new(toned(check, Severity::Warning), ObjectRef::cluster(cluster), summary, remedy)
        .detail(CODE)
        .evidence([Evidence::ceph("health detail", format!("[{}] {CODE}: {message}", check.severity))])
        .evidence(check.details().take(5).map(|detail| Evidence::ceph("health detail", detail)))
}
