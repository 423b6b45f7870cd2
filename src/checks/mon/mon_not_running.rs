use jiff::SignedDuration;

use super::{EXTERNAL, Mon, PREFIX, daemon, deployment, mons};
use crate::check;
use crate::check::{Answered, Evidence, Finding, Place, Remedy};
use crate::checks::opr::{ago, older};
use crate::facts::{Each, Facts, Gap, Settled};
use crate::objects::kube::{ContainerStatus, Deployment, Event, Pod};
use crate::say;

check! {
    /// # What it looks at
    /// Monitors whose pod has a node and does not run: the reason from the container statuses, the end of the run
    /// before, its log and the events of its pod; and monitors scaled to 0 with no maintenance Deployment in their place. A pod
    /// younger than two minutes that has not failed yet is only starting. A pod without a node is MON006.
    ///
    /// # Why it matters
    /// Each monitor that does not run brings the quorum closer to its loss, and Rook replaces it only after ten
    /// minutes and only if another node is free.
    ///
    /// # Confirm by hand
    /// `kubectl -n <ns> describe pod -l app=rook-ceph-mon,mon=<id>` and
    /// `kubectl -n <ns> logs -l app=rook-ceph-mon,mon=<id> -c mon --previous`.
    ///
    /// # Fix
    /// By the reason: the node's network for a sandbox that cannot be made; the disk for an error of its store; the
    /// data of an earlier cluster in `dataDirHostPath` for a keyring that does not match (delete it only when that is
    /// certain). While the others hold the quorum a broken store is best left to Rook's failover.
    ///
    /// # References
    /// Rook: Troubleshooting/ceph-common-issues; Ceph: rados/troubleshooting/troubleshooting-mon.
    "MON004" "mon-not-running" Mon,
    needs: [MonPods, MonDeployments, ClusterEvents, Objects, Logs],
    explained_by: [(net::nad_missing, Cluster), (net::nad_invalid, Cluster), (net::multus_missing, Cluster)],
    in_pod,
}

const STARTING: SignedDuration = SignedDuration::from_mins(2);

/// What the end of a monitor's run says, by a part of its text or of the log that it left.
const MEANINGS: &[(&str, &str)] = &[
    ("keyring does not match the existing keyring", "its data directory holds another cluster's monitor"),
    ("unable to bind", "its address is not on its interface"),
    ("Cannot assign requested address", "its address is not on its interface"),
    ("No space left on device", "its disk is full"),
    ("levels of available", "its disk is full"),
    ("Corruption", "its store is damaged"),
    ("Input/output error", "its disk fails"),
];

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    if facts.cluster()?.external {
        return Ok(Answered::NotApplicable(EXTERNAL));
    }
    let mons = mons(facts)?;
    let ns = facts.cluster()?.ns.as_str();
    let suspects = mons.into_iter().filter(|mon| !mon.pod.is_well() && !mon.pod.node.is_empty());
    let Each { seen, mut blind } = facts.each(suspects, |facts, mon| facts.pod(ns, &mon.pod.name))?;
    let down = seen.iter().filter(|(_, pod)| has_failed(facts, pod));
    let mut findings: Vec<Finding> = down.map(|(mon, pod)| finding(facts, ns, mon, pod)).collect::<Result<_, _>>()?;
    match facts.mon_deployments().settled()? {
        Ok(deployments) => findings.extend(deployments.iter().filter_map(|it| scaled_down(facts, it, deployments))),
        Err(unknown) => blind.push(unknown),
    }
    Ok(Answered::judged(findings).blind(blind))
}

/// Not one that only starts: it has ended before, or had its time.
fn has_failed(facts: &Facts<'_>, pod: &Pod) -> bool {
    let now = facts.now();
    let crashes = pod.statuses().any(|status| status.is_down_again(now));
    let created = pod.metadata.deletion_timestamp.or(pod.metadata.creation_timestamp);
    let had_its_time = older(facts, created, STARTING) && !pod.statuses().any(|status| status.is_back(now));
    (crashes && pod.metadata.deletion_timestamp.is_none()) || had_its_time
}

