//! From kubectl's flags and files to a connection, and if there is none, at which stage it failed.

use std::error::Error;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::StatusCode;
use kube::config::{ExecInteractiveMode, KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde::Deserialize;

use super::super::NO_VERSION;
use super::api::{Api, Failure, Get, chain, login_failure, one_line, sources};
use super::{Limits, Live};
use super::{in_cluster, proxy};

/// Longer than any request of ours may take: a second line of defence below the limits of each request.
const SILENCE_AT_MOST: Duration = Duration::from_secs(90);

/// For TCP and TLS together; longer than a handshake over a satellite takes.
const CONNECT_AT_MOST: Duration = Duration::from_secs(10);

/// How to reach the cluster: kubectl's connection flags. Holds a token, so it is never printed.
#[derive(Clone, Default)]
pub struct Options {
    pub kubeconfig: Option<PathBuf>,
    pub context: Option<String>,
    pub cluster: Option<String>,
    pub user: Option<String>,
    pub server: Option<String>,
    pub certificate_authority: Option<PathBuf>,
    pub insecure_skip_tls_verify: bool,
    pub tls_server_name: Option<String>,
    pub token: Option<String>,
    pub as_: Option<String>,
    pub as_group: Vec<String>,
    /// Overrides the namespace of the context.
    pub namespace: Option<String>,
    /// The time for one request; by default 15 s, and 30 s for a page of a list.
    pub request_timeout: Option<Duration>,
    /// The time for the whole run, by default a minute.
    pub timeout: Option<Duration>,
    /// No credentials plugin may ask a person or write to the terminal.
    pub never_ask: bool,
}

/// The names in a kubeconfig.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    pub contexts: Vec<String>,
    pub clusters: Vec<String>,
    pub users: Vec<String>,
}

/// What `--context`, `--cluster` and `--user` may name. Reads files only.
pub fn known(kubeconfig: Option<&Path>) -> Result<Known, ConnectError> {
    let options = Options { kubeconfig: kubeconfig.map(Path::to_owned), ..Options::default() };
    let Some(merged) = merged(&kubeconfigs(&options))? else { return Ok(Known::default()) };
    Ok(Known {
        contexts: merged.contexts.into_iter().map(|named| named.name).collect(),
        clusters: merged.clusters.into_iter().map(|named| named.name).collect(),
        users: merged.auth_infos.into_iter().map(|named| named.name).collect(),
    })
}

/// The stage at which connecting failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    #[error("no kubeconfig was found ({0})")]
    NoKubeconfig(String),
    #[error("the kubeconfig cannot be used: {0}")]
    Kubeconfig(String),
    #[error("the credentials plugin failed: {0}")]
    Credentials(String),
    #[error("no connection to {server}: {reason}")]
    Connection { server: String, reason: String },
    #[error("TLS with {server} failed: {reason}")]
    Tls { server: String, reason: String },
    #[error("{server} does not accept the credentials: {reason}")]
    Authentication { server: String, reason: String },
    #[error("{server} does not answer as a Kubernetes API server does: {reason}")]
    NotKubernetes { server: String, reason: String },
}

impl ConnectError {
    /// The stage in one word or two.
    pub fn stage(&self) -> &'static str {
        match self {
            Self::NoKubeconfig(_) | Self::Kubeconfig(_) => "kubeconfig",
            Self::Credentials(_) => "credentials plugin",
            Self::Connection { .. } => "connection",
            Self::Tls { .. } => "TLS",
            Self::Authentication { .. } => "authentication",
            Self::NotKubernetes { .. } => "API",
        }
    }

    /// Whether the same may succeed later with nothing changed here: a server restarts, a network comes back.
    pub fn may_pass(&self) -> bool {
        !matches!(self, Self::NoKubeconfig(_) | Self::Kubeconfig(_) | Self::Credentials(_))
    }

    /// What to do next.
    pub fn next_step(&self) -> &'static str {
        match self {
            Self::NoKubeconfig(_) => "name a kubeconfig with --kubeconfig or KUBECONFIG",
            Self::Kubeconfig(_) => "see what kubectl makes of it: kubectl config get-contexts; kubectl config view",
            Self::Credentials(_) => "log in again with the plugin's own tool, then try: kubectl version",
            Self::Connection { .. } => {
                "check VPN, proxy and firewall between here and the server, then try: kubectl version"
            }
            Self::Tls { .. } => {
                "compare the kubeconfig's certificate authority and server name with the server's certificate: \
                 kubectl config view --minify; kubectl version"
            }
            Self::Authentication { .. } => "renew the token or certificate of this user, then try: kubectl auth whoami",
            Self::NotKubernetes { .. } => "check the server's address in the kubeconfig: kubectl cluster-info",
        }
    }
}

