//! Custom resources of the ceph-csi-operator (`csi.ceph.io`).

use serde::Deserialize;

use super::kube::Meta;

/// The monitors that the drivers ask for one Ceph cluster; Rook writes it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CephConnection {
    pub metadata: Meta,
    pub spec: ConnectionSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ConnectionSpec {
    pub monitors: Vec<String>,
    #[serde(rename = "readAffinity")]
    pub read_affinity: ReadAffinity,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ReadAffinity {
    /// Without one it is off.
    pub crush_location_labels: Vec<String>,
}

/// What a `clusterID` of a StorageClass stands for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ClientProfile {
    pub metadata: Meta,
    pub status: ProfileStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ProfileStatus {
    /// `Ready`, `Pending`, `Failed`; empty on operators before 1.0.
    pub phase: String,
    pub message: String,
}
