//! A browser for one test: Chromium without a window, led by ChromeDriver.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder};
use http::Method;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Where this is set, a browser that is not there is a failure.
const NEEDED: &str = "ROOKDOCTOR_TEST_NEEDS_BROWSER";

const ARGS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
];

pub struct Browser {
    pub client: Client,
    /// The pages, and what the browser keeps.
    folder: TempDir,
}

/// Ends with the test, however that ends.
struct Driver(Child);

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a test in a browser, or says that it was passed over.
pub fn browse(test: impl AsyncFnOnce(&Browser)) {
    let Some((_driver, port)) = start() else {
        assert!(std::env::var_os(NEEDED).is_none(), "there is no chromedriver, and {NEEDED} is set");
        // Not by eprintln!, which the test harness swallows.
        let mut stderr = std::io::stderr();
        stderr.write_all(b"passed over: a test of -o html needs chromium and chromedriver\n").unwrap();
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let browser = Browser::start(port).await;
        test(&browser).await;
        browser.client.close().await.unwrap();
    });
}

/// None if there is none. It asks for a free port twice, for IPv4 and IPv6, and ends if another got there in between.
fn start() -> Option<(Driver, u16)> {
    for _ in 0..5 {
        let mut command = Command::new("chromedriver");
        let child = command.arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
        let mut driver = Driver(child);
        if let Some(port) = port(&mut driver.0) {
            return Some((driver, port));
        }
    }
    panic!("chromedriver does not say its port");
}

/// `ChromeDriver was started successfully on port 40123.`
fn port(driver: &mut Child) -> Option<u16> {
    let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines().map_while(Result::ok);
    let port = lines.find_map(|line| line.split_once("successfully on port ")?.1.trim_end_matches('.').parse().ok());
    // What it says later has a reader as well: a full pipe would stop it.
    std::thread::spawn(move || lines.for_each(drop));
    port
}

impl Browser {
    async fn start(port: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let profile = format!("--user-data-dir={}", folder.path().join("profile").display());
        let args: Vec<&str> = ARGS.into_iter().chain([profile.as_str()]).collect();
        let wanted = json!({
            "goog:chromeOptions": {"args": args},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        });
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(wanted.as_object().unwrap().clone());
        let client = builder.connect(&format!("http://127.0.0.1:{port}")).await.unwrap();
        let browser = Self { client, folder };
        browser.size(1280).await;
        browser
    }

    /// Opens a page from a file, as who gets it in a ticket does.
    pub async fn open(&self, page: &str) {
        let path = self.folder.path().join("page.html");
        fs::write(&path, page).unwrap();
        self.client.goto(&format!("file://{}", path.display())).await.unwrap();
    }

    /// What a script answers, which sees the page as it is.
    pub async fn ask(&self, script: &str) -> Value {
        self.client.execute(script, vec![]).await.unwrap()
    }

    /// The same, of what the page does when it comes to it (an event follows what it tells of).
    pub async fn becomes(&self, script: &str, expected: Value) {
        for _ in 0..100 {
            if self.ask(script).await == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(self.ask(script).await, expected, "{script}");
    }

    /// The same, as a list of complaints, of which there must be none.
    pub async fn no_complaint(&self, script: &str) {
        let complaints = self.ask(script).await;
        assert_eq!(complaints, json!([]));
    }

    pub async fn devtools(&self, command: &str, params: Value) -> Value {
        let body = json!({"cmd": command, "params": params});
        self.client.issue_cmd(Extra { path: "goog/cdp/execute", body }).await.unwrap()
    }

    /// `browser`, what the console says; `performance`, what goes over the network.
    pub async fn log(&self, kind: &str) -> Vec<Value> {
        let entries = self.client.issue_cmd(Extra { path: "se/log", body: json!({"type": kind}) }).await.unwrap();
        entries.as_array().unwrap().clone()
    }

    pub async fn size(&self, width: u32) {
        let size = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false});
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// `screen` or `print`, `light` or `dark`.
    pub async fn media(&self, media: &str, scheme: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.devtools("Emulation.setEmulatedMedia", json!({"media": media, "features": features})).await;
    }
}

/// A command of ChromeDriver's own.
#[derive(Debug)]
struct Extra {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Extra {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &url::Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.body.to_string()))
    }
}
