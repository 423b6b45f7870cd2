//! Runs a command in a container over a WebSocket.

use std::sync::atomic::Ordering;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::api::{Api as Pods, AttachParams, AttachedProcess};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::api::{Api, chain, cut_front, one_line};
use crate::facts::{NOT_CAPTURED, Why, redact};

const STDOUT_AT_MOST: usize = 64 << 20;
const STDERR_TAIL: usize = 64 << 10;
/// The library's own pipes hold 1 KiB, a switch of tasks for each.
const PIPE: usize = 256 << 10;
const TRIES: u32 = 3;

/// Where a command runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Container {
    pub ns: String,
    pub pod: String,
    pub container: String,
}

/// What a command left behind.
pub(super) struct Ran {
    pub rc: i32,
    pub stdout: Vec<u8>,
    /// Its end, which may hold a key: not to be shown as it is.
    pub stderr: String,
}

impl Ran {
    /// Whether Ceph, or the `timeout` around it, gave up waiting.
    pub fn timed_out(&self) -> bool {
        const KILLED_BY_TIMEOUT: i32 = 124;
        self.rc != 0 && (self.rc == KILLED_BY_TIMEOUT || self.stderr.contains("timed out"))
    }

    /// The stdout of a command that succeeded.
    pub fn succeeded(self) -> Result<Vec<u8>, Why> {
        if self.rc == 0 {
            return Ok(self.stdout);
        }
        if self.timed_out() {
            return Err(Why::Timeout);
        }
        Err(Why::Failed { rc: self.rc, stderr: redact::keys(&self.stderr) })
    }
}

impl Api {
    /// Runs a command to its end, or gives up after `limit`, whatever the other side does.
    pub async fn run(&self, at: &Container, command: &[String], limit: Duration) -> Result<Ran, Why> {
        let _permit = self.commands.acquire().await.map_err(|error| Why::Unreachable(error.to_string()))?;
        let ran = async { self.finish(self.start(at, command).await?).await };
        tokio::time::timeout(limit, ran).await.unwrap_or(Err(Why::Timeout))
    }

