//! An index of Python packages (PEP 503) with one package in it, and a ledger of what was
//! asked.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;

const WHEEL: &str = "greeting-1.0-py3-none-any.whl";

/// Writes the wheel to the file that it is given.
const MAKE: &str = "
import sys, zipfile
name = 'greeting-1.0.dist-info'
files = {
    'greeting.py': 'def greet(): return \"hello from a package\"\\n',
    name + '/METADATA': 'Metadata-Version: 2.1\\nName: greeting\\nVersion: 1.0\\n',
    name + '/WHEEL': 'Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n',
}
files[name + '/RECORD'] = ''.join(f + ',,\\n' for f in files) + name + '/RECORD,,\\n'
with zipfile.ZipFile(sys.argv[1], 'w') as wheel:
    for path, text in files.items():
        wheel.writestr(path, text)
";

#[derive(Clone)]
struct Shelf {
    wheel: Bytes,
    asked: Arc<Mutex<Vec<String>>>,
}

pub struct FakeIndex {
    pub address: SocketAddr,
    shelf: Shelf,
    server: tokio::task::JoinHandle<()>,
}

impl FakeIndex {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(WHEEL);
        let made = Command::new("/usr/bin/python3").args(["-c", MAKE]).arg(&file).status().unwrap();
        assert!(made.success(), "python3 makes a wheel");
        let shelf = Shelf { wheel: std::fs::read(&file).unwrap().into(), asked: Arc::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(serve).with_state(shelf.clone());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, shelf, server }
    }

    /// The paths that were asked for, in their order.
    pub fn asked(&self) -> Vec<String> {
        self.shelf.asked.lock().unwrap().clone()
    }
}

impl Drop for FakeIndex {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(State(shelf): State<Shelf>, uri: Uri) -> Response {
    shelf.asked.lock().unwrap().push(uri.path().to_owned());
    match uri.path() {
        "/simple/greeting/" => {
            let page = format!("<!DOCTYPE html><a href=\"../../files/{WHEEL}\">{WHEEL}</a>");
            ([(header::CONTENT_TYPE, "text/html")], page).into_response()
        }
        path if path == format!("/files/{WHEEL}") => shelf.wheel.into_response(),
        "/hello" => "hello from outside".into_response(),
        // Whatever follows is another place.
        path if path.starts_with("/to/") => {
            (StatusCode::FOUND, [(header::LOCATION, format!("http://{}", &path["/to/".len()..]))]).into_response()
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}
