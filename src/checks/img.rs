//! Images and versions.

pub mod ceph_versions_mixed;
pub mod image_overridden;
