//! Secrets at rest: XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03) under a key of each owner,
//! which is derived from the master key. What is sealed for one place opens nowhere else.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, bail};
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use secrecy::{ExposeSecret, SecretString};

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
/// What keys of owners are derived for (BLAKE3's `derive_key`).
const CONTEXT: &str = "clara 2026-11-26 secrets of MCP servers by owner";

/// The master key.
#[derive(Clone)]
pub(crate) struct MasterKey([u8; KEY_BYTES]);

impl MasterKey {
    /// The key that is configured, else that of a file, which is made if it is not there.
    pub(crate) fn open(configured: Option<SecretString>, file: &Path) -> anyhow::Result<Self> {
        if let Some(given) = configured {
            let bytes = HEXLOWER_PERMISSIVE.decode(given.expose_secret().trim().as_bytes());
            let key = bytes.ok().and_then(|bytes| bytes.try_into().ok());
            return key.map(Self).context("CLARA_SECRET_KEY must be 64 hexadecimal digits: `openssl rand -hex 32`");
        }
        if !file.exists() {
            make(file).with_context(|| format!("make {}", file.display()))?;
        }
        let mut bytes = Vec::new();
        File::open(file)?.take(KEY_BYTES as u64 + 1).read_to_end(&mut bytes)?;
        match bytes.try_into() {
            Ok(key) => Ok(Self(key)),
            Err(_) => bail!("{} holds no key: what was sealed with it is lost; remove it", file.display()),
        }
    }

    fn cipher(&self, owner: &str) -> XChaCha20Poly1305 {
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        hasher.update(&self.0).update(owner.as_bytes());
        XChaCha20Poly1305::new(hasher.finalize().as_bytes().into())
    }

    /// Seals a text of an owner for one place.
    pub(crate) fn seal(&self, owner: &str, place: &str, text: &str) -> Result<String, String> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|err| format!("the system gives no random bytes: {err}"))?;
        let payload = Payload { msg: text.as_bytes(), aad: place.as_bytes() };
        let sealed =
            self.cipher(owner).encrypt(&nonce.into(), payload).map_err(|_| "it cannot be sealed".to_owned())?;
        Ok(BASE64.encode(&[&nonce[..], &sealed].concat()))
    }

    /// What was sealed there; nothing if it was not, or with another key.
    pub(crate) fn unseal(&self, owner: &str, place: &str, sealed: &str) -> Option<String> {
        let bytes = BASE64.decode(sealed.as_bytes()).ok()?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_BYTES)?;
        let nonce: [u8; NONCE_BYTES] = nonce.try_into().ok()?;
        let payload = Payload { msg: sealed, aad: place.as_bytes() };
        String::from_utf8(self.cipher(owner).decrypt(&nonce.into(), payload).ok()?).ok()
    }
}

/// Makes a key, whole or not at all: another process may make one in this moment, and then
/// that one is it.
fn make(file: &Path) -> anyhow::Result<()> {
    let mut key = [0; KEY_BYTES];
    getrandom::fill(&mut key).map_err(|err| anyhow::anyhow!("the system gives no random bytes: {err}"))?;
    // With a database elsewhere nothing else has made the folder.
    file.parent().map_or(Ok(()), std::fs::create_dir_all)?;
    let new = file.with_extension(format!("new-{}", std::process::id()));
    let mut written = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    written.write_all(&key).and_then(|()| written.sync_all())?;
    let linked = std::fs::hard_link(&new, file);
    std::fs::remove_file(&new)?;
    match linked {
        Err(err) if err.kind() != std::io::ErrorKind::AlreadyExists => Err(err.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_in_its_own_place_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("data/secrets.key");
        let key = MasterKey::open(None, &file).unwrap();
        let sealed = key.seal("ann", "here", "canary").unwrap();
        assert!(!sealed.contains("canary") && sealed != key.seal("ann", "here", "canary").unwrap());
        let again = MasterKey::open(None, &file).unwrap();
        assert_eq!(again.unseal("ann", "here", &sealed).as_deref(), Some("canary"));
        assert_eq!(again.unseal("bob", "here", &sealed), None);
        assert_eq!(again.unseal("ann", "there", &sealed), None);
        let other = MasterKey::open(Some("ab".repeat(32).into()), &file).unwrap();
        assert_eq!(other.unseal("ann", "here", &sealed), None);
        let mut broken = sealed.into_bytes();
        broken[40] ^= 1;
        assert_eq!(again.unseal("ann", "here", &String::from_utf8_lossy(&broken)), None);
    }

    #[test]
    fn a_key_is_its_owners_alone_and_a_broken_one_is_said() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secrets.key");
        MasterKey::open(None, &file).unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(&file, "short").unwrap();
        assert!(MasterKey::open(None, &file).err().unwrap().to_string().contains("holds no key"));
        assert!(MasterKey::open(Some("xyz".into()), &file).is_err());
    }
}
