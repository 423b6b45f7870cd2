use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::template_diff::{Change, changes};
use super::{by_osd, deployment};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Remedy};
use crate::facts::{Cluster, Facts, Gap, Select, Settled};
use crate::objects::kube::ReplicaSet;
use crate::say;

check! {
    /// # What it looks at
    /// A sample of at most sixteen OSD pods; where they are younger than three days, the two newest ReplicaSets
    /// of their Deployments, field by field. Reported is a roll-out that changed no image and only annotations,
    /// labels, tolerations, environment or the log collector. Beside it stands what changed in the operator's
    /// own Deployment just before.
    ///
    /// # Why it matters
    /// Rook restarts an OSD whenever its Deployment would differ, be it in one toleration. Each restart means
    /// peering, recovery and a moment with fewer copies. All OSDs of one host at once are normal
    /// (`ok-to-stop`, `osdMaxUpdatesInParallel`). A restart that was asked for with `kubectl rollout restart`
    /// is not reported, nor is one in the first three days of an OSD.
    ///
    /// # Confirm by hand
    /// `kubectl -n <ns> get replicasets -l app=rook-ceph-osd,ceph-osd-id=<id> -o yaml` and compare
    /// `spec.template` of the two newest.
    ///
    /// # Fix
    /// Nothing to repair. Change operator settings that end up in pod templates together with the next
    /// upgrade, so that daemons restart once.
    ///
    /// # References
    /// Rook: `pkg/operator/ceph/cluster/osd/update.go`; `spec.storage.osdMaxUpdatesInParallel` (v1.18.7).
    "OSD014" "osd-restarted-needlessly" Osd,
    needs: [OsdPods, Objects],
    explained_by: [],
}

/// A restart is news for so long.
const YOUNG: SignedDuration = SignedDuration::from_hours(72);
const SAMPLE: usize = 16;

/// A roll-out of one OSD.
struct Rollout<'s> {
    osd: i64,
    newest: &'s ReplicaSet,
    changes: Vec<Change>,
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let cluster = facts.cluster()?;
    if cluster.external {
        return Ok(Answered::NotApplicable("the OSDs of an external cluster live elsewhere"));
    }
    let osds = by_osd(facts.osd_pods()?);
    // A row's age is rounded: it tells which pods to open, and their objects tell the time.
    let running: Vec<_> = osds
        .values()
        .filter_map(|osd| Some((osd.id, osd.rows.iter().find(|row| row.is_well() && row.is_young())?)))
        .collect();
    // Evenly over all OSDs: a roll-out goes host by host.
    let step = running.len().div_ceil(SAMPLE).max(1);
    let pods = facts.each(running.into_iter().step_by(step), |facts, (_, row)| facts.pod(&cluster.ns, &row.name))?;
    let is_young = |at: Option<Timestamp>| at.is_some_and(|at| facts.now().duration_since(at) < YOUNG);
    let young = pods.seen.iter().filter(|(_, pod)| is_young(pod.metadata.creation_timestamp)).map(|((id, _), _)| *id);
    let sets = facts.each(young, |facts, id| {
        facts.list::<ReplicaSet>(Some(&cluster.ns), Select::label(format!("app=rook-ceph-osd,ceph-osd-id={id}")))
    })?;
    let rollouts: Vec<_> = sets.seen.iter().filter_map(|(id, sets)| rollout(*id, sets, is_young)).collect();
    let blind = pods.blind.into_iter().chain(sets.blind);
    let mut alike: BTreeMap<String, Vec<&Rollout<'_>>> = BTreeMap::new();
    for rollout in &rollouts {
        let what = rollout.changes.iter().map(Change::to_string).collect::<Vec<_>>().join("; ");
        alike.entry(what).or_default().push(rollout);
    }
    let mut findings = Vec::new();
    for (what, rollouts) in &alike {
        let trigger = operator_change(facts, rollouts)?;
        findings.push(finding(cluster, what, rollouts).evidence(trigger));
    }
    Ok(Answered::judged(findings).blind(blind))
}

