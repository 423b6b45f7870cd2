//! Data and services.

pub mod health_code;
pub mod mds_down;
pub mod mgr_down;
pub mod pgs_degraded;
pub mod pgs_unavailable;
pub mod pool_application_missing;
