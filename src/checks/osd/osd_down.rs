use std::collections::{BTreeMap, BTreeSet};

use super::{OsdPods, by_osd, deployment, names, networks};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Severity, Text};
use crate::checks::ceph::ceph_command;
use crate::facts::{Cluster, Facts, Gap, Settled, Unknown, both};
use crate::objects::ceph::{OsdTree, Status, TreeNode};
use crate::objects::rook::CephCluster;
use crate::say;

check! {
    /// # What it looks at
    /// `ceph osd tree` for OSDs that are down, and the rows of the OSD pods for those that are not Ready. Where
    /// Ceph cannot be asked the pods alone are reported, as what they are. When every OSD of a node is down,
    /// one finding names the node.
    ///
    /// # Why it matters
    /// Every placement group of that OSD has one copy less, and after `mon_osd_down_out_interval` (ten minutes)
    /// Ceph begins to copy its data elsewhere. OSDs down in two failure domains at once may stop I/O. A pod can
    /// be Running and Ready while Ceph counts the OSD as down: its probe asks the local socket only, so the
    /// network between the OSDs is then the suspect. An OSD that is down and out and has no pod was taken out
    /// of service and is information.
    ///
    /// # Confirm by hand
    /// `ceph osd tree down`, `kubectl -n <ns> get pods -l app=rook-ceph-osd -o wide`, and in the log of a
    /// running OSD `heartbeat_check: no reply` or `wrongly marked me down`.
    ///
    /// # Fix
    /// Repair the node, network or disk that the finding hangs below; the OSD then comes back by itself. Do
    /// not purge an OSD before its data is safe (`ceph osd safe-to-destroy`).
    ///
    /// # References
    /// Ceph: "Monitoring OSDs and PGs", health codes OSD_DOWN and OSD_HOST_DOWN. Rook: "Ceph OSD Management".
    "OSD007" "osd-down" Osd,
    needs: [Discovery, CephClusters, OsdPods, CephStatus, OsdTree, Objects],
    explained_by: [
        (node::node_not_ready, Node),
        (node::node_rebooted, Node),
        (node::cni_not_ready, Node),
        (node::daemon_unschedulable, Daemon),
        (node::image_pull_failing, Node),
        (net::multus_missing, Cluster),
        (net::multus_init_crash, Node),
        (net::multus_daemon_down, Node),
        (net::nad_missing, Network),
        (net::nad_default_route, Network),
        (net::nad_host_local_shared, Network),
        (net::attachment_missing, Daemon),
        (net::sandbox_failing, Node),
        (ovn::ovs_ovn_unhealthy, Node),
        (ovn::kube_ovn_cni_unhealthy, Node),
        (ovn::stale_after_reboot, Node),
        (mon::quorum_lost, Cluster),
        (mon::all_mons_down, Cluster),
        (osd::osd_missing, Daemon),
    ],
}

/// An OSD that is not well, and how that is known.
struct Down<'s> {
    id: i64,
    /// As Ceph sees it, if Ceph counts it as down.
    ceph: Option<&'s TreeNode>,
    pods: Option<OsdPods<'s>>,
    /// Its node; the CRUSH host of an OSD that lives elsewhere.
    host: String,
}

impl Down<'_> {
    /// Taken out of service on purpose: out, and with nothing that should run.
    fn is_retired(&self) -> bool {
        self.ceph.is_some_and(|osd| osd.reweight == 0.0) && self.pods.is_none()
    }

    fn runs(&self) -> bool {
        self.pods.as_ref().is_some_and(OsdPods::is_well)
    }
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let cluster = facts.cluster()?;
    let (status, rows) = both(facts.ceph_status().settled(), facts.osd_pods().settled())?;
    let mut blind: Vec<Unknown> = Vec::new();
    let pods = match rows {
        Ok(rows) => by_osd(rows),
        Err(unknown) => {
            blind.push(unknown);
            BTreeMap::new()
        }
    };
    let mut tree = None;
    match &status {
        Ok(status) if status.osdmap.num_up_osds < status.osdmap.num_osds => match facts.osd_tree().settled()? {
            Ok(seen) => tree = Some(seen),
            Err(unknown) => blind.push(unknown),
        },
        Ok(_) => {}
        Err(unknown) => blind.push(unknown.clone()),
    }
    let mut down = suspects(tree, &pods);
    blind.extend(find_hosts(facts, &mut down, tree)?);
    if down.is_empty() {
        return Ok(Answered::passed().blind(blind));
    }
    let scene = Scene { cluster, object: facts.ceph_cluster()?, status: status.ok(), tree, pods: &pods };
    Ok(Answered::judged(scene.findings(&down)).blind(blind))
}

