use jiff::{SignedDuration, Timestamp};

use super::{OPERATOR, operator_log, operator_object, operator_pod};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy};
use crate::checks::mon::{EXTERNAL, list, mons};
use crate::facts::{Facts, Gap, Log, LogLine, Settled, both};
use crate::objects::rook::CephCluster;
use crate::say;

check! {
    /// # What it looks at
    /// Whether the operator gets answers from the monitors while their pods run: the pseudo code `error` in
    /// `status.ceph.details` of the CephCluster, which Rook writes when `ceph status` fails, and in the last ten
    /// minutes of the operator's log its failing commands (`failed to get mon quorum status`, `monclient(hunting)`,
    /// `exec timeout waiting for process ceph to return` between two `mons running`), with no success after them.
    ///
    /// # Why it matters
    /// An operator that cannot ask Ceph deploys nothing, fails no monitor over, and stays in one step for twenty
    /// minutes before it starts again. `error` is not a code of Ceph's, and its text often blames authentication
    /// where the truth is a timeout. `RADOS permission denied` is the exception: monitors answer and refuse the key,
    /// as they do when `spec.security.cephx.allowedCiphers` is only `aes256k` and a daemon's key is of the type aes.
    ///
    /// # Confirm by hand
    /// `kubectl -n <operator-ns> exec deploy/rook-ceph-operator -- curl -s --max-time 5 <mon service address>:3300`
    /// must print `ceph v2`.
    ///
    /// # Fix
    /// With a quorum lost, that is the thing to repair. With a quorum, the path from the operator's node to the
    /// monitors' addresses is broken: the pod network, a NetworkPolicy, the Service proxy or a default route in a
    /// storage network. With a key that is refused: allow both ciphers again, with `daemon.keyType: aes` until the
    /// monitors run with `--mon-auth-emergency-allowed-ciphers` and the operator goes on, then take `keyType` back.
    ///
    /// # References
    /// Rook: Troubleshooting/ceph-common-issues, "Operator fails to reach mons"; pkg/operator/ceph/cluster/cephstatus.go;
    /// Storage-Configuration/Advanced/cephx, "Fixing cluster unavailability with allowedCiphers".
    "OPR003" "operator-cannot-reach-mons" Opr,
    needs: [Discovery, CephClusters, MonPods, OperatorPods, Logs],
    explained_by: [
        (mon::quorum_lost, Cluster), (mon::all_mons_down, Cluster), (net::nad_default_route, Cluster),
        (net::nad_overlaps_cluster_network, Cluster), (net::nad_gateway, Cluster), (node::node_not_ready, Node),
        (node::cni_not_ready, Node), (net::multus_init_crash, Node), (net::multus_daemon_down, Node),
        (ovn::ovn_central_down, Cluster), (ovn::ovs_ovn_unhealthy, Node), (ovn::kube_ovn_cni_unhealthy, Node),
        (ovn::stale_after_reboot, Node), (ovn::stale_chassis, Node), (node::service_proxy_down, Node),
        (net::network_policy_blocks, Object), (mon::mon_stale_store, Cluster),
        (mon::mon_endpoints_mismatch, Cluster),
    ],
}

pub(crate) const FAILURES: &[&str] = &[
    "failed to get mon quorum status",
    "failed to get ceph status",
    "monclient(hunting)",
    "RADOS timed out",
    "error connecting to the cluster",
];
/// The monitors answer, and do not take the key.
pub(crate) const REFUSED: &str = "RADOS permission denied";
/// Any command may run into this one; it counts only between two looks at the monitors.
pub(crate) const TIMEOUT: &str = "exec timeout waiting for process ceph to return";
const LOOKING: &str = "mons running: [";
pub(crate) const SUCCESSES: &[&str] = &["Monitors in quorum:", "done reconciling ceph cluster", "is back in quorum"];
/// One cause of failures lasts at least so long.
const LASTING: SignedDuration = SignedDuration::from_mins(2);
const RECENT: SignedDuration = SignedDuration::from_mins(10);

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    if facts.cluster()?.external {
        return Ok(Answered::NotApplicable(EXTERNAL));
    }
    let (cluster, mons) = both(facts.ceph_cluster(), mons(facts))?;
    let running: Vec<&str> = mons.iter().filter(|mon| mon.runs()).map(|mon| mon.id).collect();
    if running.is_empty() {
        return Ok(Answered::passed());
    }
    let reported = reported(facts, cluster);
    let log = match operator_log(facts).settled()? {
        Ok(log) => log,
        Err(unknown) if reported.is_none() => return Ok(Answered::passed().blind([unknown])),
        Err(_) => None,
    };
    // The log of an operator with several clusters does not say which one it waits for.
    let alone = facts.ceph_clusters()?.len() == 1;
    let log = log.filter(|_| alone || reported.is_some());
    let lines = log.and_then(|(pod, log)| Some((pod, failing(log, facts.now())?)));
    let ns = &facts.cluster()?.operator_ns;
    let quoted =
        lines.iter().flat_map(|(pod, lines)| lines.iter().map(|line| Evidence::log(ns, &pod.name, OPERATOR, line)));
    let evidence: Vec<Evidence> = reported.into_iter().chain(quoted).collect();
    if evidence.is_empty() {
        return Ok(Answered::passed());
    }
    let finding = if evidence.iter().any(|it| it.excerpt.contains(REFUSED)) {
        refused(operator_object(facts)?, cluster)
    } else {
        finding(facts, &running)?
    };
    Ok(Answered::judged(vec![finding.evidence(evidence)]))
}

