//! A client of MCP that speaks to a process over its pipes, a line a message.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

/// What a client sends first.
pub fn initialize() -> Value {
    json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"},
    }})
}

/// A server that was started and greeted; it is killed when this is dropped.
pub struct Piped {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    next: u64,
    /// What the server said of itself when it was greeted.
    pub greeting: Value,
    /// What it said unasked.
    pub said: Vec<Value>,
}

impl Piped {
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut piped = Self { child, input, output, next: 0, greeting: Value::Null, said: Vec::new() };
        writeln!(piped.input, "{}", initialize()).unwrap();
        piped.greeting = piped.answer();
        writeln!(piped.input, r#"{{"jsonrpc":"2.0","method":"notifications/initialized"}}"#).unwrap();
        piped
    }

    /// Asks, and waits for the answer; what the server says unasked is kept.
    pub fn ask(&mut self, method: &str, params: Value) -> Value {
        self.next += 1;
        let asked = json!({"jsonrpc": "2.0", "id": self.next, "method": method, "params": params});
        writeln!(self.input, "{asked}").unwrap();
        self.answer()
    }

    /// The text of a tool's result, and whether it is an error.
    pub fn call(&mut self, tool: &str, arguments: Value) -> (String, bool) {
        let answer = self.ask("tools/call", json!({"name": tool, "arguments": arguments}));
        let result = &answer["result"];
        let text = result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
        (text, result["isError"] == true)
    }

    fn answer(&mut self) -> Value {
        loop {
            let mut line = String::new();
            self.output.read_line(&mut line).unwrap();
            let heard: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line:?} is no message of MCP"));
            if heard["id"] == self.next {
                return heard;
            }
            self.said.push(heard);
        }
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
