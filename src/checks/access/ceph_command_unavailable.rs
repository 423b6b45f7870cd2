use jiff::SignedDuration;

use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Remedy, Severity, Text};
use crate::checks::mon::existed;
use crate::facts::{Cluster, Facts, Gap, Settled, Unknown, Why};
use crate::say;

check! {
    /// # What it looks at
    /// Whether `ceph status` was answered by any rung of the ladder: toolbox, operator, a monitor's pod, the
    /// mgr's proxy. It says how the last one failed. A bundle that holds no answers of Ceph is no fault.
    ///
    /// # Why it matters
    /// What Ceph itself knows (health, placement groups, OSDs) is unknown then, and the CephCluster's status is
    /// only as new as the operator's last success. On two rungs `timed out` means that no monitor with a quorum
    /// answers; then no toolbox helps.
    ///
    /// # Confirm by hand
    /// `kubectl -n <ns> exec deploy/rook-ceph-tools -- ceph status --connect-timeout 5`. By hand in the operator or the
    /// toolbox a command of the mgr can hang where the networks are Multus's, as neither pod is in them: there Rook
    /// itself asks in the mgr's sidecar. If every restart of monitors loses the cluster, see whether
    /// `spec.dataDirHostPath` of the CephCluster is set at all:
    /// `kubectl -n <ns> get cephcluster -o jsonpath='{..spec.dataDirHostPath}'`.
    ///
    /// # Fix
    /// Repair what is found above it. If nothing is: deploy the toolbox, or allow `create pods/exec`.
    ///
    /// # References
    /// Rook: Troubleshooting/ceph-toolbox; Troubleshooting/ceph-common-issues, "Cluster failing to service requests".
    "ACC005" "ceph-command-unavailable" Access,
    needs: [Discovery, CephClusters, CephStatus],
    explained_by: [
        (access::api_unreachable, Cluster),
        (access::permission_missing, Cluster),
        (node::node_not_ready, Cluster),
        (node::node_rebooted, Cluster),
        (net::nad_default_route, Cluster), (net::nad_overlaps_cluster_network, Cluster),
        (mon::quorum_lost, Cluster),
        (mon::all_mons_down, Cluster),
        (opr::operator_cannot_reach_mons, Cluster),
        (ext::external_unreachable, Cluster),
    ],
    about_sight,
}

/// A new cluster is given this long to its first quorum.
const STARTING: SignedDuration = SignedDuration::from_mins(10);

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let cluster = facts.cluster()?;
    Ok(match facts.ceph_status().settled()? {
        Ok(_) => Answered::passed(),
        Err(unknown) => match decode(&unknown.why) {
            Some((why, fix)) => Answered::judged(vec![finding(cluster, severity(facts)?, &unknown, why, fix)]),
            None => Answered::passed().blind([unknown]),
        },
    })
}

/// Before the first quorum there is nothing to ask, and a new cluster takes some minutes to it.
fn severity(facts: &Facts<'_>) -> Result<Severity, Gap> {
    let Ok(object) = facts.ceph_cluster().settled()? else { return Ok(Severity::Warning) };
    let age = object.metadata.creation_timestamp.map(|made| facts.now().duration_since(made));
    let starts = !existed(object) && age.is_some_and(|age| age < STARTING);
    Ok(if starts { Severity::Info } else { Severity::Warning })
}

fn finding(cluster: &Cluster, severity: Severity, unknown: &Unknown, why: Text, fix: Text) -> Finding {
    let summary = say!("Ceph cannot be asked: {}", why);
    let remedy = Remedy::advice(fix)
        .command(format!("kubectl -n {} get pods -l 'app in (rook-ceph-tools,rook-ceph-mon)' -o wide", cluster.ns))
        .command(format!("kubectl -n {} exec deploy/rook-ceph-tools -- ceph status --connect-timeout 5", cluster.ns));
    Finding::new(severity, ObjectRef::cluster(cluster), summary, remedy).evidence([Evidence::unknown(unknown)])
}

/// Why, and what to do; none if no command was tried.
fn decode(why: &Why) -> Option<(Text, Text)> {
    let quorum = || {
        (
            say!("the command timed out, as it does without a quorum of monitors"),
            say!("bring the monitors back to a quorum; the commands answer again by themselves"),
        )
    };
    Some(match why {
        Why::NotCaptured | Why::OverBudget | Why::NotOffered(_) | Why::Deadline => return None,
        Why::Timeout => quorum(),
        Why::Failed { stderr, .. } if stderr.contains("timed out") => quorum(),
        Why::Failed { stderr, .. }
            if stderr.contains("EACCES")
                || stderr.contains("Permission denied")
                || stderr.contains("handle_auth_bad_method") =>
        {
            (
                say!("the monitors refuse the key that it was asked with"),
                say!("compare the keyring in the pod with `ceph auth get client.admin`"),
            )
        }
        Why::Failed { stderr, .. } if stderr.contains("conf_read_file") || stderr.contains("ObjectNotFound") => {
            (say!("the pod has no Ceph configuration or keyring"), say!("ask from another pod: deploy the toolbox"))
        }
        Why::Failed { .. } => {
            (say!("the command failed"), say!("read its words; deploy the toolbox if no pod can run `ceph`"))
        }
        Why::Forbidden(_) => (
            say!("running commands in pods is not permitted"),
            say!("allow `create pods/exec` in the cluster's namespace"),
        ),
        Why::Unreachable(_) => {
            (say!("no pod could run the command"), say!("bring a toolbox, operator or monitor pod up"))
        }
        Why::Malformed(_) => {
            (say!("the answer is not what Ceph says"), say!("ask by hand and look at what comes before the JSON"))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::decode;
    use crate::facts::Why;

    #[test]
    fn what_was_never_asked_is_no_fault() {
        assert_eq!(decode(&Why::NotCaptured), None);
        assert_eq!(decode(&Why::OverBudget), None);
        assert_eq!(decode(&Why::Deadline), None, "our own haste says nothing of Ceph");
        let failed =
            Why::Failed { rc: 1, stderr: "[errno 110] RADOS timed out (error connecting to the cluster)".into() };
        assert_eq!(decode(&failed), decode(&Why::Timeout));
    }
}