/// The roll-out of a Deployment, if it is young, the OSD is not, and it was needless.
fn rollout(osd: i64, sets: &[ReplicaSet], is_young: impl Fn(Option<Timestamp>) -> bool) -> Option<Rollout<'_>> {
    let mut sets: Vec<&ReplicaSet> = sets.iter().collect();
    sets.sort_by_key(|set| set.metadata.creation_timestamp);
    let [oldest, .., _] = sets.as_slice() else { return None };
    let [.., before, newest] = sets.as_slice() else { return None };
    let fresh = is_young(newest.metadata.creation_timestamp) && !is_young(oldest.metadata.creation_timestamp);
    let changes = changes(&before.spec.template, &newest.spec.template);
    (fresh && changes.iter().all(is_needless)).then_some(Rollout { osd, newest, changes })
}

/// A field that no OSD needs a restart for.
fn is_needless(change: &Change) -> bool {
    let path = change.path.as_str();
    let asked = path.contains("kubectl.kubernetes.io/restartedAt") || path.ends_with(".image");
    // The environment holds the image's name as well.
    let image = path.contains("CONTAINER_IMAGE");
    let cosmetic = ["metadata.annotations", "metadata.labels", "spec.tolerations", "[log-collector]", ".env["];
    !asked && !image && cosmetic.iter().any(|part| path.contains(part))
}

fn finding(cluster: &Cluster, what: &str, rollouts: &[&Rollout<'_>]) -> Finding {
    let mut deployments = rollouts.iter().map(|rollout| deployment(&cluster.ns, rollout.osd));
    let first = deployments.next().unwrap_or_else(|| ObjectRef::cluster(cluster));
    let (what, summary) = match what {
        "" => (
            "nothing but the order of fields",
            say!(
                "{} OSDs were restarted without a new image; only this changed: nothing but the order of fields",
                rollouts.len()
            ),
        ),
        _ => (what, say!("{} OSDs were restarted without a new image; only this changed: {}", rollouts.len(), what)),
    };
    let remedy = Remedy::advice(say!(
        "nothing to repair; change operator settings that end up in pod templates together with the next upgrade, so that daemons restart once"
    ));
    let lines = rollouts.iter().map(|rollout| {
        let object = ObjectRef::of::<ReplicaSet>(&rollout.newest.metadata);
        Evidence::field(&object, "spec.template", what).at(rollout.newest.metadata.creation_timestamp)
    });
    let since = rollouts.iter().filter_map(|rollout| rollout.newest.metadata.creation_timestamp).min();
    Finding::warning(first, summary, remedy).also(deployments).since(since).evidence(lines.take(3))
}

/// What changed in the operator's Deployment within two hours before. It only explains; without it the finding
/// stands.
fn operator_change(facts: &Facts<'_>, rollouts: &[&Rollout<'_>]) -> Result<Vec<Evidence>, Gap> {
    let ns = &facts.cluster()?.operator_ns;
    let sets = facts.list::<ReplicaSet>(Some(ns), Select::label("app=rook-ceph-operator")).settled()?;
    let mut sets: Vec<&ReplicaSet> = sets.into_iter().flatten().collect();
    sets.sort_by_key(|set| set.metadata.creation_timestamp);
    let [.., before, newest] = sets.as_slice() else { return Ok(Vec::new()) };
    let first = rollouts.iter().filter_map(|rollout| rollout.newest.metadata.creation_timestamp).min();
    let near = newest.metadata.creation_timestamp.zip(first).is_some_and(|(changed, restarted)| {
        (SignedDuration::ZERO..SignedDuration::from_hours(2)).contains(&restarted.duration_since(changed))
    });
    let object = ObjectRef::of::<ReplicaSet>(&newest.metadata);
    let changes = changes(&before.spec.template, &newest.spec.template);
    let line =
        |change: &Change| Evidence::field(&object, "spec.template", change).at(newest.metadata.creation_timestamp);
    Ok(if near { changes.iter().take(4).map(line).collect() } else { Vec::new() })
}
