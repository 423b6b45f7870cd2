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
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PgMap {
    pub pgs_by_state: Vec<PgState>,
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
    pub by_rank: Vec<FsRank>,
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
    pub mutes: Vec<Mute>,
}

impl Health {
    /// A raised code that is not muted.
    pub fn raised(&self, code: &str) -> Option<&HealthCheck> {
        self.checks.get(code).filter(|check| !check.muted)
    }
}

/// A code that somebody chose not to hear of.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Mute {
    pub code: String,
    /// Until when; empty for ever.
    pub ttl: String,
    /// Stays when the code clears.
    pub sticky: bool,
}

/// A CRUSH rule: the steps that find the OSDs of a placement group.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CrushRule {
    pub rule_id: i64,
    pub rule_name: String,
    pub steps: Vec<Step>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Step {
    /// `take`, `choose_firstn`, `chooseleaf_indep`, `emit`
    pub op: String,
    /// Of `take`: `default`, or `default~ssd` for one device class.
    pub item_name: String,
    /// 0 for as many as the pool has copies.
    pub num: i64,
    #[serde(rename = "type")]
    pub kind: String,
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
    /// Seconds since the last election.
    pub quorum_age: Option<i64>,
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

    /// The OSDs anywhere below a bucket.
    pub fn osds_below(&self, bucket: &str) -> impl Iterator<Item = &TreeNode> {
        let kind = self.nodes.iter().find(|node| node.name == bucket).map_or("", |node| node.kind.as_str());
        self.osds().filter(move |osd| self.bucket_of(osd.id, kind) == Some(bucket))
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
    /// `up`, `down` or `destroyed`; only OSDs have it.
    pub status: String,
    /// 0 for an OSD that is out.
    pub reweight: f64,
    pub device_class: String,
}

impl TreeNode {
    pub fn is_down(&self) -> bool {
        self.status == "down" || self.status == "destroyed"
    }
}

/// `ceph osd dump`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct OsdDump {
    pub epoch: u64,
    pub fsid: String,
    pub osds: Vec<Osd>,
    /// Flags of the whole cluster.
    pub flags_set: Vec<String>,
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
    pub state: Vec<String>,
    pub public_addrs: Addresses,
    pub cluster_addrs: Addresses,
}

/// `ceph osd df`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct OsdDf {
    pub nodes: Vec<OsdUsage>,
    pub summary: UsageSummary,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct OsdUsage {
    pub id: i64,
    /// Per cent.
    pub utilization: f64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct UsageSummary {
    pub average_utilization: f64,
}

/// `ceph osd metadata`: what an OSD told of itself when it last started. Devices are names, with commas.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct OsdMetadata {
    pub id: i64,
    pub hostname: String,
    pub bluestore_bdev_devices: String,
    pub bluefs_db_devices: String,
    pub bluefs_wal_devices: String,
}

/// A pool, from `osd dump` or `osd pool ls detail`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Pool {
    #[serde(alias = "pool_id")]
    pub pool: i64,
    pub pool_name: String,
    pub size: usize,
    pub min_size: usize,
    pub crush_rule: i64,
    /// `hashpspool,ec_overwrites,ec_optimizations`
    pub flags_names: String,
    /// What the pool is for, `rbd`, and what that keeps with it.
    pub application_metadata: BTreeMap<String, Value>,
}

/// `ceph crash ls`: a report of a crash.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Crash {
    /// `2024-07-09T05:12:44.120331Z_5a0e…`
    pub crash_id: String,
    pub timestamp: String,
    /// `osd.3`; a report may have none.
    pub entity_name: String,
    /// Set where a module of the mgr failed and not the mgr.
    pub mgr_module: String,
    /// When somebody archived it.
    pub archived: String,
}

/// `ceph fs dump`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct FsDump {
    pub filesystems: Vec<FsEntry>,
    pub standbys: Vec<Mds>,
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
    /// `mds_0` to gid
    pub up: BTreeMap<String, Value>,
    pub failed: Vec<i64>,
    pub damaged: Vec<i64>,
    pub info: BTreeMap<String, Mds>,
    /// `joinable` is false after `ceph fs fail`.
    pub flags_state: BTreeMap<String, Value>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Mds {
    pub name: String,
    pub rank: i64,
    /// `up:active`, `up:replay`, `up:standby`
    pub state: String,
    pub addrs: Addresses,
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

/// `ceph osd ok-to-stop`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct OkToStop {
    pub ok_to_stop: bool,
    pub num_not_ok_pgs: u64,
    pub bad_become_inactive: Vec<String>,
    /// What Ceph said beside a no.
    pub reason: String,
}