/// Connects, and asks the server for its version: a cluster that does not answer is found out here.
pub async fn connect(options: &Options) -> Result<Live, ConnectError> {
    connect_from(options, Path::new(in_cluster::FOLDER)).await
}

/// The same, where a pod's ServiceAccount is in this folder.
async fn connect_from(options: &Options, folder: &Path) -> Result<Live, ConnectError> {
    let limits = Limits::new(options);
    let (context, config) = configure(options, folder, &limits).await?;
    let server = config.cluster_url.to_string();
    let own_namespace = config.default_namespace.clone();
    let default_namespace = options.namespace.clone().unwrap_or_else(|| own_namespace.clone());
    let api = Api::new(client(config, &server, limits.run).await?);
    let version = server_version(&api, &server, limits.small).await?;
    Ok(Live::new(api, context, (default_namespace, own_namespace), version, limits))
}

/// The name of the context and what it stands for.
async fn configure(options: &Options, folder: &Path, limits: &Limits) -> Result<(String, Config), ConnectError> {
    let paths = kubeconfigs(options);
    let (context, mut config) = match merged(&paths)? {
        Some(kubeconfig) => resolve(kubeconfig, options).await?,
        None if options.kubeconfig.is_some() => return Err(not_found(&paths, "no such file")),
        None => {
            let of_pod = in_cluster::kubeconfig(folder, |name| std::env::var(name).ok());
            resolve(of_pod.map_err(|why| not_found(&paths, &why))?, options).await?
        }
    };
    // Our own layer retries: the library's waits as long as the server likes and tells nobody.
    config.default_retry = false;
    config.connect_timeout = Some(limits.small.min(CONNECT_AT_MOST));
    config.read_timeout = Some(SILENCE_AT_MOST.max(limits.list));
    config.reset_reader_on_write = true;
    overrule_user(&mut config, options);
    Ok((context, config))
}

/// `--kubeconfig`, else the list in KUBECONFIG, else kubectl's own place.
fn kubeconfigs(options: &Options) -> Vec<PathBuf> {
    if let Some(path) = &options.kubeconfig {
        return vec![path.clone()];
    }
    let listed: Vec<PathBuf> = std::env::var_os("KUBECONFIG")
        .map(|list| std::env::split_paths(&list).filter(|path| !path.as_os_str().is_empty()).collect())
        .unwrap_or_default();
    if !listed.is_empty() {
        return listed;
    }
    std::env::home_dir().map(|home| home.join(".kube").join("config")).into_iter().collect()
}

/// The files as one, the first to name something winning; files that do not exist are skipped, as kubectl does.
fn merged(paths: &[PathBuf]) -> Result<Option<Kubeconfig>, ConnectError> {
    let broken = |path: &Path, error: &(dyn Error + 'static)| {
        ConnectError::Kubeconfig(format!("{}: {}", path.display(), chain(error)))
    };
    let mut merged: Option<Kubeconfig> = None;
    for path in paths.iter().filter(|path| path.exists()) {
        let next = Kubeconfig::read_from(path).map_err(|error| broken(path, &error))?;
        merged = Some(match merged {
            Some(first) => first.merge(next).map_err(|error| broken(path, &error))?,
            None => next,
        });
    }
    // kubectl takes a file that names nothing for none at all.
    Ok(merged.filter(|merged| !merged.contexts.is_empty() || !merged.clusters.is_empty()))
}

