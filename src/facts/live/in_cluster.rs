//! The connection of a pod: what Kubernetes puts into its environment and its files, as a kubeconfig. Like any other it
//! can then be overruled by flags, and its token file is read anew while it lasts.

use std::fs;
use std::net::Ipv6Addr;
use std::path::Path;

use kube::config::Kubeconfig;
use serde_json::json;

/// Where the files of the ServiceAccount are in every pod that has them.
pub(super) const FOLDER: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// The name of the only context.
pub(super) const CONTEXT: &str = "in-cluster";

/// The kubeconfig, or why this is no pod that can connect.
pub(super) fn kubeconfig(folder: &Path, variable: impl Fn(&str) -> Option<String>) -> Result<Kubeconfig, String> {
    let of_pod = |name: &str| {
        let value = variable(name).filter(|value| !value.is_empty());
        value.ok_or_else(|| format!("and this is no pod: {name} is not set"))
    };
    let (host, port) = (of_pod("KUBERNETES_SERVICE_HOST")?, of_pod("KUBERNETES_SERVICE_PORT")?);
    let file = |name: &str| {
        let path = folder.join(name);
        let is_there = path.is_file();
        is_there
            .then_some(path.clone())
            .ok_or_else(|| format!("and this pod has no {}; see automountServiceAccountToken", path.display()))
    };
    let (token, authority) = (file("token")?, file("ca.crt")?);
    let namespace = fs::read_to_string(folder.join("namespace")).unwrap_or_default();
    let namespace = Some(namespace.trim()).filter(|namespace| !namespace.is_empty());
    let host = if host.parse::<Ipv6Addr>().is_ok() { format!("[{host}]") } else { host };
    let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": CONTEXT,
        "clusters": [{"name": CONTEXT, "cluster":
            {"server": format!("https://{host}:{port}"), "certificate-authority": authority}}],
        "users": [{"name": CONTEXT, "user": {"tokenFile": token}}],
        "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": CONTEXT, "namespace": namespace}}]});
    serde_json::from_value(config).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        files.iter().for_each(|(name, text)| fs::write(folder.path().join(name), text).unwrap());
        folder
    }

    fn variables(host: &str) -> impl Fn(&str) -> Option<String> {
        move |name| match name {
            "KUBERNETES_SERVICE_HOST" => Some(host.to_owned()),
            "KUBERNETES_SERVICE_PORT" => Some("6443".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn a_pod_is_told_by_its_environment_and_its_files() {
        let folder = pod(&[("token", "t"), ("ca.crt", "c"), ("namespace", "storage\n")]);
        for (host, server) in [
            ("10.96.0.1", "https://10.96.0.1:6443"),
            ("fd00::1", "https://[fd00::1]:6443"),
            ("api.example", "https://api.example:6443"),
        ] {
            let config = kubeconfig(folder.path(), variables(host)).unwrap();
            let cluster = config.clusters[0].cluster.as_ref().unwrap();
            assert_eq!(cluster.server.as_deref(), Some(server));
            assert!(cluster.certificate_authority.as_ref().unwrap().ends_with("ca.crt"));
            assert_eq!(config.contexts[0].context.as_ref().unwrap().namespace.as_deref(), Some("storage"));
            assert!(config.auth_infos[0].auth_info.as_ref().unwrap().token_file.as_ref().unwrap().ends_with("token"));
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let whole = pod(&[("token", "t"), ("ca.crt", "c")]);
        let said = |folder: &Path, host: &str| kubeconfig(folder, variables(host)).unwrap_err();
        assert!(said(whole.path(), "").contains("KUBERNETES_SERVICE_HOST is not set"));
        for missing in ["token", "ca.crt"] {
            let other = if missing == "token" { "ca.crt" } else { "token" };
            let folder = pod(&[(other, "x")]);
            assert!(said(folder.path(), "10.96.0.1").contains(missing));
        }
    }
}
