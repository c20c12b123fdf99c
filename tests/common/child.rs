//! Tests that may hang, crash, or need another environment run in a child process: this test binary again, with that
//! one test, and a time limit.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const MARK: &str = "ATTENTIVE_TEST_CHILD";
const TIME: Duration = Duration::from_secs(60);

/// True in the child.
pub fn is_child() -> bool {
    std::env::var_os(MARK).is_some()
}

/// The child that runs `test` of this binary.
pub fn command(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(MARK, "1");
    command
}

/// The same where the child may take no more than that much address space.
#[cfg(target_os = "linux")]
pub fn command_within(test: &str, kib: u64) -> Command {
    let plain = command(test);
    let mut limited = Command::new("sh");
    limited.args(["-c", &format!("ulimit -v {kib}; exec \"$0\" \"$@\"")]);
    limited.arg(plain.get_program()).args(plain.get_args()).env(MARK, "1");
    limited
}

/// A child under way, with what it writes.
pub struct Running {
    child: Child,
    output: Vec<JoinHandle<String>>,
    begun: Instant,
}

pub fn spawn(mut command: Command) -> Running {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    fn drain(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = pipe.read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        })
    }
    let output = vec![drain(child.stdout.take().unwrap()), drain(child.stderr.take().unwrap())];
    Running { child, output, begun: Instant::now() }
}

impl Running {
    /// Waits for it; its output if it passed, a panic with its output if it failed, crashed or hung.
    #[track_caller]
    pub fn passed(mut self) -> String {
        let mut ended: Option<ExitStatus> = None;
        while ended.is_none() && self.begun.elapsed() < TIME {
            ended = self.child.try_wait().unwrap();
            std::thread::sleep(Duration::from_millis(10));
        }
        if ended.is_none() {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
        }
        let output: String = self.output.into_iter().map(|output| output.join().unwrap()).collect();
        match ended {
            None => panic!("the child hung for {TIME:?}:\n{output}"),
            Some(status) => assert!(status.success(), "the child ended with {status}:\n{output}"),
        }
        // A filter that matches no test passes too.
        assert!(output.contains("1 passed"), "the child ran no test:\n{output}");
        output
    }
}

/// Runs `body` in a child process, which must end well and in time.
#[track_caller]
pub fn in_child(test: &str, body: impl FnOnce()) {
    match is_child() {
        true => body(),
        false => print!("{}", spawn(command(test)).passed()),
    }
}
