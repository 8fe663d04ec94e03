//! Certificates of authorities that only a test knows, made by `openssl`.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Makes an authority `NAME.pem`, and a certificate by it for `localhost` with its key: `NAME-server.pem` and `NAME-server.key`.
pub fn make_authority(dir: &Path, name: &str) {
    let openssl = |arguments: String| {
        let mut command = Command::new("openssl");
        command.args(arguments.split(' ')).current_dir(dir).stdin(Stdio::null()).stderr(Stdio::null());
        assert!(command.status().unwrap().success(), "openssl {arguments}");
    };
    fs::write(dir.join("names"), "subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n").unwrap();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    openssl(format!("req -x509 {key} -days 2 -subj /CN={name} -keyout {name}.key -out {name}.pem"));
    openssl(format!("req -new {key} -subj /CN=localhost -keyout {name}-server.key -out {name}.csr"));
    openssl(format!(
        "x509 -req -in {name}.csr -CA {name}.pem -CAkey {name}.key -CAcreateserial -days 2 -extfile names -out {name}-server.pem"
    ));
}
