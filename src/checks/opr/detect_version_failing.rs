use jiff::SignedDuration;

use super::{ago, older};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Text};
use crate::checks::node::{VERSION_JOBS, unschedulable};
use crate::facts::{Facts, Gap, both, kinds};
use crate::objects::kube::{ConfigMap, Pod, condition};
use crate::objects::rook::CephCluster;
use crate::say;

check! {
    /// # What it looks at
    /// The pod of the job `rook-ceph-detect-version`, if it is older than three minutes and not done: no node takes
    /// it, its image is not pulled, it has no sandbox, its container fails, or it runs and delivers nothing. And
    /// the ConfigMap of that name, if it is stuck in deletion while the CephCluster stands at `Detecting Ceph version`.
    ///
    /// # Why it matters
    /// It is the first step of every reconcile of the CephCluster. Until the job has written what `ceph --version`
    /// says in the image, no change is taken, no upgrade begins, and in a new cluster nothing at all is made. The
    /// operator waits fifteen minutes for it, then starts again.
    ///
    /// # Confirm by hand
    /// `kubectl -n <ns> describe pod -l app=rook-ceph-detect-version` and
    /// `kubectl -n <ns> logs job/rook-ceph-detect-version`.
    ///
    /// # Fix
    /// Repair the reason: the image's name or registry, the placement of the monitors (the job has the same), the
    /// network of its node. Then delete the job; the operator makes a new one.
    ///
    /// # References
    /// Rook: pkg/operator/ceph/controller/version.go and pkg/operator/k8sutil/cmdreporter; Troubleshooting/ceph-common-issues.
    "OPR010" "detect-version-failing" Opr,
    needs: [Discovery, CephClusters, PodTables, Objects],
    explained_by: [
        (node::image_pull_failing, Object), (node::daemon_unschedulable, Object), (node::node_not_ready, Node),
        (node::node_rebooted, Node), (node::cni_not_ready, Node), (net::multus_missing, Node),
        (net::multus_init_crash, Node), (net::multus_daemon_down, Node), (net::sandbox_failing, Node),
        (net::nad_range_exhausted, Node), (net::nad_master_missing, Node), (net::cni_plugin_missing, Node),
        (ovn::ovs_ovn_unhealthy, Node), (ovn::kube_ovn_cni_unhealthy, Node), (ovn::stale_after_reboot, Node),
        (node::pods_not_created, Object),
    ],
}

const JOB: &str = "rook-ceph-detect-version";
/// A large image takes its time.
const PATIENCE: SignedDuration = SignedDuration::from_mins(3);
const DETECTING: &str = "Detecting Ceph version";

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let ns = facts.cluster()?.ns.as_str();
    let (cluster, rows) = both(facts.ceph_cluster(), facts.pods_where(ns, VERSION_JOBS))?;
    let open = rows.iter().filter(|row| row.name.starts_with(JOB) && !row.is_done() && row.status != "Terminating");
    let pods = facts.each(open, |facts, row| facts.pod(ns, &row.name))?;
    let stuck = pods.seen.iter().map(|(_, pod)| *pod);
    let stuck = stuck.filter(|pod| older(facts, pod.metadata.creation_timestamp, PATIENCE));
    // A job makes a new pod for one that failed; all of them tell the same.
    let mut findings: Vec<Finding> =
        stuck.max_by_key(|pod| pod.metadata.creation_timestamp).map(|pod| finding(facts, pod)).into_iter().collect();
    if findings.is_empty() && stands_at_detecting(facts, cluster) {
        let map = facts.object::<ConfigMap>(ns, JOB)?;
        let leaving = map.filter(|map| older(facts, map.metadata.deletion_timestamp, PATIENCE));
        findings.extend(leaving.map(|map| undeleted(facts, map)));
    }
    Ok(Answered::judged(findings).blind(pods.blind))
}

fn stands_at_detecting(facts: &Facts<'_>, cluster: &CephCluster) -> bool {
    let stage = condition(&cluster.status.conditions, "Progressing").filter(|stage| stage.message.contains(DETECTING));
    stage.is_some_and(|stage| older(facts, stage.last_transition_time, PATIENCE))
}

fn finding(facts: &Facts<'_>, pod: &Pod) -> Finding {
    let (ns, since) = (&pod.metadata.namespace, pod.metadata.creation_timestamp);
    let (why, evidence) = reason(pod);
    let age = since.map_or_else(String::new, |at| ago(facts, at));
    let summary = say!("the job that asks the image for its Ceph version is not done after {}: {}", age, why);
    let remedy = Remedy::guided(say!("repair the reason; then delete the job, and the operator makes a new one"))
        .command(format!("kubectl -n {ns} describe pod {}", pod.metadata.name))
        .command(format!("kubectl -n {ns} delete job {JOB}"));
    let node = Some(&pod.spec.node_name).filter(|node| !node.is_empty()).map(Place::node);
    Finding::warning(ObjectRef::new(kinds::JOB, ns, JOB), summary, remedy)
        .also([ObjectRef::pod(pod)])
        .at(node)
        .since(since)
        .evidence([evidence])
}

/// How far the pod has come.
fn reason(pod: &Pod) -> (Text, Evidence) {
    let object = ObjectRef::pod(pod);
    if let Some(words) = unschedulable(pod) {
        return (say!("no node takes it"), Evidence::field(&object, "status.conditions[PodScheduled]", &words.message));
    }
    for status in pod.statuses() {
        let waiting = status.state.waiting.as_ref();
        if let Some(waiting) = waiting.filter(|it| it.reason.contains("Image") || it.reason.contains("Pull")) {
            let excerpt = format!("{}: {}", waiting.reason, waiting.message);
            return (say!("its image is not pulled"), Evidence::field(&object, "state.waiting", excerpt));
        }
        if let Some(end) = status.terminated().filter(|end| end.exit_code != 0) {
            let excerpt = format!("exit code {}, {} {}", end.exit_code, end.reason, end.message);
            let field = format!("last state of container {}", status.name);
            return (say!("its container fails"), Evidence::field(&object, field, excerpt.trim_end()));
        }
    }
    if pod.has_sandbox() {
        let excerpt = format!("{}, with its sandbox up", pod.status.phase);
        return (say!("it runs and delivers nothing"), Evidence::field(&object, "status.phase", excerpt));
    }
    (say!("it has no sandbox: the network of its node"), Evidence::field(&object, "status.phase", &pod.status.phase))
}

/// The operator deletes the answer of the time before and waits until it is gone.
fn undeleted(facts: &Facts<'_>, map: &ConfigMap) -> Finding {
    let object = ObjectRef::of::<ConfigMap>(&map.metadata);
    let since = map.metadata.deletion_timestamp;
    let age = since.map_or_else(String::new, |at| ago(facts, at));
    let summary = say!("the ConfigMap {} is in deletion for {}, and the operator waits for its end", JOB, age);
    let remedy = Remedy::guided(say!("see whose finalizers hold it, and let that controller do its work"))
        .command(format!("kubectl -n {} get cm {JOB} -o jsonpath='{{.metadata.finalizers}}'", map.metadata.namespace));
    let evidence = Evidence::field(&object, "metadata.finalizers", map.metadata.finalizers.join(", ")).at(since);
    Finding::warning(object, summary, remedy).since(since).evidence([evidence])
}