fn suspects<'s>(tree: Option<&'s OsdTree>, pods: &BTreeMap<i64, OsdPods<'s>>) -> Vec<Down<'s>> {
    let ceph: BTreeMap<i64, &TreeNode> = tree
        .into_iter()
        .flat_map(|tree| tree.osds().chain(&tree.stray))
        .filter(|osd| osd.status == "down")
        .map(|osd| (osd.id, osd))
        .collect();
    let ids: BTreeSet<i64> =
        ceph.keys().copied().chain(pods.values().filter(|pods| !pods.is_well()).map(|pods| pods.id)).collect();
    let down = ids.into_iter().map(|id| Down {
        id,
        ceph: ceph.get(&id).copied(),
        pods: pods.get(&id).cloned(),
        host: pods.get(&id).and_then(OsdPods::node).unwrap_or_default().to_owned(),
    });
    down.collect()
}

/// The node of a pod that is not placed is the one that its selector names; of an OSD without pods, the host
/// that Ceph knows.
fn find_hosts(facts: &Facts<'_>, down: &mut [Down<'_>], tree: Option<&OsdTree>) -> Result<Vec<Unknown>, Gap> {
    let ns = &facts.cluster()?.ns;
    for osd in down.iter_mut().filter(|osd| osd.host.is_empty()) {
        osd.host = tree.and_then(|tree| tree.host_of(osd.id)).unwrap_or_default().to_owned();
    }
    let unplaced = down.iter_mut().filter(|osd| osd.host.is_empty());
    let unplaced: Vec<_> =
        unplaced.filter_map(|osd| Some((osd.pods.as_ref()?.rows.first()?.name.clone(), osd))).collect();
    let each = facts.each(unplaced, |facts, (pod, _)| facts.pod(ns, pod))?;
    for ((_, osd), pod) in each.seen {
        osd.host = pod.spec.node_selector.get("kubernetes.io/hostname").cloned().unwrap_or_default();
    }
    Ok(each.blind)
}

/// What the findings share.
struct Scene<'s> {
    cluster: &'s Cluster,
    object: &'s CephCluster,
    status: Option<&'s Status>,
    tree: Option<&'s OsdTree>,
    pods: &'s BTreeMap<i64, OsdPods<'s>>,
}

