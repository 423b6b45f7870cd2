//! Custom resources of the bucket provisioner (`objectbucket.io`).

use serde::Deserialize;

use super::kube::Meta;
use super::rook::Phase;

/// Asks for a bucket, as a PersistentVolumeClaim asks for a volume.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct BucketClaim {
    pub metadata: Meta,
    pub spec: BucketClaimSpec,
    /// `Pending`, `Bound`, `Released` or `Failed`; empty until somebody works on it.
    pub status: Phase,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct BucketClaimSpec {
    pub storage_class_name: String,
}
