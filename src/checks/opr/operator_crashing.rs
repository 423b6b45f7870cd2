use jiff::SignedDuration;

use super::{OPERATOR, older, operator_object, operator_pod};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Text};
use crate::facts::{Facts, Gap, Log, LogLine, Settled};
use crate::objects::kube::{ContainerStatus, Pod, Terminated};
use crate::say;

check! {
    /// # What it looks at
    /// The container of the operator's pod: in CrashLoopBackOff, or ended with an error within the last hour after
    /// three or more restarts, or after a panic. The log of the container before tells its last words. An end by a
    /// boot of its node (exit code 255, reason `Unknown`) is not a crash.
    ///
    /// # Why it matters
    /// Each start begins every reconcile at its first step and forgets how long a monitor has been out, so an
    /// operator that dies every few minutes never fails a monitor over, though it looks Running in between.
    ///
    /// # Confirm by hand
    /// `kubectl -n <operator-ns> logs deploy/rook-ceph-operator --previous --tail=50` and
    /// `kubectl -n <operator-ns> get pod -l app=rook-ceph-operator -o jsonpath='{..lastState}'`.
    ///
    /// # Fix
    /// By its last words: more memory, the CRDs and rights of its version, the way to the API server. A panic is a
    /// fault of Rook's: look for its first lines among Rook's issues, and use the newest patch release.
    ///
    /// # References
    /// Rook: Troubleshooting/common-issues, "Troubleshooting Techniques"; Upgrade/rook-upgrade on CRDs and common
    /// resources. Kubernetes: Pod Lifecycle, "Container restarts", on the meaning of CrashLoopBackOff.
    "OPR002" "operator-crashing" Opr,
    needs: [OperatorPods, Objects, Logs],
    explained_by: [(opr::operator_rights_or_crds_stale, Cluster)],
    in_pod,
}

const RECENT: SignedDuration = SignedDuration::from_mins(60);
/// So many restarts are no accident.
const OFTEN: u32 = 3;
const PANIC: &[&str] = &["panic: ", "Panic: ", "fatal error: ", "[signal SIG"];
/// The level that Rook logs before it gives up.
const LAST_WORDS: &[&str] = &[" C | ", " E | "];

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let Some(row) = operator_pod(facts)?.filter(|row| row.restarts > 0 || !row.is_well()) else {
        return Ok(Answered::passed());
    };
    let ns = &facts.cluster()?.operator_ns;
    let pod = facts.pod(ns, &row.name)?;
    let Some(status) = pod.status.container_statuses.iter().find(|status| status.name == OPERATOR) else {
        return Ok(Answered::passed());
    };
    let end = status.terminated().filter(|end| is_crash(end) && !older(facts, end.finished_at, RECENT));
    let loops = status.waiting_reason() == "CrashLoopBackOff";
    if !loops && end.is_none() {
        return Ok(Answered::passed());
    }
    let log = match facts.previous_log(ns, &row.name, OPERATOR).settled()? {
        Ok(log) => Some(log),
        Err(unknown) if !loops && status.restart_count < OFTEN => return Ok(Answered::passed().blind([unknown])),
        Err(_) => None,
    };
    let panic = log.and_then(|log| log.last_of(PANIC));
    if !loops && status.restart_count < OFTEN && panic.is_none() {
        return Ok(Answered::passed());
    }
    let words = panic.or_else(|| log.and_then(last_words));
    Ok(Answered::judged(vec![finding(facts, pod, status, end, words)?]))
}

/// The end of a container that a boot or a deletion did not bring.
fn is_crash(end: &Terminated) -> bool {
    end.exit_code != 0 && end.reason != "Unknown"
}

fn last_words(log: &Log) -> Option<&LogLine> {
    log.last_of(LAST_WORDS).or(log.lines.last())
}

fn finding(
    facts: &Facts<'_>,
    pod: &Pod,
    status: &ContainerStatus,
    end: Option<&Terminated>,
    words: Option<&LogLine>,
) -> Result<Finding, Gap> {
    let object = ObjectRef::pod(pod);
    let (ns, name) = (&pod.metadata.namespace, &pod.metadata.name);
    let killed = end.is_some_and(|end| end.reason == "OOMKilled");
    let (why, fix) = if killed {
        (say!("it is killed for memory"), say!("give it more memory, or no limit"))
    } else {
        decode(words.map_or("", |line| line.text.as_str()))
    };
    let summary = say!("the operator crashes ({} restarts): {}", status.restart_count, why);
    let remedy = Remedy::guided(fix)
        .command(format!("kubectl -n {ns} logs deploy/{OPERATOR} --previous --tail=50"))
        .command(format!("kubectl -n {ns} describe pod {name}"));
    let excerpt = match end {
        Some(end) => format!("exit code {}, reason {}, {} restarts", end.exit_code, end.reason, status.restart_count),
        None => format!("{}, {} restarts", status.waiting_reason(), status.restart_count),
    };
    let finished = end.and_then(|end| end.finished_at);
    let state = Evidence::field(&object, format!("state of container {OPERATOR}"), excerpt).at(finished);
    let node = Some(&pod.spec.node_name).filter(|node| !node.is_empty()).map(Place::node);
    Ok(Finding::warning(object, summary, remedy)
        .also([operator_object(facts)?])
        .at(node)
        .since(finished)
        .evidence([state])
        .evidence(words.map(|line| Evidence::log(ns, name, OPERATOR, line))))
}

/// Its last words for a person, and what would help.
fn decode(words: &str) -> (Text, Text) {
    let any = |texts: &[&str]| texts.iter().any(|text| words.contains(text));
    if any(&["no matches for kind", "could not find the requested resource"]) {
        (say!("the CRDs are older than it"), say!("apply the CRDs of the operator's own version"))
    } else if any(&["is forbidden"]) {
        (say!("it lacks a permission"), say!("apply the common resources (RBAC) of the operator's own version"))
    } else if any(&["i/o timeout", "no route to host", "connection refused", "context deadline exceeded"]) {
        (
            say!("it cannot reach the API server"),
            say!("repair the way from its node to the API server's Service address"),
        )
    } else if any(PANIC) {
        (
            say!("it panics"),
            say!("look for the first lines of the panic among Rook's issues, and use the newest patch release"),
        )
    } else {
        (say!("its last words say why"), say!("repair what its last words name"))
    }
}