async fn resolve(mut kubeconfig: Kubeconfig, options: &Options) -> Result<(String, Config), ConnectError> {
    let Some(context) = options.context.clone().or_else(|| kubeconfig.current_context.clone()) else {
        let known = known_contexts(&kubeconfig);
        return Err(ConnectError::Kubeconfig(format!("no current context; choose one with --context ({known})")));
    };
    if !kubeconfig.contexts.iter().any(|known| known.name == context) {
        let known = known_contexts(&kubeconfig);
        return Err(ConnectError::Kubeconfig(format!("there is no context {context} ({known})")));
    }
    overrule_cluster(&mut kubeconfig, options);
    let wanted = KubeConfigOptions {
        context: Some(context.clone()),
        cluster: options.cluster.clone(),
        user: options.user.clone(),
    };
    if let Some(user) = &options.user
        && !kubeconfig.auth_infos.iter().any(|known| &known.name == user)
    {
        return Err(ConnectError::Kubeconfig(format!("there is no user {user}")));
    }
    let proxy = proxy_of(&kubeconfig, &context, options);
    let config = Config::from_custom_kubeconfig(kubeconfig, &wanted).await;
    let config = config.map_err(|error| ConnectError::Kubeconfig(chain(&error)))?;
    Ok((context, with_proxy(config, proxy)?))
}

/// The `proxy-url` of the cluster that will be used.
fn proxy_of(kubeconfig: &Kubeconfig, context: &str, options: &Options) -> Option<String> {
    let context = kubeconfig.contexts.iter().find(|known| known.name == context)?.context.as_ref()?;
    let cluster = options.cluster.as_ref().unwrap_or(&context.cluster);
    let cluster = kubeconfig.clusters.iter().find(|known| &known.name == cluster)?.cluster.as_ref()?;
    cluster.proxy_url.clone().filter(|proxy| !proxy.is_empty())
}

/// The kubeconfig's proxy, else the environment's.
fn with_proxy(mut config: Config, proxy: Option<String>) -> Result<Config, ConnectError> {
    let proxy = proxy.or_else(|| proxy::from_environment(&config.cluster_url, |name| std::env::var(name).ok()));
    let proxy = proxy.map(|proxy| proxy.parse()).transpose();
    config.proxy_url = proxy.map_err(|error| ConnectError::Kubeconfig(format!("proxy address: {error}")))?;
    Ok(config)
}

fn known_contexts(kubeconfig: &Kubeconfig) -> String {
    let names: Vec<&str> = kubeconfig.contexts.iter().map(|context| context.name.as_str()).collect();
    if names.is_empty() { "it has none".into() } else { one_line(&format!("it has {}", names.join(", "))) }
}

/// Only one cluster of the file is used, so the flags may be set on all of them.
fn overrule_cluster(kubeconfig: &mut Kubeconfig, options: &Options) {
    for cluster in kubeconfig.clusters.iter_mut().filter_map(|named| named.cluster.as_mut()) {
        if let Some(server) = &options.server {
            cluster.server = Some(server.clone());
        }
        if let Some(path) = &options.certificate_authority {
            cluster.certificate_authority = Some(path.display().to_string());
            cluster.certificate_authority_data = None;
        }
        if options.insecure_skip_tls_verify {
            cluster.insecure_skip_tls_verify = Some(true);
        }
        if let Some(name) = &options.tls_server_name {
            cluster.tls_server_name = Some(name.clone());
        }
    }
}

fn overrule_user(config: &mut Config, options: &Options) {
    let user = &mut config.auth_info;
    if let Some(token) = &options.token {
        user.token = Some(token.clone().into());
        (user.exec, user.auth_provider, user.token_file) = (None, None, None);
        (user.username, user.password) = (None, None);
    }
    if let Some(name) = &options.as_ {
        user.impersonate = Some(name.clone());
    }
    if !options.as_group.is_empty() {
        user.impersonate_groups = Some(options.as_group.clone());
    }
    // A plugin that may ask writes its stderr to the terminal. Without one it is collected, to be shown on failure.
    if let Some(exec) = &mut user.exec
        && (options.never_ask
            || (exec.interactive_mode != Some(ExecInteractiveMode::Always) && !std::io::stdin().is_terminal()))
    {
        exec.interactive_mode = Some(ExecInteractiveMode::Never);
    }
}

