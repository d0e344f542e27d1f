//! Starts a worker, waits for its answer, and kills it when nobody waits any more.

use std::{
    io::{Read, Write as _},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use super::job::{Answer, Job, MARK};

/// A worker's answer with the trace that it printed.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) answer: Answer,
    pub(crate) trace: Vec<String>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The worker says that its input is bad.
    Input(String),
    /// The worker died: a panic of the simulator or of the agent.
    Died(String),
    /// It did not answer in time.
    TimedOut(Duration),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Input(text) => write!(f, "bad input: {text}"),
            Self::Died(text) => write!(f, "the run died: {text}"),
            Self::TimedOut(limit) => write!(f, "no answer within {} s of wall time", limit.as_secs()),
        }
    }
}

/// A worker; dropping it kills it.
#[must_use = "dropping a worker kills it"]
struct Worker {
    child: Child,
    /// Open for as long as the worker may live.
    _stdin: ChildStdin,
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Both fail only if it has ended by itself.
        let _ended = self.child.kill();
        let _waited = self.child.wait();
    }
}

/// Does a job in a process of its own.
pub(crate) fn run(job: &Job, limit: Option<Duration>) -> Result<Finished, Failure> {
    let (mut worker, stdout, stderr) = start(job).map_err(|error| Failure::Died(error.to_string()))?;
    thread::scope(|scope| {
        let (told, answer) = mpsc::channel();
        scope.spawn(move || told.send(read_all(stdout)));
        let errors = scope.spawn(move || read_all(stderr));
        let text = match limit {
            Some(limit) => answer.recv_timeout(limit).ok(),
            None => answer.recv().ok(),
        };
        let Some(text) = text else {
            // Closes its pipes, so that the readers end.
            drop(worker);
            return Err(Failure::TimedOut(limit.unwrap_or_default()));
        };
        let status = worker.child.wait();
        let errors = errors.join().unwrap_or_default();
        finished(&text).ok_or_else(|| match status.ok().and_then(|status| status.code()) {
            Some(2) => Failure::Input(errors.trim().trim_start_matches("error: ").replace('\n', "; ")),
            code => {
                let last = errors.lines().filter(|line| !line.trim().is_empty()).take(3).collect::<Vec<_>>();
                let code = code.map_or_else(|| "killed".to_owned(), |code| format!("exit {code}"));
                Failure::Died(format!("{code}: {}", last.join(" ")))
            }
        })
    })
}

fn start(job: &Job) -> std::io::Result<(Worker, impl Read + Send + use<>, impl Read + Send + use<>)> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("worker")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().expect("the pipe was asked for");
    let stdout = child.stdout.take().expect("the pipe was asked for");
    let stderr = child.stderr.take().expect("the pipe was asked for");
    let line = serde_json::to_string(job).expect("a job is plain data with text keys");
    let worker = writeln!(stdin, "{line}").map(|()| Worker { child, _stdin: stdin })?;
    Ok((worker, stdout, stderr))
}

fn read_all(mut from: impl Read) -> String {
    let mut bytes = Vec::new();
    // What was read before an error is still worth showing.
    let _read = from.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

fn finished(text: &str) -> Option<Finished> {
    let (trace, answer) = match text.strip_prefix(MARK) {
        Some(answer) => ("", answer),
        None => text.rsplit_once(&format!("\n{MARK}"))?,
    };
    let answer = serde_json::from_str(answer).ok()?;
    Some(Finished { answer, trace: trace.lines().map(str::to_owned).collect() })
}
