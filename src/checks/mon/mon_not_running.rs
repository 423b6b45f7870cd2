use super::ends::{Failed, failed};
use super::{EXTERNAL, PREFIX, daemon, deployment};
use crate::check;
use crate::check::{Answered, Evidence, Finding, Place, Remedy};
use crate::checks::opr::ago;
use crate::facts::{Each, Facts, Gap, Settled};
use crate::lang::Words;
use crate::objects::kube::{Deployment, Event};
use crate::say;

check! {
    /// # What it looks at
    /// Monitors whose pod has a node and does not run: the reason from the container statuses, the end of the run
    /// before, its log and the events of its pod; and monitors scaled to 0 with no maintenance Deployment in their place. A pod
    /// younger than two minutes that has not failed yet is only starting. A pod without a node is MON006; the data of
    /// an earlier cluster is MON005, a full disk MON009, an address that cannot be bound MON011.
    ///
    /// # Why it matters
    /// Each monitor that does not run brings the quorum closer to its loss, and Rook replaces it only after ten
    /// minutes and only if another node is free.
    ///
    /// # Confirm by hand
    /// `kubectl -n <ns> describe pod -l app=rook-ceph-mon,mon=<id>` and
    /// `kubectl -n <ns> logs -l app=rook-ceph-mon,mon=<id> -c mon --previous`. More words come with
    /// `set-ceph-debug-level 10` in the toolbox (`default` takes it back), and
    /// `ceph config set mon.<id> log_to_file true` keeps them on the host, in `<dataDirHostPath>/<ns>/log`.
    ///
    /// # Fix
    /// By the reason: the node's network for a sandbox that cannot be made; the disk for an error of its store. While
    /// the others hold the quorum a broken store is best left to Rook's failover.
    ///
    /// # References
    /// Rook: Troubleshooting/ceph-common-issues; Ceph: rados/troubleshooting/troubleshooting-mon.
    "MON004" "mon-not-running" Mon,
    needs: [MonPods, MonDeployments, ClusterEvents, Objects, Logs],
    explained_by: [
        (net::nad_missing, Cluster), (net::nad_invalid, Cluster), (net::multus_missing, Cluster),
        (mon::mon_stale_store, Daemon), (mon::mon_disk_low, Daemon), (mon::mon_network_changed, Daemon),
        (mon::mon_bind_address, Daemon),
    ],
    in_pod,
}

/// What the end of a monitor's run says, by a part of its text or of the log that it left.
const MEANINGS: &[(&str, Words)] =
    &[("Corruption", || say!("its store is damaged")), ("Input/output error", || say!("its disk fails"))];

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    if facts.cluster()?.external {
        return Ok(Answered::NotApplicable(EXTERNAL));
    }
    let ns = facts.cluster()?.ns.as_str();
    let Each { seen, mut blind } = failed(facts)?;
    let mut findings: Vec<Finding> =
        seen.iter().map(|(_, failed)| finding(facts, ns, failed)).collect::<Result<_, _>>()?;
    match facts.mon_deployments().settled()? {
        Ok(deployments) => findings.extend(deployments.iter().filter_map(|it| scaled_down(facts, it, deployments))),
        Err(unknown) => blind.push(unknown),
    }
    Ok(Answered::judged(findings).blind(blind))
}

fn finding(facts: &Facts<'_>, ns: &str, failed: &Failed<'_>) -> Result<Finding, Gap> {
    let Failed { mon, .. } = failed;
    // Its last words are further evidence only: without them the finding stands.
    let texts: Vec<&str> = MEANINGS.iter().map(|(text, _)| *text).collect();
    let words = failed.last_words(facts, &texts).settled()?.unwrap_or_default();
    let meaning = |words: &Evidence| MEANINGS.iter().find(|(text, _)| words.excerpt.contains(text)).map(|it| it.1);
    let meaning = words.as_ref().and_then(meaning);
    let event = complaint(facts, ns, &mon.pod.name)?;
    let reason = match (meaning, event) {
        (Some(meaning), _) => say!("{}, {}", mon.pod.status, meaning()),
        (None, Some(event)) => say!("{}, {}", mon.pod.status, event.reason),
        (None, None) => say!("{}", mon.pod.status),
    };
    let summary = say!("mon.{} does not run on {}: {}", mon.id, mon.pod.node, reason);
    let remedy = Remedy::guided(say!("remove the reason that its pod's status and events give; leave its data alone, and while the others hold the quorum leave a damaged store to Rook's failover"))
        .command(format!("kubectl -n {ns} describe pod {}", mon.pod.name));
    let crashes = mon.pod.status.contains("CrashLoopBackOff") || mon.pod.status.contains("Error");
    let previous = format!("kubectl -n {ns} logs {} -c mon --previous --tail=50", mon.pod.name);
    let object = deployment(ns, mon.id);
    Ok(Finding::warning(object, summary, if crashes { remedy.command(previous) } else { remedy })
        .at([daemon(mon.id), Place::node(&mon.pod.node)])
        .evidence([Evidence::pod_row(mon.pod, ns)])
        .evidence(words.or_else(|| failed.message()))
        .evidence(event.map(Evidence::event)))
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
    let by = writer.map_or(say!("an unknown hand"), |writer| say!("{}", writer.manager));
    let by = match when {
        Some(at) => say!("{}, {} ago", by, ago(facts, at)),
        None => by,
    };
    let summary = say!("mon.{} is scaled to 0 (by {})", id, by);
    let remedy = Remedy::guided(say!("if no maintenance or restore of quorum is going on, scale it up"))
        .command(format!("kubectl -n {} scale deploy {} --replicas=1", meta.namespace, meta.name));
    let object = deployment(&meta.namespace, id);
    let evidence = Evidence::field(&object, "spec.replicas", format!("0, written by {}", by.english())).at(when);
    Some(Finding::warning(object, summary, remedy).since(when).at([daemon(id)]).evidence([evidence]))
}