fn finding(facts: &Facts<'_>, ns: &str, mon: &Mon<'_>, pod: &Pod) -> Result<Finding, Gap> {
    let ended = pod.statuses().filter(|status| !status.ready).find_map(|it| Some((it, it.terminated()?)));
    let message = ended.map_or("", |(_, end)| end.message.as_str());
    let mut meaning = MEANINGS.iter().find(|(text, _)| message.contains(text)).map(|(_, meaning)| *meaning);
    let mut quoted = None;
    if let Some((status, _)) = ended.filter(|_| meaning.is_none()) {
        (meaning, quoted) = last_words(facts, ns, &mon.pod.name, status)?.unzip();
    }
    let event = complaint(facts, ns, &mon.pod.name)?;
    let reason = match (meaning, event) {
        (Some(meaning), _) => format!("{}, {meaning}", mon.pod.status),
        (None, Some(event)) => format!("{}, {}", mon.pod.status, event.reason),
        (None, None) => mon.pod.status.clone(),
    };
    let summary = say!("mon.{} does not run on {}: {}", mon.id, mon.pod.node, reason);
    let remedy = Remedy::guided(say!("remove the reason that its pod's status and events give; leave its data alone, and while the others hold the quorum leave a damaged store to Rook's failover"))
        .command(format!("kubectl -n {ns} describe pod {}", mon.pod.name));
    let crashes = mon.pod.status.contains("CrashLoopBackOff") || mon.pod.status.contains("Error");
    let previous = format!("kubectl -n {ns} logs {} -c mon --previous --tail=50", mon.pod.name);
    let object = deployment(ns, mon.id);
    let end = ended.filter(|(_, end)| !end.message.is_empty());
    let end =
        end.map(|(_, end)| Evidence::field(&object, "state.terminated.message", &end.message).at(end.finished_at));
    Ok(Finding::warning(object, summary, if crashes { remedy.command(previous) } else { remedy })
        .at([daemon(mon.id), Place::node(&mon.pod.node)])
        .evidence([Evidence::pod_row(mon.pod, ns)])
        .evidence(end)
        .evidence(quoted)
        .evidence(event.map(Evidence::event)))
}

/// What the log of the run that failed says. Further evidence only: without it the finding stands.
fn last_words(
    facts: &Facts<'_>,
    ns: &str,
    pod: &str,
    status: &ContainerStatus,
) -> Result<Option<(&'static str, Evidence)>, Gap> {
    let over = status.state.terminated.is_some();
    let log = if over { facts.log(ns, pod, &status.name) } else { facts.previous_log(ns, pod, &status.name) };
    let Ok(log) = log.settled()? else { return Ok(None) };
    let said = MEANINGS.iter().find_map(|(text, meaning)| Some((*meaning, log.last(text)?)));
    Ok(said.map(|(meaning, line)| (meaning, Evidence::log(ns, pod, &status.name, line))))
}

/// The newest complaint about this pod. Further evidence only: without it the finding stands.
fn complaint<'s>(facts: &Facts<'s>, ns: &str, pod: &str) -> Result<Option<&'s Event>, Gap> {
    let Ok(events) = facts.cluster_events().settled()? else { return Ok(None) };
    let about = events.iter().filter(|event| event.is_about("Pod", ns, pod));
    Ok(about.max_by_key(|event| event.last_seen()))
}

fn scaled_down(facts: &Facts<'_>, it: &Deployment, all: &[Deployment]) -> Option<Finding> {
    let meta = &it.metadata;
    let id = meta.name.strip_prefix(PREFIX).filter(|id| !id.contains('-'))?;
    let stand_in = format!("{}-maintenance", meta.name);
    if it.spec.replicas != Some(0) || all.iter().any(|other| other.metadata.name == stand_in) {
        return None;
    }
    let writer = meta.written_by(&["f:spec", "f:replicas"]);
    let when = writer.and_then(|writer| writer.time);
    let by = writer.map_or("an unknown hand", |writer| writer.manager.as_str());
    let by = when.map_or(by.to_owned(), |at| format!("{by}, {} ago", ago(facts, at)));
    let summary = say!("mon.{} is scaled to 0 (by {})", id, by);
    let remedy = Remedy::guided(say!("if no maintenance or restore of quorum is going on, scale it up"))
        .command(format!("kubectl -n {} scale deploy {} --replicas=1", meta.namespace, meta.name));
    let object = deployment(&meta.namespace, id);
    let evidence = Evidence::field(&object, "spec.replicas", format!("0, written by {by}")).at(when);
    Some(Finding::warning(object, summary, remedy).since(when).at([daemon(id)]).evidence([evidence]))
}
