use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Severity};
use crate::facts::tables::NodeRow;
use crate::facts::{Facts, Gap, both};
use crate::objects::rook::CephCluster;
use crate::say;

check! {
    /// # What it looks at
    /// The kernels of the nodes against what the CephCluster asks of kernel clients: msgr2 (`requireMsgr2`,
    /// encryption or compression of connections) needs Linux 5.11. One that is older than 4.7 mounts the wrong
    /// filesystem where there are several CephFilesystems. Where a kernel is older than 4.17, CephFS does not keep
    /// quotas, which is mentioned as information. Kernels of Red Hat's builds carry newer parts under
    /// an old number, so of these it is information only.
    ///
    /// # Why it matters
    /// With msgr2 alone the monitors listen on port 3300 only, and an older kernel client, which speaks the first
    /// protocol, cannot mount or map anything: mounts hang on that node and work on others.
    ///
    /// # Confirm by hand
    /// `kubectl get nodes -o wide`, and on the node `dmesg | grep libceph`. Before 5.6 a node with OSDs of its own can
    /// hang when XFS on RBD writes back; that is not observable from the API: on the host `dmesg` says
    /// `INFO: task kworker… blocked for more than 120 seconds`, and ext4 (`csi.storage.k8s.io/fstype` of the
    /// StorageClass) avoids it. In the pod `rook-direct-mount` an old kernel also refuses `rbd map` for images
    /// with `fast-diff`, `deep-flatten` or `object-map`: `rbd feature disable <pool>/<image> <features>`.
    ///
    /// # Fix
    /// Bring the node to a newer kernel, or keep pods with Ceph volumes off it; or switch `requireMsgr2`, encryption
    /// and compression off in the CephCluster.
    ///
    /// # References
    /// Rook: CRDs/Cluster/network-providers, "Ceph networking"; CRDs/Cluster/ceph-cluster-crd, `network.connections`;
    /// Prerequisites, "Kernel": CephFS quotas from 4.17; Troubleshooting/ceph-common-issues, "Using multiple shared
    /// filesystem (CephFS) is attempted on a kernel version older than 4.7" and "A worker node using RBD devices hangs
    /// up"; Troubleshooting/direct-tools. Ceph: "Mount CephFS using Kernel Driver".
    "NODE005" "kernel-too-old" Node,
    needs: [Discovery, CephClusters, Nodes, Filesystems],
    explained_by: [],
}

const MSGR2: (u32, u32) = (5, 11);
pub(crate) const QUOTAS: (u32, u32) = (4, 17);
const SEVERAL_FILESYSTEMS: (u32, u32) = (4, 7);

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let (cluster, nodes) = both(facts.ceph_cluster(), facts.nodes())?;
    let asks = msgr2_asked(cluster);
    let is_affected = |node: &NodeRow| version(&node.kernel).is_some_and(|kernel| kernel < SEVERAL_FILESYSTEMS);
    let several = nodes.iter().any(is_affected) && facts.filesystems()?.len() > 1;
    Ok(Answered::judged(nodes.iter().filter_map(|node| finding(node, asks, several)).collect()))
}

/// The setting that leaves kernel clients only the second protocol.
fn msgr2_asked(cluster: &CephCluster) -> Option<&'static str> {
    let connections = &cluster.spec.network.connections;
    [
        (connections.require_msgr2, "requireMsgr2"),
        (connections.encryption.enabled, "encryption.enabled"),
        (connections.compression.enabled, "compression.enabled"),
    ]
    .into_iter()
    .find_map(|(set, name)| set.then_some(name))
}

fn finding(node: &NodeRow, asks: Option<&'static str>, several: bool) -> Option<Finding> {
    let kernel = version(&node.kernel)?;
    // Newer servers print the architecture behind it.
    let name = node.kernel.split(' ').next().unwrap_or_default();
    let patched = node.kernel.contains(".el");
    let (severity, summary, fix) = match asks.filter(|_| kernel < MSGR2) {
        Some(setting) => (
            if patched { Severity::Info } else { Severity::Warning },
            say!(
                "kernel {} of {} is older than 5.11, which network.connections.{} asks of kernel clients",
                name,
                node.name,
                setting
            ),
            say!("bring the node to Linux 5.11 or later, or keep pods with Ceph volumes off it"),
        ),
        None if several && kernel < SEVERAL_FILESYSTEMS => (
            if patched { Severity::Info } else { Severity::Warning },
            say!(
                "kernel {} of {} is older than 4.7 and mounts the wrong one of several CephFilesystems",
                name,
                node.name
            ),
            say!("bring the node to Linux 4.7 or later, or keep pods with CephFS volumes off it"),
        ),
        None if kernel < QUOTAS && !patched => (
            Severity::Info,
            say!(
                "kernel {} of {} is older than 4.17 and does not keep quotas of CephFS: volumes can outgrow their size",
                name,
                node.name
            ),
            say!("bring the node to Linux 4.17 or later if CephFS volumes are used there"),
        ),
        None => return None,
    };
    let object = ObjectRef::node(&node.name);
    let remedy = Remedy::advice(fix).command("kubectl get nodes -o wide");
    let evidence = Evidence::field(&object, "status.nodeInfo.kernelVersion", name);
    Some(Finding::new(severity, object, summary, remedy).at([Place::node(&node.name)]).evidence([evidence]))
}

/// The first two numbers of `6.1.0-18-amd64`.
pub(crate) fn version(kernel: &str) -> Option<(u32, u32)> {
    let mut numbers = kernel.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn kernels_are_compared_by_numbers() {
        assert_eq!(version("5.4.0-150-generic"), Some((5, 4)));
        assert_eq!(version("6.11-rc3"), Some((6, 11)));
        assert!(version("5.4.0") < Some(super::MSGR2) && version("5.15.0") > Some(super::MSGR2));
        assert_eq!(version(""), None);
    }
}
