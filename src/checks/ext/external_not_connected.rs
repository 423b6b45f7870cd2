use jiff::SignedDuration;

use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Remedy, Text, quote};
use crate::facts::{Facts, Gap, both};
use crate::objects::kube::{ConfigMap, condition};
use crate::say;

/// The operator looks for the connection once a minute.
const PATIENCE: SignedDuration = SignedDuration::from_mins(5);
const ENDPOINTS: &str = "rook-ceph-mon-endpoints";

check! {
    /// # What it looks at
    /// The phase of a CephCluster with `spec.external.enable`, for how long it has not been `Connected`, the
    /// ConfigMap `rook-ceph-mon-endpoints` in its namespace, and the operator's words while it waits. The
    /// Secret `rook-ceph-mon` is never read.
    ///
    /// # Why it matters
    /// Until the operator finds Secret and ConfigMap in the namespace of the CephCluster it neither connects
    /// nor configures CSI. It asks again every minute and says no more than that. `Connected` is the healthy
    /// end: an external cluster never becomes `Ready`.
    ///
    /// # Confirm by hand
    /// `kubectl -n <ns> get cephcluster,configmap/rook-ceph-mon-endpoints,secret/rook-ceph-mon`
    ///
    /// # Fix
    /// Run the import again in the namespace of the CephCluster: the variables that
    /// `create-external-cluster-resources.py` printed at the provider, then `import-external-cluster.sh`; and
    /// apply `common-external.yaml` there.
    ///
    /// # References
    /// Rook: CRDs/Cluster/external-cluster; rook issue 7202.
    "EXT001" "external-not-connected" Ext,
    needs: [Discovery, CephClusters, OperatorPods, Objects, Logs],
    explained_by: [(opr::operator_down, Cluster), (ext::external_unreachable, Cluster)],
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let cluster = facts.ceph_cluster()?;
    if !cluster.spec.external.enable {
        return Ok(Answered::NotApplicable("the cluster is not external"));
    }
    let phase = cluster.status.phase.as_str();
    let connecting = condition(&cluster.status.conditions, "Connecting").and_then(|c| c.last_transition_time);
    let since = connecting.or(cluster.metadata.creation_timestamp);
    let waits_long = since.is_none_or(|since| facts.now().duration_since(since) >= PATIENCE);
    let is_leaving = cluster.metadata.deletion_timestamp.is_some();
    if phase == "Connected" || is_leaving || !waits_long {
        return Ok(Answered::passed());
    }
    let ns = &cluster.metadata.namespace;
    let (endpoints, operator) = both(facts.object::<ConfigMap>(ns, ENDPOINTS), facts.operator_pods())?;
    let object = ObjectRef::of::<crate::objects::rook::CephCluster>(&cluster.metadata);
    let logs = facts.each(operator.iter().filter(|pod| pod.is_well()), |facts, pod| {
        facts.log(&pod.ns, &pod.name, "rook-ceph-operator")
    })?;
    let words = [
        "waiting for connection info of the external cluster",
        "invalid user health checker key",
        "unsupported external ceph version",
        "this must never happen",
    ];
    let said = logs.seen.iter().filter_map(|(pod, log)| quote(&pod.ns, &pod.name, "rook-ceph-operator", log, &words));
    let missing = endpoints.is_none_or(|map| map.data.get("data").is_none_or(String::is_empty));
    let summary = if missing {
        say!(
            "the external cluster is not connected (phase {}): ConfigMap {} is missing in {}",
            word(phase),
            ENDPOINTS,
            ns
        )
    } else {
        say!("the external cluster is not connected: its phase is {} since long, not Connected", word(phase))
    };
    let remedy = Remedy::guided(say!(
        "import the connection into {}: Secret rook-ceph-mon and ConfigMap {} must both be there; run the import script again with NAMESPACE={}, and apply common-external.yaml",
        ns,
        ENDPOINTS,
        ns
    ))
    .command(format!("kubectl -n {ns} get cephcluster,configmap/{ENDPOINTS},secret/rook-ceph-mon"));
    let shown = missing.then(|| {
        let map = ObjectRef::new(crate::facts::kinds::CONFIG_MAP, ns, ENDPOINTS);
        Evidence::field(&map, "data.data", if endpoints.is_some() { "empty" } else { "the ConfigMap does not exist" })
    });
    let finding = Finding::critical(object.clone(), summary, remedy)
        .since(since)
        .evidence([Evidence::field(&object, "status.phase", word(phase).english())])
        .evidence(shown)
        .evidence(said);
    Ok(Answered::judged(vec![finding]).blind(logs.blind))
}

fn word(phase: &str) -> Text {
    if phase.is_empty() { say!("not set") } else { say!("{}", phase) }
}
