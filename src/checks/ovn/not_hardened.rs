use super::{central, namespace};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Remedy, Text};
use crate::facts::{Facts, Gap, both, kinds};
use crate::lang::listed;
use crate::objects::kube::{DaemonSet, PodSpec};
use crate::say;

check! {
    /// # What it looks at
    /// The pod templates of ovs-ovn, kube-ovn-cni and ovn-central: a readiness and a liveness probe, requests for CPU
    /// and memory, and a `terminationGracePeriodSeconds` that is not shorter than Kubernetes' own 30 s.
    ///
    /// # Why it matters
    /// It is information. Without probes a dead data plane stays in service; without requests the network is the
    /// first to be starved or evicted; with little time to end, the databases and OVS are killed in the middle of
    /// their work and start with leftovers. The pods of a DaemonSet are not drained: they end with the node, so what
    /// uses the network must leave first.
    ///
    /// # Confirm by hand
    /// `kubectl -n kube-system get daemonset ovs-ovn kube-ovn-cni -o yaml`.
    ///
    /// # Fix
    /// Take the probes, requests and times of the release's own manifest. Before maintenance drain the node and wait
    /// until its OSDs are down on purpose, and only then stop or restart it; one node at a time.
    ///
    /// # References
    /// Kube-OVN: dist/images/install.sh and charts/kube-ovn; operation manual, "Change worker node".
    "OVN010" "not-hardened" Ovn,
    needs: [Discovery, DaemonSets, Objects],
    explained_by: [],
}

/// What Kubernetes gives a pod that does not say.
const DEFAULT_GRACE: i64 = 30;

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let ns = namespace(facts)?;
    let (sets, central) = both(facts.daemon_sets(), central(facts, ns))?;
    let is_it = |set: &&DaemonSet| {
        let app = set.spec.selector.match_labels.get("app").map(String::as_str);
        set.metadata.namespace == ns && matches!(app, Some("ovs" | "kube-ovn-cni"))
    };
    let sets =
        sets.iter().filter(is_it).map(|set| (ObjectRef::of::<DaemonSet>(&set.metadata), &set.spec.template.spec));
    // Its pods are read anyway, and all are made alike.
    let central = central.first().map(|pod| (ObjectRef::new(kinds::DEPLOYMENT, ns, "ovn-central"), &pod.spec));
    let findings = sets.chain(central).filter_map(|(object, pod)| {
        let lacks = lacks(pod);
        (!lacks.is_empty()).then(|| finding(&object, &lacks))
    });
    Ok(Answered::judged(findings.collect()))
}

/// What the pod lacks, and the field that shows it.
fn lacks(pod: &PodSpec) -> Vec<(Text, &'static str)> {
    let Some(container) = pod.containers.first() else { return Vec::new() };
    let grace = pod.termination_grace_period_seconds.unwrap_or(DEFAULT_GRACE);
    [
        (container.readiness_probe.is_none(), say!("a readiness probe"), "containers[0].readinessProbe"),
        (container.liveness_probe.is_none(), say!("a liveness probe"), "containers[0].livenessProbe"),
        (container.resources.requests.is_empty(), say!("resource requests"), "containers[0].resources.requests"),
        (grace < DEFAULT_GRACE, say!("time for a clean stop"), "terminationGracePeriodSeconds"),
    ]
    .into_iter()
    .filter_map(|(lacks, what, field)| lacks.then_some((what, field)))
    .collect()
}

fn finding(object: &ObjectRef, lacks: &[(Text, &'static str)]) -> Finding {
    let what = listed(lacks.iter().map(|(what, _)| what));
    let remedy = Remedy::advice(say!("take over what the manifest of the release has for {}; before maintenance drain the node first, as DaemonSet pods are not drained", object.name))
        .command(format!("kubectl -n {} get {} {} -o yaml", object.namespace, object.kind.to_lowercase(), object.name));
    Finding::info(object.clone(), say!("{} has not {}", object.name, what), remedy)
        .evidence(lacks.iter().map(|(_, field)| Evidence::field(object, *field, "absent or too short")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_pod_lacks_is_named() {
        let probe = json!({"exec": {"command": ["true"]}});
        let whole = json!({"readinessProbe": probe, "livenessProbe": probe, "resources": {"requests": {"cpu": "1"}}});
        for (container, grace, expected) in [
            (whole.clone(), None, 0),
            (whole.clone(), Some(120), 0),
            (whole, Some(0), 1),
            (json!({"resources": {"limits": {"cpu": "1"}}}), None, 3),
        ] {
            let mut pod = json!({"containers": [container]});
            if let Some(grace) = grace {
                pod["terminationGracePeriodSeconds"] = json!(grace);
            }
            let pod: PodSpec = serde_json::from_value(pod).unwrap();
            assert_eq!(lacks(&pod).len(), expected, "{grace:?}");
        }
    }
}
