//! The one way out of the sandbox, where some is granted: a socket of ours inside, which leads
//! to a proxy. There is no network but the sandbox's own, in which a small program makes the
//! socket a proxy as programs know them.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixListener;
use tokio_util::sync::DropGuard;

use crate::sandbox::{Printed, Run};
use crate::web::{Proxy, Web};

/// Where the socket is inside.
pub(super) const INSIDE: &str = "/run/clara-proxy";
/// Where programs find the proxy, by which variables.
pub(super) const PROXY: &str = "http://127.0.0.1:3128";
pub(super) const VARIABLES: [&str; 4] = ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"];

/// Before a command: stands between programs and the socket, and then is the program that was
/// asked for. Nothing depends on its good will: whoever speaks to the socket, the proxy decides.
pub(super) const BRIDGE: [&str; 4] = ["python3", "-I", "-c", BETWEEN];
const BETWEEN: &str = "\
import os, socket, sys
listener = socket.create_server(('127.0.0.1', 3128), backlog=64)
if os.fork() != 0:
    listener.close()
    os.execvp(sys.argv[1], sys.argv[1:])
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
import asyncio
async def flow(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        pass
async def relay(reader, writer):
    try:
        far_reader, far_writer = await asyncio.open_unix_connection('/run/clara-proxy')
        await asyncio.gather(flow(reader, far_writer), flow(far_reader, writer))
        far_writer.close()
    except OSError:
        pass
    writer.close()
async def main():
    server = await asyncio.start_server(relay, sock=listener)
    await server.serve_forever()
asyncio.run(main())
";

/// How the folder of a socket is called, in the beginning.
const NAMED: &str = "clara-egress-";

/// A socket that leads out; closed, and gone, when it is dropped.
pub(super) struct Egress {
    folder: PathBuf,
    pub(super) socket: PathBuf,
    _proxy: DropGuard,
}

impl Egress {
    /// The way out of a run; none where nothing was granted to it. What is refused is told in what
    /// it prints. `within`: a folder in which the socket can stand; the path of a socket is short
    /// (`unix(7)`).
    pub(super) fn of(run: &Run, within: &Path, web: &Web, printed: &Arc<Printed>) -> Result<Option<Self>, String> {
        if run.hosts.is_empty() {
            return Ok(None);
        }
        let folder = within.join(format!("{NAMED}{}", &uuid::Uuid::new_v4().simple().to_string()[..16]));
        let failed = |err: std::io::Error| format!("no way out can be made: {}: {err}", folder.display());
        std::fs::create_dir(&folder).map_err(failed)?;
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700)).map_err(failed)?;
        let socket = folder.join("proxy");
        let listener = UnixListener::bind(&socket).map_err(failed)?;
        let printed = Arc::clone(printed);
        let tell = Box::new(move |why: &str| printed.push(why.as_bytes()));
        let _proxy = Proxy::serve(web.clone(), Arc::clone(&run.hosts), tell, listener);
        Ok(Some(Self { folder, socket, _proxy }))
    }
}

impl Drop for Egress {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Removes the ways out in a folder that were left by runners that died.
pub(super) fn remove_older_than(folder: &Path, age: Duration) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_one = entry.file_name().to_str().is_some_and(|name| name.starts_with(NAMED));
        let made = entry.metadata().and_then(|found| found.modified()).ok();
        if is_one && made.and_then(|made| made.elapsed().ok()).is_some_and(|old| old > age) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
