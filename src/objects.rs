//! Views of what is read: of each kind only the fields that checks use. Unknown fields are ignored, absent
//! ones take their default, so that older and newer servers both parse.

pub mod ceph;
pub mod ceph_csi;
pub mod csi_addons;
pub mod kube;
pub mod kube_ovn;
pub mod multus;
pub mod object_bucket;
pub mod rook;
pub mod snapshot;
pub mod whereabouts;
