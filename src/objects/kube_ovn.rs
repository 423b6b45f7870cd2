//! Custom resources of Kube-OVN (`kubeovn.io/v1`).

use serde::Deserialize;

use super::kube::Meta;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Subnet {
    pub metadata: Meta,
    pub spec: SubnetSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SubnetSpec {
    pub cidr_block: String,
    pub gateway: String,
    pub provider: String,
    pub vpc: String,
}
