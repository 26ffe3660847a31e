//! Certificates that a test makes, with the command `openssl`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A certificate for `tower.localhost` and `*.tower.localhost`, its key, and the certificate of its issuer, in a folder of its own.
pub(crate) struct Certificate {
    folder: TempDir,
}

impl Certificate {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let issuer = "[req]\ndistinguished_name=name\nprompt=no\nx509_extensions=issuer\n[name]\nCN=Issuer\n[issuer]\n\
            basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\nsubjectKeyIdentifier=hash\n";
        let own = "basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\nauthorityKeyIdentifier=keyid\n\
            subjectKeyIdentifier=hash\nsubjectAltName=DNS:tower.localhost,DNS:*.tower.localhost\n";
        fs::write(folder.path().join("issuer.cnf"), issuer).unwrap();
        fs::write(folder.path().join("own.cnf"), own).unwrap();
        let run = |arguments: &str| {
            let mut openssl = Command::new("openssl");
            openssl.args(arguments.split(' ')).current_dir(folder.path()).stdin(Stdio::null());
            let ended = openssl.output().expect("the tests of TLS need the command openssl");
            assert!(ended.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&ended.stderr));
        };
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        run(&format!("req -x509 {key} -config issuer.cnf -keyout issuer.key -out issuer.pem -days 2"));
        run(&format!("req {key} -config issuer.cnf -subj /CN=localhost -keyout key.pem -out request.pem"));
        run(
            "x509 -req -in request.pem -CA issuer.pem -CAkey issuer.key -CAcreateserial -extfile own.cnf -days 2 -out own.pem",
        );
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns the path of the certificate.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.path("own.pem")
    }

    /// Returns the path of its key.
    pub(crate) fn key(&self) -> PathBuf {
        self.path("key.pem")
    }

    /// Returns the path of the certificate that clients trust.
    pub(crate) fn issuer(&self) -> PathBuf {
        self.path("issuer.pem")
    }

    /// Replaces the certificate by another one, without its key.
    pub(crate) fn replace_certificate(&self, other: &Self) {
        copy(&other.certificate(), &self.certificate());
    }

    /// Replaces the key by another one.
    pub(crate) fn replace_key(&self, other: &Self) {
        copy(&other.key(), &self.key());
    }
}

fn copy(from: &Path, to: &Path) {
    fs::copy(from, to).unwrap();
}
