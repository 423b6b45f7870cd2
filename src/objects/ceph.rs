//! Answers of Ceph commands and admin sockets.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// `ceph status`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Status {
    pub fsid: String,
    pub health: Health,
    pub quorum: Vec<i32>,
    pub quorum_names: Vec<String>,
    pub monmap: MonMapSummary,
    pub osdmap: OsdMapSummary,
    pub pgmap: PgMap,
    pub mgrmap: MgrMap,
    pub fsmap: FsMapSummary,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct MonMapSummary {
    pub num_mons: usize,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct OsdMapSummary {
    pub num_osds: u32,
    pub num_up_osds: u32,
    pub num_in_osds: u32,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PgMap {
    pub pgs_by_state: Vec<PgState>,
    pub num_pgs: u32,
    pub num_pools: u32,
    pub degraded_objects: u64,
    pub degraded_total: u64,
    pub degraded_ratio: f64,
    pub recovering_bytes_per_sec: f64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PgState {
    /// `active+undersized+degraded`
    pub state_name: String,
    pub count: u32,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct MgrMap {
    pub available: bool,
    pub num_standbys: u32,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct FsMapSummary {
    pub up: u32,
    #[serde(rename = "in")]
    pub within: u32,
    pub max: u32,
    pub by_rank: Vec<FsRank>,
    #[serde(rename = "up:standby")]
    pub standby: u32,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct FsRank {
    pub filesystem_id: i64,
    pub rank: i64,
    pub name: String,
    pub status: String,
}

/// `ceph health detail`, and the health within `ceph status` (without details).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Health {
    /// `HEALTH_OK`, `HEALTH_WARN`, `HEALTH_ERR`
    pub status: String,
    pub checks: BTreeMap<String, HealthCheck>,
}

impl Health {
    /// A raised code that is not muted.
    pub fn raised(&self, code: &str) -> Option<&HealthCheck> {
        self.checks.get(code).filter(|check| !check.muted)
    }
}

/// One health code.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct HealthCheck {
    pub severity: String,
    pub summary: HealthSummary,
    pub detail: Vec<HealthDetail>,
    /// Muted codes stay in the list and do not count.
    pub muted: bool,
}

impl HealthCheck {
    pub fn details(&self) -> impl Iterator<Item = &str> {
        self.detail.iter().map(|detail| detail.message.as_str())
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct HealthSummary {
    pub message: String,
    pub count: i64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct HealthDetail {
    pub message: String,
}

/// `ceph time-sync-status`: seconds against the leader, whose own row is always 0.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct TimeSync {
    pub time_skew_status: BTreeMap<String, TimeSkew>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct TimeSkew {
    pub skew: f64,
    pub latency: f64,
    pub health: String,
}

/// `ceph versions`: daemon type (and `overall`) to version text to count.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub struct Versions(pub BTreeMap<String, BTreeMap<String, u32>>);

/// The number in `ceph version 20.2.4 (7f79…) tentacle (stable - RelWithDebInfo)`.
pub fn version_number(text: &str) -> &str {
    text.trim_start_matches("ceph version ").split_whitespace().next().unwrap_or(text)
}

/// `ceph quorum_status`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct QuorumStatus {
    pub quorum: Vec<i32>,
    pub quorum_names: Vec<String>,
    pub quorum_leader_name: String,
    pub monmap: MonMap,
}

/// The monitors that the cluster counts, alive or not.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct MonMap {
    pub epoch: u64,
    pub fsid: String,
    pub mons: Vec<Mon>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Mon {
    pub rank: i32,
    pub name: String,
    pub public_addrs: Addresses,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Addresses {
    pub addrvec: Vec<Address>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Address {
    #[serde(rename = "type")]
    pub kind: String,
    pub addr: String,
    pub nonce: u64,
}

impl Address {
    pub fn host(&self) -> &str {
        host(&self.addr)
    }
}

/// The address of `10.0.0.1:6789` or `[fd00::1]:3300`, without its port.
pub fn host(endpoint: &str) -> &str {
    endpoint.rsplit_once(':').map_or(endpoint, |(host, _)| host).trim_matches(['[', ']'])
}

/// `mon_status` of a monitor's admin socket; it answers without a quorum.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct MonStatus {
    pub name: String,
    pub rank: i32,
    /// `leader`, `peon`, `probing`, `electing`, `synchronizing`
    pub state: String,
    pub quorum: Vec<i32>,
    pub outside_quorum: Vec<String>,
    pub monmap: MonMap,
}

/// `ceph osd tree`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct OsdTree {
    pub nodes: Vec<TreeNode>,
    pub stray: Vec<TreeNode>,
}

impl OsdTree {
    /// The host bucket that an OSD lies in.
    pub fn host_of(&self, osd: i64) -> Option<&str> {
        self.bucket_of(osd, "host")
    }

    /// The bucket of this CRUSH type (`host`, `rack`, `zone`) above an OSD.
    pub fn bucket_of(&self, osd: i64, kind: &str) -> Option<&str> {
        let mut id = osd;
        // A CRUSH tree is a few levels deep; the bound ends a malformed, cyclic one.
        for _ in 0..16 {
            let parent = self.nodes.iter().find(|node| node.children.contains(&id))?;
            if parent.kind == kind {
                return Some(&parent.name);
            }
            id = parent.id;
        }
        None
    }

    pub fn osds(&self) -> impl Iterator<Item = &TreeNode> {
        self.nodes.iter().filter(|node| node.kind == "osd")
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct TreeNode {
    pub id: i64,
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub children: Vec<i64>,
    /// `up` or `down`; only OSDs have it.
    pub status: String,
    pub reweight: f64,
    pub exists: i64,
}

/// `ceph osd dump`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct OsdDump {
    pub epoch: u64,
    pub fsid: String,
    pub flags_set: Vec<String>,
    pub osds: Vec<Osd>,
    pub pools: Vec<Pool>,
    /// Flags on hosts and other buckets: name to the flags.
    pub crush_node_flags: BTreeMap<String, Vec<String>>,
    pub device_class_flags: BTreeMap<String, Vec<String>>,
    /// `10.0.0.1:0/0` (nonce 0 is the whole host) to the time when the entry ends.
    pub blocklist: BTreeMap<String, String>,
    /// `10.0.0.0:0/24` to the time when the entry ends.
    pub range_blocklist: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Osd {
    pub osd: i64,
    pub up: i64,
    #[serde(rename = "in")]
    pub within: i64,
    pub uuid: String,
    pub down_at: u64,
    pub state: Vec<String>,
    pub public_addrs: Addresses,
    pub cluster_addrs: Addresses,
    pub heartbeat_front_addrs: Addresses,
    pub heartbeat_back_addrs: Addresses,
}

/// A pool, from `osd dump` or `osd pool ls detail`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Pool {
    #[serde(alias = "pool_id")]
    pub pool: i64,
    pub pool_name: String,
    pub size: u32,
    pub min_size: u32,
    pub crush_rule: i64,
    pub flags_names: String,
    /// `rbd`, `cephfs`, `rgw` and the like; empty if none was enabled.
    pub application_metadata: BTreeMap<String, Value>,
}

/// `ceph fs dump`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct FsDump {
    pub standbys: Vec<Mds>,
    pub filesystems: Vec<FsEntry>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct FsEntry {
    pub id: i64,
    pub mdsmap: MdsMap,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct MdsMap {
    pub fs_name: String,
    pub max_mds: u32,
    #[serde(rename = "in")]
    pub within: Vec<i64>,
    /// `mds_0` to gid
    pub up: BTreeMap<String, Value>,
    pub failed: Vec<i64>,
    pub damaged: Vec<i64>,
    pub info: BTreeMap<String, Mds>,
    pub data_pools: Vec<i64>,
    pub metadata_pool: i64,
    pub standby_count_wanted: i64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Mds {
    pub name: String,
    pub rank: i64,
    /// `up:active`, `up:replay`, `up:standby`
    pub state: String,
    pub laggy_since: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_compared_without_ports() {
        for (endpoint, address) in
            [("10.0.0.1:6789", "10.0.0.1"), ("[fd00::1]:3300", "fd00::1"), ("10.0.0.1", "10.0.0.1")]
        {
            assert_eq!(host(endpoint), address);
        }
    }
}
