//! The kinds that are read, and the view of each that checks see.

use std::any::Any;
use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

use serde_json::Value;

use crate::objects::{ceph_csi, csi_addons, kube, kube_ovn, multus, object_bucket, rook, snapshot, whereabouts};

type Parsed = Box<dyn Any + Send + Sync>;

/// A resource of the API. Compared by group and plural.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// Empty for the core group.
    pub group: &'static str,
    /// The version asked for where discovery does not name another.
    pub version: &'static str,
    pub plural: &'static str,
    pub kind: &'static str,
    pub namespaced: bool,
    pub(super) parse: fn(Vec<Value>) -> Result<Parsed, String>,
}

impl Kind {
    /// `cephclusters.ceph.rook.io`, or `pods` for the core group.
    pub fn resource(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// `apps/v1`, or `v1` for the core group.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }

    /// Whether the kind comes from a CRD and may be absent from a cluster.
    pub fn is_custom(&self) -> bool {
        let is_builtin = self.group.ends_with(".k8s.io") && self.group != "snapshot.storage.k8s.io";
        self.group.contains('.') && !is_builtin
    }

    fn key(&self) -> (&'static str, &'static str) {
        (self.group, self.plural)
    }
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}
impl Eq for Kind {}
impl PartialOrd for Kind {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Kind {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}
impl Hash for Kind {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

/// The fields of a kind that checks use.
pub trait View: serde::de::DeserializeOwned + Send + Sync + 'static {
    const KIND: Kind;
}

fn parse<T: View>(objects: Vec<Value>) -> Result<Parsed, String> {
    let views: Vec<T> = objects
        .into_iter()
        .map(|mut object| {
            strip_nulls(&mut object);
            check_names(T::KIND, &object)?;
            let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("?").to_owned();
            serde_json::from_value(object).map_err(|error| format!("{} {name}: {error}", T::KIND.kind))
        })
        .collect::<Result<_, _>>()?;
    Ok(Box::new(views))
}

/// Refuses an object of a name that no API server takes.
pub(super) fn check_names(kind: Kind, object: &Value) -> Result<(), String> {
    let text = |field: &str| object.pointer(field).and_then(Value::as_str).unwrap_or_default();
    let bad =
        ["/metadata/name", "/metadata/namespace", "/spec/nodeName"].into_iter().find(|field| !is_name(text(field)));
    bad.map_or(Ok(()), |field| {
        Err(format!("{} {:.40?}: {field} is no name that an API server takes", kind.kind, text("/metadata/name")))
    })
}

/// Names end up in commands that people paste. An API server takes only such; a bundle may hold any text.
pub(super) fn is_name(text: &str) -> bool {
    text.len() <= 253 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:@+".contains(&byte))
}

/// A null field means the same as an absent one everywhere in the API; views then need only defaults.
pub(super) fn strip_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(strip_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(strip_nulls),
        _ => {}
    }
}

macro_rules! kinds {
    ($($name:ident: $view:ty = $group:literal $version:literal $plural:literal $kind:literal $namespaced:literal;)*) => {
        $(
            pub const $name: Kind = Kind {
                group: $group, version: $version, plural: $plural, kind: $kind,
                namespaced: $namespaced, parse: parse::<$view>,
            };
            impl View for $view { const KIND: Kind = $name; }
        )*
        /// Every kind that is read.
        pub const ALL: &[Kind] = &[$($name),*];
    };
}

kinds! {
    POD: kube::Pod = "" "v1" "pods" "Pod" true;
    NODE: kube::Node = "" "v1" "nodes" "Node" false;
    NAMESPACE: kube::Namespace = "" "v1" "namespaces" "Namespace" false;
    EVENT: kube::Event = "" "v1" "events" "Event" true;
    CONFIG_MAP: kube::ConfigMap = "" "v1" "configmaps" "ConfigMap" true;
    SERVICE: kube::Service = "" "v1" "services" "Service" true;
    PERSISTENT_VOLUME: kube::PersistentVolume = "" "v1" "persistentvolumes" "PersistentVolume" false;
    CLAIM: kube::Claim = "" "v1" "persistentvolumeclaims" "PersistentVolumeClaim" true;
    DEPLOYMENT: kube::Deployment = "apps" "v1" "deployments" "Deployment" true;
    DAEMON_SET: kube::DaemonSet = "apps" "v1" "daemonsets" "DaemonSet" true;
    REPLICA_SET: kube::ReplicaSet = "apps" "v1" "replicasets" "ReplicaSet" true;
    JOB: kube::Job = "batch" "v1" "jobs" "Job" true;
    LEASE: kube::Lease = "coordination.k8s.io" "v1" "leases" "Lease" true;
    DISRUPTION_BUDGET: kube::DisruptionBudget = "policy" "v1" "poddisruptionbudgets" "PodDisruptionBudget" true;
    NETWORK_POLICY: kube::NetworkPolicy = "networking.k8s.io" "v1" "networkpolicies" "NetworkPolicy" true;
    VALIDATING_WEBHOOKS: kube::ValidatingWebhooks = "admissionregistration.k8s.io" "v1" "validatingwebhookconfigurations" "ValidatingWebhookConfiguration" false;
    MUTATING_WEBHOOKS: kube::MutatingWebhooks = "admissionregistration.k8s.io" "v1" "mutatingwebhookconfigurations" "MutatingWebhookConfiguration" false;
    STORAGE_CLASS: kube::StorageClass = "storage.k8s.io" "v1" "storageclasses" "StorageClass" false;
    CSI_DRIVER: kube::CsiDriver = "storage.k8s.io" "v1" "csidrivers" "CSIDriver" false;
    CSI_NODE: kube::CsiNode = "storage.k8s.io" "v1" "csinodes" "CSINode" false;
    VOLUME_ATTACHMENT: kube::VolumeAttachment = "storage.k8s.io" "v1" "volumeattachments" "VolumeAttachment" false;
    CEPH_CLUSTER: rook::CephCluster = "ceph.rook.io" "v1" "cephclusters" "CephCluster" true;
    BLOCK_POOL: rook::BlockPool = "ceph.rook.io" "v1" "cephblockpools" "CephBlockPool" true;
    FILESYSTEM: rook::Filesystem = "ceph.rook.io" "v1" "cephfilesystems" "CephFilesystem" true;
    OBJECT_STORE: rook::ObjectStore = "ceph.rook.io" "v1" "cephobjectstores" "CephObjectStore" true;
    NFS: rook::Nfs = "ceph.rook.io" "v1" "cephnfses" "CephNFS" true;
    OBJECT_ZONE: rook::ObjectZone = "ceph.rook.io" "v1" "cephobjectzones" "CephObjectZone" true;
    BUCKET_CLAIM: object_bucket::BucketClaim = "objectbucket.io" "v1alpha1" "objectbucketclaims" "ObjectBucketClaim" true;
    VOLUME_SNAPSHOT: snapshot::VolumeSnapshot = "snapshot.storage.k8s.io" "v1" "volumesnapshots" "VolumeSnapshot" true;
    CEPH_CONNECTION: ceph_csi::CephConnection = "csi.ceph.io" "v1" "cephconnections" "CephConnection" true;
    CLIENT_PROFILE: ceph_csi::ClientProfile = "csi.ceph.io" "v1" "clientprofiles" "ClientProfile" true;
    NETWORK_FENCE: csi_addons::NetworkFence = "csiaddons.openshift.io" "v1alpha1" "networkfences" "NetworkFence" false;
    CSI_ADDONS_NODE: csi_addons::CsiAddonsNode = "csiaddons.openshift.io" "v1alpha1" "csiaddonsnodes" "CSIAddonsNode" true;
    NETWORK_ATTACHMENT: multus::NetworkAttachment = "k8s.cni.cncf.io" "v1" "network-attachment-definitions" "NetworkAttachmentDefinition" true;
    IP_POOL: whereabouts::IpPool = "whereabouts.cni.cncf.io" "v1alpha1" "ippools" "IPPool" true;
    IP_RESERVATION: whereabouts::Reservation = "whereabouts.cni.cncf.io" "v1alpha1" "overlappingrangeipreservations" "OverlappingRangeIPReservation" true;
    SUBNET: kube_ovn::Subnet = "kubeovn.io" "v1" "subnets" "Subnet" false;
    PROVIDER_NETWORK: kube_ovn::ProviderNetwork = "kubeovn.io" "v1" "provider-networks" "ProviderNetwork" false;
}
