//! What the pod may reach.

use serde_json::json;

use super::{Manifest, NAME, Wanted, labels, metadata};

const DNS: u16 = 53;
/// The port of the Service `kubernetes`.
const API: u16 = 443;

/// Nothing in; out to names, the API server, and the gateway.
pub(super) fn policy(wanted: &Wanted) -> Manifest {
    let port = |protocol: &str, port: u16| json!({"protocol": protocol, "port": port});
    let mut ports = vec![API, wanted.api_port];
    ports.extend(wanted.push.as_ref().map(|gateway| gateway.port()));
    ports.sort_unstable();
    ports.dedup();
    let tcp: Vec<_> = ports.into_iter().map(|number| port("TCP", number)).collect();
    let about = vec![
        "Nothing may connect to the pod. It may connect to DNS, to the API server and, if there is one, to the \
         Pushgateway, as far as a NetworkPolicy can say that everywhere:"
            .into(),
        "The API server is no pod and its addresses differ from cluster to cluster, so only its ports are named: that \
         of the Service (443), and that of the server itself (6443, or --api-port), because most networks judge after \
         the Service's address was replaced. Whoever knows the addresses adds them as `to: - ipBlock`."
            .into(),
        "Where DNS pods listen on another port than 53 (OpenShift: 5353), add that one if --push names a host.".into(),
    ];
    let object = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": metadata(&wanted.into, NAME),
        "spec": {"podSelector": {"matchLabels": labels()}, "policyTypes": ["Ingress", "Egress"],
            "egress": [{"ports": [port("UDP", DNS), port("TCP", DNS)]}, {"ports": tcp}]}});
    Manifest { about, object }
}
