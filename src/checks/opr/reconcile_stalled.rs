use jiff::{SignedDuration, Timestamp};

use super::{OPERATOR, ago, older, operator_log};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Remedy};
use crate::checks::img::upgrade_blocked::refusal;
use crate::facts::{Facts, Gap, Log, Settled};
use crate::objects::kube::condition;
use crate::objects::rook::{CephCluster, HealthTimer};
use crate::say;

check! {
    /// # What it looks at
    /// Three signs that the operator stands still. The CephCluster is Progressing at one stage for an hour and the
    /// operator's log shows no step forward in its last half hour (an OSD number that moves is a step: 2,000 OSDs take
    /// hours). Its spec was changed more than half an hour ago, `observedGeneration` is behind, and nothing is in
    /// progress. Or `status.ceph.lastChecked`, renewed every minute, is older than a quarter of an hour.
    ///
    /// # Why it matters
    /// An operator that runs and does nothing looks healthy to Kubernetes: changes wait, and nobody fails over a
    /// monitor or replaces an OSD.
    ///
    /// # Confirm by hand
    /// `kubectl -n <ns> get cephcluster -o yaml`, twice with a minute between, and the operator's log with
    /// `--tail=20 -f`: the same stage, and no new line but retries.
    ///
    /// # Fix
    /// Repair what the last lines of the log wait for. If they name nothing, restart the operator, but not while
    /// the quorum is lost: a new operator only waits again, and forgets its failover timers. `kubectl rookdoctor fix
    /// OPR005` does that, after it has told which blank disks the new operator would take.
    ///
    /// # References
    /// Rook: CephCluster `status` (phase, message, observedGeneration, ceph.lastChecked), pkg/operator/ceph/controller.
    "OPR005" "reconcile-stalled" Opr,
    needs: [Discovery, CephClusters, OperatorPods, Logs, CephStatus],
    fix: restart_operator,
    explained_by: [
        (opr::operator_down, Cluster), (opr::operator_cannot_reach_mons, Cluster), (opr::reconcile_failing, Cluster),
        (mon::quorum_lost, Cluster), (mon::all_mons_down, Cluster), (net::nad_default_route, Cluster),
        (net::nad_overlaps_cluster_network, Cluster), (opr::operator_crashing, Cluster),
        (opr::namespace_not_watched, Cluster), (opr::operator_rights_or_crds_stale, Cluster),
        (opr::detect_version_failing, Cluster),
        (img::upgrade_blocked, Cluster),
    ],
}

const STAGE: SignedDuration = SignedDuration::from_mins(60);
const QUIET: SignedDuration = SignedDuration::from_mins(30);
const STALE: SignedDuration = SignedDuration::from_mins(15);

/// Lines that only a moving reconcile writes.
pub(crate) const STEPS: &[&str] = &[
    "updating OSD",
    "creating OSD",
    "Processing OSD",
    "OSD orchestration status",
    "OSD provisioning job",
    "OSD prepare jobs have finished",
    "detected ceph image version",
    "Monitors in quorum",
    "mons created",
    "start running",
    "finished running OSDs",
    "done reconciling",
];

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let cluster = facts.ceph_cluster()?;
    if cluster.metadata.deletion_timestamp.is_some() {
        return Ok(Answered::NotApplicable("the CephCluster is being deleted"));
    }
    let object = ObjectRef::of::<CephCluster>(&cluster.metadata);
    // One sign is enough, and does not wait for what the next would read.
    for sign in [unseen, behind, stuck] {
        if let Some(finding) = sign(facts, cluster, &object)? {
            return Ok(Answered::judged(vec![finding]));
        }
    }
    Ok(Answered::passed())
}