fn finding(facts: &Facts<'_>, running: &[&str]) -> Result<Finding, Gap> {
    let object = operator_object(facts)?;
    let names = list(running.iter().copied());
    let summary = say!("the operator cannot reach the monitors, though pods of them run ({})", names);
    let remedy = Remedy::guided(say!("with a lost quorum repair that first; else ask a monitor's address from the operator's pod, which must answer `ceph v2`, and look at what lies between: pod network, NetworkPolicy, Service proxy, routes of the storage network"))
        .command(format!("kubectl -n {} get svc -l app=rook-ceph-mon", facts.cluster()?.ns))
        .command(format!("kubectl -n {} logs deploy/{OPERATOR} --tail=20", object.namespace));
    // Where the pod runs is only for the link to a node's fault.
    let node = operator_pod(facts).settled()?.unwrap_or(None).map(|pod| pod.node.as_str());
    Ok(Finding::critical(object, summary, remedy).at(node.filter(|node| !node.is_empty()).map(Place::node)))
}

fn refused(object: ObjectRef, cluster: &CephCluster) -> Finding {
    let (ns, name) = (&cluster.metadata.namespace, &cluster.metadata.name);
    let summary = say!("the monitors answer the operator and refuse its key");
    let remedy = Remedy::guided(say!("if allowedCiphers of the CephCluster leaves out aes, allow aes and aes256k again with daemon.keyType aes; once every monitor runs with --mon-auth-emergency-allowed-ciphers take keyType back"))
        .command(format!("kubectl -n {ns} get cephcluster {name} -o jsonpath='{{.spec.security.cephx}}{{\"\\n\"}}{{.status.cephx}}'"))
        .command(format!("kubectl -n {} logs deploy/{OPERATOR} --tail=20", object.namespace));
    Finding::critical(object, summary, remedy).also([ObjectRef::of::<CephCluster>(&cluster.metadata)])
}

/// What the operator wrote into the CephCluster when `ceph status` failed. An operator that only just starts says so.
fn reported(facts: &Facts<'_>, cluster: &CephCluster) -> Option<Evidence> {
    let error = cluster.status.ceph.details.get("error")?;
    let at: Timestamp = cluster.status.ceph.last_checked.parse().ok()?;
    let stale = facts.now().duration_since(at) > RECENT * 3;
    if stale || error.message.contains("Error initializing cluster client") {
        return None;
    }
    let object = ObjectRef::of::<CephCluster>(&cluster.metadata);
    Some(Evidence::field(&object, "status.ceph.details.error", &error.message).at(Some(at)))
}

/// The newest lines that prove it, if there are enough of them and no success came after.
fn failing(log: &Log, now: Timestamp) -> Option<Vec<&LogLine>> {
    let success = |line: &LogLine| SUCCESSES.iter().any(|text| line.text.contains(text));
    let recent = |line: &&LogLine| line.at.is_some_and(|at| now.duration_since(at) <= RECENT);
    let lines: Vec<&LogLine> = log.lines.iter().rev().take_while(|line| !success(line)).filter(recent).collect();
    let with = |texts: &[&str]| -> Vec<&LogLine> {
        lines.iter().copied().filter(|line| texts.iter().any(|text| line.text.contains(text))).collect()
    };
    let (failures, timeouts, looks) = (with(FAILURES), with(&[TIMEOUT]), with(&[LOOKING]));
    // A monitor that restarts, or the first of a new cluster, costs a question or two within a minute.
    let span = failures.first().and_then(|newest| Some(newest.at?.duration_since(failures.last()?.at?)));
    if failures.len() >= 2 && span.is_none_or(|span| span >= LASTING) {
        return Some(failures.into_iter().take(2).collect());
    }
    let waits = timeouts.len() >= 3 && looks.len() >= 3;
    waits.then(|| timeouts.into_iter().take(1).chain(looks.into_iter().take(1)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(lines: &[(i64, &str)], now: Timestamp) -> Log {
        let line = |&(ago, text): &(i64, &str)| LogLine {
            at: Some(now - SignedDuration::from_mins(ago)),
            text: text.to_owned(),
        };
        Log { lines: lines.iter().map(line).collect() }
    }

    #[test]
    fn timeouts_count_only_beside_looks_and_before_a_success() {
        let now: Timestamp = "2025-03-04T15:00:00Z".parse().unwrap();
        let waits = [(9, TIMEOUT), (8, LOOKING), (7, TIMEOUT), (6, LOOKING), (5, TIMEOUT), (4, LOOKING)];
        assert_eq!(failing(&log(&waits, now), now).map(|lines| lines.len()), Some(2));
        let with = |more: (i64, &'static str)| [waits.as_slice(), &[more]].concat();
        assert!(failing(&log(&with((1, "op-mon: Monitors in quorum: [a b c]")), now), now).is_none());
        assert!(failing(&log(&[(9, TIMEOUT), (8, TIMEOUT), (7, TIMEOUT)], now), now).is_none());
        assert!(failing(&log(&[(3, FAILURES[0]), (2, FAILURES[1])], now), now).is_none(), "a restart");
        assert!(failing(&log(&[(90, FAILURES[0]), (89, FAILURES[0])], now), now).is_none());
        assert!(failing(&log(&[(4, FAILURES[0]), (2, FAILURES[1])], now), now).is_some());
    }
}
