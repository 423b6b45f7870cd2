use jiff::SignedDuration;

use super::{EXTERNAL, Quorum, assigned_nodes, daemon, is_expected, list, mons, outside, quorum};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Remedy, Severity, Text};
use crate::checks::opr::{OPERATOR, older, operator, operator_log};
use crate::facts::tables::PodRow;
use crate::facts::{Facts, Gap, LogLine, Settled, both};
use crate::objects::rook::CephCluster;
use crate::say;

check! {
    /// # What it looks at
    /// Whether Rook would replace a lost monitor: `healthCheck.daemonHealth.mon` of the CephCluster (disabled, or a timeout of
    /// 0), `ROOK_MON_OUT_TIMEOUT` of the operator, which goes before it, and, while a monitor is out of quorum, what the
    /// operator's log of the last half hour says of a failover that finds no place.
    ///
    /// # Why it matters
    /// Rook makes a new monitor when one is out of quorum for ten minutes. With that off, or with no node that may take it, the
    /// cluster stays with one monitor less until somebody looks, and the next loss stops it. As long as all are in
    /// quorum it is somebody's choice, and only mentioned.
    ///
    /// # Confirm by hand
    /// `kubectl -n <ns> get cephcluster <name> -o jsonpath='{.spec.healthCheck.daemonHealth.mon}'` and, in the operator's log, `health
    /// timeout is 0, mon will never fail over` or `unsuccessful, cleaning up replacement mon`.
    ///
    /// # Fix
    /// Bring the monitor back; or switch the failover on again (the default is `timeout: 10m`) and see that a node without
    /// a monitor is free for it. `cannot reduce mon quorum size from 2 to 1` is no fault: ask for three monitors instead.
    ///
    /// # References
    /// Rook: Storage-Configuration/Advanced/ceph-mon-health; pkg/operator/ceph/cluster/mon/health.go.
    "MON013" "mon-failover-off" Mon,
    needs: [
        Discovery, CephClusters, Operators, CephStatus, QuorumStatus, MonPods, MonSockets, Nodes, OperatorPods, Logs,
        Objects,
    ],
    explained_by: [(mon::mon_out_of_quorum, Daemon), (mon::mon_unschedulable, Cluster)],
}

/// What the operator says of a failover that it cannot do.
pub(crate) const BLOCKED: &[&str] = &[
    "unsuccessful, cleaning up replacement mon",
    "failed to schedule mon",
    "failed to schedule canary pod(s)",
    "when allowMultiplePerNode is false",
];
const NOT_TO_ONE: &str = "cannot reduce mon quorum size from 2 to 1";
const RECENT: SignedDuration = SignedDuration::from_mins(30);

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    if facts.cluster()?.external {
        return Ok(Answered::NotApplicable(EXTERNAL));
    }
    let cluster = facts.ceph_cluster()?;
    let quorum = quorum(facts)?;
    // Without a quorum no failover is possible, whatever the settings say.
    let members = match &quorum {
        Quorum::Open(blind) => return Ok(Answered::passed().blind(blind.iter().cloned())),
        Quorum::Lost(_) => 0,
        Quorum::Holds { mons, .. } => *mons,
    };
    let out = missing(facts, outside(facts, &quorum)?)?;
    let mut findings: Vec<Finding> =
        off(facts, cluster)?.map(|(what, said)| switched_off(cluster, &what, said, &out)).into_iter().collect();
    let texts = match (out.is_empty(), members) {
        (false, _) => BLOCKED,
        (true, 2) if cluster.spec.mon.count == 1 => &[NOT_TO_ONE],
        _ => return Ok(Answered::judged(findings)),
    };
    let log = match operator_log(facts).settled()? {
        Ok(log) => log,
        Err(unknown) => return Ok(Answered::judged(findings).blind([unknown])),
    };
    let line =
        log.and_then(|(pod, log)| Some((pod, log.last_of(texts).filter(|line| !older(facts, line.at, RECENT))?)));
    findings.extend(line.map(|(pod, line)| blocked(cluster, pod, line, &out)));
    Ok(Answered::judged(findings))
}

/// Those out of quorum, unless that is expected.
fn missing<'s>(facts: &Facts<'s>, outside: Vec<&'s str>) -> Result<Vec<&'s str>, Gap> {
    let (mons, assigned) = both(mons(facts), assigned_nodes(facts))?;
    let mut missing = Vec::new();
    for id in outside {
        let mon = mons.iter().find(|mon| mon.id == id);
        let node = mon.and_then(|mon| mon.node).or_else(|| assigned.get(id).map(String::as_str));
        missing.extend((!is_expected(facts, mon, node)?).then_some(id));
    }
    Ok(missing)
}

