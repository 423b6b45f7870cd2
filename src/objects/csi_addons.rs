//! Custom resources of CSI-Addons (`csiaddons.openshift.io`).

use serde::Deserialize;

use super::kube::Meta;

/// Addresses that Ceph is told to refuse.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NetworkFence {
    pub metadata: Meta,
    pub spec: FenceSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct FenceSpec {
    /// `Fenced` or `Unfenced`.
    pub fence_state: String,
    pub cidrs: Vec<String>,
}
