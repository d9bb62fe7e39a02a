//! A program on a terminal of its own, typed to and read.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::eventually;

pub struct Pty {
    child: Child,
    keyboard: std::fs::File,
    screen: Arc<Mutex<Vec<u8>>>,
    /// How much of what was shown has been seen, in bytes of plain text.
    seen: usize,
}

impl Pty {
    /// Starts a command on a terminal of 100 by 30 that is its controlling one.
    pub fn start(command: &Command) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        tcsetwinsize(&master, Winsize { ws_row: 30, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let slave = || Stdio::from(std::fs::File::options().read(true).write(true).open(&name).unwrap());
        let mut started = Command::new("setsid");
        started.args(["--ctty", "--wait"]).arg(command.get_program()).args(command.get_args());
        started
            .env_clear()
            .env("TERM", "xterm")
            .envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        if let Some(folder) = command.get_current_dir() {
            started.current_dir(folder);
        }
        let child = started.stdin(slave()).stdout(slave()).stderr(slave()).spawn().unwrap();
        let master: OwnedFd = master;
        let keyboard = std::fs::File::from(master);
        let screen = Arc::<Mutex<Vec<u8>>>::default();
        let (mut reader, shown) = (keyboard.try_clone().unwrap(), Arc::clone(&screen));
        let mut answers = keyboard.try_clone().unwrap();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = reader.read(&mut buffer) {
                // A line editor asks where the cursor is; a terminal says so.
                for _ in 0..buffer[..length].windows(4).filter(|window| window == b"\x1b[6n").count() {
                    let _ = answers.write_all(b"\x1b[1;1R");
                }
                shown.lock().unwrap().extend_from_slice(&buffer[..length]);
            }
        });
        Self { child, keyboard, screen, seen: 0 }
    }

    pub fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Everything that was written to the terminal, escapes taken out.
    pub fn shown(&self) -> String {
        let text = String::from_utf8_lossy(&self.screen.lock().unwrap()).into_owned();
        let (mut plain, mut chars) = (String::new(), text.chars());
        while let Some(c) = chars.next() {
            if c == '\u{1b}' {
                // An escape sequence ends with a letter.
                let _ = chars.find(|c| c.is_ascii_alphabetic());
            } else {
                plain.push(c);
            }
        }
        plain
    }

    /// Waits until a text is shown after what was seen already.
    pub async fn sees(&mut self, text: &str) {
        let find = || Some(self.shown().get(self.seen..)?.find(text)? + self.seen + text.len());
        let found =
            tokio::time::timeout(crate::DEADLINE / 2, eventually("a text on the terminal", async || find())).await;
        self.seen = found.unwrap_or_else(|_| panic!("`{text}` was not shown: {}", self.shown()));
    }

    /// Waits for the end of the program.
    pub async fn ends(mut self) -> bool {
        eventually("the program ends", async || self.child.try_wait().unwrap()).await.success()
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
