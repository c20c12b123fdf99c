//! A real browser for tests: headless Chromium, driven by the DevTools protocol over a pipe, which needs no socket and no
//! crate (https://chromedevtools.github.io/devtools-protocol/).

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Until which an answer must be there, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(120);

pub struct Browser {
    process: Child,
    requests: ChildStdin,
    answers: Receiver<Value>,
    next: u64,
    /// Of the page that is open.
    session: Option<String>,
    /// What the page did that it should not: exceptions, errors on the console, requests of the network.
    pub faults: Vec<String>,
    _profile: tempfile::TempDir,
}

/// The browser of the tests: `ATTENTIVE_TEST_BROWSER`. Without it these tests say so and end; `cargo xtask test` sets
/// it, and fails where there is none.
pub fn chosen() -> Option<OsString> {
    let chosen = std::env::var_os("ATTENTIVE_TEST_BROWSER").filter(|name| !name.is_empty());
    if chosen.is_none() {
        eprintln!("ATTENTIVE_TEST_BROWSER is not set: no page is opened");
    }
    chosen
}

impl Browser {
    /// Starts it with further switches. The shell gives it our pipe as its files 3 and 4, where it listens and answers.
    pub fn start(program: &OsString, switches: &[&str]) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let mut process = Command::new("sh")
            .args(["-c", "exec \"$@\" 3<&0 4>&1 0</dev/null 1>&2", "sh"])
            .arg(program)
            .args(["--headless=new", "--remote-debugging-pipe", "--no-first-run"])
            .args(switches)
            // The page is our own; a container's root has no sandbox.
            .args(["--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking"])
            .args(["--window-size=1400,1000", "--force-device-scale-factor=1"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let requests = process.stdin.take().unwrap();
        let mut said = BufReader::new(process.stdout.take().unwrap());
        let (send, answers) = channel();
        std::thread::spawn(move || {
            let mut message = Vec::new();
            while said.read_until(0, &mut message).is_ok_and(|length| length > 0) {
                message.pop();
                let value = serde_json::from_slice(&message).unwrap();
                if send.send(value).is_err() {
                    return;
                }
                message.clear();
            }
        });
        Self { process, requests, answers, next: 0, session: None, faults: Vec::new(), _profile: profile }
    }

    /// Calls a method and waits for what it answers.
    #[track_caller]
    pub fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.next += 1;
        let mut request = json!({ "id": self.next, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            request["sessionId"] = json!(session);
        }
        self.requests.write_all(format!("{request}\0").as_bytes()).unwrap();
        self.requests.flush().unwrap();
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let answer = self.answers.recv_timeout(left);
            let answer =
                answer.unwrap_or_else(|problem| panic!("the browser does not answer {method}: {problem}"));
            if answer["id"] == json!(self.next) {
                assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                return answer["result"].clone();
            }
            self.note(&answer);
        }
    }

    fn note(&mut self, event: &Value) {
        let parameters = &event["params"];
        match event["method"].as_str().unwrap_or_default() {
            "Runtime.exceptionThrown" => self.faults.push(parameters["exceptionDetails"].to_string()),
            "Runtime.consoleAPICalled"
                if ["error", "warning", "assert"]
                    .contains(&parameters["type"].as_str().unwrap_or_default()) =>
            {
                self.faults.push(parameters["args"].to_string());
            }
            "Log.entryAdded" => self.faults.push(parameters["entry"].to_string()),
            "Network.requestWillBeSent" => {
                let url = parameters["request"]["url"].as_str().unwrap_or_default();
                if !url.starts_with("file:") && !url.starts_with("data:") {
                    self.faults.push(format!("a request of {url}"));
                }
            }
            _ => {}
        }
    }

    /// Opens a file in a page of its own, and waits until it says that it is drawn.
    #[track_caller]
    pub fn open(&mut self, file: &Path) {
        self.session = None;
        let target = self.call("Target.createTarget", json!({ "url": "about:blank" }))["targetId"].clone();
        let attached = self.call("Target.attachToTarget", json!({ "targetId": target, "flatten": true }));
        self.session = Some(attached["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Runtime", "Log", "Network", "Page"] {
            self.call(&format!("{domain}.enable"), json!({}));
        }
        self.call("Page.navigate", json!({ "url": format!("file://{}", file.display()) }));
        // In the meantime there may be no document.
        self.wait("document.documentElement?.dataset.ready !== undefined");
    }

    /// The value of an expression in the page, or of what it promises.
    #[track_caller]
    pub fn value(&mut self, expression: &str) -> Value {
        let parameters = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let answer = self.call("Runtime.evaluate", parameters);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {}", answer["exceptionDetails"]);
        answer["result"]["value"].clone()
    }

    #[track_caller]
    pub fn text(&mut self, expression: &str) -> String {
        let value = self.value(expression);
        value.as_str().unwrap_or_else(|| panic!("{expression} is {value}")).to_owned()
    }

    /// Waits until an expression is true.
    #[track_caller]
    pub fn wait(&mut self, expression: &str) {
        let end = Instant::now() + PATIENCE;
        while self.value(expression) != json!(true) {
            assert!(Instant::now() < end, "{expression} does not become true; {:?}", self.faults);
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Moves the pointer to the middle of what an expression gives as `[x, y]`.
    #[track_caller]
    pub fn point(&mut self, expression: &str) {
        let at = self.value(expression);
        self.call("Input.dispatchMouseEvent", json!({ "type": "mouseMoved", "x": at[0], "y": at[1] }));
    }

    #[track_caller]
    pub fn click(&mut self, expression: &str) {
        let at = self.value(expression);
        for kind in ["mousePressed", "mouseReleased"] {
            let parameters =
                json!({ "type": kind, "x": at[0], "y": at[1], "button": "left", "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", parameters);
        }
    }

    #[track_caller]
    pub fn key(&mut self, key: &str) {
        for kind in ["keyDown", "keyUp"] {
            self.call("Input.dispatchKeyEvent", json!({ "type": kind, "key": key, "code": key }));
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its children end with it where it is asked; a hung one is ended here.
        self.session = None;
        let asked = self.requests.write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0").is_ok();
        let end = Instant::now() + Duration::from_secs(if asked { 20 } else { 0 });
        while Instant::now() < end && matches!(self.process.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