/// Building a client runs the credentials plugin, which blocks and may wait for a person.
async fn client(config: Config, server: &str, limit: Duration) -> Result<Client, ConnectError> {
    let plugin = config.auth_info.exec.as_ref().and_then(|exec| exec.command.clone());
    let plugin = plugin.unwrap_or_else(|| "the kubeconfig's auth provider".into());
    let built = tokio::time::timeout(limit, tokio::task::spawn_blocking(|| Client::try_from(config))).await;
    match built {
        Err(_) => Err(ConnectError::Credentials(format!("{plugin} did not end within {} s", limit.as_secs()))),
        Ok(Err(error)) => Err(ConnectError::Credentials(one_line(&error.to_string()))),
        Ok(Ok(Err(error @ kube::Error::RustlsTls(_)))) => {
            Err(ConnectError::Tls { server: server.to_owned(), reason: chain(&error) })
        }
        Ok(Ok(Err(error))) => Err(match login_failure(&error) {
            Some(login) => ConnectError::Credentials(format!("{plugin}: {login}")),
            None => ConnectError::Kubeconfig(chain(&error)),
        }),
        Ok(Ok(Ok(client))) => Ok(client),
    }
}

/// `None` if the server answers but does not tell.
async fn server_version(api: &Api, server: &str, limit: Duration) -> Result<Option<String>, ConnectError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Version {
        git_version: String,
    }
    let not_kubernetes = |reason| ConnectError::NotKubernetes { server: server.to_owned(), reason };
    match api.get(&Get::new("/version", limit)).await {
        Ok(body) => match serde_json::from_slice::<Version>(&body) {
            Ok(version) if version.git_version == NO_VERSION => Ok(None),
            Ok(version) => Ok(Some(one_line(&version.git_version))),
            Err(error) => Err(not_kubernetes(format!("/version: {error}"))),
        },
        Err(Failure::Refused { status: StatusCode::FORBIDDEN, .. }) => Ok(None),
        Err(failure) => Err(unreachable(server, failure)),
    }
}

fn unreachable(server: &str, failure: Failure) -> ConnectError {
    let server = server.to_owned();
    match failure {
        Failure::Refused { status: StatusCode::UNAUTHORIZED, message, .. } => {
            ConnectError::Authentication { server, reason: format!("401: {message}") }
        }
        Failure::Refused { status, message, .. } if status.is_server_error() || status.as_u16() == 429 => {
            ConnectError::Connection { server, reason: format!("{}: {message}", status.as_u16()) }
        }
        Failure::Refused { status, message, .. } => {
            ConnectError::NotKubernetes { server, reason: format!("{}: {message}", status.as_u16()) }
        }
        Failure::Lost(error) => lost(server, error.as_ref()),
        Failure::Timeout => ConnectError::Connection { server, reason: "no answer in time".into() },
        Failure::TooLarge => ConnectError::NotKubernetes { server, reason: "an endless answer".into() },
    }
}

fn lost(server: String, error: &(dyn Error + 'static)) -> ConnectError {
    if let Some(login) = login_failure(error) {
        return ConnectError::Credentials(login);
    }
    // The TLS library reports a bad handshake as invalid data on the connection.
    let tls = sources(error).filter_map(|error| error.downcast_ref::<std::io::Error>());
    let tls = tls.map(std::io::Error::kind).any(|kind| kind == std::io::ErrorKind::InvalidData);
    let reason = chain(error);
    if tls { ConnectError::Tls { server, reason } } else { ConnectError::Connection { server, reason } }
}

fn not_found(paths: &[PathBuf], reason: &str) -> ConnectError {
    let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    ConnectError::NoKubeconfig(one_line(&format!("looked at {}; {reason}", paths.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubeconfigs_are_merged_and_absent_ones_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let config = |context: &str| {
            format!("{{current-context: {context}, contexts: [{{name: {context}, context: {{cluster: c}}}}]}}")
        };
        let paths = [folder.path().join("absent"), write("one", &config("lab")), write("two", &config("prod"))];
        let both = merged(&paths).unwrap().unwrap();
        assert_eq!(both.current_context.as_deref(), Some("lab"), "the first file wins");
        assert_eq!(known_contexts(&both), "it has lab, prod");
        assert!(merged(&[write("empty", "")]).unwrap().is_none() && merged(&paths[..1]).unwrap().is_none());
        let broken = merged(&[write("broken", "contexts: [")]).unwrap_err();
        assert!(matches!(broken, ConnectError::Kubeconfig(text) if text.contains("broken: ")));
    }
}