/// At one stage for long, with no step forward in the log.
fn stuck(facts: &Facts<'_>, cluster: &CephCluster, object: &ObjectRef) -> Result<Option<Finding>, Gap> {
    let progressing = condition(&cluster.status.conditions, "Progressing").filter(|it| it.status == "True");
    let Some(stage) = progressing.filter(|_| cluster.status.phase == "Progressing") else { return Ok(None) };
    let Some(since) = stage.last_transition_time.filter(|at| older(facts, Some(*at), STAGE)) else { return Ok(None) };
    let log = operator_log(facts)?;
    // What waits until OSDs may be stopped is IMG004's to tell.
    let waits = |log| stage.message.contains("OSD") && refusal(facts, log).is_some();
    if log.is_some_and(|(_, log)| moved(log, facts.now()) || waits(log)) {
        return Ok(None);
    }
    let summary =
        say!("the operator stands at \"{}\" for {}, with no step forward in its log", stage.message, ago(facts, since));
    let last = log.and_then(|(pod, log)| Some((pod, log.lines.last()?)));
    let last = last.map(|(pod, line)| Evidence::log(&pod.ns, &pod.name, OPERATOR, line));
    let finding = finding(facts, object, summary)?.since(Some(since));
    let evidence = Evidence::field(object, "status.conditions[Progressing]", &stage.message).at(Some(since));
    Ok(Some(finding.evidence([evidence]).evidence(last)))
}

fn moved(log: &Log, now: Timestamp) -> bool {
    log.last_of(STEPS).and_then(|line| line.at).is_some_and(|at| now.duration_since(at) < QUIET)
}

/// A change of the spec that nobody picked up. An operator that works on it says Progressing.
fn behind(facts: &Facts<'_>, cluster: &CephCluster, object: &ObjectRef) -> Result<Option<Finding>, Gap> {
    let wanted = cluster.metadata.generation;
    let Some(observed) = cluster.status.observed_generation.filter(|observed| *observed < wanted) else {
        return Ok(None);
    };
    let changed = cluster.metadata.written_by(&["f:spec"]).and_then(|writer| writer.time);
    if cluster.status.phase == "Progressing" || !older(facts, changed, QUIET) {
        return Ok(None);
    }
    let summary =
        say!("generation {} of the CephCluster is not reconciled: the operator stands at {}", wanted, observed);
    let evidence = Evidence::field(object, "status.observedGeneration", observed).at(changed);
    Ok(Some(finding(facts, object, summary)?.since(changed).evidence([evidence])))
}

/// The operator renews `lastChecked` by a timer, whatever else it does.
fn unseen(facts: &Facts<'_>, cluster: &CephCluster, object: &ObjectRef) -> Result<Option<Finding>, Gap> {
    let timer = &cluster.spec.health_check.daemon_health.status;
    let text = &cluster.status.ceph.last_checked;
    let allowed = interval(timer).and_then(|interval| Some(STALE.max(interval.checked_mul(5)?)));
    let (Ok(checked), Some(allowed)) = (text.parse::<Timestamp>(), allowed) else { return Ok(None) };
    if timer.disabled || !older(facts, Some(checked), allowed) {
        return Ok(None);
    }
    let summary = say!(
        "the operator last looked at Ceph {} ago: what the status of its resources says is old",
        ago(facts, checked)
    );
    let evidence = Evidence::field(object, "status.ceph.lastChecked", text).at(Some(checked));
    Ok(Some(finding(facts, object, summary)?.since(Some(checked)).evidence([evidence])))
}

/// The interval of a health check, a minute if none is set; none if it cannot be read.
fn interval(timer: &HealthTimer) -> Option<SignedDuration> {
    if timer.interval.is_empty() { Some(SignedDuration::from_mins(1)) } else { timer.interval.parse().ok() }
}

fn finding(facts: &Facts<'_>, object: &ObjectRef, summary: crate::check::Text) -> Result<Finding, Gap> {
    let ns = &facts.cluster()?.operator_ns;
    let remedy = Remedy::guided(say!("read what the last lines of the operator's log wait for and repair that; if they name nothing and the quorum holds, restart the operator (not while the quorum is lost)"))
        .command(format!("kubectl -n {ns} logs deploy/{OPERATOR} --tail=40"));
    // Without a quorum a new operator only waits again, and forgets its timers.
    let holds = facts.ceph_status().settled()?.is_ok_and(|status| !status.quorum_names.is_empty());
    let remedy = if holds {
        remedy
            .command(format!("kubectl -n {ns} rollout restart deploy/{OPERATOR}"))
            .command(format!("kubectl -n {ns} rollout status deploy/{OPERATOR} --timeout=5m"))
            .auto()
    } else {
        remedy
    };
    Ok(Finding::warning(object.clone(), summary, remedy))
}