    /// Opens the stream. Only what happens before the command starts is tried again.
    async fn start(&self, at: &Container, command: &[String]) -> Result<AttachedProcess, Why> {
        if !is_dns_name(&at.ns) || !is_dns_name(&at.pod) {
            return Err(Why::Malformed(format!("no pod can be called {}", one_line(&format!("{}/{}", at.ns, at.pod)))));
        }
        let pods: Pods<Pod> = Pods::namespaced(self.client.clone(), &at.ns);
        let params = AttachParams::default().stdin(false).stdout(true).stderr(true);
        let params = params.max_stdout_buf_size(PIPE).max_stderr_buf_size(PIPE).container(at.container.as_str());
        self.spent.requests.fetch_add(1, Ordering::Relaxed);
        let mut tries = 0;
        loop {
            tries += 1;
            match pods.exec(&at.pod, command, &params).await {
                Err(kube::Error::Api(status)) if status.code == 429 && tries < TRIES => {
                    self.spent.retries.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
                started => return started.map_err(refused),
            }
        }
    }

    /// Drains both streams and waits for the status together: any of them left alone blocks the others.
    async fn finish(&self, mut process: AttachedProcess) -> Result<Ran, Why> {
        let (stdout, stderr, status) = (process.stdout(), process.stderr(), process.take_status());
        let status = async { Ok(futures::future::OptionFuture::from(status).await.flatten()) };
        let (stdout, stderr, status) = tokio::try_join!(whole(stdout), ending(stderr), status)?;
        self.spent.bytes.fetch_add((stdout.len() + stderr.len()) as u64, Ordering::Relaxed);
        let status = status.ok_or_else(|| Why::Unreachable("the stream ended before the command did".into()))?;
        Ok(Ran { rc: exit_status(status)?, stdout, stderr: String::from_utf8_lossy(&stderr).into_owned() })
    }
}

async fn whole(stream: Option<impl AsyncRead + Unpin>) -> Result<Vec<u8>, Why> {
    let Some(stream) = stream else { return Ok(Vec::new()) };
    let mut bytes = Vec::new();
    let read = stream.take(STDOUT_AT_MOST as u64 + 1).read_to_end(&mut bytes).await;
    read.map_err(|error| Why::Unreachable(error.to_string()))?;
    if bytes.len() > STDOUT_AT_MOST { Err(Why::OverBudget) } else { Ok(bytes) }
}

async fn ending(stream: Option<impl AsyncRead + Unpin>) -> Result<Vec<u8>, Why> {
    let Some(mut stream) = stream else { return Ok(Vec::new()) };
    let mut kept = Vec::new();
    let mut buffer = vec![0; 16 << 10];
    loop {
        let read = stream.read(&mut buffer).await.map_err(|error| Why::Unreachable(error.to_string()))?;
        if read == 0 {
            return Ok(kept);
        }
        kept.extend_from_slice(&buffer[..read]);
        cut_front(&mut kept, Some(STDERR_TAIL));
    }
}

/// The exit status is told in the causes of a `Status`; a command that could not be started has none.
fn exit_status(status: Status) -> Result<i32, Why> {
    if status.status.as_deref() == Some("Success") {
        return Ok(0);
    }
    if status.reason.as_deref() == Some(NOT_CAPTURED) {
        return Err(Why::NotCaptured);
    }
    let causes = status.details.and_then(|details| details.causes).unwrap_or_default();
    let code = causes.into_iter().find(|cause| cause.reason.as_deref() == Some("ExitCode"));
    let code = code.and_then(|cause| cause.message?.parse().ok());
    code.ok_or_else(|| Why::Unreachable(one_line(&status.message.unwrap_or_default())))
}

fn refused(error: kube::Error) -> Why {
    match error {
        kube::Error::Api(status) if status.reason == NOT_CAPTURED => Why::NotCaptured,
        kube::Error::Api(status) if status.code == 403 => Why::Forbidden(one_line(&status.message)),
        kube::Error::Api(status) => Why::Unreachable(format!("{}: {}", status.code, one_line(&status.message))),
        error => Why::Unreachable(chain(&error)),
    }
}

/// The library puts these names into the path as they are.
fn is_dns_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.';
    !name.is_empty() && name.len() <= 253 && !name.starts_with('.') && name.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn exit_status_comes_from_the_causes() {
        let status = |value| serde_json::from_value::<Status>(value).unwrap();
        assert_eq!(exit_status(status(json!({"status": "Success"}))), Ok(0));
        let failed = json!({"status": "Failure", "reason": "NonZeroExitCode", "message": "command terminated with exit code 22",
            "details": {"causes": [{"reason": "ExitCode", "message": "22"}]}});
        assert_eq!(exit_status(status(failed)), Ok(22));
        let not_started = json!({"status": "Failure", "reason": "InternalError", "message": "OCI runtime exec failed"});
        assert_eq!(exit_status(status(not_started)), Err(Why::Unreachable("OCI runtime exec failed".into())));
        let recorded = json!({"status": "Failure", "reason": "NotCaptured", "code": 501});
        assert_eq!(exit_status(status(recorded)), Err(Why::NotCaptured));
    }

    #[test]
    fn timeouts_of_ceph_are_told_from_other_failures() {
        let ran = |rc, stderr: &str| Ran { rc, stdout: Vec::new(), stderr: stderr.into() };
        assert!(ran(1, "2026-01-01 monclient: hunting\ntimed out").timed_out());
        assert!(ran(124, "").timed_out());
        assert!(!ran(13, "[errno 13] RADOS permission denied (error connecting to the cluster)").timed_out());
        assert!(!ran(0, "timed out").timed_out());
        let key =
            "error setting modifier for [client.admin] type=key val=AgAq8jZnmTFYGhAAk7u8Yy0qJ0G0mJ3r8m4b1wQ9xk2v7w==\n";
        let stderr = "error setting modifier for [client.admin] type=key val=<redacted>".to_owned();
        assert_eq!(ran(5, key).succeeded(), Err(Why::Failed { rc: 5, stderr }));
    }
}
