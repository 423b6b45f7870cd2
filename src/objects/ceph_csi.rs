//! Custom resources of the ceph-csi-operator (`csi.ceph.io`).

use serde::Deserialize;

use super::kube::Meta;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Driver {
    pub metadata: Meta,
    pub spec: DriverSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DriverSpec {
    pub controller_plugin: ControllerPlugin,
    pub liveness: Liveness,
    pub deploy_csi_addons: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ControllerPlugin {
    pub host_network: bool,
    pub replicas: Option<u32>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Liveness {
    pub metrics_port: u16,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct OperatorConfig {
    pub metadata: Meta,
    pub spec: OperatorConfigSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct OperatorConfigSpec {
    pub driver_spec_defaults: DriverSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CephConnection {
    pub metadata: Meta,
    pub spec: CephConnectionSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CephConnectionSpec {
    pub monitors: Vec<String>,
}
