//! Rook's custom resources (`ceph.rook.io/v1`).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::kube::{Condition, Meta, NameRef};

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CephCluster {
    pub metadata: Meta,
    pub spec: ClusterSpec,
    pub status: ClusterStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ClusterSpec {
    pub ceph_version: CephVersion,
    pub external: External,
    pub network: Network,
    pub mon: MonSpec,
    pub mgr: MgrSpec,
    pub storage: Storage,
    pub health_check: HealthCheck,
    pub csi: CsiSpec,
    pub crash_collector: CrashCollector,
    pub dashboard: Enabled,
    pub monitoring: Monitoring,
    pub resources: BTreeMap<String, Value>,
    pub cleanup_policy: CleanupPolicy,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CleanupPolicy {
    /// With `yes-really-destroy-data` the data goes when the CephCluster is deleted.
    pub confirmation: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CephVersion {
    pub image: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct External {
    pub enable: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Network {
    /// Empty, `host` or `multus`.
    pub provider: String,
    /// `public` and `cluster` to a Multus network selection.
    pub selectors: BTreeMap<String, String>,
    /// `public` and `cluster` to CIDRs.
    pub address_ranges: BTreeMap<String, Vec<String>>,
    pub connections: Connections,
    pub host_network: bool,
    /// `IPv4` or `IPv6`; empty means IPv4.
    pub ip_family: String,
    pub dual_stack: bool,
    pub multi_cluster_service: Enabled,
}

impl Network {
    /// Whether the daemons use the host network (without the operator's own override).
    pub fn is_host(&self) -> bool {
        self.provider == "host" || (self.host_network && self.provider.is_empty())
    }
}

/// What is asked of each connection; each needs the second version of the protocol.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Connections {
    pub require_msgr2: bool,
    pub encryption: Enabled,
    pub compression: Enabled,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Enabled {
    pub enabled: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct MonSpec {
    /// 0 means Rook's default of 3.
    pub count: usize,
    pub allow_multiple_per_node: bool,
    /// Monitors that somebody else runs and Rook leaves in the monmap.
    #[serde(rename = "externalMonIDs")]
    pub external_mon_ids: Vec<String>,
    pub floating_mon: FloatingMon,
}

/// A monitor that moves between two nodes together with its disk.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct FloatingMon {
    pub name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CsiSpec {
    pub read_affinity: Enabled,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CrashCollector {
    pub disable: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Monitoring {
    /// Takes the exporters away as well.
    pub metrics_disabled: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct MgrSpec {
    pub count: usize,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Storage {
    pub use_all_nodes: bool,
    pub use_all_devices: Option<bool>,
    pub device_filter: String,
    pub device_path_filter: String,
    pub devices: Vec<Device>,
    pub nodes: Vec<StorageNode>,
    pub storage_class_device_sets: Vec<DeviceSet>,
    /// `osdsPerDevice`, `metadataDevice` and the like.
    pub config: BTreeMap<String, Value>,
}

impl Storage {
    /// How many claims the device sets ask for.
    pub fn claims(&self) -> usize {
        self.storage_class_device_sets.iter().fold(0, |claims, set| claims.saturating_add(set.count))
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Device {
    pub name: String,
    pub config: BTreeMap<String, Value>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct StorageNode {
    pub name: String,
    pub use_all_devices: Option<bool>,
    pub device_filter: String,
    pub device_path_filter: String,
    pub devices: Vec<Device>,
    pub config: BTreeMap<String, Value>,
}

impl StorageNode {
    /// Whether it says itself which devices to use.
    pub fn selects(&self) -> bool {
        self.use_all_devices == Some(true)
            || !(self.devices.is_empty() && self.device_filter.is_empty() && self.device_path_filter.is_empty())
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct DeviceSet {
    pub name: String,
    pub count: usize,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HealthCheck {
    pub daemon_health: DaemonHealth,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct DaemonHealth {
    pub mon: HealthTimer,
    pub status: HealthTimer,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct HealthTimer {
    pub disabled: bool,
    pub interval: String,
    pub timeout: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ClusterStatus {
    pub phase: String,
    pub state: String,
    pub message: String,
    pub conditions: Vec<Condition>,
    pub ceph: CephStatus,
    pub version: ClusterVersion,
    pub observed_generation: Option<i64>,
    /// The keys of `mon`, `mgr`, `osd`, `csi` and the like.
    pub cephx: BTreeMap<String, KeyStatus>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct KeyStatus {
    /// 0 for keys older than the counting, 1 for the first ones.
    pub key_generation: u32,
}

/// What the operator last saw of Ceph; times are UTC texts.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CephStatus {
    pub health: String,
    pub details: BTreeMap<String, Detail>,
    pub last_checked: String,
    pub last_changed: String,
    /// What it was before it changed.
    pub previous_health: String,
    pub fsid: String,
    /// Daemon type (and `overall`) to version text to count.
    pub versions: BTreeMap<String, BTreeMap<String, u32>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Detail {
    pub severity: String,
    pub message: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ClusterVersion {
    pub image: String,
    pub version: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct BlockPool {
    pub metadata: Meta,
    pub spec: PoolSpec,
    pub status: PoolStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PoolStatus {
    pub phase: String,
    pub mirroring_status: PoolMirroring,
}

/// What the operator last saw of the mirroring of a pool.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PoolMirroring {
    pub summary: MirrorSummary,
    /// Why it could not be seen.
    pub details: String,
    pub last_checked: String,
}

/// Each health is `OK`, `WARNING`, `ERROR` or `UNKNOWN`; empty if it was not seen.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct MirrorSummary {
    pub health: String,
    pub daemon_health: String,
    pub image_health: String,
    /// How many images are `replaying`, `syncing`, `error` and so on.
    pub states: BTreeMap<String, u32>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PoolSpec {
    /// The pool's name in Ceph, if it differs from the object's.
    pub name: String,
    pub application: String,
    pub erasure_coded: ErasureCoded,
    pub mirroring: Enabled,
}

/// Rook also writes it with zeros, into pools of copies.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ErasureCoded {
    pub data_chunks: u32,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Phase {
    pub phase: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Filesystem {
    pub metadata: Meta,
    pub spec: FilesystemSpec,
    pub status: FilesystemStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct FilesystemStatus {
    pub phase: String,
    pub mirroring_status: FilesystemMirroring,
}

/// What the operator last saw of the mirroring of a filesystem.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct FilesystemMirroring {
    pub daemons_status: Vec<MirrorDaemon>,
    /// Why it could not be seen.
    pub details: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct MirrorDaemon {
    pub filesystems: Vec<MirroredFilesystem>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct MirroredFilesystem {
    pub name: String,
    pub peers: Vec<MirrorPeer>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct MirrorPeer {
    pub remote: MirrorRemote,
    pub stats: MirrorStats,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct MirrorRemote {
    pub cluster_name: String,
    pub fs_name: String,
}

/// Both only grow: as many directories fail now as failed and did not recover.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct MirrorStats {
    pub failure_count: u32,
    pub recovery_count: u32,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct FilesystemSpec {
    pub data_pools: Vec<PoolSpec>,
    pub metadata_server: MetadataServer,
    pub mirroring: Enabled,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct MetadataServer {
    pub active_count: usize,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ObjectStore {
    pub metadata: Meta,
    pub spec: ObjectStoreSpec,
    pub status: Phase,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ObjectStoreSpec {
    pub gateway: Gateway,
    /// The CephObjectZone that it serves, in a multisite.
    pub zone: NameRef,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Gateway {
    /// 0 without TLS.
    pub secure_port: u16,
    pub ssl_certificate_ref: String,
    /// Gateways that run elsewhere; then Rook runs none.
    pub external_rgw_endpoints: Vec<Value>,
}

/// Only its being there counts.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ObjectZone {
    pub metadata: Meta,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Nfs {
    pub metadata: Meta,
    pub spec: NfsSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NfsSpec {
    pub server: NfsServer,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NfsServer {
    pub active: usize,
}
