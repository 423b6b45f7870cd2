//! `serve`: a recorded cluster as a Kubernetes API on the loopback, until it is interrupted.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use axum::extract::Request;
use tokio::net::TcpListener;

use super::opening::{Recording, recording};
use crate::cli::{Cli, Serve};
use crate::exit::{Exit, Failed};
use crate::facts::bundle::Bundle;
use crate::facts::{Answer, Fact, Select, Source, kinds};
use crate::screen::Screen;
use crate::serve::Server;
use crate::serve::kubeconfig::{kubeconfig, write};

/// Being interrupted is how it ends: the status is 130, as of `kubectl proxy`, and nothing is said of it.
pub(super) fn run(cli: &Cli, flags: &Serve, screen: &Screen) -> Result<Exit, Failed> {
    let path = flags.recording.as_deref().or(cli.source.bundle.as_deref());
    let example = cli.choice.example.as_deref();
    let recording = recording(path, example)?.context("nothing to serve")?;
    let name = context_name(example.unwrap_or(&path.map(file_name).unwrap_or_default()));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let serving = serve(recording, name, flags.clone(), *screen);
    let ended = runtime.block_on(async {
        let mut interrupt = std::pin::pin!(tokio::signal::ctrl_c());
        // The first poll is what installs the handler: it must be there before anything can take long.
        let _ = futures::poll!(&mut interrupt);
        tokio::select! {
            served = tokio::spawn(serving) => served.context("the server ended early")?,
            Ok(()) = &mut interrupt => Ok(Exit::Interrupted),
        }
    });
    // Neither a bundle that is still being read nor a client that listens holds it back.
    runtime.shutdown_background();
    ended
}

async fn serve(recording: Recording, name: String, flags: Serve, screen: Screen) -> Result<Exit, Failed> {
    let bundle = tokio::task::spawn_blocking(recording).await.context("the recording could not be read")??;
    // First of all the port, so that no kubeconfig leads to somebody else.
    let listener = TcpListener::bind(("127.0.0.1", flags.port)).await.map_err(|error| {
        let text = format!(
            "cannot listen on 127.0.0.1:{}: {error}. Name another port, or none for any that is free",
            flags.port
        );
        Failed::unseen(anyhow::anyhow!(text))
    })?;
    let address = listener.local_addr()?;
    let key = key()?;
    let namespace = namespace(&bundle).await;
    let config = kubeconfig(&name, &format!("http://{address}/{key}"), &namespace);
    for damage in bundle.tree().damage().iter().map(String::as_str).chain(bundle.tree().cut()) {
        screen.complain(&format!("warning: not all of the recording could be read: {damage}"));
    }
    let recorded = bundle.now().strftime("%Y-%m-%d %H:%MZ").to_string();
    let server = Arc::new(Server::new(bundle).await);
    let export = match &flags.file {
        Some(path) => {
            write(path, &config).map_err(|error| {
                Failed::usage(anyhow::anyhow!("cannot write the kubeconfig to {}: {error}", path.display()))
            })?;
            let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            format!("export KUBECONFIG={}", quoted(&path.display().to_string()))
        }
        None => {
            screen.write(&config)?;
            "export KUBECONFIG=<a file with what is printed here>".to_owned()
        }
    };
    screen.complain(&format!(
        "serving {name} on {address}, as it was at {recorded}; try: {export}; kubectl get pods -A (Ctrl-C ends it)"
    ));
    let app = Router::new().fallback(move |request: Request| {
        let (server, key) = (Arc::clone(&server), key.clone());
        async move { server.respond(&key, request).await }
    });
    axum::serve(listener, app).await?;
    Ok(Exit::Healthy)
}

/// 128 random bits: whoever does not have the kubeconfig cannot guess the address.
fn key() -> Result<String, Failed> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("there is no randomness: {error}"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The namespace of the first CephCluster, else the one that most have.
async fn namespace(bundle: &Bundle) -> String {
    let fact = Fact::List { kind: kinds::CEPH_CLUSTER, ns: None, select: Select::all() };
    let clusters = match bundle.fetch(&fact).await.map(|reading| reading.answer) {
        Ok(Answer::Objects(clusters)) => clusters,
        _ => Vec::new(),
    };
    let namespace = clusters.first().and_then(|cluster| cluster["metadata"]["namespace"].as_str());
    let is_plain =
        |name: &&str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    namespace.filter(is_plain).unwrap_or("rook-ceph").to_owned()
}

/// The last part of a path, without what archives end in.
fn file_name(path: &Path) -> String {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let name = name.trim_end_matches(".gz").trim_end_matches(".tgz").trim_end_matches(".tar");
    name.to_owned()
}

/// A name that needs no quotes in YAML or a shell.
fn context_name(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let name: String = name.chars().map(|c| if is_plain(c) { c } else { '-' }).take(60).collect();
    format!("recorded-{}", name.trim_matches(['-', '.']))
}

/// A word for a shell.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./:,+@%".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_is_called_like_the_recording() {
        for (path, expected) in [
            ("story5.tar.gz", "recorded-story5"),
            ("/tmp/must-gather.local.123.tgz", "recorded-must-gather.local.123"),
            ("a b: {c}", "recorded-a-b---c"),
            ("/", "recorded-"),
        ] {
            assert_eq!(context_name(&file_name(Path::new(path))), expected);
        }
        assert_eq!((quoted("/tmp/a"), quoted("a b'c")), ("/tmp/a".into(), "'a b'\\''c'".into()));
    }
}
