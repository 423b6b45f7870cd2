//! The table of reads: each row names one thing that checks read for a whole cluster. From it come the
//! prefetch of each check, the catalogue's page "what it reads", and the permissions that are needed.

use super::kinds::{self, Kind};
use super::tables::{AttachmentRow, ClaimRow, DeploymentRow, JobRow, NodeRow, PodRow, VolumeRow};
use super::{CephCommand, Cluster, Fact, Facts, Gap, Select};
use crate::objects::{ceph, kube, kube_ovn, multus, rook, whereabouts};

/// Daemons of which a cluster has a few each: one table holds them all, and each row of the table of reads is the
/// part of it that has the daemon's name.
const FEW: &str = "app in (rook-ceph-mon,rook-ceph-mgr,rook-ceph-mds,rook-ceph-rgw)";

/// Pods as rows.
pub type PodRowTable<'s> = &'s [PodRow];

macro_rules! reads {
    ($(
        #[doc = $doc:literal]
        $row:ident $(: $name:ident -> $kind:ident<$view:ty> $(where $prefix:literal)? = $fact:expr)?;
    )*) => {
        /// One row of the table of reads.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Row { $(#[doc = $doc] $row),* }

        impl Row {
            pub const ALL: &'static [Self] = &[$(Self::$row),*];

            /// What is read, in words.
            pub fn describe(self) -> &'static str {
                match self { $(Self::$row => $doc.trim_ascii()),* }
            }

            /// The fact behind the row; none for those that are read on suspicion only.
            pub fn fact(self, facts: &Facts<'_>) -> Option<Fact> {
                match self {
                    $(Self::$row => reads!(@fact facts $($fact)?)),*
                }
            }
        }

        impl<'s> Facts<'s> {
            $($(
                #[doc = $doc]
                pub fn $name(&self) -> Result<reads!(@type $kind 's $view), Gap> {
                    self.touch(Row::$row);
                    let fact = Row::$row.fact(self).ok_or_else(no_cluster)?;
                    reads!(@cut reads!(@get $kind self fact) $(, $prefix)?)
                }
            )?)*
        }
    };
    (@fact $facts:ident) => { None };
    (@fact $facts:ident $fact:expr) => { ($fact as fn(&Facts<'_>) -> Option<Fact>)($facts) };
    (@type rows $s:lifetime $view:ty) => { &$s [$view] };
    (@type list $s:lifetime $view:ty) => { &$s [$view] };
    (@type ceph $s:lifetime $view:ty) => { &$s $view };
    (@cut $read:expr) => { $read };
    (@cut $read:expr, $prefix:literal) => { $read.map(|rows| PodRow::named(rows, $prefix)) };
    (@get rows $facts:ident $fact:ident) => { $facts.rows_of($fact) };
    (@get list $facts:ident $fact:ident) => { $facts.list_of($fact) };
    (@get ceph $facts:ident $fact:ident) => { $facts.ceph($fact) };
}

reads! {
    /// API discovery
    Discovery;
    /// CephClusters
    CephClusters: ceph_clusters -> list<rook::CephCluster> =
        |facts| Some(Fact::List { kind: kinds::CEPH_CLUSTER, ns: facts.namespace().map(str::to_owned), select: Select::all() });
    /// Deployments of Rook operators (by name: their own labels differ between manifests and charts) in all namespaces
    Operators: operators -> list<kube::Deployment> =
        |_| Some(Fact::List { kind: kinds::DEPLOYMENT, ns: None, select: Select::field("metadata.name=rook-ceph-operator") });
    /// nodes, as a table
    Nodes: nodes -> rows<NodeRow> = |_| Some(table(kinds::NODE, "", ""));
    /// DaemonSets in all namespaces
    DaemonSets: daemon_sets -> list<kube::DaemonSet> = |_| Some(everywhere(kinds::DAEMON_SET));
    /// Leases in kube-node-lease
    NodeLeases: node_leases -> list<kube::Lease> =
        |_| Some(Fact::List { kind: kinds::LEASE, ns: Some("kube-node-lease".into()), select: Select::all() });

    /// pods of the operator (app=rook-ceph-operator), as a table
    OperatorPods: operator_pods -> rows<PodRow> where "rook-ceph-operator-" = |facts| operator_pods(facts, "!rook_cluster");
    /// monitor pods (app=rook-ceph-mon), as a table
    MonPods: mon_pods -> rows<PodRow> where "rook-ceph-mon-" = |facts| pods(facts, FEW);
    /// mgr pods (app=rook-ceph-mgr), as a table
    MgrPods: mgr_pods -> rows<PodRow> where "rook-ceph-mgr-" = |facts| pods(facts, FEW);
    /// OSD pods (app=rook-ceph-osd), as a table
    OsdPods: osd_pods -> rows<PodRow> = |facts| pods(facts, "app=rook-ceph-osd");
    /// OSD prepare pods (app=rook-ceph-osd-prepare), as a table
    PreparePods: prepare_pods -> rows<PodRow> = |facts| pods(facts, "app=rook-ceph-osd-prepare");
    /// MDS pods (app=rook-ceph-mds), as a table
    MdsPods: mds_pods -> rows<PodRow> where "rook-ceph-mds-" = |facts| pods(facts, FEW);
    /// RGW pods (app=rook-ceph-rgw), as a table
    RgwPods: rgw_pods -> rows<PodRow> where "rook-ceph-rgw-" = |facts| pods(facts, FEW);
    /// pods of NFS and NVMe-oF gateways and of the mirror daemons, as a table
    GatewayPods: gateway_pods -> rows<PodRow> =
        |facts| pods(facts, "app in (rook-ceph-nfs,rook-ceph-nvmeof,rook-ceph-rbd-mirror,rook-ceph-fs-mirror)");
    /// pods in the operator's namespace that belong to no CephCluster (CSI among them), as a table
    CsiPods: csi_pods -> rows<PodRow> = |facts| operator_pods(facts, "!rook_cluster");

    /// Deployments of the monitors (app=rook-ceph-mon)
    MonDeployments: mon_deployments -> list<kube::Deployment> =
        |facts| cluster_list(facts, kinds::DEPLOYMENT, Select::label("app=rook-ceph-mon"));
    /// Deployments of the Ceph daemons, as a table
    DaemonDeployments: daemon_deployments -> rows<DeploymentRow> =
        |facts| ns(facts).map(|ns| table(kinds::DEPLOYMENT, ns, &format!("rook_cluster={ns}")));
    /// Deployments with the label ceph.rook.io/do-not-reconcile
    MarkedDeployments: marked_deployments -> list<kube::Deployment> =
        |facts| cluster_list(facts, kinds::DEPLOYMENT, Select::label("ceph.rook.io/do-not-reconcile"));
    /// Deployments in the operator's namespace that belong to no CephCluster (CSI among them)
    CsiDeployments: csi_deployments -> list<kube::Deployment> =
        |facts| operator_list(facts, kinds::DEPLOYMENT, Select::label("!rook_cluster"));
    /// jobs that prepare OSDs (app=rook-ceph-osd-prepare), as a table
    PrepareJobs: prepare_jobs -> rows<JobRow> =
        |facts| ns(facts).map(|ns| table(kinds::JOB, ns, "app=rook-ceph-osd-prepare"));
    /// PodDisruptionBudgets of the cluster's namespace
    DisruptionBudgets: disruption_budgets -> list<kube::DisruptionBudget> =
        |facts| cluster_list(facts, kinds::DISRUPTION_BUDGET, Select::all());
    /// NetworkPolicies of the cluster's namespace
    ClusterPolicies: cluster_policies -> list<kube::NetworkPolicy> =
        |facts| cluster_list(facts, kinds::NETWORK_POLICY, Select::all());
    /// NetworkPolicies of the operator's namespace
    OperatorPolicies: operator_policies -> list<kube::NetworkPolicy> =
        |facts| operator_list(facts, kinds::NETWORK_POLICY, Select::all());
    /// events other than Normal in the cluster's namespace
    ClusterEvents: cluster_events -> list<kube::Event> =
        |facts| cluster_list(facts, kinds::EVENT, Select::field("type!=Normal"));
    /// events other than Normal in the operator's namespace
    OperatorEvents: operator_events -> list<kube::Event> =
        |facts| operator_list(facts, kinds::EVENT, Select::field("type!=Normal"));
    /// events Rebooted of nodes
    RebootEvents: reboot_events -> list<kube::Event> = |_| Some(events("reason=Rebooted"));
    /// events of nodes
    NodeEvents: node_events -> list<kube::Event> = |_| Some(events("involvedObject.kind=Node"));
    /// events EvictionThresholdMet of nodes
    PressureEvents: pressure_events -> list<kube::Event> = |_| Some(events("reason=EvictionThresholdMet"));
    /// events FailedCreatePodSandBox in all namespaces
    SandboxEvents: sandbox_events -> list<kube::Event> = |_| Some(events("reason=FailedCreatePodSandBox"));
    /// events ProvisioningFailed in all namespaces
    ProvisionEvents: provision_events -> list<kube::Event> = |_| Some(events("reason=ProvisioningFailed"));
    /// events VolumeFailedDelete in all namespaces
    DeleteEvents: delete_events -> list<kube::Event> = |_| Some(events("reason=VolumeFailedDelete"));
    /// events VolumeResizeFailed in all namespaces
    ResizeEvents: resize_events -> list<kube::Event> = |_| Some(events("reason=VolumeResizeFailed"));
    /// events FailedMount in all namespaces
    MountEvents: mount_events -> list<kube::Event> = |_| Some(events("reason=FailedMount"));
    /// events FailedAttachVolume in all namespaces
    AttachEvents: attach_events -> list<kube::Event> = |_| Some(events("reason=FailedAttachVolume"));

    /// NetworkAttachmentDefinitions in all namespaces
    NetworkAttachments: network_attachments -> list<multus::NetworkAttachment> =
        |_| Some(everywhere(kinds::NETWORK_ATTACHMENT));
    /// IPPools of whereabouts in all namespaces
    IpPools: ip_pools -> list<whereabouts::IpPool> = |_| Some(everywhere(kinds::IP_POOL));

    /// Subnets of Kube-OVN
    Subnets: subnets -> list<kube_ovn::Subnet> = |_| Some(everywhere(kinds::SUBNET));
    /// ProviderNetworks of Kube-OVN
    ProviderNetworks: provider_networks -> list<kube_ovn::ProviderNetwork> = |_| Some(everywhere(kinds::PROVIDER_NETWORK));

    /// StorageClasses
    StorageClasses: storage_classes -> list<kube::StorageClass> = |_| Some(everywhere(kinds::STORAGE_CLASS));
    /// CSIDrivers
    CsiDrivers: csi_driver_objects -> list<kube::CsiDriver> = |_| Some(everywhere(kinds::CSI_DRIVER));
    /// PersistentVolumeClaims, as a table
    Claims: claims -> rows<ClaimRow> = |_| Some(table(kinds::CLAIM, "", ""));
    /// PersistentVolumes, as a table
    Volumes: volumes -> rows<VolumeRow> = |_| Some(table(kinds::PERSISTENT_VOLUME, "", ""));
    /// VolumeAttachments, as a table
    Attachments: attachments -> rows<AttachmentRow> = |_| Some(table(kinds::VOLUME_ATTACHMENT, "", ""));
    /// CephFilesystems
    Filesystems: filesystems -> list<rook::Filesystem> = |facts| cluster_list(facts, kinds::FILESYSTEM, Select::all());

    /// ceph status
    CephStatus: ceph_status -> ceph<ceph::Status> = |facts| command(facts, CephCommand::Status);
    /// ceph health detail
    CephHealth: ceph_health -> ceph<ceph::Health> = |facts| command(facts, CephCommand::HealthDetail);
    /// ceph time-sync-status
    TimeSync: time_sync -> ceph<ceph::TimeSync> = |facts| command(facts, CephCommand::TimeSyncStatus);
    /// ceph versions
    CephVersions: ceph_versions -> ceph<ceph::Versions> = |facts| command(facts, CephCommand::Versions);
    /// ceph quorum_status
    QuorumStatus: quorum_status -> ceph<ceph::QuorumStatus> = |facts| command(facts, CephCommand::QuorumStatus);
    /// ceph osd tree
    OsdTree: osd_tree -> ceph<ceph::OsdTree> = |facts| command(facts, CephCommand::OsdTree);
    /// ceph osd dump
    OsdDump: osd_dump -> ceph<ceph::OsdDump> = |facts| command(facts, CephCommand::OsdDump);
    /// ceph osd df
    OsdDf: osd_df -> ceph<ceph::OsdDf> = |facts| command(facts, CephCommand::OsdDf);
    /// ceph osd pool ls detail
    Pools: pools -> ceph<Vec<ceph::Pool>> = |facts| command(facts, CephCommand::OsdPoolLsDetail);
    /// ceph osd metadata
    OsdMetadata: osd_metadata -> ceph<Vec<ceph::OsdMetadata>> = |facts| command(facts, CephCommand::OsdMetadata);
    /// ceph osd crush rule dump
    CrushRules: crush_rules -> ceph<Vec<ceph::CrushRule>> = |facts| command(facts, CephCommand::OsdCrushRuleDump);
    /// ceph fs dump
    FsDump: fs_dump -> ceph<ceph::FsDump> = |facts| command(facts, CephCommand::FsDump);

    /// tables of pods by label, where a component is installed
    PodTables;
    /// Deployments of the cluster by label, as a table
    DeploymentTables;
    /// single objects of what looks guilty
    Objects;
    /// logs of what looks guilty
    Logs;
    /// mon_status from the monitors' admin sockets
    MonSockets;
}

impl Row {
    /// Whether it is worth asking for before a check has come to it. Large or rarely wanted answers are left
    /// until something calls for them.
    pub fn is_read_ahead(self) -> bool {
        !matches!(
            self,
            Self::OsdDump
                | Self::OsdDf
                | Self::OsdTree
                | Self::OsdMetadata
                | Self::CrushRules
                | Self::FsDump
                | Self::Pools
                | Self::QuorumStatus
                | Self::DaemonDeployments
                | Self::MonDeployments
                | Self::PrepareJobs
                | Self::DisruptionBudgets
                | Self::Filesystems
                | Self::Volumes
                | Self::RebootEvents
                | Self::IpPools
                | Self::ProviderNetworks
        )
    }
}

fn no_cluster() -> Gap {
    Gap::NotOffered("there is no CephCluster".into())
}

fn ns<'s>(facts: &Facts<'s>) -> Option<&'s str> {
    Some(facts.cluster().ok()?.ns.as_str())
}

