use super::is_refusal;
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Remedy};
use crate::facts::{Facts, Gap, Settled, Unknown, Why};
use crate::objects::rook::CephCluster;
use crate::say;

check! {
    /// # What it looks at
    /// Whether the Ceph of an external cluster answers `ceph status`; and, if that cannot be asked here, the
    /// error that the operator left in `status.ceph.details`.
    ///
    /// # Why it matters
    /// Phase `Connected` only proves that the connection was configured once. Where monitors (3300, 6789) or
    /// OSDs (6800-7568) are out of reach of the operator and of the CSI pods, volumes hang and claims stay
    /// Pending while the phase looks well.
    ///
    /// # Confirm by hand
    /// `kubectl -n <ns> get cephcluster -o jsonpath='{.items[*].status.ceph}'`, and from a node
    /// `nc -vz <monitor> 3300` for each address in `rook-ceph-mon-endpoints`.
    ///
    /// # Fix
    /// Look at the provider first (`ceph -s` there). If it is well, open the way: firewall, routes to Ceph's
    /// public network, and, where pods are not routed to it, CSI on the host network. If all monitors got new
    /// addresses, import the endpoints again.
    ///
    /// # References
    /// Rook: CRDs/Cluster/external-cluster; rook issues 11783 and 11347.
    "EXT002" "external-unreachable" Ext,
    needs: [Discovery, CephClusters, CephStatus],
    explained_by: [(opr::operator_down, Cluster), (node::cluster_dns_failing, Cluster)],
    about_sight,
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let cluster = facts.ceph_cluster()?;
    if !cluster.spec.external.enable {
        return Ok(Answered::NotApplicable("the cluster is not external"));
    }
    let unknown = match facts.ceph_status().settled()? {
        Ok(_) => return Ok(Answered::passed()),
        Err(unknown) => unknown,
    };
    let error = cluster.status.ceph.details.get("error").filter(|error| !is_refusal(&error.message));
    if error.is_none() && !says_unreachable(&unknown) {
        return Err(Gap::Unknown(unknown));
    }
    let object = ObjectRef::of::<CephCluster>(&cluster.metadata);
    let ns = &cluster.metadata.namespace;
    let summary = match cluster.status.phase.as_str() {
        "Connected" => say!(
            "the Ceph of the external cluster does not answer, though its phase is Connected: no volume operation can succeed"
        ),
        _ => say!("the Ceph of the external cluster does not answer: no volume operation can succeed"),
    };
    let remedy = Remedy::guided(say!(
        "ask the provider's side first (`ceph -s` on a monitor's host); if it is well, open the way from operator and CSI pods to the monitors (3300, 6789) and OSDs (6800-7568)"
    ))
    .command(format!("kubectl -n {ns} get configmap rook-ceph-mon-endpoints -o jsonpath='{{.data.data}}'"));
    let finding = Finding::critical(object.clone(), summary, remedy)
        .evidence([Evidence::unknown(&unknown)])
        .evidence(error.map(|error| Evidence::field(&object, "status.ceph.details.error", &error.message)));
    Ok(Answered::judged(vec![finding]))
}

/// The command ran, and Ceph did not answer it.
fn says_unreachable(unknown: &Unknown) -> bool {
    match &unknown.why {
        Why::Timeout => true,
        Why::Failed { stderr, .. } if is_refusal(stderr) => false,
        Why::Failed { stderr, .. } => ["timed out", "error connecting", "TimedOut"].iter().any(|w| stderr.contains(w)),
        _ => false,
    }
}