/// What switches the failover off, and where that stands.
fn off(facts: &Facts<'_>, cluster: &CephCluster) -> Result<Option<(Text, Evidence)>, Gap> {
    const VARIABLE: &str = "ROOK_MON_OUT_TIMEOUT";
    let mon = &cluster.spec.health_check.daemon_health.mon;
    let object = ObjectRef::of::<CephCluster>(&cluster.metadata);
    let operator = operator(facts)?;
    if mon.disabled {
        let said = Evidence::field(&object, "spec.healthCheck.daemonHealth.mon.disabled", true);
        return Ok(Some((say!("the health check of the monitors is disabled"), said)));
    }
    let containers = operator.into_iter().flat_map(|it| &it.spec.template.spec.containers);
    let variable = containers.flat_map(|it| &it.env).find(|it| it.name == VARIABLE && !it.value.is_empty());
    if let Some((operator, variable)) = operator.zip(variable) {
        let object = ObjectRef::of::<crate::objects::kube::Deployment>(&operator.metadata);
        let said = Evidence::field(&object, format!("env {VARIABLE}"), &variable.value);
        return Ok(is_zero(&variable.value).then(|| (say!("{} of the operator is 0", VARIABLE), said)));
    }
    let said = Evidence::field(&object, "spec.healthCheck.daemonHealth.mon.timeout", &mon.timeout);
    Ok(is_zero(&mon.timeout).then(|| (say!("the timeout of the monitors is 0"), said)))
}

/// `0`, `0s`, `0h0m`: a duration that Go takes for nothing.
fn is_zero(duration: &str) -> bool {
    duration.contains('0') && !duration.contains(|c: char| ('1'..='9').contains(&c))
}

fn switched_off(cluster: &CephCluster, what: &Text, said: Evidence, out: &[&str]) -> Finding {
    let (ns, name) = (&cluster.metadata.namespace, &cluster.metadata.name);
    let object = ObjectRef::of::<CephCluster>(&cluster.metadata);
    let (severity, summary) = if out.is_empty() {
        (Severity::Info, say!("Rook replaces no lost monitor: {}", what))
    } else {
        let names = list(out.iter().copied());
        (Severity::Warning, say!("Rook will not replace {}, out of quorum: {}", names, what))
    };
    let remedy = Remedy::advice(say!("bring the monitor back, or let Rook replace lost monitors again (after ten minutes by default; a variable of the operator goes before the CephCluster)"))
        .command(format!("kubectl -n {ns} patch cephcluster {name} --type merge -p '{{\"spec\":{{\"healthCheck\":{{\"daemonHealth\":{{\"mon\":{{\"disabled\":false,\"timeout\":\"10m\"}}}}}}}}}}'"));
    Finding::new(severity, object, summary, remedy).at(out.iter().map(|id| daemon(id))).evidence([said])
}

fn blocked(cluster: &CephCluster, pod: &PodRow, line: &LogLine, out: &[&str]) -> Finding {
    let ns = &cluster.metadata.namespace;
    let object = ObjectRef::of::<CephCluster>(&cluster.metadata);
    let quoted = Evidence::log(&pod.ns, &pod.name, OPERATOR, line);
    if out.is_empty() {
        let summary = say!("one monitor is wanted and two are there: Rook does not go back from two to one");
        let remedy = Remedy::advice(say!(
            "ask for three monitors (or two again): with two the loss of either stops the cluster"
        ))
        .command(format!("kubectl -n {ns} get cephcluster {} -o jsonpath='{{.spec.mon}}'", cluster.metadata.name));
        return Finding::info(object, summary, remedy).detail("two").evidence([quoted]);
    }
    let names = list(out.iter().copied());
    let summary = say!("Rook cannot replace {}, out of quorum: its failover finds no place or does not come up", names);
    let remedy = Remedy::advice(say!("bring {} back, or give Rook a node without a monitor that its placement allows (uncordoned, without taints, with room); allowMultiplePerNode only trades one risk for another", names))
        .command("kubectl get nodes")
        .command(format!("kubectl -n {ns} get pods -l app=rook-ceph-mon -o wide"));
    Finding::warning(object, summary, remedy).detail("blocked").at(out.iter().map(|id| daemon(id))).evidence([quoted])
}

#[cfg(test)]
mod tests {
    use super::is_zero;

    #[test]
    fn only_nothing_is_zero() {
        assert_eq!(["0", "0s", "0h0m", "0.0s"].map(is_zero), [true; 4]);
        assert_eq!(["", "10m", "600s", "1m0s", "never"].map(is_zero), [false; 5]);
    }
}