impl<'s> Scene<'s> {
    /// One finding for a node whose OSDs are all down, else one for each OSD.
    fn findings(&self, down: &[Down<'s>]) -> Vec<Finding> {
        let mut by_host: BTreeMap<&str, Vec<&Down<'s>>> = BTreeMap::new();
        for osd in down {
            by_host.entry(&osd.host).or_default().push(osd);
        }
        let severity = self.severity(down);
        let mut findings = Vec::new();
        for (host, osds) in &by_host {
            let alike = osds.windows(2).all(|pair| pair[0].runs() == pair[1].runs());
            if !host.is_empty() && alike && osds.len() > 1 && osds.len() >= self.count_on(host) {
                findings.push(self.finding(osds, severity));
            } else {
                findings.extend(osds.iter().map(|osd| self.finding(&[osd], severity)));
            }
        }
        findings
    }

    fn count_on(&self, host: &str) -> usize {
        let pods = self.pods.values().filter(|pods| pods.node() == Some(host)).count();
        let children = self.tree.and_then(|tree| tree.nodes.iter().find(|n| n.kind == "host" && n.name == host));
        pods.max(children.map_or(0, |host| host.children.len()))
    }

    /// Redundancy covers one failure domain; more than one is an outage or next to it.
    fn severity(&self, down: &[Down<'_>]) -> Severity {
        let hosts: BTreeSet<&str> = down.iter().filter(|osd| !osd.is_retired()).map(|osd| osd.host.as_str()).collect();
        let none_up = self.status.is_some_and(|status| status.osdmap.num_up_osds == 0);
        if hosts.len() > 1 || none_up { Severity::Critical } else { Severity::Warning }
    }

    fn finding(&self, osds: &[&Down<'s>], severity: Severity) -> Finding {
        let muted = self.status.and_then(|status| status.health.checks.get("OSD_DOWN")).is_some_and(|code| code.muted);
        let context = muted || osds.iter().all(|osd| osd.is_retired());
        let severity = if context { Severity::Info } else { severity };
        let ids: Vec<i64> = osds.iter().map(|osd| osd.id).collect();
        let host = osds.first().map_or("", |osd| osd.host.as_str());
        let (ns, external) = (&self.cluster.ns, self.cluster.external);
        let deployments = ids.iter().map(|id| deployment(ns, *id));
        let finding =
            |object: ObjectRef| Finding::new(severity, object, self.summary(osds, &ids, host), self.remedy(osds));
        let finding = match ids.as_slice() {
            [id] if external => finding(ObjectRef::cluster(self.cluster)).detail(format!("osd.{id}")),
            _ if external => finding(ObjectRef::cluster(self.cluster)).detail(host),
            [id] => finding(deployment(ns, *id)),
            _ => finding(ObjectRef::node(host)).also(deployments),
        };
        let node = (!host.is_empty() && !external).then(|| Place::node(host));
        let finding = finding.at(ids.iter().map(|id| Place::daemon("osd", id))).at(node);
        // A process that runs and is not heard points at the network between the daemons.
        let unheard = osds.iter().any(|osd| osd.ceph.is_some() && osd.runs());
        let finding = if unheard { finding.at(networks(self.object, &["public", "cluster"])) } else { finding };
        finding.evidence(osds.iter().flat_map(|osd| self.evidence(osd)))
    }

    fn summary(&self, osds: &[&Down<'s>], ids: &[i64], host: &str) -> Text {
        let (names, host) = (names(ids.iter().copied()), if host.is_empty() { "an unknown host" } else { host });
        let by_ceph = osds.iter().any(|osd| osd.ceph.is_some());
        let row = osds.iter().find_map(|osd| osd.pods.as_ref()?.rows.last().copied());
        let state = row.map_or("", |row| row.status.as_str());
        match (by_ceph, row) {
            _ if osds.iter().all(|osd| osd.is_retired()) => {
                say!("{} on {} is down, out and without a pod", names, host)
            }
            (true, Some(_)) if osds.iter().any(|osd| osd.runs()) => {
                say!("{} on {} is down for Ceph although its pod runs", names, host)
            }
            (true, Some(_)) => say!("{} on {} is down: its pod is {}", names, host, state),
            (true, None) => say!("{} on {} is down", names, host),
            (false, _) if self.status.is_some() => {
                say!("the pod of {} on {} is not Ready ({}), though Ceph counts the OSD as up", names, host, state)
            }
            (false, _) => say!("the pod of {} on {} is not Ready ({})", names, host, state),
        }
    }

    fn evidence(&self, osd: &Down<'s>) -> Vec<Evidence> {
        let ceph = osd.ceph.map(|node| {
            let within = if node.reweight > 0.0 { "in" } else { "out" };
            let buckets = ["host", "rack", "zone", "datacenter"].into_iter().filter_map(|kind| {
                let name = self.tree?.bucket_of(osd.id, kind)?;
                Some(format!(", {kind} {name}"))
            });
            Evidence::ceph("osd tree", format!("osd.{} down, {within}{}", osd.id, buckets.collect::<String>()))
        });
        let rows = osd.pods.iter().flat_map(|pods| pods.rows.iter());
        ceph.into_iter().chain(rows.map(|row| Evidence::pod_row(row, &self.cluster.ns))).collect()
    }

    fn remedy(&self, osds: &[&Down<'s>]) -> Remedy {
        let ns = &self.cluster.ns;
        let Some(first) = osds.first() else { return Remedy::advice(say!("look at the OSD")) };
        let tree = ceph_command(self.cluster, "osd tree down");
        let id = first.id;
        if first.is_retired() {
            let remedy = say!("nothing, if it was taken out on purpose; else bring its Deployment back");
            return Remedy::advice(remedy).command(tree);
        }
        if first.ceph.is_some() && first.runs() {
            return Remedy::guided(say!(
                "look for a fault of the storage network: the process runs and its peers do not hear it"
            ))
            .command(format!(
                "kubectl -n {ns} logs deploy/rook-ceph-osd-{id} -c osd | grep -e heartbeat_check -e 'wrongly marked me down'"
            ))
            .command(tree);
        }
        match first.pods.as_ref().and_then(|pods| pods.rows.last()) {
            Some(row) => {
                Remedy::guided(say!("bring the pod back: its events and the log of its OSD say what is missing"))
                    .command(format!("kubectl -n {ns} describe pod {}", row.name))
                    .command(format!("kubectl -n {ns} logs {} -c osd --tail=50", row.name))
            }
            None if self.cluster.external => {
                Remedy::guided(say!("start the OSD again where it runs, outside of this cluster")).command(tree)
            }
            None => Remedy::guided(say!("bring the OSD's Deployment back to one replica"))
                .command(format!("kubectl -n {ns} get deployment rook-ceph-osd-{id}"))
                .command(tree),
        }
    }
}
