//! Kube-OVN.

pub mod kube_ovn_cni_unhealthy;
pub mod kube_ovn_controller_unhealthy;
pub mod ovn_central_down;
pub mod ovs_ovn_unhealthy;
pub mod pinger_failing;
pub mod stale_after_reboot;
pub mod vpc_nat_gateway_failing;
