use jiff::SignedDuration;

use super::{OPERATOR, ago, older, operator, operator_object};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy};
use crate::facts::{Facts, Gap, Settled};
use crate::objects::kube::{Deployment, condition};
use crate::say;

check! {
    /// # What it looks at
    /// The Deployment `rook-ceph-operator` in the operator's namespace: absent, scaled to 0 (its managedFields say
    /// by whom and when), or without a Ready pod for more than two minutes.
    ///
    /// # Why it matters
    /// Ceph serves without the operator, but nothing heals: no monitor fails over, no OSD is replaced, no change
    /// of a custom resource takes effect, and `status` of every resource is old news. Zero replicas is also the normal
    /// middle of a restore of quorum, of the removal of an OSD and of planned maintenance.
    ///
    /// # Confirm by hand
    /// `kubectl -n <operator-ns> get deploy rook-ceph-operator` and
    /// `kubectl -n <operator-ns> describe pod -l app=rook-ceph-operator`.
    ///
    /// # Fix
    /// Ask whoever scaled it down whether the work is done, then scale it to 1; the tool does not do that, as only they
    /// know. A pod that is not Ready is told by
    /// its status, events and the log of the container before.
    ///
    /// # References
    /// Rook: Troubleshooting/common-issues; kubectl-rook-ceph: `mons restore-quorum` and `maintenance` scale it to 0.
    "OPR001" "operator-down" Opr,
    needs: [Operators, OperatorPods],
    explained_by: [(access::rook_not_installed, Cluster), (opr::operator_crashing, Cluster), (node::image_pull_failing, Node)],
    in_pod,
}

/// A pod that was just replaced is not down.
const GRACE: SignedDuration = SignedDuration::from_mins(2);

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let object = operator_object(facts)?;
    let Some(operator) = operator(facts)? else { return Ok(Answered::judged(vec![absent(object)])) };
    if operator.spec.replicas == Some(0) {
        return Ok(Answered::judged(vec![scaled_down(facts, operator, object)?]));
    }
    let available = condition(&operator.status.conditions, "Available");
    let since = match available {
        Some(condition) if condition.status == "True" => None,
        Some(condition) => condition.last_transition_time,
        // Nobody has looked after this Deployment since it was made.
        None => operator.metadata.creation_timestamp,
    };
    if operator.status.ready_replicas > 0 || !older(facts, since, GRACE) {
        return Ok(Answered::passed());
    }
    // Without the pods' rows the finding stands; it only cannot say on which node.
    let pods = facts.operator_pods().settled()?.unwrap_or(&[]);
    let ns = &operator.metadata.namespace;
    let summary = say!("the operator has had no Ready pod for {}", since.map_or(String::new(), |at| ago(facts, at)));
    let remedy =
        Remedy::guided(say!("find out why its pod is not Ready; until then nothing in the cluster heals or changes"))
            .command(format!("kubectl -n {ns} describe pod -l app={OPERATOR}"))
            .command(format!("kubectl -n {ns} logs deploy/{OPERATOR} --previous --tail=50"));
    let conditions = available.map(|it| Evidence::field(&object, "status.conditions[Available]", &it.message));
    let finding = Finding::warning(object, summary, remedy)
        .since(since)
        .at(pods.iter().filter(|pod| !pod.node.is_empty()).map(|pod| Place::node(&pod.node)))
        .evidence(conditions)
        .evidence(pods.iter().map(|pod| Evidence::pod_row(pod, ns)));
    Ok(Answered::judged(vec![finding]))
}

fn absent(object: ObjectRef) -> Finding {
    let evidence = Evidence::field(&object, "metadata", "no such Deployment");
    let summary = say!("the namespace {} has no Deployment {}", object.namespace, OPERATOR);
    let remedy = Remedy::guided(say!("install the operator again in the version that the cluster had (`rook-version` on the daemons' Deployments); the custom resources and the data are untouched"))
        .command("kubectl get deploy -A -L rook-version -l rook_cluster | head");
    Finding::warning(object, summary, remedy).evidence([evidence])
}

fn scaled_down(facts: &Facts<'_>, operator: &Deployment, object: ObjectRef) -> Result<Finding, Gap> {
    let writer = operator.metadata.written_by(&["f:spec", "f:replicas"]);
    let when = writer.and_then(|writer| writer.time);
    let who = writer.map_or_else(|| say!("unknown"), |writer| say!("{}", writer.manager));
    let by = match when {
        Some(at) => say!("{}, {} ago", who, ago(facts, at)),
        None => who,
    };
    let summary = say!("the operator is scaled to 0 (by {})", by);
    let ns = &object.namespace;
    let remedy = Remedy::guided(say!("this is the normal middle of a restore of quorum, of the removal of an OSD and of planned maintenance: ask whether that is going on (a daemon that is scaled to 0 or stood in for by a *-maintenance Deployment says yes), and if not, scale it up"))
        .command(format!("kubectl -n {} get deploy -l 'app in (rook-ceph-mon,rook-ceph-osd)'", facts.cluster()?.ns))
        .command(format!("kubectl -n {ns} scale deploy {OPERATOR} --replicas=1"))
        .command(format!("kubectl -n {ns} rollout status deploy/{OPERATOR} --timeout=5m"));
    let evidence = Evidence::field(&object, "spec.replicas", format!("0, written by {}", by.english())).at(when);
    Ok(Finding::warning(object, summary, remedy).since(when).evidence([evidence]))
}
