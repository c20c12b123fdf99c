//! PyTorch and ONNX Runtime, by `peers.py` in a process of its own that takes its turns.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::task::{Keys, Task};
use crate::{Error, Rival, Run, Taken};

pub struct Python {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    name: String,
}

impl Python {
    pub fn new(python: &str, library: &str) -> Result<Self, Error> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/peers.py");
        let mut child = Command::new(python)
            .args([script, library])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let to = child.stdin.take().ok_or("no stdin")?;
        let from = BufReader::new(child.stdout.take().ok_or("no stdout")?);
        let mut python = Self { child, to, from, name: String::new() };
        let hello = python.line()?;
        python.name = hello["name"].as_str().ok_or("it says no name")?.to_owned();
        Ok(python)
    }

    fn line(&mut self) -> Result<Value, Error> {
        let mut line = String::new();
        if self.from.read_line(&mut line)? == 0 {
            return Err("it ended".into());
        }
        let value: Value = serde_json::from_str(&line)?;
        match value["error"].as_str() {
            Some(error) => Err(error.to_owned().into()),
            None => Ok(value),
        }
    }

    fn ask(&mut self, question: &Value) -> Result<Value, Error> {
        writeln!(self.to, "{question}")?;
        self.to.flush()?;
        self.line()
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Rival for Python {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn on_adapter(&self) -> bool {
        false
    }

    fn prepare(&mut self, task: Task) -> Result<Box<dyn Run + '_>, Error> {
        let sizes = match task {
            Task::Gemm { rows, depth, columns } => json!([rows, depth, columns]),
            Task::Attention { batch, heads, length, head_dim, .. } => json!([batch, heads, length, head_dim]),
            Task::Layer { batch, length, width, heads } => json!([batch, length, width, heads]),
        };
        let (keys, lengths) = match task {
            Task::Attention { keys: Keys::Causal, .. } => ("causal", Vec::new()),
            Task::Attention { keys: Keys::Lengths, batch, length, .. } => {
                ("lengths", Task::lengths(batch, length))
            }
            _ => ("all", Vec::new()),
        };
        let question = json!({ "prepare": task.family(), "sizes": sizes, "keys": keys, "lengths": lengths });
        let answer = self.ask(&question)?;
        let task = answer["task"].as_u64().ok_or("it says no number")?;
        Ok(Box::new(Ready { python: self, task }))
    }
}

struct Ready<'a> {
    python: &'a mut Python,
    task: u64,
}

impl Run for Ready<'_> {
    fn calls(&mut self, count: usize) -> Result<Taken, Error> {
        let answer = self.python.ask(&json!({ "run": self.task, "calls": count }))?;
        let seconds = |key: &str| answer[key].as_f64().ok_or("it says no time");
        Ok(Taken { wall: seconds("wall")?, processor: seconds("processor")? })
    }

    fn output(&mut self) -> Result<Vec<f32>, Error> {
        let answer = self.python.ask(&json!({ "output": self.task }))?;
        let values = answer["values"].as_array().ok_or("it gives no values")?;
        Ok(values.iter().map(|value| value.as_f64().unwrap_or(f64::NAN) as f32).collect())
    }
}
