use std::collections::BTreeMap;

use jiff::SignedDuration;

use super::crash_reasons::{Reason, reason};
use super::{deployment, names};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy};
use crate::checks::node::daemon_of;
use crate::checks::opr::older;
use crate::facts::tables::PodRow;
use crate::facts::{Cluster, Facts, Gap, Log, LogLine, Settled};
use crate::objects::kube::{ContainerStatus, Pod};
use crate::say;

check! {
    /// # What it looks at
    /// OSD pods of which a container ends again and again: `osd` itself, or one of the init containers before it
    /// (`activate`, `expand-bluefs`, `encryption-open`). The reason comes from the state of the container and from the
    /// log of the run that failed.
    ///
    /// # Why it matters
    /// An OSD that does not start is a copy of data that is missing, and after ten minutes Ceph begins to copy it
    /// elsewhere. The log says why: a key that the monitors do not take, a disk without space, a disk that is gone,
    /// renamed or failing, the label of another OSD.
    ///
    /// # Confirm by hand
    /// `kubectl -n <ns> describe pod -l app=rook-ceph-osd,ceph-osd-id=<id>` and
    /// `kubectl -n <ns> logs deploy/rook-ceph-osd-<id> -c <container> --previous`. An OSD on LVM in a claim can lose
    /// the metadata of LVM, which is not observable from the API: on the host `lvs -o lv_name,lv_tags` then shows no
    /// tags. Such an OSD is retired, and raw mode does without LVM.
    ///
    /// # Fix
    /// By the reason. A disk that failed is replaced, its OSD purged only once its data is safe
    /// (`ceph osd safe-to-destroy`). Never wipe a device because its OSD does not start.
    ///
    /// # References
    /// Rook: "OSD pods are failing to start", "Ceph OSD Management", `pkg/operator/ceph/cluster/osd/spec.go`. Ceph:
    /// "Troubleshooting OSDs".
    "OSD006" "osd-crashing" Osd,
    needs: [OsdPods, Objects, Logs],
    explained_by: [
        (mon::quorum_lost, Cluster), (mon::all_mons_down, Cluster), (osd::osd_capacity, Object),
        (osd::osd_phantom, Daemon),
    ],
    in_pod,
}

/// The init container that fetches the key of an encrypted OSD; OSD016 reports it.
pub(super) const FETCHES_KEY: &str = "encryption-kms-get-kek";

/// An OSD that crashes, and why, if that is known.
struct Crash<'s> {
    id: i64,
    row: &'s PodRow,
    status: &'s ContainerStatus,
    reason: Option<&'static Reason>,
    line: Option<&'s LogLine>,
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let cluster = facts.cluster()?;
    let suspects = facts.osd_pods()?.iter().filter(|row| may_crash(row));
    let pods = facts.each(suspects, |facts, row| facts.pod(&row.ns, &row.name))?;
    let down = pods.seen.iter().filter_map(|(row, pod)| Some((*row, failed(facts, pod)?)));
    let down: Vec<_> = down.filter(|(_, status)| status.name != FETCHES_KEY).collect();
    let logs = facts.each(down, |facts, (row, status)| last_words(facts, row, status))?;
    let crashes = logs.seen.into_iter().filter_map(|((row, status), log)| {
        let id = row.daemon_id("rook-ceph-osd-")?.parse().ok()?;
        let told = reason(status, log);
        Some(Crash { id, row, status, reason: told.map(|(reason, _)| reason), line: told.and_then(|(_, line)| line) })
    });
    let findings = together(crashes).iter().filter_map(|crashes| finding(cluster, crashes)).collect();
    Ok(Answered::judged(findings).blind(pods.blind))
}

/// A pod is opened only if a container of it ended before: those of a lost node never did.
pub(super) fn may_crash(row: &PodRow) -> bool {
    !row.is_well() && row.restarts > 0 && !row.node.is_empty() && !row.is_replaced()
}

/// The container that keeps it from running: the first that ends with an error again and again. One that runs for
/// some minutes only takes its time, as an OSD does that waits for monitors or replays its log.
pub(super) fn failed<'p>(facts: &Facts<'_>, pod: &'p Pod) -> Option<&'p ContainerStatus> {
    const SOON: SignedDuration = SignedDuration::from_mins(2);
    let ended = |status: &&ContainerStatus| status.terminated().is_some_and(|end| end.exit_code != 0);
    let runs =
        |status: &ContainerStatus| status.state.running.as_ref().is_some_and(|it| older(facts, it.started_at, SOON));
    pod.statuses().filter(|status| status.is_down_again(facts.now()) && !runs(status)).find(ended)
}

/// The log of the run that failed. It tells the reason; that the OSD crashes is known without.
fn last_words<'s>(facts: &Facts<'s>, row: &PodRow, status: &ContainerStatus) -> Result<Option<&'s Log>, Gap> {
    let over = status.state.terminated.is_some();
    let (ns, pod) = (&row.ns, &row.name);
    let log = if over { facts.log(ns, pod, &status.name) } else { facts.previous_log(ns, pod, &status.name) };
    let Ok(log) = log.settled()? else { return Ok(None) };
    Ok(Some(log))
}

/// OSDs that crash for one reason share a finding, unless the reason is their own disk or unknown.
fn together<'s>(crashes: impl Iterator<Item = Crash<'s>>) -> Vec<Vec<Crash<'s>>> {
    let mut groups: BTreeMap<(String, i64), Vec<Crash<'s>>> = BTreeMap::new();
    for crash in crashes {
        let key = match crash.reason {
            Some(reason) if !reason.is_of_disk => ((reason.why)().english(), 0),
            Some(reason) => ((reason.why)().english(), crash.id),
            None => (String::new(), crash.id),
        };
        groups.entry(key).or_default().push(crash);
    }
    groups.into_values().collect()
}

fn finding(cluster: &Cluster, crashes: &[Crash<'_>]) -> Option<Finding> {
    let first = crashes.first()?;
    let ns = &cluster.ns;
    let (container, id) = (&first.status.name, first.id);
    let who = names(crashes.iter().map(|crash| crash.id));
    let end = first.status.terminated()?;
    let summary = match first.reason {
        Some(reason) => say!("{} does not start (container {}): {}", who, container, (reason.why)()),
        None => say!("{} does not start: container {} ends with exit code {}", who, container, end.exit_code),
    };
    let remedy = match first.reason {
        Some(reason) => (reason.remedy)(),
        None => say!("read the last lines of the log, which name the step that fails"),
    };
    let remedy = Remedy::guided(remedy)
        .command(format!("kubectl -n {ns} logs deploy/rook-ceph-osd-{id} -c {container} --previous --tail=50"))
        .command(format!("kubectl -n {ns} describe pod {}", first.row.name));
    let is_full = first.reason.is_some_and(|reason| reason.is_full);
    let lines = crashes.iter().take(4).flat_map(|crash| {
        let (row, status) = (crash.row, crash.status);
        let line = crash.line.map(|line| Evidence::log(&row.ns, &row.name, &status.name, line));
        [Some(Evidence::pod_row(row, ns)), line].into_iter().flatten()
    });
    Some(
        Finding::warning(deployment(ns, id), summary, remedy)
            .also(crashes.iter().skip(1).map(|crash| deployment(ns, crash.id)))
            // What is short is the space of the whole cluster.
            .also(is_full.then(|| ObjectRef::cluster(cluster)))
            .at(crashes.iter().filter_map(|crash| daemon_of(crash.row)))
            .at(crashes.iter().map(|crash| Place::node(&crash.row.node)))
            .since(end.finished_at)
            .evidence(lines),
    )
}