fn table(kind: Kind, ns: &str, label: &str) -> Fact {
    Fact::Rows { kind, ns: ns.to_owned(), label: label.to_owned() }
}

fn everywhere(kind: Kind) -> Fact {
    Fact::List { kind, ns: None, select: Select::all() }
}

fn events(field: &str) -> Fact {
    Fact::List { kind: kinds::EVENT, ns: None, select: Select::field(field) }
}

fn pods(facts: &Facts<'_>, label: &str) -> Option<Fact> {
    ns(facts).map(|ns| table(kinds::POD, ns, label))
}

fn operator_pods(facts: &Facts<'_>, label: &str) -> Option<Fact> {
    let Cluster { operator_ns, .. } = facts.cluster().ok()?;
    Some(table(kinds::POD, operator_ns, label))
}

fn cluster_list(facts: &Facts<'_>, kind: Kind, select: Select) -> Option<Fact> {
    ns(facts).map(|ns| Fact::List { kind, ns: Some(ns.to_owned()), select })
}

fn operator_list(facts: &Facts<'_>, kind: Kind, select: Select) -> Option<Fact> {
    let Cluster { operator_ns, .. } = facts.cluster().ok()?;
    Some(Fact::List { kind, ns: Some(operator_ns.clone()), select })
}

fn command(facts: &Facts<'_>, command: CephCommand) -> Option<Fact> {
    ns(facts).map(|ns| Fact::Ceph { ns: ns.to_owned(), command })
}
