//! Snapshots of volumes (`snapshot.storage.k8s.io`), served only where their CRDs are installed.

use serde::Deserialize;

use super::kube::Meta;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct VolumeSnapshot {
    pub metadata: Meta,
    /// None until the snapshot controller has seen it.
    pub status: Option<SnapshotStatus>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct SnapshotStatus {}
