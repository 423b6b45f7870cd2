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

/// A CSI-Addons sidecar, and whether the controller reached it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CsiAddonsNode {
    pub metadata: Meta,
    pub spec: NodeSpec,
    pub status: NodeStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NodeSpec {
    pub driver: NodeDriver,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NodeDriver {
    pub name: String,
    /// `pod://<pod>.<namespace>:<port>`; an address and a port in old releases.
    pub endpoint: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NodeStatus {
    /// `Connected`, `Retrying` or `Failed`; empty until the controller has tried.
    pub state: String,
    pub message: String,
}

impl CsiAddonsNode {
    /// The pod whose sidecar it stands for.
    pub fn pod(&self) -> Option<&str> {
        let host = self.spec.driver.endpoint.strip_prefix("pod://")?.rsplit_once(':')?.0;
        Some(host.rsplit_once('.')?.0)
    }
}
